"""Whose directory: refused with one sentence, before a byte is touched."""

from __future__ import annotations

from random import Random

import pytest

from logserver.storage.failure import Kind, StorageError
from logserver.storage.identity import (
    IDENTITY_FILE,
    check_node,
    create_identity,
    read_identity,
)
from logserver.storage.simulated_files import MemoryFiles


def directory() -> MemoryFiles:
    """An empty data directory `d`."""
    files = MemoryFiles()
    files.make_directory("d")
    return files


def test_an_identity_is_read_back() -> None:
    """Kafka's keys and our format version."""
    files = directory()
    assert read_identity(files, "d") is None
    made = create_identity(files, "d", 7, Random(1))
    assert read_identity(files, "d") == made
    assert made.node_id == 7
    text = files.read_file(f"d/{IDENTITY_FILE}").decode()
    assert [line.split("=")[0] for line in text.splitlines()] == [
        "version",
        "cluster.id",
        "node.id",
        "directory.id",
        "logserver.format.version",
    ]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("version=1\ncluster.id=x\nnode.id=1\n", Kind.IDENTITY, "not written by logserver"),
        ("logserver.format.version=3\n", Kind.FORMAT, "on-disk format 3, this logserver reads up"),
        ("logserver.format.version=1\nnode.id=1\n", Kind.IDENTITY, "is damaged"),
        ("", Kind.IDENTITY, "not written by logserver"),
    ],
)
def test_a_foreign_newer_or_damaged_identity_is_refused(text: str, kind: Kind, words: str) -> None:
    """Each with what to do."""
    files = directory()
    files.write_atomically(f"d/{IDENTITY_FILE}", text.encode())
    with pytest.raises(StorageError, match=words) as caught:
        read_identity(files, "d")
    assert caught.value.kind is kind


def test_another_node_is_refused() -> None:
    """The sentence names both and the setting."""
    identity = create_identity(directory(), "d", 2, Random(1))
    check_node(identity, "d", 2)
    with pytest.raises(StorageError, match=r"belongs to node 2 .* but node.id is 1. Set node.id=2"):
        check_node(identity, "d", 1)


def test_a_directory_that_something_else_filled_is_not_taken() -> None:
    """Hidden files and lost+found are nobody's data."""
    files = directory()
    files.make_directory("d/lost+found")
    files.open("d/.lock", create=True).close()
    files.open("d/thesis.odt", create=True).close()
    with pytest.raises(StorageError, match=r"holds thesis.odt. Choose an empty directory."):
        create_identity(files, "d", 1, Random(1))
    files.unlink("d/thesis.odt")
    create_identity(files, "d", 1, Random(1))
