"""The one door between the log and the file system.

Rule: no other module of this room calls `os` on a data directory. Everything a log does to a disk
is one of the few verbs below, so that the same log runs on the real file system, in memory, on a
layer that loses power (`simulated_files`) and on one that fails the k-th call (`failing_files`).

What the verbs promise, and what they do not:

* `pwrite` writes everything or raises `OSError`; after an error any prefix may be in the file.
* `datasync` makes the data and the size of *that file* durable, not its name: a file that was
  created, renamed or unlinked exists after a power cut only once `sync_directory` returned.
* After a failed `datasync` the next one reports success although the bytes are gone. Never retry:
  fence (see `log`). The same holds for `write_back`, which otherwise promises nothing.
* `allocate` reserves blocks and grows the file with zeros. On thin or copy-on-write storage it
  proves nothing about space.
* Files are written with `pwrite`, sent with `sendfile`, and mapped only for reading: a store into
  a mapping of a full disk is SIGBUS, not an error.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from .sync_together import sync_all

FILE_MODE = 0o600  # records belong to the server's user; readers on the host are opt-in
DIRECTORY_MODE = 0o700

# Descriptors that no segment takes: a directory sync, a seal and the durable mark each open a file
# for a moment, and a sync that cannot is as final as one that failed.
BRIEF_DESCRIPTORS = 32

Buffer = bytes | bytearray | memoryview


class LockedError(Exception):
    """Another process owns the directory; `holder` is what it wrote into the lock file."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"{path} is locked by {holder or 'another process'}")
        self.path = path
        self.holder = holder


def is_disk_full(error: OSError) -> bool:
    """Tell whether freeing space (or quota) mends this error; any other one may be a sick disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_passing(error: OSError) -> bool:
    """Tell whether this error says nothing about the disk's health: full, or no descriptor left."""
    return is_disk_full(error) or error.errno in (errno.EMFILE, errno.ENFILE)


