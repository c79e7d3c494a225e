"""Where a log begins: by size, by time, by request; and never because of a wrong clock."""

from __future__ import annotations

import errno
from random import Random

import pytest

from logserver.storage.failing_files import FailingFiles
from logserver.storage.log import FencedError, OffsetOutOfRange
from logserver.storage.retention import (
    JUMP_MS,
    LOG_START_FILE,
    ClockGuard,
    read_log_start,
    write_log_start,
)
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.storage.bench import Bench

HOUR_MS = 3_600_000


def rolled_bench(retention_ms: int, retention_bytes: int = -1) -> Bench:
    """Ten segments of one batch each, one hour apart, all durable."""
    bench = Bench(segment_bytes=200, retention_ms=retention_ms, retention_bytes=retention_bytes)
    for hour in range(10):
        bench.write(timestamp_ms=hour * HOUR_MS)
    bench.sync()
    assert len(bench.log.segments) == 10
    return bench


def test_retention_by_size_keeps_at_least_its_bytes() -> None:
    """Kafka's rule: a segment goes when the log without it still has retention.bytes."""
    bench = rolled_bench(retention_ms=-1)
    size_bytes = len(bench.written[0].data)
    for keep_count in (7, 3, 1):
        bench.log.config = type(bench.config)(
            segment_bytes=200, retention_ms=-1, retention_bytes=keep_count * size_bytes
        )
        bench.log.retention(bench.now_ms)
        assert bench.log.log_start_offset == 10 - keep_count
        assert bench.read_all() == bench.kept()
        assert bench.log.size_bytes == keep_count * size_bytes


def test_retention_by_time_drops_what_is_older() -> None:
    """By the youngest record of a segment, and not a millisecond early."""
    bench = rolled_bench(retention_ms=2 * HOUR_MS)
    for now_ms, start in [(2 * HOUR_MS, 0), (2 * HOUR_MS + 1, 1), (3 * HOUR_MS + 1, 2)]:
        bench.log.retention(now_ms)
        assert bench.log.log_start_offset == start


def test_an_active_segment_that_is_due_is_rolled_first() -> None:
    """A log may become empty; offsets go on where they were."""
    bench = rolled_bench(retention_ms=1000)
    bench.log.retention(100 * HOUR_MS)
    assert (bench.log.log_start_offset, bench.log.end_offset) == (10, 10)
    assert bench.log.size_bytes == 0
    bench.sync()
    bench.maintain()
    bench.reopen()
    assert bench.write().base_offset == 10


def test_an_empty_log_is_not_rolled_by_retention() -> None:
    """There is nothing to free."""
    bench = Bench(retention_ms=1, retention_bytes=0)
    bench.log.retention(HOUR_MS)
    assert len(bench.log.segments) == 1


def test_what_is_not_durable_is_not_dropped() -> None:
    """The log start never passes the durable offset."""
    bench = rolled_bench(retention_ms=-1, retention_bytes=0)
    bench.write()
    bench.log.retention(bench.now_ms)
    assert bench.log.log_start_offset == 10


def test_records_without_a_time_are_as_old_as_the_roll_of_their_segment() -> None:
    """-1 is not 1969: a client that sets no timestamps keeps its records for retention.ms."""
    bench = Bench(segment_bytes=200, retention_ms=1000)
    for _ in range(3):
        bench.write(timestamp_ms=-1)
    bench.sync()
    bench.log.retention(bench.now_ms + 1000)
    assert bench.log.log_start_offset == 0
    bench.log.retention(bench.now_ms + 1001)
    assert bench.log.log_start_offset == 2, "the active segment stays"


def test_a_compacted_topic_is_not_deleted_from() -> None:
    """cleanup.policy decides."""
    bench = rolled_bench(retention_ms=1)
    bench.log.config = type(bench.config)(cleanup_policy=("compact",), retention_ms=1)
    bench.log.retention(100 * HOUR_MS)
    assert bench.log.log_start_offset == 0


def look(bench: Bench, guard: ClockGuard, now_ms: int) -> None:
    """Retention, as the broker asks for it."""
    bench.log.retention(now_ms, trusted=guard.trusts(now_ms))


def test_a_clock_that_jumps_forward_deletes_nothing() -> None:
    """Ten years at once; an hour of steady clock later it is believed."""
    bench = rolled_bench(retention_ms=20 * HOUR_MS)
    guard = ClockGuard()
    look(bench, guard, 10 * HOUR_MS)
    future_ms = 90_000 * HOUR_MS
    for minutes in range(0, 60, 5):
        look(bench, guard, future_ms + minutes * 60_000)
        assert bench.log.log_start_offset == 0
    assert bench.log.statistics()["retention_held_count"] == 12
    look(bench, guard, future_ms + HOUR_MS)
    assert bench.log.log_start_offset == 10


def test_a_clock_that_is_set_right_again_ends_the_hold() -> None:
    """The jump forward was the error: after the jump back retention works as before."""
    guard = ClockGuard()
    assert guard.trusts(10 * HOUR_MS)
    assert not guard.trusts(1000 * HOUR_MS)
    assert guard.trusts(10 * HOUR_MS + 60_000)
    assert guard.trusts(10 * HOUR_MS + 120_000)


def test_two_jumps_hold_for_as_long_as_the_second() -> None:
    """A clock must be steady, not merely old."""
    guard = ClockGuard()
    guard.trusts(0)
    assert not guard.trusts(10 * JUMP_MS)
    assert not guard.trusts(12 * JUMP_MS)
    assert not guard.trusts(13 * JUMP_MS - 1)
    assert guard.trusts(13 * JUMP_MS)


