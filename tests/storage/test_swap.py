"""A swap while the log is read, written, trimmed, deleted, and while the disk says no."""

from __future__ import annotations

import errno

import pytest

from logserver.storage import swap, swap_files
from logserver.storage.compaction import Compaction
from logserver.storage.compaction_output import Cleaned
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import MemoryFiles
from tests.storage.bench import batches_in, run_chores
from tests.storage.compaction_bench import CompactionBench, no_pace


def prepared(
    files: FailingFiles | None = None, delay_ms: int = 60_000
) -> tuple[CompactionBench, Cleaned]:
    """Three sealed segments, and the output that replaces them, not offered yet."""
    bench = CompactionBench(files, segment_bytes=4000, file_delete_delay_ms=delay_ms)
    for number in range(3):
        bench.write_keys([number, 7, number, 7])
        bench.roll()
    bench.write_keys([50])
    outputs = list(Compaction(bench.files, bench.log.directory, bench.job(), no_pace).outputs())
    return bench, outputs[0]


def fail_next(files: FailingFiles, kind: str, error: int) -> None:
    """The next call of that kind fails, once."""
    files.kinds, files.error = {kind}, error
    files.fail_at = files.matching_count + 1


def step(bench: CompactionBench) -> None:
    """One step of the swap."""
    assert run_chores(swap.chores(bench.log)) == 1


def test_who_reads_an_old_segment_reads_on() -> None:
    """Slices taken before the swap hold the bytes that they were taken for."""
    bench, cleaned = prepared()
    before = bench.batches()
    held = bench.log.read(0, 1 << 20, bench.log.end_offset)
    assert held is not None
    bench.put_in(cleaned)
    assert bench.ends == [""]
    run, finish = swap.release(bench.log, bench.now_ms + 10**9) or pytest.fail("others are free")
    finish(run())
    assert [segment.base_offset for segment in bench.log.replaced] == [0]
    assert batches_in(held.read()) == before[:4]
    held.release()


def test_space_is_freed_when_nobody_reads_and_the_delay_is_over() -> None:
    """file.delete.delay.ms for the files, and never under a reader."""
    bench, cleaned = prepared(delay_ms=1000)
    held = bench.log.read(4, 1 << 20, bench.log.end_offset)
    assert held is not None
    bench.put_in(cleaned)
    assert swap.release(bench.log, bench.now_ms + 999) is None
    run, finish = swap.release(bench.log, bench.now_ms + 1000) or pytest.fail("it is time")
    finish(run())
    assert [name for name in bench.names() if name.endswith(".deleted")] == [
        f"{4:020d}.log.deleted"
    ]
    held.release()
    run, finish = swap.release(bench.log, bench.now_ms - 5) or pytest.fail("a clock set back")
    finish(run())
    assert not [name for name in bench.names() if name.endswith(".deleted")]
    assert not bench.log.replaced


@pytest.mark.parametrize("offset", range(14))
def test_a_read_from_any_offset_finds_the_same_before_between_and_after(offset: int) -> None:
    """The records that stayed from there on, at every step."""
    bench, cleaned = prepared()
    newest: dict[bytes, int] = {}
    for base, key, _ in bench.written:
        assert key is not None
        newest[key] = base
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    seen = []
    for _ in range(3):
        found = []
        at = offset
        while (piece := bench.log.read(at, 1, bench.log.end_offset)) is not None:
            assert piece.next_offset > at
            found += batches_in(piece.read())
            at = piece.next_offset
            piece.release()
        seen.append({int.from_bytes(data[:8], "big") for data in found})
        if bench.log.swap is not None:
            step(bench)
    assert at == bench.log.end_offset
    wanted = {newest_offset for newest_offset in newest.values() if newest_offset >= offset}
    assert seen[0] == set(range(offset, 13))
    assert seen[1] - {11} == seen[2] - {11} == wanted - {11}


def test_appends_and_syncs_go_on_during_a_swap() -> None:
    """Between any two steps, and what was appended is there afterwards."""
    bench, cleaned = prepared()
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    while bench.log.swap is not None:
        bench.write_keys([51])
        step(bench)
        bench.log.sync()
    assert bench.latest() == bench.expected()
    bench.settle()
    bench.reopen()
    assert bench.log.recovery.quarantine is None
    assert bench.latest() == bench.expected()


def test_an_output_whose_segments_left_the_log_is_dropped() -> None:
    """Retention or DeleteRecords was faster."""
    bench, cleaned = prepared()
    bench.log.trim(5)
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    assert bench.log.swap is None
    assert bench.ends == ["segments that were compacted have left the log"]


def test_nothing_leaves_a_log_whose_swap_is_not_complete() -> None:
    """DeleteRecords moves the start at once; the segments follow the swap."""
    bench, cleaned = prepared()
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    step(bench)
    bench.log.trim(12)
    assert bench.log.log_start_offset == 12
    assert bench.log.segments[0].base_offset == 0
    assert bench.log.retention(bench.now_ms) == []
    step(bench)
    assert [segment.base_offset for segment in bench.log.segments] == [12]
    bench.settle()
    assert not [name for name in bench.names() if name == f"{0:020d}.log"]
    bench.reopen(clean=False)
    assert bench.log.log_start_offset == 12


def test_a_disk_that_says_no_to_a_commit_fences_the_log() -> None:
    """The old segments stay in the log; a restart decides what is on the device."""
    files = FailingFiles(MemoryFiles())
    bench, cleaned = prepared(files)
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    fail_next(files, "sync_directory", errno.EIO)
    step(bench)
    assert bench.log.swap is None
    assert "could not be put in" in bench.log.fenced
    assert bench.ends[0].startswith("a compacted segment could not be put in")
    assert len(bench.log.segments) == 4


