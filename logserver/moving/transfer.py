"""One file from one directory to another: linked where that is safe and possible, else copied.

Only what is never written again may be linked: a link is the same file under two names. A sealed
segment is so, in Kafka's directory and in ours; both unlink such a file and never change it.

A target is made whole or not at all: `only_whole` takes back what was made when the work ends
early. Where it cannot, after a kill, the target has no meta.properties yet, and `serve` refuses it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from logserver.storage.directory import remove_tree
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import Files

COPY_BYTES: Final = 16 << 20
FILE_MODE: Final = 0o600
# No link across file systems, to another user's file (fs.protected_hardlinks), or where links are
# not known at all: a copy is right in each of these cases.
NO_LINK: Final = frozenset((errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP))
# copy_file_range(2) copies within one file system, and not every one has it.
NO_COPY_RANGE: Final = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP))


class Transfer:
    """Carries files and counts: `linked_bytes`, `copied_bytes`. With `links` off all is copied."""

    __slots__ = ("copied_bytes", "linked_bytes", "links")

    def __init__(self, *, links: bool) -> None:
        self.links = links
        self.linked_bytes = 0
        self.copied_bytes = 0

    def carry(self, source: str, target: str) -> None:
        """Give a file that is never written again a second name, or copy it. Raises OSError."""
        if self.links:
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
                self.links = False  # the next one would fail as well
            else:
                self.linked_bytes += os.stat(target).st_size
                return
        self.copy(source, target)

    def copy(self, source: str, target: str, size_bytes: int | None = None) -> int:
        """Copy a file, or its first bytes, to a new one; how many. Raises OSError.

        What the source grows by meanwhile may be left out. The copy is not synced.
        """
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            writing = os.open(target, flags, FILE_MODE)
            try:
                left = os.fstat(reading).st_size if size_bytes is None else size_bytes
                copied_bytes = _copy(reading, writing, left)
            except OSError as error:  # which of the two it is about, the kernel does not say
                about = source if error.errno == errno.EIO else target
                raise OSError(error.errno, error.strerror, about) from None
            finally:
                os.close(writing)
        finally:
            os.close(reading)
        self.copied_bytes += copied_bytes
        return copied_bytes


def _copy(reading: int, writing: int, left_bytes: int) -> int:
    """In the kernel: no byte passes through here, and some file systems share the blocks."""
    copied_bytes = 0
    while left_bytes > 0:
        wanted_bytes = min(left_bytes, COPY_BYTES)
        try:
            count = os.copy_file_range(reading, writing, wanted_bytes)
        except OSError as error:
            if error.errno not in NO_COPY_RANGE:
                raise
            count = os.sendfile(writing, reading, None, wanted_bytes)
        if not count:
            break
        copied_bytes += count
        left_bytes -= count
    return copied_bytes


def require_apart(source: str, target: str) -> None:
    """Refuse a target that is or lies in the source. Raises StorageError (IDENTITY)."""
    if f"{os.path.realpath(target)}/".startswith(f"{os.path.realpath(source)}/"):
        raise StorageError(Kind.IDENTITY, f"{target} lies in {source}. Choose another place.")


@contextlib.contextmanager
def only_whole(files: Files, target: str) -> Iterator[None]:
    """Refuse a target with something in it; take back what was made when it ends early.

    Raises StorageError (IDENTITY), OSError.
    """
    made = not files.exists(target)
    if made:
        files.make_directory(target)
    elif not files.is_directory(target) or files.list_directory(target):
        raise StorageError(Kind.IDENTITY, f"{target} is not an empty directory. Choose another.")
    try:
        yield
    except BaseException:
        for name in files.list_directory(target):
            path = f"{target}/{name}"
            if files.is_directory(path):
                remove_tree(files, path)
            else:
                files.unlink(path)
        if made:
            files.remove_directory(target)
        raise
