"""A segment finds its batches, holds on to its file, and can make its indexes again."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from logserver.storage.files import File
from logserver.storage.segment import CorruptSegmentError, Segment, segment_path
from logserver.storage.simulated_files import MemoryFiles
from tests.storage.bench import DIRECTORY, Bench, counting_bench


def indexed_bench(index_interval_bytes: int) -> Bench:
    """A bench with mixed batches and several index entries in one segment."""
    bench = Bench(index_interval_bytes=index_interval_bytes)
    for index in range(400):
        bench.write(count=1 + index % 5, value_bytes=index * 13 % 300, timestamp_ms=index * 7 % 900)
    return bench


def test_segment_files_are_named_by_twenty_digits() -> None:
    """Kafka's names, so that Kafka's tools find them."""
    assert segment_path("d", 812) == "d/00000000000000000812.log"
    assert segment_path("d", 2**63 - 1, ".timeindex") == "d/09223372036854775807.timeindex"


def test_index_entries_are_made_as_kafka_makes_them() -> None:
    """One when more than the interval was written since the last; the batch's end and its start."""
    bench = indexed_bench(index_interval_bytes=1000)
    segment = bench.log.active
    since_last, position, expected = 0, 0, []
    for batch in bench.written:
        if since_last > 1000:
            expected.append((batch.last_offset, position))
            since_last = 0
        since_last += len(batch.data)
        position += len(batch.data)
    index = segment.offset_index
    assert [(index.last_offset(i), index.position(i)) for i in range(index.count)] == expected


def test_a_time_entry_names_the_youngest_batch_so_far() -> None:
    """As DumpLogSegments checks it: offset and timestamp of one and the same batch, growing."""
    bench = indexed_bench(index_interval_bytes=1000)
    bench.log.active.finish_indexes()
    times = bench.log.active.time_index
    entries = [times.entry(i) for i in range(times.count)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(entries))
    by_last_offset = {batch.last_offset: batch for batch in bench.written}
    assert all(by_last_offset[o].max_timestamp_ms == ms for ms, o in entries)
    assert entries[-1][0] == max(batch.max_timestamp_ms for batch in bench.written)


def test_indexes_can_be_rebuilt_from_the_log() -> None:
    """The batches' headers alone give the same bytes."""
    bench = indexed_bench(index_interval_bytes=500)
    segment = bench.log.active
    segment.finish_indexes()
    before = bytes(segment.offset_index.data), bytes(segment.time_index.data), segment.youngest()
    segment.rebuild_indexes(500)
    after = bytes(segment.offset_index.data), bytes(segment.time_index.data), segment.youngest()
    assert after == before


def test_every_offset_is_located_with_and_without_remembered_offsets() -> None:
    """In memory, and over mapped indexes, which do not hold first offsets."""
    bench = indexed_bench(index_interval_bytes=1000)
    bench.log.roll(bench.now_ms)
    segment = bench.log.segments[0]
    positions, position = {}, 0
    for batch in bench.written:
        for offset in range(batch.base_offset, batch.last_offset + 1):
            positions[offset] = position
        position += len(batch.data)
    assert {offset: segment.locate(offset) for offset in positions} == positions
    bench.sync()
    bench.maintain()
    assert segment.sealed
    segment.forget_indexes()
    assert {offset: segment.locate(offset) for offset in positions} == positions


def test_locating_reads_at_most_the_headers_of_one_interval() -> None:
    """Some pages, however long the segment is."""
    bench, files = counting_bench(index_interval_bytes=4096)
    bench.write_many(2000, value_bytes=30)
    for offset in range(0, 2000, 97):
        before = files.calls["pread"]
        bench.log.active.locate(offset)
        assert files.calls["pread"] - before <= 2


def test_large_batches_are_walked_header_by_header() -> None:
    """61 bytes each, not the 20,000 in between."""
    bench, files = counting_bench()
    bench.write_many(50, value_bytes=20_000)
    before = files.pread_bytes
    walked = list(bench.log.active.walk(0, bench.log.active.size_bytes))
    assert [b.first_offset for b in walked] == list(range(50))
    assert files.pread_bytes - before < 4096 + 50 * 61


def test_a_walk_into_the_middle_of_a_batch_is_found_out() -> None:
    """Whatever led there is not to be trusted."""
    bench = Bench()
    bench.write_many(3, value_bytes=1000)
    segment = bench.log.active
    for position in (1, 12, 500, segment.size_bytes - 30):
        with pytest.raises(CorruptSegmentError):
            list(segment.walk(position, segment.size_bytes))


def test_a_doomed_segment_waits_for_its_holders() -> None:
    """The last release says that it may go; before that nothing is closed."""
    bench = Bench()
    bench.write()
    segment = bench.log.active
    heard = []
    segment.acquire()
    segment.acquire()
    segment.doomed, segment.when_idle = True, lambda: heard.append("idle")
    with pytest.raises(AssertionError, match="still reads"):
        segment.close()
    segment.release()
    assert heard == []
    segment.release()
    assert heard == ["idle"]
    with pytest.raises(AssertionError, match="more often"):
        segment.release()


def test_a_new_segment_is_empty_even_where_a_failed_roll_left_a_file() -> None:
    """What lies there was never published."""
    bench = Bench()
    path = segment_path("data", 5)
    bench.files.open(path, create=True).pwrite(b"rest", 0)
    segment = Segment.create(bench.files, "data", 5, 0, 4096)
    assert segment.file.size() == 0
    assert not segment.named


def test_the_youngest_of_a_sealed_segment_is_read_from_its_last_time_entry() -> None:
    """Twelve bytes; nothing stays mapped."""
    bench = Bench()
    for timestamp_ms in (100, 900, 400):
        bench.write(count=2, timestamp_ms=timestamp_ms)
    bench.log.roll(bench.now_ms)
    bench.write()
    bench.sync()
    bench.maintain()
    bench.reopen()
    segment = bench.log.segments[0]
    assert segment.max_timestamp_ms == 901
    assert segment.youngest() == (901, 3)
    assert segment.lazy_time_index is None


def test_a_segment_does_not_take_the_last_descriptors() -> None:
    """They are for what is opened for a moment: a sync that cannot open its directory is final."""

    class Crowded(MemoryFiles):
        """A process with few descriptors left."""

        def leaves_room(self, file: File) -> bool:
            return False

    bench = Bench()
    bench.write()
    bench.log.files = Crowded()
    bench.log.files.make_directory("data")
    bench.log.files.make_directory(DIRECTORY)
    with pytest.raises(OSError, match="too few descriptors") as raised:
        bench.log.roll(0)
    assert raised.value.errno == errno.EMFILE
    assert len(bench.log.segments) == 1
    assert not bench.log.fenced
