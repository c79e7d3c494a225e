"""What is done off the loop: space, seals, removals, and what each leaves when it fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from logserver.config import TopicConfig
from logserver.storage import digest
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import RealFiles
from logserver.storage.log import SUMMED_BYTES_MIN, Log, SyncTask
from logserver.storage.lookup import KEPT_COUNT_MAX, KEPT_ENTRIES_MAX
from logserver.storage.maintenance import AHEAD_BYTES, FIRST_STEP_BYTES, STEP_BYTES
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.storage.bench import DIRECTORY, TOPIC_ID, Bench, counting_bench, make_batch, run_chores

BIG = 200_000


def test_space_is_asked_for_in_steps() -> None:
    """Nothing for a log of a few records, then 4 MB, then 16 each."""
    bench = Bench()
    bench.write()
    assert not bench.log.wants_maintenance
    sizes: list[int] = []
    while bench.log.size_bytes < 22 << 20:
        bench.write(value_bytes=BIG)
        bench.maintain()
        size_bytes = bench.log.active.file.size()
        if not sizes or size_bytes != sizes[-1]:
            sizes.append(size_bytes)
    first = len(bench.written[0].data) + len(bench.written[1].data) + FIRST_STEP_BYTES
    assert sizes == [first, first + STEP_BYTES, first + 2 * STEP_BYTES]


def test_no_more_space_is_asked_for_than_a_segment_may_use() -> None:
    """The last step ends at segment.bytes."""
    bench = Bench(segment_bytes=1_000_000)
    while bench.log.size_bytes < 900_000:
        bench.write(value_bytes=50_000)
        bench.maintain()
    assert bench.log.active.file.size() == 1_000_000


def test_appends_go_on_beyond_the_space_that_is_there() -> None:
    """The helper thread may be late; the tail does not wait."""
    bench = Bench()
    bench.write(value_bytes=BIG)
    chores = bench.log.maintenance()
    for _ in range(30):
        bench.write(value_bytes=BIG)
    assert bench.log.maintenance() == []
    for run, finish in chores:
        finish(run())
    assert bench.read_all() == bench.kept()
    bench.maintain()
    bench.write(value_bytes=BIG)
    bench.maintain()
    assert bench.log.active.allocated_bytes - bench.log.active.size_bytes > AHEAD_BYTES


@pytest.mark.parametrize(("error", "again"), [(errno.ENOSPC, True), (errno.EOPNOTSUPP, False)])
def test_space_that_is_refused_harms_nobody(error: int, again: bool) -> None:
    """A full disk is asked again 16 MB later, a file system that cannot is not."""
    files = FailingFiles(MemoryFiles(), kinds=["allocate"], error=error, fail_at=1, for_good=True)
    bench = Bench(files)
    while bench.log.size_bytes < 20 << 20:
        bench.write(value_bytes=BIG * 4)
        bench.maintain()
    assert files.calls["allocate"] == (2 if again else 1)
    assert not bench.log.fenced


def test_a_seal_trims_indexes_and_digests_what_is_durable() -> None:
    """Before the sync nothing happens; afterwards the digest vouches for each file."""
    bench = Bench(segment_bytes=300_000)
    while len(bench.log.segments) < 2:
        bench.write(value_bytes=20_000)
        if len(bench.log.segments) == 1:
            bench.maintain()
    first = bench.log.segments[0]
    assert first.file.size() > first.size_bytes
    bench.maintain()
    assert not first.sealed
    bench.sync()
    bench.maintain()
    assert first.sealed
    assert first.file.size() == first.size_bytes
    found = digest.read_digest(bench.files, DIRECTORY, 0)
    assert found is not None
    assert found.end_offset == first.end_offset == bench.log.segments[1].base_offset
    assert found.size_of(".log") == first.size_bytes
    assert found.size_of(".index") == first.offset_index.count * 8
    assert f"{first.end_offset:020d}.snapshot" in bench.names()


def test_segments_are_sealed_in_order() -> None:
    """The producers' state at the end of one is covered by the digest of the next."""
    bench = Bench(segment_bytes=500)
    bench.write_many(20)
    bench.sync()
    bench.maintain()
    sealed = [segment.sealed for segment in bench.log.segments]
    assert sealed == [True] * (len(sealed) - 1) + [False]
    second = digest.read_digest(bench.files, DIRECTORY, bench.log.segments[1].base_offset)
    assert second is not None
    assert second.size_of(".snapshot") is not None


