"""When offsets go by themselves: retention, deleted topics, and what a power cut leaves."""

from __future__ import annotations

from random import Random

import pytest

from logserver.broker.groups.expiry import expire
from logserver.broker.groups.offset_group import OffsetGroup
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench

HOUR_MS = 3_600_000
RETENTION_MS = 24 * HOUR_MS


class Reader(OffsetGroup):
    """A group with a member that reads one topic; `start_ms` is when it became empty."""

    __slots__ = ("is_empty", "start_ms", "topic")

    def __init__(self, group_id: str) -> None:
        super().__init__(group_id)
        self.topic = TOPIC
        self.start_ms: int | None = 0
        self.is_empty = False

    @property
    def empty(self) -> bool:
        """Whether it may go with its last offset."""
        return self.is_empty

    def subscribed(self, topic: str) -> bool:
        """One topic is read."""
        return topic == self.topic

    def expiry_start_ms(self, commit_ms: int) -> int | None:
        """Since it became empty."""
        return None if self.start_ms is None else max(self.start_ms, commit_ms)


def test_an_offset_expires_when_its_retention_is_over() -> None:
    """The check runs every ten minutes, and the group goes with its last offset."""
    bench = OffsetsBench({"offsets.retention.minutes": "60"})
    bench.commit({0: 5})
    bench.pass_time(29 * 60_000)
    bench.commit({1: 6})
    bench.pass_time(29 * 60_000)
    assert bench.fetch_all() == {TOPIC: {0: 5, 1: 6}}
    bench.pass_time(10 * 60_000)
    bench.pass_time(1000)
    assert bench.fetch_all() == {TOPIC: {1: 6}}
    for _ in range(4):
        bench.pass_time(10 * 60_000)
        bench.pass_time(1000)
    assert bench.fetch_all() == {}
    assert GROUP not in bench.coordinator.groups
    bench.restart(clean=False)
    assert bench.fetch_all() == {}
    assert not bench.coordinator.groups


def test_a_retention_of_its_own_is_kept_to_the_millisecond() -> None:
    """However long the broker keeps others."""
    bench = OffsetsBench()
    bench.commit({0: 5}, version=2, retention_time_ms=1000)
    bench.commit({1: 6})
    committed_ms = bench.now_ms
    expire(bench.coordinator, RETENTION_MS, committed_ms + 999)
    assert bench.fetch(0, 1) == [5, 6]
    expire(bench.coordinator, RETENTION_MS, committed_ms + 1000)
    assert bench.fetch(0, 1) == [-1, 6]


@pytest.mark.parametrize("subscribed", [True, False])
def test_a_topic_that_is_read_keeps_its_offsets(subscribed: bool) -> None:
    """However old: a consumer that gets no records commits nothing new."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    group = Reader(GROUP)
    group.topic = TOPIC if subscribed else "other"
    bench.coordinator.groups[GROUP] = group
    expire(bench.coordinator, RETENTION_MS, bench.now_ms + 9 * RETENTION_MS)
    assert bench.fetch(0) == [5 if subscribed else -1]
    assert GROUP in bench.coordinator.groups


def test_retention_counts_from_when_the_group_became_empty() -> None:
    """And not at all while the group says so."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    group = Reader(GROUP)
    group.topic, group.is_empty = "other", True
    bench.coordinator.groups[GROUP] = group
    group.start_ms = None
    expire(bench.coordinator, RETENTION_MS, bench.now_ms + 9 * RETENTION_MS)
    group.start_ms = bench.now_ms + HOUR_MS
    expire(bench.coordinator, RETENTION_MS, bench.now_ms + RETENTION_MS)
    assert bench.fetch(0) == [5]
    expire(bench.coordinator, RETENTION_MS, bench.now_ms + RETENTION_MS + HOUR_MS)
    assert bench.fetch(0) == [-1]
    assert GROUP not in bench.coordinator.groups


def test_a_deleted_topic_takes_its_offsets_along() -> None:
    """Whoever makes a topic of the same name starts without them."""
    bench = OffsetsBench()
    bench.create("other")
    bench.commit({0: 5, 1: 6})
    bench.commit({0: 7}, topic="other")
    bench.delete(TOPIC)
    bench.create(TOPIC, 4)
    assert bench.fetch_all() == {"other": {0: 7}}
    bench.sync()
    bench.restart(clean=False)
    assert bench.fetch_all() == {"other": {0: 7}}


def test_many_offsets_of_a_deleted_topic_go_in_batches() -> None:
    """More than one batch has room for."""
    bench = OffsetsBench({"logserver.partitions.max": "5000"})
    bench.create("wide", 1500)
    assert set(bench.commit(dict.fromkeys(range(1500), 1), topic="wide")) == {0}
    before = bench.coordinator.partition.log.end_offset
    bench.delete("wide")
    assert bench.fetch_all() == {}
    assert bench.coordinator.partition.log.end_offset == before + 1500


@pytest.mark.parametrize("seed", range(30))
def test_a_power_cut_at_a_deletion_leaves_no_offset_of_a_missing_topic(seed: int) -> None:
    """Two logs are written, and any mixture of the two may be left."""
    print(f"seed {seed}")
    bench = OffsetsBench()
    bench.commit({0: 5})
    bench.sync()
    topic_id = bench.topic_id(TOPIC)
    bench.delete(TOPIC)
    bench.create(TOPIC, 4)
    cut = bench.power_cut(Random(seed))
    topic = cut.broker.image.topics_by_name.get(TOPIC)
    was_deleted = topic is None or topic.topic_id != topic_id
    assert cut.fetch_all() in ([{}] if was_deleted else [{}, {TOPIC: {0: 5}}])
