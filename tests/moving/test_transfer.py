"""logserver.moving.transfer: a second name, or a copy where there can be none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from logserver.moving.transfer import Transfer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 100 kB."""
    path = tmp_path / "source"
    path.write_bytes(os.urandom(100_000))
    return path


def test_what_is_carried_is_the_same_file(source: Path, tmp_path: Path) -> None:
    """A link costs no space and no time."""
    transfer = Transfer(links=True)
    transfer.carry(str(source), str(tmp_path / "target"))
    assert (tmp_path / "target").samefile(source)
    assert (transfer.linked_bytes, transfer.copied_bytes) == (100_000, 0)


def test_without_links_everything_is_copied(source: Path, tmp_path: Path) -> None:
    """And nothing is shared: the mode is ours."""
    transfer = Transfer(links=False)
    transfer.carry(str(source), str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert not (tmp_path / "target").samefile(source)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600
    assert (transfer.linked_bytes, transfer.copied_bytes) == (0, 100_000)


def test_a_link_that_cannot_be_becomes_a_copy(source: Path, tmp_path: Path) -> None:
    """Here to a file that is a link in /proc: its target lies on another file system."""
    memory = os.memfd_create("elsewhere")
    os.write(memory, source.read_bytes())
    transfer = Transfer(links=True)
    elsewhere = f"/proc/{os.getpid()}/environ"
    transfer.carry(elsewhere, str(tmp_path / "target"))
    os.close(memory)
    assert not transfer.links
    assert (tmp_path / "target").exists()


def test_the_beginning_of_a_file_is_copied(source: Path, tmp_path: Path) -> None:
    """As much as was asked for, or as much as there is."""
    transfer = Transfer(links=True)
    assert transfer.copy(str(source), str(tmp_path / "a"), 12_345) == 12_345
    assert (tmp_path / "a").read_bytes() == source.read_bytes()[:12_345]
    assert transfer.copy(str(source), str(tmp_path / "b"), 1_000_000) == 100_000


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    """A target that exists is an error, linked or copied."""
    (tmp_path / "target").write_bytes(b"mine")
    for links in (True, False):
        with pytest.raises(FileExistsError):
            Transfer(links=links).carry(str(source), str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"mine"
