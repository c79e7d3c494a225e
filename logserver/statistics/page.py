"""The page of counters: int64 words in a memory file, one writer, any number of readers.

    word 0   magic "LOGSTAT1"
    word 1   digest of the layout: other tables, other page
    word 2   generation: random, new for every server start
    word 3   sequence: odd while the writer copies, even when the page is whole
    word 4   time of the last copy, ms since the epoch; 0 = closed for good
    word 5   process id of the writer
    word 6.. the values, in the order of layout.METRICS

`memoryview.cast("q")` stores eight bytes at once; struct with "<" or ">" goes byte by byte and
can be read torn. The sequence word makes the *set* coherent (a histogram's sum fits its counts):
a reader copies the page and takes it when the sequence was even and is unchanged.

The writer replaces the file at start (unlink, then create): a reader that still maps the old one
sees a page that never changes again, compares the inode on each snapshot and reopens.
"""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Mapping, Sequence

from logserver.statistics.layout import LAYOUT_DIGEST, POSITIONS, WORDS

MAGIC = int.from_bytes(b"LOGSTAT1", "little")
HEADER_WORDS = 6
WORD_BYTES = 8
READ_ATTEMPTS = 16
"""A copy takes 20 us four times a second: meeting one twice is rare, sixteen times is a dead
writer that stopped in the middle."""


class PageError(Exception):
    """The page cannot be used; the message says why and what to do."""


def create_memory_file(path: str, size_bytes: int) -> mmap.mmap:
    """A new file of that size, its space really there (a full file system raises OSError here
    instead of SIGBUS at the first store), mapped shared and writable.

    It is locked (flock) for as long as it is mapped: the mapping keeps a duplicate of the
    descriptor. A file that can be locked by somebody else belongs to a dead writer.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size_bytes)
        else:
            os.ftruncate(fd, size_bytes)
        return mmap.mmap(fd, size_bytes)
    finally:
        os.close(fd)


class PageWriter:
    """Owns the page. `publish` is called four times a second by the server's loop."""

    __slots__ = ("_map", "_words", "generation", "path")

    def __init__(self, path: str, *, generation: int, pid: int) -> None:
        """`generation` is any random positive 63-bit number. Raises OSError."""
        self.path = path
        self.generation = generation
        self._map = create_memory_file(path, (HEADER_WORDS + WORDS) * WORD_BYTES)
        self._words = memoryview(self._map).cast("q")
        self._words[1] = LAYOUT_DIGEST
        self._words[2] = generation
        self._words[5] = pid
        self._words[0] = MAGIC

    def publish(self, values: Mapping[str, int | Sequence[int]], now_ms: int) -> None:
        """Copy the values in; keys that are absent keep their last value.

        A key or a length that the layout does not know is our bug: AssertionError.
        """
        words = self._words
        words[3] += 1
        for key, value in values.items():
            at, count = POSITIONS[key]
            at += HEADER_WORDS
            if isinstance(value, int):
                assert count == 1, f"{key} has {count} words"
                words[at] = value
            else:
                assert count == len(value), f"{key} has {count} words, not {len(value)}"
                for word in value:
                    words[at] = word
                    at += 1
        words[4] = now_ms
        words[3] += 1

    def close(self) -> None:
        """Mark the page as closed and unmap it; the file is the runtime directory's to remove."""
        self._words[4] = 0
        self._words.release()
        self._map.close()


class Snapshot:
    """One coherent copy of the page; `snapshot[key]` is a list with the words of that metric."""

    __slots__ = ("_words", "generation", "pid", "written_at_ms")

    def __init__(self, words: list[int]) -> None:
        self._words = words
        self.generation = words[2]
        self.written_at_ms = words[4]
        self.pid = words[5]

    def __getitem__(self, key: str) -> list[int]:
        at, count = POSITIONS[key]
        at += HEADER_WORDS
        return self._words[at : at + count]

    def value(self, key: str) -> int:
        """The one word of a metric without label."""
        (word,) = self[key]
        return word


class PageReader:
    """Maps the page read-only and reopens it when a new server has replaced it."""

    __slots__ = ("_inode", "_map", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        self._inode = -1

    def snapshot(self) -> Snapshot:
        """One coherent copy. Raises PageError: no server, another version, or a dead writer."""
        mapped = self._open()
        for _ in range(READ_ATTEMPTS):
            words = memoryview(mapped[:]).cast("q").tolist()
            if words[3] % 2 == 0 and memoryview(mapped[24:32]).cast("q")[0] == words[3]:
                return self._checked(words)
        raise PageError(f"statistics page {self.path} is being written for too long")

    def _checked(self, words: list[int]) -> Snapshot:
        if words[0] != MAGIC or words[1] != LAYOUT_DIGEST or len(words) != HEADER_WORDS + WORDS:
            raise PageError(f"statistics page {self.path} was written by another version")
        if words[4] == 0:
            raise PageError(f"statistics page {self.path} has no values: the server is not running")
        return Snapshot(words)

    def _open(self) -> mmap.mmap:
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            raise PageError(f"no statistics page at {self.path}: no server runs there") from None
        if self._map is None or inode != self._inode:
            self.close()
            self._map = map_read_only(self.path)
            self._inode = inode
        return self._map

    def close(self) -> None:
        """Unmap; the next snapshot maps again."""
        if self._map is not None:
            self._map.close()
            self._map = None


def map_read_only(path: str) -> mmap.mmap:
    """The whole file, read-only. Raises PageError when it is not there or not yet complete."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PageError(f"no statistics page at {path}: no server runs there") from None
    try:
        if os.fstat(fd).st_size < HEADER_WORDS * WORD_BYTES:
            raise PageError(f"statistics page {path} is incomplete: the server is starting")
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
