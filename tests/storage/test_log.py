"""A log takes batches and gives back file ranges; the rest is limits, rolls, syncs and failures."""

from __future__ import annotations

import errno
from random import Random

import pytest

from logserver.storage.failing_files import FailingFiles
from logserver.storage.log import FencedError, Log, OffsetOutOfRange
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from logwire.batch import HEADER, BatchHeader
from tests.storage.bench import DIRECTORY, TOPIC_ID, Bench, batches_in, counting_bench


def test_an_append_stamps_offset_and_epoch_and_writes_once() -> None:
    """The batch lies in the file as it came, but for 12 bytes; one pwrite each."""
    bench, files = counting_bench()
    bench.log.set_leader_epoch(7)
    before = files.calls["pwrite"]
    bench.write(count=3)
    second = bench.write(count=2)
    assert files.calls["pwrite"] - before == 2
    header = BatchHeader._make(HEADER.unpack_from(second.data, 0))
    assert (header.base_offset, header.partition_leader_epoch) == (3, 7)
    assert header.batch_length == len(second.data) - 12
    assert bench.read_all() == bench.kept()


@pytest.mark.parametrize("max_bytes", [1, 170, 500, 4096, 10_000, 1 << 20])
def test_a_read_gives_whole_batches_within_its_limit(max_bytes: int) -> None:
    """At least one batch, never more than fits, nothing lost between two reads."""
    bench = Bench(segment_bytes=20_000, index_interval_bytes=1000)
    for index in range(300):
        bench.write(count=1 + index % 3, value_bytes=index * 7 % 400)
    log = bench.log
    found, offset = [], 0
    while (piece := log.read(offset, max_bytes, log.end_offset)) is not None:
        batches = batches_in(piece.read())
        assert len(batches) == 1 or piece.size_bytes <= max_bytes
        found += batches
        offset = piece.next_offset
        piece.release()
    assert found == bench.kept()


def test_a_read_from_within_a_batch_begins_with_that_batch() -> None:
    """Every offset leads to the batch that holds it, whatever is remembered."""
    bench = Bench(segment_bytes=30_000, index_interval_bytes=700)
    for index in range(200):
        bench.write(count=1 + index % 4, value_bytes=50)
    for _ in range(2):
        for batch in bench.written:
            for offset in range(batch.base_offset, batch.last_offset + 1):
                piece = bench.log.read(offset, 1, bench.log.end_offset)
                assert piece is not None
                assert piece.read() == batch.data
                assert (piece.first_offset, piece.next_offset) == (offset, batch.last_offset + 1)
                piece.release()
        bench.sync()
        bench.maintain()
        bench.reopen()


def test_a_read_ends_at_the_upper_offset() -> None:
    """Nothing at or above the high watermark is shown, wherever it is."""
    bench = Bench(segment_bytes=3000)
    bench.write_many(50)
    for upper_offset in range(51):
        for offset in range(51):
            piece = bench.log.read(offset, 1 << 20, upper_offset)
            if piece is None:
                assert offset >= upper_offset
                continue
            assert offset < piece.next_offset <= upper_offset
            assert len(batches_in(piece.read())) == piece.next_offset - offset
            piece.release()


def test_a_first_batch_above_the_limit_is_given_only_on_request() -> None:
    """`minimum_one` is for the first partition of a fetch; the others wait."""
    bench = Bench()
    bench.write(value_bytes=5000)
    assert bench.log.read(0, 100, 1, minimum_one=False) is None
    piece = bench.log.read(0, 100, 1)
    assert piece is not None
    assert piece.size_bytes == len(bench.written[0].data)


def test_offsets_outside_the_log_are_refused() -> None:
    """Before the start and behind the end; the end itself is just empty."""
    bench = Bench()
    bench.write_many(5)
    bench.log.trim(2)
    assert bench.log.read(5, 100, 5) is None
    for offset in (1, 6):
        with pytest.raises(OffsetOutOfRange, match=f"not {offset}"):
            bench.log.read(offset, 100, 5)


def test_a_sequential_reader_of_fresh_batches_reads_no_byte_of_the_segment() -> None:
    """Start and end come from what the last read and the appends left behind."""
    for value_bytes in (50, 1000, 20_000):
        bench, files = counting_bench(segment_bytes=200_000)
        bench.write_many(400, value_bytes=value_bytes)
        before = files.calls["pread"]
        offset, slices_count = 0, 0
        while (piece := bench.log.read(offset, 65_536, bench.log.end_offset)) is not None:
            offset, slices_count = piece.next_offset, slices_count + 1
            piece.release()
        assert offset == 400
        assert files.calls["pread"] == before, (value_bytes, slices_count)


def test_a_reader_at_the_tail_reads_no_byte_of_the_segment() -> None:
    """Append, sync, read what is durable, again and again, across rolls."""
    bench, files = counting_bench(segment_bytes=20_000)
    before = files.calls["pread"]
    offset = 0
    for _ in range(200):
        bench.write(count=2)
        bench.write()
        bench.sync()
        while (piece := bench.log.read(offset, 1 << 20, bench.log.durable_offset)) is not None:
            offset = piece.next_offset
            piece.release()
    assert (offset, files.calls["pread"]) == (600, before)


