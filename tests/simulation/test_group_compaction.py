"""Groups are loaded from compacted logs as from whole ones, at any stage of the compaction.

Compaction keeps the last record of each key up to some offset, and drops tombstones that are old
enough; what follows is as it was written. Groups that change their kind have the most to lose: the
records of their former kind are deleted by tombstones which may be gone, or not yet.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.effects import Record
from tests.broker.groups.consumer_bench import apply_records, kept
from tests.seeds import played, wanted
from tests.simulation.consumer_run import ConsumerRun

pytestmark = pytest.mark.simulation

EVENTS_COUNT = 120
CUTS_COUNT = 5


def compacted(records: list[Record], clean_to: int, tombstones_to: int) -> list[Record]:
    """The log after a compaction up to `clean_to` that drops tombstones before `tombstones_to`."""
    last = {key: position for position, (key, _) in enumerate(records[:clean_to])}
    kept_records = [
        (key, value)
        for position, (key, value) in enumerate(records[:clean_to])
        if last[key] == position and (value is not None or position >= tombstones_to)
    ]
    return kept_records + records[clean_to:]


def loaded(records: list[Record]) -> dict[str, Any]:
    """Each group's kind, and all that is kept of it."""
    groups: dict[str, Any] = {}
    apply_records(groups, records)
    return {
        group_id: (
            type(group),
            kept(group.state) if isinstance(group, ConsumerGroup) else group.record(),
        )
        for group_id, group in groups.items()
    }


def play(seed: int) -> int:
    """What a life has written, compacted at some stages; how many records there were."""
    run = ConsumerRun(seed, migrates=seed % 2 == 1)
    run.run(EVENTS_COUNT)
    records, random = run.bench.records, Random(seed)
    for _ in range(CUTS_COUNT):
        clean_to = random.randrange(len(records) + 1)
        tombstones_to = random.randrange(clean_to + 1)
        less = compacted(records, clean_to, tombstones_to)
        assert loaded(less) == loaded(records), f"cleaned to {clean_to}, {tombstones_to}"
    return len(records)


def test_a_compacted_log_makes_the_same_groups(full: bool) -> None:
    """Half of them change their kind."""
    records_count = sum(played(play, wanted(full, short=40, long=2000)))
    print(f"{records_count} records")


def test_a_lost_tombstone_would_be_found() -> None:
    """One that goes before the record it deletes."""
    different = 0
    for seed in range(1, 60, 2):
        run = ConsumerRun(seed, migrates=True)
        run.run(EVENTS_COUNT)
        records = run.bench.records
        without = [record for record in records if record[1] is not None]
        different += loaded(without) != loaded(records)
    assert different > 10
