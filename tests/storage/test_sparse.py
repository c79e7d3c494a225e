"""The file that says how far a log may have gaps."""

from __future__ import annotations

from logserver.storage import sparse
from logserver.storage.retention import NEVER
from logserver.storage.simulated_files import MemoryFiles


def made() -> MemoryFiles:
    """A directory."""
    files = MemoryFiles()
    files.make_directory("d")
    return files


def test_without_the_file_no_gap_is_excused() -> None:
    """A log that was never compacted."""
    assert sparse.read(made(), "d") == 0


def test_the_number_only_grows() -> None:
    """Older segments stay sparse whatever a later job covers."""
    files = made()
    for offset, expected in ((10, 10), (5, 10), (20, 20)):
        sparse.write(files, "d", offset)
        assert sparse.read(files, "d") == expected


def test_a_file_that_cannot_be_read_excuses_every_gap() -> None:
    """It is there, so the log was compacted; how far, no later job can know."""
    files = made()
    sparse.write(files, "d", 10)
    file = files.open("d/sparse-below")
    file.pwrite(b"9", 0)
    assert sparse.read(files, "d") == NEVER
    sparse.write(files, "d", 5)
    assert sparse.read(files, "d") == NEVER