class File(ABC):
    """One open file. Positions and sizes are bytes; every method may raise OSError."""

    __slots__ = ()
    path: str

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor for sendfile; OSError where the file has none (in memory)."""

    @abstractmethod
    def pwrite(self, data: Buffer, position: int) -> None:
        """Write all of `data` at `position`, or raise OSError."""

    @abstractmethod
    def pread(self, size_bytes: int, position: int) -> bytes:
        """Return up to `size_bytes` from `position`; shorter only at the end of the file."""

    @abstractmethod
    def size(self) -> int:
        """Return the file size, preallocated zeros included."""

    @abstractmethod
    def datasync(self) -> None:
        """Make data and size durable. Releases the GIL. An error is final: never retry."""

    def write_back(self, position: int, size_bytes: int) -> None:  # noqa: B027 - as `populate`
        """Hand the range to the device and wait, so that a later `datasync` finds little to do.

        Nothing is durable by it. Releases the GIL. An error is final: never retry.
        """

    @abstractmethod
    def allocate(self, position: int, size_bytes: int) -> None:
        """Reserve blocks; grows the file to `position + size_bytes` with zeros if it is shorter.

        Releases the GIL, and may run while another thread writes. OSError (EOPNOTSUPP) where the
        file system cannot.
        """

    @abstractmethod
    def truncate(self, size_bytes: int) -> None:
        """Set the file size."""

    @abstractmethod
    def map(self) -> memoryview:
        """Return the present content, read-only. Drop the view to release it, never close it."""

    @abstractmethod
    def dontneed(self, position: int, size_bytes: int) -> None:
        """Drop clean pages of the range from the page cache (size 0: to the end)."""

    @abstractmethod
    def resident_bytes(self, position: int, size_bytes: int) -> int | None:
        """Return how much of the range is in the page cache, None where that is not known."""

    def populate(self, position: int, size_bytes: int) -> None:  # noqa: B027 - need not do anything
        """Bring the range into the page cache. Blocks without the GIL; an OSError is harmless.

        Whoever reads the range afterwards meets the same error where it matters.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the descriptor; a second close does nothing."""


class Pin:
    """A directory by a `path` that stays its own when it is renamed, until `close`."""

    __slots__ = ("_close", "path")

    def __init__(self, path: str, close: Callable[[], object]) -> None:
        self.path = path
        self._close = close

    def close(self) -> None:
        """Give the directory up; once."""
        self._close()


class Files(ABC):
    """A file system. Paths are strings; every method may raise OSError."""

    @abstractmethod
    def pin(self, path: str) -> Pin:
        """Hold a directory whatever happens to its name.

        For work off the loop: meanwhile the directory may be renamed and another one made under
        its old name, and an unlink by the old path would hit a file of somebody else.
        """

    @abstractmethod
    def open(self, path: str, *, create: bool = False, write: bool = True) -> File:
        """Open a file, made empty first if `create` and absent. FileNotFoundError otherwise."""

    def leaves_room(self, file: File) -> bool:  # noqa: ARG002 - for those that have descriptors
        """Tell whether descriptors are left beside this one, for files that are opened briefly."""
        return True

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Tell whether a file or directory has that path."""

    @abstractmethod
    def is_directory(self, path: str) -> bool:
        """Tell whether a directory has that path."""

    @abstractmethod
    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""

    @abstractmethod
    def make_directory(self, path: str) -> None:
        """Make one directory; FileExistsError if it is there. Durable after syncing its parent."""

    @abstractmethod
    def rename(self, source: str, target: str) -> None:
        """Rename a file or directory within one directory, replacing a file of that name."""

    @abstractmethod
    def unlink(self, path: str) -> None:
        """Remove a file's name; open descriptors keep its bytes."""

    @abstractmethod
    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""

    @abstractmethod
    def sync_directory(self, path: str) -> None:
        """Make the names created, renamed and unlinked in the directory durable."""

    @abstractmethod
    def lock(self, path: str, content: str) -> File:
        """Lock the file against other processes and write `content` for whoever is refused.

        The lock lives as long as the returned file is open. Raises `LockedError`.
        """

    @abstractmethod
    def sync_file_system(self, path: str) -> None:
        """Make everything written on the path's file system durable, names too (syncfs).

        For a stop, where one call replaces three for each of a thousand logs. It reports errors
        of files written since the path's file system was last synced by this process.
        """

    @abstractmethod
    def free_bytes(self, path: str) -> int:
        """Return what an unprivileged writer may still allocate on the path's file system."""

    @abstractmethod
    def file_size(self, path: str) -> int:
        """Return a file's size without opening it."""

    def datasync_all(self, files: Sequence[File]) -> None:
        """`File.datasync` of several files, side by side where the system can.

        Raises the first error: then any of them may have failed.
        """
        for file in files:
            file.datasync()

    def read_file(self, path: str) -> bytes:
        """Return a whole (small) file."""
        file = self.open(path, write=False)
        try:
            return file.pread(file.size(), 0)
        finally:
            file.close()

    def write_atomically(self, path: str, data: Buffer) -> None:
        """Replace a small file: after any fault it holds the old bytes or the new, durably."""
        temporary = path + ".tmp"
        file = self.open(temporary, create=True)
        try:
            file.truncate(0)
            file.pwrite(data, 0)
            file.datasync()
        finally:
            file.close()
        self.rename(temporary, path)
        self.sync_directory(os.path.dirname(path))


