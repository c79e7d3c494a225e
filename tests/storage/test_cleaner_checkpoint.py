"""Kafka's cleaner-offset-checkpoint, as Kafka writes it."""

from __future__ import annotations

import pytest

from logserver.storage import cleaner_checkpoint
from logserver.storage.cleaner_checkpoint import decode, encode
from logserver.storage.simulated_files import MemoryFiles

TEXT = b"0\n2\na-b 0 1971\nsettings 3 40\n"
OFFSETS = {"a-b-0": 1971, "settings-3": 40}


def test_the_text_is_that_of_kafka() -> None:
    """Version, count, then topic, partition and offset with single blanks."""
    assert encode(OFFSETS) == TEXT
    assert decode(TEXT) == OFFSETS
    assert decode(b"0\n0\n") == {}


@pytest.mark.parametrize(
    "data", [b"", b"1\n0\n", b"0\n1\n", b"0\n1\na 0 1", b"0\n1\na 0\n", b"0\n1\na x 1\n", b"\xff\n"]
)
def test_what_is_no_such_file_is_not_believed(data: bytes) -> None:
    """Torn, of another version, or with a line that says nothing."""
    assert decode(data) is None


def test_a_lost_or_spoilt_file_says_nothing() -> None:
    """Compaction begins at the log start again."""
    files = MemoryFiles()
    files.make_directory("data")
    assert cleaner_checkpoint.read(files, "data") == {}
    cleaner_checkpoint.write(files, "data", OFFSETS)
    assert cleaner_checkpoint.read(files, "data") == OFFSETS
    files.open("data/cleaner-offset-checkpoint").truncate(9)
    assert cleaner_checkpoint.read(files, "data") == {}
