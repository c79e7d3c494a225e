"""Many files synced at once: what the kernel is asked, and what it answers."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from logserver.storage import sync_together
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import RealFile, RealFiles
from logserver.storage.sync_together import FILES_MAX, SideBySide, Unavailable, sync_all


def some_files(tmp_path: Path, count: int) -> list[RealFile]:
    """Open files with some bytes each."""
    system = RealFiles()
    files = [system.open(str(tmp_path / f"file {number}"), create=True) for number in range(count)]
    for file in files:
        file.pwrite(b"bytes", 0)
    return files


def close(files: list[RealFile]) -> None:
    """Close what a test opened."""
    for file in files:
        file.close()


@pytest.mark.parametrize("count", [1, 2, 7, FILES_MAX, FILES_MAX + 3])
def test_all_files_are_synced(tmp_path: Path, count: int) -> None:
    """One, some, and more than one call takes."""
    files = some_files(tmp_path, count)
    sync_all(files)
    RealFiles().datasync_all(files)
    close(files)


def test_each_file_has_its_own_result(tmp_path: Path) -> None:
    """The kernel answers for each; what it does not begin is left to the caller."""
    files = some_files(tmp_path, 3)
    descriptors = [file.fileno() for file in files]
    queue = SideBySide()
    if not queue.available:
        pytest.skip("this kernel has no asynchronous I/O")
    assert queue.sync(descriptors) == [0, 0, 0]
    os.close(descriptors[1])
    assert queue.sync(descriptors) == [0]
    files.pop(1)
    close(files)


@pytest.mark.parametrize("spoilt", [0, 1, 2])
def test_a_file_that_cannot_be_synced_does_not_hide(tmp_path: Path, spoilt: int) -> None:
    """Its error names it, wherever it stands in the list."""
    files = some_files(tmp_path, 3)
    os.close(files[spoilt].fileno())
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        sync_all(files)
    assert caught.value.errno == errno.EBADF
    files.pop(spoilt)
    close(files)


def test_a_result_of_the_kernel_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a failed fdatasync would."""
    files = some_files(tmp_path, 3)
    monkeypatch.setattr(SideBySide, "sync", lambda *_: [0, errno.EIO, 0])
    with pytest.raises(OSError, match="file 1") as caught:
        sync_all(files)
    assert caught.value.errno == errno.EIO
    close(files)


def test_without_a_queue_files_are_synced_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose system calls are not known has none."""
    monkeypatch.setattr(sync_together, "_NUMBERS", {})
    monkeypatch.setattr(sync_together, "_queue", None)
    assert not SideBySide().available
    files = FailingFiles(RealFiles())
    opened = [files.open(str(tmp_path / name), create=True) for name in "abc"]
    sync_all(opened)
    assert files.calls["datasync"] == 3
    for file in opened:
        file.close()


def test_a_second_thread_does_not_wait_for_the_first(tmp_path: Path) -> None:
    """It would hear the answers of the first one's files; it syncs its own one by one."""
    queue = SideBySide()
    files = some_files(tmp_path, 2)
    with queue._lock, pytest.raises(Unavailable):
        queue.sync([file.fileno() for file in files])
    close(files)


def test_threads_sync_beside_each_other(tmp_path: Path) -> None:
    """Group commits and relaxed syncs have a thread each."""
    errors: list[OSError] = []
    files = some_files(tmp_path, 20)

    def run(part: slice) -> None:
        for _ in range(20):
            try:
                sync_all(files[part])
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(slice(start, start + 5),)) for start in (0, 5, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    close(files)
