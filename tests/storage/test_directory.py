"""A log directory: one owner, a clean marker that cannot lie, a mark that never leads."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest

from logserver.config import load
from logserver.storage.checkpoint import CheckpointError
from logserver.storage.directory import CLEAN_FILE, LogDirectory, is_partition_name
from logserver.storage.failing_files import FailingFiles
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from logserver.storage.identity import IDENTITY_FILE
from logserver.storage.log import FencedError
from logserver.storage.mark import MARK_INTERVAL_MS, Mark
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.storage.directory_bench import (
    DATA,
    NOW_MS,
    TOPIC_ID,
    DirectoryBench,
    filled,
    produce,
    stored,
)


def test_a_second_server_is_told_who_has_the_directory() -> None:
    """With the pid and what to do."""
    bench = DirectoryBench()
    expected = (
        rf"cannot open data dir data: locked by pid {os.getpid()} \(logserver serve\). "
        "Stop it or choose another --data-dir."
    )
    with pytest.raises(StorageError, match=expected) as caught:
        bench.open()
    assert caught.value.kind is Kind.LOCKED
    bench.stop()
    bench.open().close()


def test_the_real_lock_holds_between_two_opens(tmp_path: Path) -> None:
    """flock on a file of the directory; nested directories are made."""
    config = load({"log.dir": str(tmp_path / "a" / "b")})
    directory = LogDirectory.open(RealFiles(), config, now_ms=NOW_MS)
    with pytest.raises(StorageError, match="locked by pid"):
        LogDirectory.open(RealFiles(), config, now_ms=NOW_MS)
    directory.close()
    again = LogDirectory.open(RealFiles(), config, now_ms=NOW_MS)
    assert again.cluster_id == directory.cluster_id
    again.close()


def test_a_path_that_cannot_be_a_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """A file in the way, or no permission."""
    (tmp_path / "file").write_text("")
    config = load({"log.dir": str(tmp_path / "file")})
    with pytest.raises(StorageError, match="not a directory") as caught:
        LogDirectory.open(RealFiles(), config, now_ms=NOW_MS)
    assert caught.value.kind is Kind.UNUSABLE
    for number, words in (
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENOSPC, "the disk is full"),
        (errno.ENOENT, "dir data: data/.lock: no such file or directory. Mend"),
    ):
        files = FailingFiles(MemoryFiles(), fail_at=1, error=number, kinds=["lock"])
        with pytest.raises(StorageError, match=words):
            LogDirectory.open(files, load({"log.dir": DATA}), now_ms=NOW_MS)


def test_a_directory_of_an_older_format_becomes_one_of_ours() -> None:
    """0.1.0 takes the gaps of compaction for damage: it must not open what we have written to."""
    files = MemoryFiles()
    made = DirectoryBench(files).directory
    made.close(clean=True)
    path = f"{DATA}/{IDENTITY_FILE}"
    ours = files.read_file(path)
    files.write_atomically(path, ours.replace(b"format.version=2", b"format.version=1"))
    opened = DirectoryBench(files).directory
    assert opened.clean
    assert opened.identity == made.identity
    assert files.read_file(path) == ours


def test_a_clean_stop_makes_the_next_start_read_nothing() -> None:
    """And the marker is gone as soon as the directory is open again."""
    bench = filled()
    before = stored(bench.log())
    bench.restart()
    assert bench.directory.clean
    assert not bench.files.exists(f"{DATA}/{CLEAN_FILE}")
    log = bench.log()
    assert (log.recovery.walked_bytes, log.recovery.scanned_bytes) == (0, 0)
    assert stored(log) == before
    assert log.leader_epoch == 0


def test_a_kill_is_an_unclean_start_with_a_new_epoch() -> None:
    """Nothing is lost: the page cache outlives the process."""
    bench = filled()
    produce(bench.log(), 3)
    before = stored(bench.log())
    bench.restart(clean=False)
    assert not bench.directory.clean
    log = bench.log()
    assert stored(log) == before
    assert log.leader_epoch == 1
    assert log.recovery.scanned_bytes > 0


def test_a_marker_of_another_life_vouches_for_nothing() -> None:
    """It names the generation of the mark."""
    bench = filled()
    bench.stop()
    marker = bench.files.read_file(f"{DATA}/{CLEAN_FILE}")
    bench.directory = bench.open()
    bench.log()
    produce(bench.log(), 1)
    bench.commit()
    bench.mark()
    bench.stop(clean=False)
    bench.files.write_atomically(f"{DATA}/{CLEAN_FILE}", marker)
    bench.directory = bench.open()
    assert not bench.directory.clean


def test_the_mark_is_due_after_a_second_a_roll_or_sixteen_megabytes() -> None:
    """And never without a sync before it."""
    bench = DirectoryBench(segment_bytes=100_000_000)
    log = bench.log()
    bench.mark()
    produce(log, 1)
    assert bench.mark() is None
    bench.commit()
    assert bench.mark(force=False) is None
    bench.now_ms += MARK_INTERVAL_MS
    assert bench.mark(force=False) is not None
    assert Mark.load(bench.files, DATA).entries["t-0"].offset == 1
    produce(log, 1, value_bytes=17 << 20)
    bench.commit()
    assert bench.mark(force=False) is not None
    produce(log, 1)
    log.roll(bench.now_ms)
    produce(log, 1)
    bench.commit()
    assert bench.mark(force=False) is not None
    assert Mark.load(bench.files, DATA).entries["t-0"].offset == 4
    assert bench.mark() is None


def test_one_write_of_the_mark_is_in_flight_at_a_time() -> None:
    """The other slot must stay whole until the sync has ended."""
    bench = DirectoryBench()
    produce(bench.log(), 1)
    bench.commit()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is not None
    produce(bench.log(), 1)
    bench.commit()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is None
    bench.directory.mark_written()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is not None


def test_a_fenced_directory_takes_nothing_and_is_never_closed_clean() -> None:
    """The first sync error is final for this process."""
    bench = filled()
    before = stored(bench.log())
    bench.directory.fence(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(FencedError):
        produce(bench.log(), 1)
    with pytest.raises(StorageError, match="is fenced since a disk error") as caught:
        bench.log("u-0")
    assert caught.value.kind is Kind.FENCED
    assert bench.directory.begin_mark(bench.now_ms, force=True) is None
    assert stored(bench.log()) == before
    bench.stop()
    assert not bench.files.exists(f"{DATA}/{CLEAN_FILE}")


def test_a_failed_write_of_the_mark_fences() -> None:
    """It was a sync."""
    bench = DirectoryBench()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is None
    produce(bench.log(), 1)
    bench.commit()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is not None
    bench.directory.mark_written(OSError(errno.EIO, "Input/output error"))
    assert bench.directory.fenced


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_a_mark_that_found_no_room_is_written_later(number: int) -> None:
    """A full disk is no sick one: the mark lags, and follows once there is space."""
    bench = DirectoryBench()
    produce(bench.log(), 1)
    bench.commit()
    assert bench.directory.begin_mark(bench.now_ms, force=True) is not None
    bench.directory.mark_written(OSError(number, "no room"))
    assert not bench.directory.fenced
    assert bench.mark() is not None
    assert Mark.load(bench.files, DATA).entries["t-0"].offset == 1


def test_a_deleted_log_frees_its_name_at_once_and_its_mark() -> None:
    """A topic made again under that name shows nothing of the old one."""
    bench = filled()
    log = bench.directory.delete_log("t-0", bench.now_ms)
    assert "t-0" not in bench.directory.partition_directories()
    fresh = bench.log(topic_id=bytes(16))
    assert fresh.end_offset == 0
    bench.mark()
    assert Mark.load(bench.files, DATA).entries["t-0"].topic_id == bytes(16)
    chore = log.removal(bench.now_ms + 10**9)
    assert chore is not None
    chore[1](chore[0]())
    assert [name for name in bench.files.list_directory(DATA) if "delete" in name] == []


def test_a_topics_directory_is_not_opened_for_another_topic() -> None:
    """Its id is in partition.metadata."""
    bench = filled()
    bench.restart()
    with pytest.raises(CheckpointError, match="belongs to topic"):
        bench.log(topic_id=bytes(16))
    assert bench.directory.partition_directories() == {"t-0": TOPIC_ID}


def test_leftovers_of_deletes_are_found_and_removed() -> None:
    """Those of a delete that the last run did not finish, and discarded directories."""
    bench = filled()
    bench.directory.delete_log("t-0", bench.now_ms)
    bench.log("u-1")
    bench.restart(clean=False)
    assert len(bench.directory.leftovers) == 1
    bench.directory.discard("u-1", bench.now_ms)
    assert len(bench.directory.leftovers) == 2
    bench.directory.remove_leftovers()
    names = bench.files.list_directory(DATA)
    assert not [name for name in names if name.startswith(("t-", "u-"))]


def test_a_sync_that_fails_at_the_start_is_told_with_the_path() -> None:
    """The disk is to be looked at before the next try."""
    bench = filled()
    bench.stop(clean=False)
    bench.files = FailingFiles(bench.files, fail_at=1, error=errno.EIO, kinds=["datasync"])
    bench.directory = bench.open()
    with pytest.raises(StorageError, match=r"cannot open the log data/t-0: .*Input/output error"):
        bench.log()


def test_partition_directories_are_known_by_their_names() -> None:
    """`<topic>-<partition>`."""
    names = ("t-0", "a-b-12", "t", "-0", "t-", "t-x", "t-0.x-delete")
    assert [name for name in names if is_partition_name(name)] == ["t-0", "a-b-12"]


def test_an_unclean_start_makes_the_names_that_it_sees_durable() -> None:
    """A kill came between a renaming and its sync; what this start does rests on the new name."""
    files = RecordingFiles()
    bench = DirectoryBench(files)
    bench.log()
    bench.stop(clean=False)
    files.rename(f"{DATA}/t-0", f"{DATA}/t-0.1f0001-delete")
    bench.directory = bench.open()
    assert bench.directory.leftovers == ["t-0.1f0001-delete"]
    for seed in range(20):
        assert "t-0" not in files.power_cut(Random(seed)).list_directory(DATA)
