"""logserver.testing.faults: switches, and files that obey them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from logserver.testing.faults import Faults, FaultyFiles


def test_with_every_switch_off_files_are_plain(tmp_path: Path) -> None:
    """Written, synced, read."""
    files = FaultyFiles(Faults())
    files.write_atomically(f"{tmp_path}/a", b"data")
    assert files.read_file(f"{tmp_path}/a") == b"data"
    assert files.free_bytes(str(tmp_path)) > 0


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    """No space, no free bytes; what is there can be read."""
    faults = Faults()
    files = FaultyFiles(faults)
    files.write_atomically(f"{tmp_path}/a", b"data")
    faults.switch(disk_full=True)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write_atomically(f"{tmp_path}/b", b"data")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.open(f"{tmp_path}/a").allocate(0, 4096)
    assert files.free_bytes(str(tmp_path)) == 0
    assert files.read_file(f"{tmp_path}/a") == b"data"


@pytest.mark.parametrize("call", ["file", "directory", "file system"])
def test_a_sick_disk_fails_every_kind_of_sync(tmp_path: Path, call: str) -> None:
    """EIO, as the kernel says it."""
    faults = Faults()
    files = FaultyFiles(faults)
    file = files.open(f"{tmp_path}/a", create=True)
    faults.switch(sync_error=True)
    syncs: dict[str, Callable[[], None]] = {
        "file": file.datasync,
        "directory": lambda: files.sync_directory(str(tmp_path)),
        "file system": lambda: files.sync_file_system(str(tmp_path)),
    }
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        syncs[call]()


def test_a_slow_sync_goes_on_when_the_fault_is_off(tmp_path: Path) -> None:
    """Nobody waits out the time that a test has set."""
    faults = Faults()
    file = FaultyFiles(faults).open(f"{tmp_path}/a", create=True)
    faults.switch(sync_delay_s=600)
    thread = threading.Thread(target=file.datasync)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    faults.switch(sync_delay_s=0)
    thread.join(10)
    assert not thread.is_alive()


def test_an_unknown_switch_is_an_error_of_the_test() -> None:
    """It would switch nothing."""
    with pytest.raises(AssertionError, match="disc_full"):
        Faults().switch(disc_full=True)
