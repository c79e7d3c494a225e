"""Committed offsets through kills and power cuts; and planted bugs that must be found."""

from __future__ import annotations

import os
from random import Random

import pytest

from logserver.broker.groups import loading
from logserver.broker.groups.coordinator import Coordinator
from logserver.broker.groups.offset_records import decode_key, decode_value
from tests.simulation.offsets_run import OffsetsRun

pytestmark = pytest.mark.simulation

STEPS_COUNT = 150


def seeds(count: int) -> list[int]:
    """Fresh seeds, printed; LOGSERVER_SEED repeats one."""
    given = os.environ.get("LOGSERVER_SEED")
    if given:
        return [int(given)]
    first = Random().randrange(1 << 32)
    print(f"seeds {first} to {first + count - 1}")
    return list(range(first, first + count))


def test_no_committed_offset_goes_back(full: bool) -> None:
    """LOGSERVER_SIMULATION_SEEDS says how many; 20 in the short pass."""
    count = int(os.environ.get("LOGSERVER_SIMULATION_SEEDS", "1000" if full else "20"))
    commits = 0
    for seed in seeds(count):
        run = OffsetsRun(seed)
        try:
            run.play(STEPS_COUNT)
        except BaseException:
            print(f"failing seed: LOGSERVER_SEED={seed}")
            raise
        commits += run.commits_count
    print(f"{count} seeds, {commits} commits")


def require_found(limit: int = 60) -> None:
    """Some seed must fail."""
    for seed in range(limit):
        try:
            OffsetsRun(seed).play(STEPS_COUNT)
        except AssertionError:
            return
    pytest.fail("the bug was not found")


def test_a_tombstone_that_is_not_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory forgets, the log does not."""

    def forget(
        self: Coordinator, group_id: str, offsets: list[tuple[str, int]], _wall_ms: int
    ) -> int:
        for topic, index in offsets:
            self.offsets.remove(group_id, topic, index)
        return 0

    monkeypatch.setattr(Coordinator, "forget", forget)
    require_found()


def test_a_load_that_keeps_the_first_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset that goes back."""
    monkeypatch.setattr(loading.Loading, "_apply_offset", _keep_first)
    require_found()


def _keep_first(self: loading.Loading, key: bytes, value: bytes | None) -> None:
    group_id, topic, index = decode_key(key)
    offsets = self._coordinator.offsets
    if value is None:
        offsets.remove(group_id, topic, index)
    elif offsets.get(group_id, topic, index) is None:
        offsets.put(group_id, topic, index, decode_value(value))


def test_offsets_of_a_lost_deletion_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may keep the deletion of a topic and lose the tombstones of its offsets."""
    monkeypatch.setattr(loading, "forget_unknown_topics", lambda *_: None)
    require_found(200)
