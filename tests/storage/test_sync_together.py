"""Many files synced at once: what the kernel is asked, and what it answers."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from logserver.storage import sync_together
from logserver.storage.files import RealFiles
from logserver.storage.sync_together import FILES_MAX, SideBySide, Unavailable, sync_all


def files(tmp_path: Path, count: int) -> tuple[list[int], list[str]]:
    """Open files with some bytes each: descriptors and paths."""
    paths = [str(tmp_path / f"{number}") for number in range(count)]
    descriptors = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
    for descriptor in descriptors:
        os.pwrite(descriptor, b"bytes", 0)
    return descriptors, paths


def close(descriptors: list[int]) -> None:
    """Close what a test opened."""
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("count", [1, 2, 7, FILES_MAX, FILES_MAX + 3])
def test_all_files_are_synced(tmp_path: Path, count: int) -> None:
    """One, some, and more than one call takes."""
    descriptors, paths = files(tmp_path, count)
    sync_all(descriptors, paths)
    close(descriptors)


def test_each_file_has_its_own_result(tmp_path: Path) -> None:
    """A descriptor that cannot be synced does not hide among those that can."""
    descriptors, paths = files(tmp_path, 3)
    reading, writing = os.pipe()
    wanted = [descriptors[0], writing, *descriptors[1:]]
    queue = SideBySide()
    if queue.available:
        results = queue.sync([*descriptors[:2]])
        assert results == [0, 0]
    with pytest.raises(OSError, match="the pipe") as caught:
        sync_all(wanted, [paths[0], "the pipe", *paths[1:]])
    assert caught.value.errno == errno.EINVAL
    close([reading, writing, *descriptors])


def test_a_closed_descriptor_is_an_error_with_its_path(tmp_path: Path) -> None:
    """And so is each of several."""
    descriptors, paths = files(tmp_path, 3)
    os.close(descriptors[1])
    with pytest.raises(OSError, match=paths[1]) as caught:
        sync_all(descriptors, paths)
    assert caught.value.errno == errno.EBADF
    close([descriptors[0], descriptors[2]])


def test_without_a_queue_files_are_synced_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose system calls are not known has none."""
    monkeypatch.setattr(sync_together, "_NUMBERS", {})
    monkeypatch.setattr(sync_together, "_queue", None)
    assert not SideBySide().available
    descriptors, paths = files(tmp_path, 3)
    sync_all(descriptors, paths)
    os.close(descriptors[2])
    with pytest.raises(OSError, match=paths[2]):
        sync_all(descriptors, paths)
    close(descriptors[:2])


def test_a_second_thread_does_not_wait_for_the_first(tmp_path: Path) -> None:
    """It would hear the answers of the first one's files; it syncs its own one by one."""
    queue = SideBySide()
    descriptors, _ = files(tmp_path, 2)
    with queue._lock, pytest.raises(Unavailable):
        queue.sync(descriptors)
    close(descriptors)


def test_threads_sync_beside_each_other(tmp_path: Path) -> None:
    """Group commits and relaxed syncs have a thread each."""
    errors: list[OSError] = []
    descriptors, paths = files(tmp_path, 20)

    def run(part: slice) -> None:
        for _ in range(20):
            try:
                sync_all(descriptors[part], paths[part])
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(slice(start, start + 5),)) for start in (0, 5, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    close(descriptors)


def test_the_file_system_offers_it(tmp_path: Path) -> None:
    """Files of the log are synced through it."""
    system = RealFiles()
    opened = [system.open(str(tmp_path / name), create=True) for name in "abc"]
    for file in opened:
        file.pwrite(b"bytes", 0)
    system.datasync_all(opened)
    system.datasync_all(opened[:1])
    os.close(opened[1].fileno())
    with pytest.raises(OSError, match="b"):
        system.datasync_all(opened)
    opened[0].close()
    opened[2].close()
