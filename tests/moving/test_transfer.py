"""logserver.moving.transfer: a second name, or a copy where there can be none."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

import pytest

from logserver.moving.transfer import Transfer, only_whole, require_apart
from logserver.storage.failure import StorageError
from logserver.storage.files import RealFiles


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


def test_a_link_that_cannot_be_becomes_a_copy(tmp_path: Path) -> None:
    """Here of a file in /proc: another file system than that of the target."""
    transfer = Transfer(links=True)
    elsewhere = f"/proc/{os.getpid()}/maps"
    transfer.carry(elsewhere, str(tmp_path / "target"))
    assert not transfer.links
    assert (tmp_path / "target").exists()


def test_files_go_to_another_file_system(source: Path) -> None:
    """A backup on another disk is what one is for; copy_file_range(2) refuses to cross."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        transfer = Transfer(links=True)
        transfer.carry(str(source), f"{elsewhere}/whole")
        transfer.copy(str(source), f"{elsewhere}/part", 12_345)
        assert Path(elsewhere, "whole").read_bytes() == source.read_bytes()
        assert Path(elsewhere, "part").read_bytes() == source.read_bytes()[:12_345]


def test_a_full_target_is_named(source: Path, tmp_path: Path) -> None:
    """And not the source, which has nothing to do with it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            Transfer(links=False).carry(str(source), str(tmp_path / "target"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "target")


def test_a_target_in_its_source_is_refused(tmp_path: Path) -> None:
    """Also by way of a link; a name that only begins alike is another place."""
    (tmp_path / "data").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    for target in ("data", "data/copy", "alias/copy"):
        with pytest.raises(StorageError, match="lies in"):
            require_apart(str(tmp_path / "data"), str(tmp_path / target))
    require_apart(str(tmp_path / "data"), str(tmp_path / "data.monday"))


def test_what_ends_early_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither files nor directories; an empty directory that was there stays."""

    def fail(target: Path) -> None:
        with only_whole(RealFiles(), str(target)):
            (target / "t-0").mkdir()
            (target / "t-0" / "file").touch()
            (target / "other").touch()
            raise KeyboardInterrupt

    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with pytest.raises(KeyboardInterrupt):
            fail(tmp_path / name)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "there").iterdir()) == []


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
