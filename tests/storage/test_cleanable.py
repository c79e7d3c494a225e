"""Which part of a log is compacted, and when that is worth it."""

from __future__ import annotations

from logserver.config.key import LONG_MAX
from logserver.storage import cleanable, sparse
from tests.storage.compaction_bench import CompactionBench


def three_segments(min_lag_ms: int = 0, max_lag_ms: int = LONG_MAX) -> CompactionBench:
    """Segments of two records, a minute apart, the third active."""
    bench = CompactionBench(min_compaction_lag_ms=min_lag_ms, max_compaction_lag_ms=max_lag_ms)
    for number in range(3):
        bench.write_keys([number, number])
        if number < 2:
            bench.roll()
        bench.now_ms += 60_000
    return bench


def test_clean_and_dirty_are_told_apart_by_the_checkpoint() -> None:
    """The active segment is neither."""
    bench = three_segments()
    sizes = [segment.size_bytes for segment in bench.log.segments]
    found = cleanable.measure(bench.log, 2, bench.now_ms)
    assert [segment.base_offset for segment in found.segments] == [0, 2]
    assert (found.clean_bytes, found.dirty_bytes) == (sizes[0], sizes[1])
    assert found.ratio == sizes[1] / (sizes[0] + sizes[1])
    assert found.is_worth_it(0.4)
    assert not found.is_worth_it(0.6)


def test_a_checkpoint_outside_of_the_log_is_not_believed() -> None:
    """After DeleteRecords, or a log that lost its end: from the log start on."""
    bench = three_segments()
    assert cleanable.measure(bench.log, 99, bench.now_ms).first_dirty_offset == 0
    bench.log.trim(1)
    assert cleanable.measure(bench.log, 0, bench.now_ms).first_dirty_offset == 1


def test_a_checkpoint_of_another_log_of_that_name_is_not_believed() -> None:
    """The log itself says how far it was compacted."""
    bench = three_segments()
    assert cleanable.believed_checkpoint(bench.log, 2) == 0
    sparse.write(bench.files, bench.log.directory, 2)
    assert cleanable.believed_checkpoint(bench.log, 2) == 2


def test_young_segments_wait() -> None:
    """min.compaction.lag.ms by the youngest record of a segment."""
    bench = three_segments(min_lag_ms=130_000)
    found = cleanable.measure(bench.log, 0, bench.now_ms)
    assert [segment.base_offset for segment in found.segments] == [0]
    assert not cleanable.measure(bench.log, 0, bench.now_ms - 60_000).segments


def test_records_without_a_time_are_as_young_as_their_segment() -> None:
    """min.compaction.lag.ms holds for them, too, from the roll on."""
    bench = CompactionBench(min_compaction_lag_ms=1000)
    bench.write((b"k", b"v"), timestamp_ms=-1)
    bench.roll()
    assert not cleanable.measure(bench.log, 0, bench.now_ms + 999).segments
    assert len(cleanable.measure(bench.log, 0, bench.now_ms + 1000).segments) == 1


def test_what_is_not_sealed_waits() -> None:
    """It is not durable yet, or somebody works on its files."""
    bench = CompactionBench()
    bench.write_keys([1])
    bench.log.roll(bench.now_ms)
    assert not cleanable.measure(bench.log, 0, bench.now_ms).segments
    bench.settle()
    assert len(cleanable.measure(bench.log, 0, bench.now_ms).segments) == 1


def test_a_record_that_waits_too_long_makes_its_log_due() -> None:
    """max.compaction.lag.ms, whatever the ratio."""
    bench = three_segments(max_lag_ms=100_000)
    found = cleanable.measure(bench.log, 0, bench.now_ms)
    assert found.overdue
    assert found.is_worth_it(1.0)
    found = cleanable.measure(bench.log, 2, bench.now_ms - 90_000)
    assert not found.overdue
    assert not cleanable.measure(bench.log, 4, bench.now_ms).is_worth_it(0)  # nothing is dirty


def test_an_active_segment_rolls_in_time_for_compaction() -> None:
    """Also when nothing is appended any more; its records are durable, so it can be sealed."""
    bench = CompactionBench(max_compaction_lag_ms=100_000)
    bench.write_keys([1])
    bench.log.sync()
    assert not cleanable.roll_overdue(bench.log, bench.now_ms + 100_000)
    assert cleanable.roll_overdue(bench.log, bench.now_ms + 100_001)
    bench.settle()
    assert bench.log.segments[0].sealed
    assert not cleanable.roll_overdue(bench.log, bench.now_ms + 900_000)  # it is empty


def test_an_append_rolls_for_the_sake_of_compaction_too() -> None:
    """segment.ms of a compacted topic is never more than max.compaction.lag.ms."""
    bench = CompactionBench(max_compaction_lag_ms=1000)
    bench.write_keys([1])
    bench.now_ms += 1001
    bench.write_keys([1])
    assert len(bench.log.segments) == 2
    plain = CompactionBench()
    plain.write_keys([1])
    plain.now_ms += 1001
    plain.write_keys([1])
    assert len(plain.log.segments) == 1


def test_the_job_names_where_producers_ended() -> None:
    """Their last batches stay, so that a rebuilt memory knows the sequence."""
    bench = CompactionBench()
    bench.write((b"a", b""), (b"b", b""), producer=(4, 0, 0))
    bench.write((b"a", b""), producer=(5, 0, 0))
    bench.roll()
    assert bench.job().last_offsets == {1, 2}
