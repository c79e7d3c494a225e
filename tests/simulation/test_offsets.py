"""Committed offsets through kills and power cuts; and planted bugs that must be found."""

from __future__ import annotations

import pytest

from logserver.broker.groups import loading
from logserver.broker.groups.coordinator import Coordinator
from logserver.broker.groups.offset_records import decode_key, decode_value
from tests.seeds import is_found, played, wanted
from tests.simulation.offsets_run import OffsetsRun

pytestmark = pytest.mark.simulation

STEPS_COUNT = 150


def play(seed: int) -> OffsetsRun:
    """Commits, deletions, kills and power cuts."""
    run = OffsetsRun(seed)
    run.play(STEPS_COUNT)
    return run


def test_no_committed_offset_goes_back(full: bool) -> None:
    """None is lost that was answered, and none comes back that was deleted."""
    runs = played(play, wanted(full, short=20, long=1000))
    print(f"{sum(run.commits_count for run in runs)} commits")


def test_a_tombstone_that_is_not_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory forgets, the log does not."""

    def forget(
        self: Coordinator, group_id: str, offsets: list[tuple[str, int]], _wall_ms: int
    ) -> int:
        for topic, index in offsets:
            self.offsets.remove(group_id, topic, index)
        return 0

    monkeypatch.setattr(Coordinator, "forget", forget)
    assert is_found(play, range(60))


def test_a_load_that_keeps_the_first_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset that goes back."""
    monkeypatch.setattr(loading.Loading, "_apply_offset", _keep_first)
    assert is_found(play, range(60))


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
    assert is_found(play, range(200))