def test_each_failure_of_a_seal_leaves_a_valid_log() -> None:
    """A full disk at the k-th call: not sealed, not fenced, sealed when there is space again."""
    for fail_at in range(1, 100):
        files = FailingFiles(MemoryFiles())
        bench = Bench(files, segment_bytes=500, retention_ms=-1)
        bench.write_many(4)
        bench.sync()
        files.error, files.matching_count, files.fail_at = errno.ENOSPC, 0, fail_at
        bench.maintain()
        failed = files.failed_count
        files.fail_at = 0
        assert not bench.log.fenced
        assert bench.read_all() == bench.kept()
        bench.log.retention(bench.now_ms)
        bench.maintain()
        assert bench.log.segments[0].sealed
        bench.reopen()
        assert bench.read_all() == bench.kept()
        if not failed:
            return
    pytest.fail("a hundred calls to seal one segment")


def test_a_disk_error_during_a_seal_fences() -> None:
    """Only space can be mended by waiting."""
    files = FailingFiles(MemoryFiles())
    bench = Bench(files, segment_bytes=500)
    bench.write_many(4)
    bench.sync()
    files.error, files.matching_count, files.fail_at = errno.EIO, 0, 3
    bench.maintain()
    assert "could not be sealed" in bench.log.fenced
    assert bench.read_all() == bench.kept()


def test_a_sealed_segment_lets_go_of_a_large_index() -> None:
    """Ten gigabytes of log must not keep ten gigabytes' worth of index."""
    bench = Bench(segment_bytes=500_000, index_interval_bytes=0)
    bench.write_many(2 * KEPT_ENTRIES_MAX + 4000, value_bytes=1)
    bench.sync()
    bench.maintain()
    sealed = [segment for segment in bench.log.segments if segment.sealed]
    assert sealed
    assert all(s.lazy_offset_index is None for s in sealed)
    assert not bench.log.unsealed


def test_small_indexes_of_what_was_sealed_last_stay_in_memory() -> None:
    """So that a replay of large batches reads nothing to find its way; not of all segments."""
    bench = Bench(segment_bytes=5000, index_interval_bytes=300)
    while len(bench.log.segments) <= KEPT_COUNT_MAX + 3:
        bench.write_many(20)
        bench.sync()
        bench.maintain()
    sealed = [segment for segment in bench.log.segments if segment.sealed]
    kept = [segment for segment in sealed if segment.lazy_offset_index is not None]
    assert kept == bench.log.lookup.kept == sealed[-KEPT_COUNT_MAX:]


def test_a_deleted_log_goes_after_its_delay_and_its_last_reader() -> None:
    """The name is free at once, the space later."""
    bench = Bench(file_delete_delay_ms=1000)
    bench.write_many(3)
    piece = bench.log.read(0, 1 << 20, 3)
    assert piece is not None
    bench.log.delete("7", now_ms=5000)
    assert bench.files.list_directory("data") == ["topic-0.7-delete"]
    assert bench.log.removal(5999) is None
    assert bench.log.removal(6000) is None, "somebody still reads"
    assert piece.read() == b"".join(bench.kept())
    piece.release()
    chore = bench.log.removal(6000)
    assert chore is not None
    chore[1](chore[0]())
    assert bench.log.gone
    assert bench.files.list_directory("data") == []
    assert bench.log.removal(7000) is None


def test_a_removal_that_fails_is_tried_again() -> None:
    """Space is freed by persistence."""
    files = FailingFiles(MemoryFiles())
    bench = Bench(files, file_delete_delay_ms=0)
    bench.write()
    bench.log.delete("7", now_ms=0)
    files.kinds, files.error, files.matching_count, files.fail_at = ["unlink"], errno.EIO, 0, 2
    for _ in range(2):
        chore = bench.log.removal(0)
        assert chore is not None
        try:
            result = chore[0]()
        except OSError as error:
            result = error
        chore[1](result)
    assert bench.log.gone