class RealFile(File):
    """A descriptor. `pwrite` and `pread` loop on short counts, which a full disk produces."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def pwrite(self, data: Buffer, position: int) -> None:
        written = os.pwrite(self._descriptor, data, position)
        if written != len(data):
            self._pwrite_rest(memoryview(data)[written:], position + written)

    def _pwrite_rest(self, rest: memoryview, position: int) -> None:
        while len(rest):
            written = os.pwrite(self._descriptor, rest, position)
            if written == 0:
                raise OSError(errno.EIO, "pwrite wrote nothing", self.path)
            rest = rest[written:]
            position += written

    def pread(self, size_bytes: int, position: int) -> bytes:
        data = os.pread(self._descriptor, size_bytes, position)
        if len(data) == size_bytes or not data:
            return data
        return data + self.pread(size_bytes - len(data), position + len(data))

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def datasync(self) -> None:
        os.fdatasync(self._descriptor)

    def write_back(self, position: int, size_bytes: int) -> None:
        if _sync_file_range(self._descriptor, position, size_bytes, _WRITE_AND_WAIT):
            error = _last_error(self.path)
            if error.errno not in _NOT_OFFERED:
                raise error

    def allocate(self, position: int, size_bytes: int) -> None:
        # Not os.posix_fallocate: where the file system cannot, glibc imitates it by writing a
        # zero into each block, and would destroy what another thread appends meanwhile.
        if _libc.fallocate(self._descriptor, 0, _Offset(position), _Offset(size_bytes)):
            raise _last_error(self.path)

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, size_bytes)

    def map(self) -> memoryview:
        if self.size() == 0:  # an empty file cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ))

    def dontneed(self, position: int, size_bytes: int) -> None:
        os.posix_fadvise(self._descriptor, position, size_bytes, os.POSIX_FADV_DONTNEED)

    def resident_bytes(self, position: int, size_bytes: int) -> int | None:
        return _resident_bytes(self._descriptor, position, size_bytes)

    def populate(self, position: int, size_bytes: int) -> None:
        populate_pages(self._descriptor, position, size_bytes, self.path)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealFiles(Files):
    """The operating system's files. Never follows a symbolic link in the last component."""

    def open(self, path: str, *, create: bool = False, write: bool = True) -> RealFile:
        flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        return RealFile(path, os.open(path, flags | (os.O_CREAT if create else 0), FILE_MODE))

    def leaves_room(self, file: File) -> bool:
        # The kernel gives the lowest free descriptor: a high number says that few are left.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return file.fileno() < limit - BRIEF_DESCRIPTORS

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def list_directory(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def pin(self, path: str) -> Pin:
        # Linux resolves this link to what the descriptor is open on, not by any name.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return Pin(f"/proc/self/fd/{descriptor}", lambda: os.close(descriptor))

    def make_directory(self, path: str) -> None:
        os.mkdir(path, DIRECTORY_MODE)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def remove_directory(self, path: str) -> None:
        os.rmdir(path)

    def sync_directory(self, path: str) -> None:
        descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def datasync_all(self, files: Sequence[File]) -> None:
        if len(files) == 1:
            files[0].datasync()
        else:
            sync_all(files)

    def lock(self, path: str, content: str) -> RealFile:
        file = self.open(path, create=True)
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.pread(4096, 0).decode("utf-8", "replace").strip()
            file.close()
            raise LockedError(path, holder) from None
        except OSError:
            file.close()
            raise
        file.truncate(0)
        file.pwrite(content.encode(), 0)
        return file

    def sync_file_system(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.syncfs(descriptor):
                raise _last_error(path)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: str) -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def file_size(self, path: str) -> int:
        return os.stat(path, follow_symlinks=False).st_size


_libc = ctypes.CDLL(None, use_errno=True)  # a CDLL call releases the GIL
_Offset = ctypes.c_int64


def _last_error(path: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), path)


# sync_file_range(2). A sandbox may not offer it, some file systems neither: then `datasync` does
# all of the work, as it would have.
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, _Offset, _Offset, ctypes.c_uint)
_WRITE_AND_WAIT = 1 | 2 | 4  # SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE, _WAIT_AFTER
_NOT_OFFERED = (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.ESPIPE)

_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
# madvise(2): faults the pages in like a read, but reports errors instead of raising SIGBUS and
# copies nothing. Linux 5.14. Python's own mmap.madvise would hold the GIL while the disk works.
_MADV_POPULATE_READ = 22
_MAP_FAILED = ctypes.c_void_p(-1).value


def populate_pages(descriptor: int, position: int, size_bytes: int, path: str) -> None:
    """Fault a file range into the page cache; raises OSError."""
    start = position - position % _PAGE_BYTES
    length = position + size_bytes - start
    address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, start)
    if address == _MAP_FAILED:
        raise _last_error(path)
    try:
        if _libc.madvise(address, length, _MADV_POPULATE_READ):
            raise _last_error(path)
    finally:
        _libc.munmap(address, length)


# cachestat(2): Linux 6.5, system call 451 on every architecture. One call answers for a range
# without mapping it; mincore would need the mapping, and touching pages in Python is a SIGBUS risk.
_CACHESTAT = 451
_PAGE_BYTES = mmap.PAGESIZE


class _Range(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _CacheStatistics(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    ]


def _resident_bytes(descriptor: int, position: int, size_bytes: int) -> int | None:
    if size_bytes == 0:
        return 0
    area, answer = _Range(position, size_bytes), _CacheStatistics()
    result = _libc.syscall(
        ctypes.c_long(_CACHESTAT),
        ctypes.c_uint(descriptor),
        ctypes.byref(area),
        ctypes.byref(answer),
        ctypes.c_uint(0),
    )
    return None if result else min(size_bytes, int(answer.cached) * _PAGE_BYTES)