def test_a_replay_of_sealed_segments_reads_one_header_a_slice() -> None:
    """Where a slice ends at an index entry, the header behind it says where to go on."""
    bench, files = counting_bench(segment_bytes=200_000)
    bench.write_many(1000, value_bytes=1000)
    bench.sync()
    bench.maintain()
    bench.reopen()
    calls, read_bytes = files.calls["pread"], files.pread_bytes
    offset, slices_count = 0, 0
    while (piece := bench.log.read(offset, 65_536, bench.log.end_offset)) is not None:
        offset, slices_count = piece.next_offset, slices_count + 1
        piece.release()
    assert offset == 1000
    assert files.calls["pread"] - calls <= slices_count
    assert files.pread_bytes - read_bytes == 61 * (files.calls["pread"] - calls)


def test_a_new_configuration_holds_from_the_next_append_on() -> None:
    """AlterConfigs assigns `config`; nothing is reopened."""
    bench = Bench()
    bench.write_many(10)
    bench.log.config = type(bench.config)(segment_bytes=1000)
    bench.write()
    assert len(bench.log.segments) == 2


@pytest.mark.parametrize("kind", ["pwrite", "open"])
def test_a_full_disk_leaves_the_log_as_it_was(kind: str) -> None:
    """At any call of an append or roll; when there is space again the same append succeeds."""
    for fail_at in range(1, 8):
        files = FailingFiles(MemoryFiles())
        bench = Bench(files, segment_bytes=500)
        bench.write_many(2)
        before = bench.log.statistics()
        files.kinds, files.error, files.matching_count = [kind], errno.ENOSPC, 0
        files.fail_at = fail_at
        appended = 0
        for _ in range(8):
            try:
                bench.write()
                appended += 1
            except OSError:
                assert files.failed_count == 1
        assert files.failed_count == (1 if files.matching_count >= fail_at else 0)
        assert bench.log.end_offset == before["end_offset"] + appended
        assert not bench.log.fenced
        files.fail_at = 0
        assert bench.read_all() == bench.kept()
        bench.reopen()
        assert bench.read_all() == bench.kept()


def test_a_write_error_that_space_cannot_mend_fences_the_log() -> None:
    """EIO from the tail: no more appends, reads go on."""
    files = FailingFiles(MemoryFiles())
    bench = Bench(files)
    bench.write_many(3)
    files.kinds, files.error, files.fail_at, files.matching_count = ["pwrite"], errno.EIO, 1, 0
    with pytest.raises(OSError, match="Input/output"):
        bench.write()
    with pytest.raises(FencedError, match="a write failed"):
        bench.write()
    assert bench.read_all() == bench.kept()
    assert bench.log.begin_sync() is None


def test_a_fenced_log_stays_fenced() -> None:
    """The first reason stays, a new configuration does not lift it."""
    bench = Bench()
    bench.write()
    bench.log.fence("first")
    bench.log.fence("second")
    bench.log.config = bench.config
    with pytest.raises(FencedError, match="first"):
        bench.write()


def test_a_clean_stop_leaves_true_ends_and_everything_readable() -> None:
    """Files end where the log ends; reopening scans nothing."""
    bench = Bench(segment_bytes=100_000)
    bench.write_many(2000)
    bench.sync()
    bench.maintain()
    sizes = [segment.size_bytes for segment in bench.log.segments]
    bench.reopen()
    assert [s.file.size() for s in bench.log.segments] == sizes
    assert bench.read_all() == bench.kept()
    assert bench.log.durable_offset == bench.log.end_offset == 2000
    bench.write()
    assert bench.read_all() == bench.kept()


def test_a_kill_leaves_what_was_written() -> None:
    """Without a clean stop the page cache still has it all, preallocated zeros too."""
    bench = Bench(segment_bytes=300_000)
    bench.write_many(2500)
    bench.maintain()
    assert bench.log.active.file.size() > bench.log.active.size_bytes
    bench.reopen(clean=False)
    assert bench.read_all() == bench.kept()
    bench.write_many(10)
    assert bench.read_all() == bench.kept()


def test_leader_epochs_answer_where_each_ended() -> None:
    """OffsetForLeaderEpoch, also after a restart."""
    bench = Bench()
    first = bench.log.leader_epoch
    bench.write_many(3)
    bench.log.set_leader_epoch(first + 4)
    bench.write_many(2)
    bench.reopen()
    log = bench.log
    assert log.leader_epoch == first + 4
    assert log.end_offset_for_epoch(first + 4) == (first + 4, 5)
    assert log.end_offset_for_epoch(first + 2) == (first, 3)
    assert log.end_offset_for_epoch(first + 5) == (-1, -1)


def test_statistics_are_plain_numbers() -> None:
    """What the statistics page copies."""
    bench = Bench(segment_bytes=1000)
    bench.write_many(20)
    piece = bench.log.read(0, 100, 1)
    assert piece is not None
    statistics = bench.log.statistics()
    assert all(isinstance(value, int) for value in statistics.values())
    assert statistics["end_offset"] == 20
    assert statistics["holds_count"] == 1
    assert statistics["size_bytes"] == sum(len(batch.data) for batch in bench.written)
    assert statistics["segments_count"] == statistics["rolls_count"] + 1


def test_no_power_cut_takes_the_first_segment_and_leaves_the_next() -> None:
    """Nothing was ever synced: what comes back still begins at the first offset."""
    bench = Bench(RecordingFiles(), segment_bytes=500)
    while len(bench.log.segments) < 3:
        bench.write()
    assert isinstance(bench.files, RecordingFiles)
    for seed in range(100):
        files = bench.files.power_cut(Random(seed))
        log = Log.open(files, DIRECTORY, bench.config, topic_id=TOPIC_ID, now_ms=0, clean=False)
        assert log.log_start_offset == 0, seed
        log.close()