def test_a_delete_while_a_seal_runs_is_no_sick_disk() -> None:
    """The files have another path when the helper comes to write them."""
    bench = Bench(segment_bytes=500, file_delete_delay_ms=0)
    bench.write_many(4)
    bench.sync()
    ((run, finish),) = bench.log.maintenance()
    bench.log.delete("7", now_ms=0)
    assert bench.log.removal(0) is None, "the helper still works on it"
    try:
        result: object = run()
    except OSError as error:
        result = error
    finish(result)
    assert bench.log.fenced == "the topic was deleted"
    assert bench.log.removal(0) is not None


def test_a_clean_stop_syncs_each_file_once_at_most() -> None:
    """A thousand idle logs must stop within seconds: one sync of the file system does the rest."""
    bench, files = counting_bench()
    bench.write_many(10)
    bench.sync()
    files.calls.clear()
    bench.log.close()
    assert files.calls["datasync"] == files.calls["sync_directory"] == 0


def test_helpers_work_beside_appends_and_reads(tmp_path: Path) -> None:
    """Real threads, real files: syncs and chores run while the owner appends, reads and retains."""
    files = RealFiles()
    config = TopicConfig(segment_bytes=300_000, retention_bytes=2_000_000, retention_ms=-1)
    path = str(tmp_path / "t-0")
    log = Log.open(files, path, config, topic_id=TOPIC_ID, now_ms=0, clean=False)
    random = Random(5)
    written: dict[int, bytes] = {}
    running: list[tuple[Future[object], Callable[[object], None]]] = []
    with ThreadPoolExecutor(1) as committer, ThreadPoolExecutor(1) as helper:
        sync: tuple[Future[None], SyncTask] | None = None
        for number in range(4000):
            batch = make_batch(value_bytes=random.randrange(8000), timestamp_ms=number)
            offset = log.append(memoryview(batch), 0, number, number)
            written[offset] = bytes(batch)
            if sync is None and (task := log.begin_sync()) is not None:
                sync = committer.submit(task.run), task
            if sync is not None and sync[0].done():
                assert sync[0].exception() is None
                log.synced(sync[1])
                sync = None
            if log.wants_maintenance:
                running += [(helper.submit(run), finish) for run, finish in log.maintenance()]
            for future, finish in [pair for pair in running if pair[0].done()]:
                running.remove((future, finish))
                finish(future.result())
            if number % 50 == 0:
                log.retention(number)
                offset = random.randrange(log.log_start_offset, log.end_offset)
                piece = log.read(offset, 100_000, log.end_offset)
                assert piece is not None
                expected = b"".join(written[o] for o in range(offset, piece.next_offset))
                assert piece.read() == expected
                piece.release()
        for future, finish in running:
            finish(future.result())
        if sync is not None:
            sync[0].result()
            log.synced(sync[1])
    start, end = log.log_start_offset, log.end_offset
    assert log.rolls_count > 40
    assert start > 0
    log.close()
    log = Log.open(files, path, config, topic_id=TOPIC_ID, now_ms=0, clean=False)
    assert (log.log_start_offset, log.end_offset) == (start, end)
    assert_holds(log, written)
    log.close(clean=False)


def assert_holds(log: Log, written: dict[int, bytes]) -> None:
    """From its start to its end a log gives back what was written."""
    offset = log.log_start_offset
    while (piece := log.read(offset, 1 << 20, log.end_offset)) is not None:
        assert piece.read() == b"".join(written[o] for o in range(offset, piece.next_offset))
        offset = piece.next_offset
        piece.release()
    assert offset == log.end_offset


