"""The real file system and the one in memory keep the same promises: each test runs on both."""

from __future__ import annotations

import ctypes
import errno
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from logserver.storage.files import (
    BRIEF_DESCRIPTORS,
    File,
    Files,
    LockedError,
    RealFiles,
    is_disk_full,
)
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles


@pytest.fixture(params=["real", "memory", "recording"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, str]:
    """A file system and an empty directory in it."""
    if request.param == "real":
        return RealFiles(), str(tmp_path)
    files = MemoryFiles() if request.param == "memory" else RecordingFiles()
    files.make_directory("root")
    return files, "root"


def test_what_is_written_is_read_back(door: tuple[Files, str]) -> None:
    """At any position, in any order; a gap reads as zeros, the end comes short."""
    files, root = door
    file = files.open(f"{root}/a", create=True)
    file.pwrite(memoryview(b"tail"), 10)
    file.pwrite(bytearray(b"head"), 0)
    assert file.pread(100, 0) == b"head" + bytes(6) + b"tail"
    assert file.pread(2, 12) == b"il"
    assert file.pread(5, 14) == b""
    assert file.size() == files.file_size(f"{root}/a") == 14
    assert bytes(file.map()) == file.pread(14, 0)
    file.datasync()
    file.close()
    file.close()


def test_what_is_handed_to_the_device_stays_readable(door: tuple[Files, str]) -> None:
    """A range that ends behind the file, too; where the file is closed, the error names it."""
    files, root = door
    file = files.open(f"{root}/a", create=True)
    file.pwrite(bytes(range(256)) * 40, 0)
    file.write_back(0, 4096)
    file.write_back(8192, 1 << 20)
    assert file.pread(1 << 20, 0) == bytes(range(256)) * 40
    if isinstance(files, RealFiles):
        file.close()
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            file.write_back(0, 4096)
        assert caught.value.filename == f"{root}/a"


def test_a_sandbox_without_write_back_is_no_sick_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the sync does all of the work."""
    file = RealFiles().open(f"{tmp_path}/a", create=True)
    for code, taken in ((errno.ENOSYS, True), (errno.EPERM, True), (errno.EIO, False)):

        def refuse(*_: int, code: int = code) -> int:
            ctypes.set_errno(code)
            return -1

        monkeypatch.setattr("logserver.storage.files._sync_file_range", refuse)
        if taken:
            file.write_back(0, 4096)
        else:
            with pytest.raises(OSError, match="Input/output error"):
                file.write_back(0, 4096)


def test_an_empty_file_can_be_mapped(door: tuple[Files, str]) -> None:
    """mmap refuses it; an index without entries is one."""
    files, root = door
    assert len(files.open(f"{root}/a", create=True).map()) == 0


def test_allocate_grows_and_truncate_cuts(door: tuple[Files, str]) -> None:
    """Zeros behind the tail; allocating what is there changes nothing."""
    files, root = door
    file = files.open(f"{root}/a", create=True)
    file.pwrite(b"abc", 0)
    file.allocate(3, 5000)
    assert file.size() == 5003
    assert file.pread(5003, 0) == b"abc" + bytes(5000)
    file.allocate(0, 10)
    assert file.size() == 5003
    file.truncate(2)
    assert file.pread(10, 0) == b"ab"


def test_pages_are_dropped_and_populated_on_request(door: tuple[Files, str]) -> None:
    """Where the kernel can tell; in memory everything is resident."""
    files, root = door
    file = files.open(f"{root}/a", create=True)
    file.pwrite(bytes(1 << 20), 0)
    file.datasync()
    file.dontneed(0, 0)
    file.populate(0, 1 << 20)
    assert file.resident_bytes(0, 1 << 20) in (1 << 20, None)
    assert file.resident_bytes(0, 0) in (0, None)


Call = Callable[[Files, str], object]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda f, root: f.open(f"{root}/none"), errno.ENOENT),
        (lambda f, root: f.open(f"{root}/none/a", create=True), errno.ENOENT),
        (lambda f, root: f.open(f"{root}/dir"), errno.EISDIR),
        (lambda f, root: f.make_directory(f"{root}/dir"), errno.EEXIST),
        (lambda f, root: f.list_directory(f"{root}/none"), errno.ENOENT),
        (lambda f, root: f.list_directory(f"{root}/file"), errno.ENOTDIR),
        (lambda f, root: f.unlink(f"{root}/none"), errno.ENOENT),
        (lambda f, root: f.unlink(f"{root}/dir"), errno.EISDIR),
        (lambda f, root: f.rename(f"{root}/none", f"{root}/b"), errno.ENOENT),
        (lambda f, root: f.remove_directory(f"{root}/dir"), errno.ENOTEMPTY),
        (lambda f, root: f.file_size(f"{root}/none"), errno.ENOENT),
        (lambda f, root: f.sync_directory(f"{root}/none"), errno.ENOENT),
        (lambda f, root: f.open(f"{root}/file", write=False).pwrite(b"x", 0), errno.EBADF),
    ],
)
def test_refusals_carry_the_number_of_the_kernel(
    door: tuple[Files, str], call: Call, error: int
) -> None:
    """The simulation fails as the system does, or tests on it would prove nothing."""
    files, root = door
    files.make_directory(f"{root}/dir")
    files.open(f"{root}/dir/inside", create=True).close()
    files.open(f"{root}/file", create=True).close()
    with pytest.raises(OSError, match=r".") as caught:
        call(files, root)
    assert caught.value.errno == error


def test_names_are_made_changed_and_removed(door: tuple[Files, str]) -> None:
    """Files and directories; a rename replaces a file."""
    files, root = door
    files.make_directory(f"{root}/d")
    for name in ("b", "a"):
        files.open(f"{root}/d/{name}", create=True).pwrite(name.encode(), 0)
    assert files.list_directory(f"{root}/d") == ["a", "b"]
    files.rename(f"{root}/d/a", f"{root}/d/b")
    assert files.read_file(f"{root}/d/b") == b"a"
    files.rename(f"{root}/d", f"{root}/e")
    assert files.is_directory(f"{root}/e")
    assert not files.is_directory(f"{root}/e/b")
    assert not files.exists(f"{root}/d")
    files.unlink(f"{root}/e/b")
    files.remove_directory(f"{root}/e")
    files.sync_directory(root)
    files.sync_file_system(root)
    assert files.list_directory(root) == []


def test_an_unlinked_file_lives_while_it_is_open(door: tuple[Files, str]) -> None:
    """Whoever still sends from a deleted segment sends its bytes."""
    files, root = door
    file = files.open(f"{root}/a", create=True)
    file.pwrite(b"bytes", 0)
    files.unlink(f"{root}/a")
    files.open(f"{root}/a", create=True).pwrite(b"other", 0)
    assert file.pread(5, 0) == b"bytes"


def test_a_small_file_is_replaced_whole(door: tuple[Files, str]) -> None:
    """Shorter than before, and nothing temporary is left."""
    files, root = door
    files.write_atomically(f"{root}/a", b"long content")
    files.write_atomically(f"{root}/a", b"short")
    assert files.read_file(f"{root}/a") == b"short"
    assert files.list_directory(root) == ["a"]


def test_a_lock_names_its_holder(door: tuple[Files, str]) -> None:
    """The second one is told who the first is; a closed lock is free."""
    files, root = door
    first = files.lock(f"{root}/.lock", "pid 12 (logserver serve)")
    with pytest.raises(LockedError, match="pid 12") as caught:
        files.lock(f"{root}/.lock", "pid 13")
    assert caught.value.holder == "pid 12 (logserver serve)"
    first.close()
    files.lock(f"{root}/.lock", "pid 13").close()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """A name in the data directory never leads out of it."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "a").symlink_to("secret")
    with pytest.raises(OSError, match=r".") as caught:
        RealFiles().open(str(tmp_path / "a"))
    assert caught.value.errno == errno.ELOOP


def test_files_and_directories_belong_to_their_user_alone(tmp_path: Path) -> None:
    """Records are nobody else's business."""
    files = RealFiles()
    files.make_directory(f"{tmp_path}/d")
    files.open(f"{tmp_path}/d/a", create=True).close()
    assert (tmp_path / "d").stat().st_mode & 0o077 == 0
    assert (tmp_path / "d" / "a").stat().st_mode & 0o077 == 0


def test_a_short_write_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    """A disk that fills up takes a part first and refuses then; the limit on file size does too."""
    file: File = RealFiles().open(str(tmp_path / "a"), create=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.pwrite(b"0123456789", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.pread(100, 0) == b"0123456"


def test_a_memory_disk_can_be_full() -> None:
    """The limit counts what files hold; deleting makes room."""
    files = MemoryFiles(capacity_bytes=1000)
    file = files.open("a", create=True)
    file.pwrite(bytes(900), 0)
    with pytest.raises(OSError, match="No space") as caught:
        files.open("b", create=True).pwrite(bytes(101), 0)
    assert is_disk_full(caught.value)
    assert not is_disk_full(OSError(errno.EIO, "sick"))
    assert files.free_bytes("") == 100
    files.unlink("a")
    files.open("b").pwrite(bytes(1000), 0)


def test_free_bytes_tells_what_a_user_may_allocate(tmp_path: Path) -> None:
    """A number between nothing and the file system's size."""
    assert 0 < RealFiles().free_bytes(str(tmp_path)) < 1 << 60


def test_a_real_file_has_a_descriptor_and_a_memory_file_none(tmp_path: Path) -> None:
    """sendfile needs one; a simulation reads instead."""
    assert RealFiles().open(str(tmp_path / "a"), create=True).fileno() > 2
    with pytest.raises(OSError, match="no descriptor"):
        MemoryFiles().open("a", create=True).fileno()


def test_a_pinned_directory_is_itself_whatever_its_name(door: tuple[Files, str]) -> None:
    """It was renamed, and another one has its name."""
    files, root = door
    files.make_directory(f"{root}/d")
    files.open(f"{root}/d/old", create=True).close()
    pin = files.pin(f"{root}/d")
    files.rename(f"{root}/d", f"{root}/e")
    files.make_directory(f"{root}/d")
    files.open(f"{root}/d/old", create=True).close()
    files.unlink(f"{pin.path}/old")
    files.write_atomically(f"{pin.path}/new", b"n")
    files.sync_directory(pin.path)
    assert files.list_directory(f"{root}/d") == ["old"]
    assert files.list_directory(f"{root}/e") == files.list_directory(pin.path) == ["new"]
    pin.close()


def test_a_file_says_whether_descriptors_are_left_beside_it(tmp_path: Path) -> None:
    """By its number: the kernel gives the lowest free one."""
    files = RealFiles()
    file = files.open(str(tmp_path / "a"), create=True)
    assert files.leaves_room(file)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + BRIEF_DESCRIPTORS, hard))
    try:
        assert not files.leaves_room(file)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    file.close()