def test_a_trim_moves_the_start_and_is_durable() -> None:
    """DeleteRecords: the start holds across a power cut that follows the answer."""
    for seed in range(20):
        bench = Bench(RecordingFiles(), segment_bytes=1000)
        bench.write_many(30)
        bench.log.trim(17)
        bench.lose_unsynced(Random(seed))
        assert bench.log.log_start_offset == 17
        assert bench.read_all() == bench.kept()[: len(bench.read_all())]
        assert bench.log.recovery.quarantine is None, f"seed {seed}"


def test_a_trim_within_a_batch_keeps_the_batch() -> None:
    """Bytes go by segment; the offset decides what may be asked for."""
    bench = Bench()
    bench.write(count=10)
    bench.log.trim(4)
    with pytest.raises(OffsetOutOfRange):
        bench.log.read(3, 100, 10)
    assert bench.read_all() == bench.kept()
    bench.log.trim(2)
    assert bench.log.log_start_offset == 4
    with pytest.raises(OffsetOutOfRange, match="ends at 10"):
        bench.log.trim(11)


def test_dropped_segments_keep_their_files_while_somebody_reads() -> None:
    """Held: nothing is unlinked. Released: the files go with the next maintenance."""
    bench = rolled_bench(retention_ms=-1, retention_bytes=0)
    piece = bench.log.read(0, 100, 10)
    assert piece is not None
    bench.log.retention(bench.now_ms)
    bench.maintain()
    assert piece.read() == bench.written[0].data
    logs = [name for name in bench.names() if name.endswith(".log")]
    assert logs[0] == "00000000000000000000.log"
    piece.release()
    bench.maintain()
    logs = [name for name in bench.names() if name.endswith(".log")]
    assert logs == ["00000000000000000010.log"]
    assert bench.log.statistics()["doomed_count"] == 0


@pytest.mark.parametrize("seed", range(30))
def test_a_power_cut_while_segments_go_leaves_no_hole(seed: int) -> None:
    """Unlinks persist in any order; the log start was durable before the first of them."""
    bench = Bench(RecordingFiles(), segment_bytes=300, retention_ms=-1, retention_bytes=600)
    for _ in range(12):
        bench.write_many(3)
        bench.sync()
        bench.log.retention(bench.now_ms)
        bench.maintain()
    durable_offset = bench.log.durable_offset
    bench.lose_unsynced(Random(seed))
    assert bench.log.recovery.quarantine is None, f"seed {seed}"
    assert bench.log.end_offset >= durable_offset
    assert bench.read_all() == bench.kept()


def test_each_failure_while_segments_go_leaves_a_log_that_opens() -> None:
    """The k-th call fails, for every k; what is left behind goes at the next start."""
    for fail_at in range(1, 60):
        files = FailingFiles(MemoryFiles())
        bench = Bench(files, segment_bytes=300, retention_ms=-1, retention_bytes=600)
        bench.write_many(12)
        bench.sync()
        bench.maintain()
        files.error, files.matching_count, files.fail_at = 28, 0, fail_at
        bench.log.retention(bench.now_ms)
        bench.maintain()
        done = files.failed_count == 0
        files.fail_at = 0
        bench.reopen(clean=False)
        assert bench.read_all() == bench.kept()
        assert bench.log.recovery.quarantine is None
        if done:
            return
    pytest.fail("sixty calls to unlink a few segments")


def test_the_log_start_file_tells_every_flipped_bit() -> None:
    """It has no format of Kafka's to keep, so it has a checksum."""
    files = MemoryFiles()
    files.make_directory("d")
    assert read_log_start(files, "d") is None
    write_log_start(files, "d", 2**40 + 7)
    assert read_log_start(files, "d") == 2**40 + 7
    good = files.read_file(f"d/{LOG_START_FILE}")
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        files.write_atomically(f"d/{LOG_START_FILE}", bad)
        assert read_log_start(files, "d") is None, bit


def test_a_trim_whose_sync_fails_fences_and_holds_nothing() -> None:
    """The kernel has told its one error: the sync after this one would be called a success."""
    files = FailingFiles(MemoryFiles(), kinds={"datasync"})
    bench = Bench(files)
    bench.write_many(3)
    files.error, files.fail_at = errno.EIO, files.matching_count + 1
    with pytest.raises(OSError, match="Input/output"):
        bench.log.trim(2)
    assert bench.log.fenced
    assert bench.log.log_start_offset == 0
    assert bench.log.statistics()["holds_count"] == 0
    with pytest.raises(FencedError):
        bench.log.trim(2)


def test_a_trim_keeps_what_producers_wrote_in_unsealed_segments() -> None:
    """The start is durable at once, and what lies below it goes at the next start."""
    bench = Bench(RecordingFiles(), segment_bytes=500)
    log = bench.log
    while len(log.segments) < 4:
        offset = bench.write().base_offset
        log.producers.update(7, 0, offset, offset, offset, offset, 1000)
    bench.sync()
    log.trim(log.active.base_offset)
    for seed in range(30):
        other = Bench(RecordingFiles(), segment_bytes=500)
        assert isinstance(bench.files, RecordingFiles)
        other.files = bench.files.power_cut(Random(seed))
        recovered = other.open(clean=False)
        entry = recovered.producers.entries[7]
        assert entry.next_sequence == log.active.base_offset