@pytest.mark.parametrize("deletes", [False, True])
def test_the_helper_closes_the_files_that_it_has_unlinked(tmp_path: Path, deletes: bool) -> None:
    """The last close of a file without a name frees its blocks, which may take 50 ms."""
    config = TopicConfig(segment_bytes=500, retention_bytes=0, file_delete_delay_ms=0)
    path = str(tmp_path / "t-0")
    log = Log.open(RealFiles(), path, config, topic_id=TOPIC_ID, now_ms=0)
    while len(log.segments) < 3:
        log.append(memoryview(make_batch()), 0, 1000, 0)
    log.sync()
    while chores := log.maintenance():
        run_chores(chores)
    descriptor = log.segments[0].file.fileno()
    if deletes:
        log.delete("1", 0)
        removal = log.removal(0)
        assert removal is not None
        chores = [removal]
    else:
        assert log.retention(0)
        chores = log.maintenance()
    for run, _ in chores:
        run()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    for _, finish in chores:
        finish(None)
    if not deletes:
        log.close()


@pytest.mark.parametrize("real", [False, True])
def test_chores_of_a_deleted_log_do_not_touch_the_log_that_has_its_name(
    tmp_path: Path, real: bool
) -> None:
    """A helper has work in hand when a topic is deleted and made again: a seal and an unlink."""
    files = RealFiles() if real else MemoryFiles()
    root = str(tmp_path) if real else "data"
    if not real:
        files.make_directory(root)
    config = TopicConfig(segment_bytes=500, retention_bytes=1000)

    def opened(topic_id: bytes) -> Log:
        return Log.open(files, f"{root}/t-0", config, topic_id=topic_id, now_ms=0, clean=False)

    def write(log: Log, count: int) -> None:
        for _ in range(count):
            log.append(memoryview(make_batch()), 0, 1000, 0)
        log.sync()

    old = opened(b"o" * 16)
    write(old, 20)
    assert len(old.segments) > 4
    assert old.retention(0)
    chores = old.maintenance()
    assert len(chores) == 2, "a seal and a removal"
    old.delete("1", 0)
    new = opened(b"n" * 16)
    write(new, 2)
    before = {
        name: files.read_file(f"{root}/t-0/{name}")
        for name in sorted(files.list_directory(f"{root}/t-0"))
    }
    for run, finish in chores:
        finish(run())
    assert before == {
        name: files.read_file(f"{root}/t-0/{name}")
        for name in sorted(files.list_directory(f"{root}/t-0"))
    }
    new.close()
    old.close()


def test_the_names_of_young_segments_are_durable_before_their_directory_is_renamed() -> None:
    """The deletion may be lost and undone; a sync in flight no longer finds the directory."""
    bench = Bench(RecordingFiles())
    bench.write()
    task = bench.log.begin_sync()
    assert task is not None
    bench.log.delete("7", now_ms=0)
    task.run()
    bench.log.synced(task)
    assert isinstance(bench.files, RecordingFiles)
    for seed in range(30):
        files = bench.files.power_cut(Random(seed))
        files.rename("data/topic-0.7-delete", DIRECTORY)
        log = Log.open(files, DIRECTORY, bench.config, topic_id=TOPIC_ID, now_ms=0, clean=False)
        assert log.end_offset == 1


@pytest.mark.parametrize("small_at", [None, 0, 3])
def test_a_log_is_sealed_with_the_sum_of_its_bytes(small_at: int | None) -> None:
    """Large batches are summed as they come, in the cache; a small one ends that."""
    bench = Bench(segment_bytes=8 * SUMMED_BYTES_MIN)
    while len(bench.log.segments) == 1:
        small = len(bench.written) == small_at
        bench.write(value_bytes=20 if small else SUMMED_BYTES_MIN)
    sealed = bench.log.segments[0]
    assert (sealed.summed is None) == (small_at is not None)
    bench.log.sync()
    bench.maintain()
    found = digest.read_digest(bench.files, DIRECTORY, 0)
    assert found is not None
    path = f"{DIRECTORY}/{digest.file_name(0, '.log')}"
    part = next(part for part in found.parts if part.suffix == ".log")
    assert part == (".log", *digest.digest_file(bench.files, path))
