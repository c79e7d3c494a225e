"""The layer that fails on command must fail exactly what it was told to."""

from __future__ import annotations

import errno

import pytest

from logserver.storage.failing_files import KINDS, FailingFiles
from logserver.storage.simulated_files import MemoryFiles


def use_everything(files: FailingFiles) -> None:
    """One call of each kind."""
    files.make_directory("d")
    file = files.open("d/a", create=True)
    file.pwrite(b"0123456789", 0)
    file.pread(10, 0)
    file.map()
    file.allocate(0, 100)
    file.truncate(10)
    file.write_back(0, 10)
    file.datasync()
    files.sync_directory("d")
    files.sync_file_system("d")
    files.rename("d/a", "d/b")
    files.unlink("d/b")
    files.lock("lock", "me").close()
    files.remove_directory("d")


def test_every_kind_of_call_is_counted() -> None:
    """And with nothing set to fail everything works."""
    files = FailingFiles(MemoryFiles())
    use_everything(files)
    assert files.calls == dict.fromkeys(KINDS, 1)
    assert (files.failed_count, files.pread_bytes) == (0, 10)


def test_each_call_can_be_the_one_that_fails() -> None:
    """k = 1, 2, ... until a run has no failure left, as many runs as there are calls."""
    for fail_at in range(1, len(KINDS) + 1):
        files = FailingFiles(MemoryFiles(), fail_at=fail_at, error=errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            use_everything(files)
    use_everything(FailingFiles(MemoryFiles(), fail_at=len(KINDS) + 1, error=errno.EIO))


@pytest.mark.parametrize(("for_good", "expected"), [(False, "-x---"), (True, "-xxxx")])
def test_a_failure_is_once_or_for_good(for_good: bool, expected: str) -> None:
    """A hiccup, and a disk that is gone."""
    files = FailingFiles(
        MemoryFiles(), fail_at=2, error=errno.EIO, kinds=["datasync"], for_good=for_good
    )
    file = files.open("a", create=True)
    seen = ""
    for _ in expected:
        try:
            file.datasync()
            seen += "-"
        except OSError:
            seen += "x"
    assert seen == expected
    assert files.failed_count == expected.count("x")


def test_a_failing_write_leaves_half_of_its_bytes() -> None:
    """So that whoever believes that an error means nothing happened is found out."""
    files = FailingFiles(MemoryFiles(), fail_at=1, error=errno.ENOSPC, kinds=["pwrite"])
    file = files.open("a", create=True)
    with pytest.raises(OSError, match="No space left"):
        file.pwrite(b"0123456789", 0)
    assert file.pread(10, 0) == b"01234"
