"""A log rolls where Kafka's rolls: by size, age, offsets and the room in its indexes."""

from __future__ import annotations

from logserver.config import TopicConfig
from logserver.storage.rolling import ASK, limits
from tests.storage.bench import Bench, make_batch


def test_a_log_rolls_by_size_without_splitting_a_batch() -> None:
    """As Kafka: a batch that would exceed segment.bytes begins the next segment."""
    bench = Bench(segment_bytes=1000)
    size = len(bench.write().data)
    while len(bench.log.segments) < 3:
        bench.write()
    first, second, _ = bench.log.segments
    assert first.size_bytes == second.size_bytes == 1000 // size * size
    assert second.base_offset == 1000 // size
    assert bench.read_all() == bench.kept()


def test_a_log_rolls_by_the_age_between_its_batches() -> None:
    """`segment.ms` counts from the first batch's timestamp to the new one's."""
    bench = Bench(segment_ms=10_000)
    bench.write(timestamp_ms=5000)
    bench.write(timestamp_ms=15_000)
    assert len(bench.log.segments) == 1
    bench.write(timestamp_ms=15_001)
    assert [s.base_offset for s in bench.log.segments] == [0, 2]


def test_batches_without_a_timestamp_age_by_the_clock() -> None:
    """A first batch without a time is as old as its file."""
    bench = Bench(segment_ms=10_000)
    bench.write(timestamp_ms=-1)
    bench.now_ms += 10_000
    bench.write(timestamp_ms=-1)
    assert len(bench.log.segments) == 1
    bench.now_ms += 1
    bench.write(timestamp_ms=-1)
    assert len(bench.log.segments) == 2


def test_a_log_rolls_before_a_relative_offset_overflows() -> None:
    """Index entries hold 32 bits; a segment of few bytes can hold more offsets than that."""
    bench = Bench()
    bench.write()
    batch = make_batch()
    bench.log.append(memoryview(batch), 2**31 - 3, 1000, bench.now_ms)
    assert (len(bench.log.segments), bench.log.end_offset) == (1, 2**31 - 1)
    bench.log.append(memoryview(batch), 1, 1000, bench.now_ms)
    assert [s.base_offset for s in bench.log.segments] == [0, 2**31 - 1]


def test_a_log_rolls_when_an_index_is_full() -> None:
    """`segment.index.bytes` bounds the index as in Kafka."""
    bench = Bench(segment_index_bytes=100, index_interval_bytes=200)
    bench.write_many(100)
    assert len(bench.log.segments) > 3
    assert all(len(s.time_index.data) <= 100 for s in bench.log.segments)
    assert bench.read_all() == bench.kept()


def test_limits_are_asked_for_until_the_first_batch_is_known() -> None:
    """Age counts from it; after a clean start it is read from the log at the first append."""
    bench = Bench()
    assert limits(bench.log.active, bench.config) == ASK
    bench.write(timestamp_ms=500)
    found = limits(bench.log.active, TopicConfig(segment_ms=1000, segment_bytes=5000))
    assert found == (5000, 2**31 - 1, 1500)
    bench.reopen()
    assert limits(bench.log.active, bench.config) == ASK
    bench.write(timestamp_ms=700)
    assert limits(bench.log.active, TopicConfig(segment_ms=1000)).timestamp_ms == 1500


def test_an_empty_log_takes_a_batch_of_any_size() -> None:
    """Only what is in a segment can make it full; the broker bounds the batch."""
    bench = Bench(segment_bytes=100)
    bench.write(value_bytes=1000)
    assert len(bench.log.segments) == 1
    bench.write()
    assert [s.base_offset for s in bench.log.segments] == [0, 1]