def test_a_disk_that_is_full_for_a_moment_only_ends_the_swap() -> None:
    """Nothing was decided: the output is dropped, the log goes on."""
    files = FailingFiles(MemoryFiles())
    bench, cleaned = prepared(files)
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    bench.log.trim(5)
    fail_next(files, "rename", errno.ENOSPC)
    step(bench)
    assert not bench.log.fenced
    assert bench.log.swap is None
    assert bench.ends[0]
    assert bench.log.segments[0].base_offset == 4  # what a trim could not take meanwhile
    bench.written = [row for row in bench.written if row[0] >= 5]
    bench.reopen(clean=False)
    assert bench.latest() == bench.expected()


def test_a_completion_that_meets_a_passing_error_is_repeated() -> None:
    """It was decided: there is no way back."""
    files = FailingFiles(MemoryFiles())
    bench, cleaned = prepared(files)
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    step(bench)
    fail_next(files, "rename", errno.EMFILE)
    step(bench)
    assert bench.log.swap is not None
    assert bench.log.wants_maintenance
    step(bench)
    assert bench.log.swap is None
    assert bench.ends == [""]
    assert bench.log.segments[0].sealed


def test_a_decision_that_met_a_passing_error_does_not_come_back_later() -> None:
    """The log went on with its old segments, and others took their place: a start takes those."""
    files = FailingFiles(MemoryFiles())
    bench = CompactionBench(files, segment_bytes=2000, file_delete_delay_ms=0)
    for number in range(4):
        bench.write_keys([1, 1, 1, 1, 1, 2, 3, number + 5], value=b"v" * 20)
        bench.roll()
    two_bytes = sum(segment.size_bytes for segment in bench.log.segments[:2])
    job = bench.job()._replace(segment_bytes=two_bytes)
    first, *_ = Compaction(files, bench.log.directory, job, no_pace).outputs()
    files.kinds, files.error, files.fail_at = {"sync_directory"}, errno.EMFILE, 2
    files.matching_count = 0
    bench.put_in(first)
    assert "Too many open files" in bench.ends[-1]
    assert not bench.log.fenced
    bench.log.trim(8)
    bench.settle()
    swap_files.remove_cleaned(files, bench.log.directory)  # as each job begins
    bench.compact()
    before = bench.latest()
    bench.reopen(clean=False)
    assert not bench.log.fenced
    assert bench.latest() == before


def test_a_topic_deleted_during_a_swap_is_removed_whole() -> None:
    """Its files are worked on under another name, and then they are gone."""
    bench, cleaned = prepared(delay_ms=0)
    swap.offer(bench.log, cleaned, bench.now_ms, bench.ends.append)
    (run, finish) = swap.chores(bench.log)[0]
    result = run()
    bench.log.delete("x", bench.now_ms)
    assert bench.log.removal(bench.now_ms + 1) is None
    finish(result)
    assert bench.ends[0].startswith("the log was fenced")
    removal = bench.log.removal(bench.now_ms + 1)
    assert removal is not None
    removal[1](removal[0]())
    assert bench.log.gone


def test_the_durable_end_does_not_stay_in_a_segment_that_left() -> None:
    """The mark would name a position that no file has."""
    bench = CompactionBench()
    bench.write_keys([1, 1, 1])
    task = bench.log.begin_sync()
    assert task is not None
    bench.log.roll(bench.now_ms)
    task.run()
    bench.log.synced(task)
    bench.settle()
    assert bench.log.durable_end()[1] == 0
    bench.compact()
    assert bench.log.durable_end() == (3, 3, 0)
    bench.reopen(clean=True)
    assert bench.latest() == bench.expected()


def test_the_durable_end_follows_where_more_than_one_segment_is_not_durable() -> None:
    """It is the beginning of the next segment, not of the active one."""
    bench = CompactionBench()
    bench.write_keys([1, 1, 1])
    task = bench.log.begin_sync()
    assert task is not None
    bench.log.roll(bench.now_ms)
    task.run()
    bench.log.synced(task)
    bench.write_keys([2])
    bench.log.roll(bench.now_ms)
    while bench.log.wants_maintenance:
        for run, finish in bench.log.maintenance():
            finish(run())
    outputs = Compaction(bench.files, bench.log.directory, bench.job(), no_pace).outputs()
    swap.offer(bench.log, next(outputs), bench.now_ms, bench.ends.append)
    step(bench)
    assert bench.log.durable_end() == (3, 3, 0)


def test_time_look_ups_are_right_after_a_swap() -> None:
    """ListOffsets by time and the youngest record, from the new time index."""
    bench = CompactionBench(segment_bytes=100_000)
    for number in range(60):
        bench.write((b"k%d" % (number % 20), b"v" * 40), timestamp_ms=1000 + 10 * number)
    bench.roll()
    bench.compact()
    times = {record.offset: record.timestamp_ms for record in bench.records()}
    assert set(times) == set(range(40, 60))
    for asked_ms in range(900, 1600, 7):
        wanted = next(((t, o) for o, t in times.items() if t >= asked_ms), None)
        assert bench.log.offset_for_timestamp(asked_ms) == wanted
    assert bench.log.max_timestamp() == (1590, 59)


def test_the_youngest_record_is_found_where_the_youngest_batch_is_empty() -> None:
    """The header of a batch without records still tells of a time that no record has."""
    bench = CompactionBench()
    bench.write((b"a", b"old"), producer=(1, 0, 0), timestamp_ms=9000)
    bench.write((b"b", b"v"), timestamp_ms=5000)
    bench.write((b"a", b"new"), timestamp_ms=4000)
    bench.roll()
    bench.compact()
    assert bench.log.max_timestamp() == (5000, 1)
    assert bench.log.offset_for_timestamp(5001) is None
