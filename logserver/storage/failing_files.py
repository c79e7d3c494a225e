"""A file system that counts its calls and fails the ones it is told to.

It wraps any other `Files`. Tests walk k from 1 until a run has no failure left: the first call
fails, then the second, once or for good, and after each the log must be valid. A failing `pwrite`
first writes half of its bytes, as a disk that fills up does. With nothing set to fail it is a
counter: `calls["pread"]` proves what a test claims about reads.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection
from typing import TypeVar

from .files import Buffer, File, Files, Pin

# fmt: off
KINDS = frozenset((
    "open", "pwrite", "pread", "write_back", "datasync", "allocate", "truncate", "map", "rename",
    "unlink", "make_directory", "remove_directory", "sync_directory", "sync_file_system", "lock",
))
# fmt: on
Answer = TypeVar("Answer")


class FailingFiles(Files):
    """Fail call number `fail_at` (from 1) among `kinds` with `error`; later ones too if `for_good`.

    `fail_at` 0 fails nothing. `calls` counts by kind, `matching_count` those that could have
    failed, `failed_count` those that did; `pread_bytes` is what was read.
    """

    def __init__(
        self,
        inner: Files,
        *,
        fail_at: int = 0,
        error: int = 0,
        kinds: Collection[str] = KINDS,
        for_good: bool = False,
    ) -> None:
        assert set(kinds) <= KINDS, kinds
        self.inner = inner
        self.fail_at = fail_at
        self.error = error
        self.kinds = kinds
        self.for_good = for_good
        self.calls: Counter[str] = Counter()
        self.pread_bytes = 0
        self.matching_count = 0
        self.failed_count = 0

    def fails_now(self, kind: str) -> bool:
        """Count a call and tell whether it is one to fail."""
        self.calls[kind] += 1
        if kind not in self.kinds:
            return False
        self.matching_count += 1
        hit = self.matching_count == self.fail_at or (
            self.for_good and 0 < self.fail_at < self.matching_count
        )
        self.failed_count += hit
        return hit

    def failure(self, path: str) -> OSError:
        """Make the error (OSError picks the subclass of its number)."""
        return OSError(self.error, os.strerror(self.error), path)

    def call(self, kind: str, path: str, function: Callable[[], Answer]) -> Answer:
        """Run one call, or fail it."""
        if self.fails_now(kind):
            raise self.failure(path)
        return function()

    def open(self, path: str, *, create: bool = False, write: bool = True) -> File:
        inner = self.call("open", path, lambda: self.inner.open(path, create=create, write=write))
        return FailingFile(self, inner)

    def exists(self, path: str) -> bool:
        return self.inner.exists(path)

    def is_directory(self, path: str) -> bool:
        return self.inner.is_directory(path)

    def list_directory(self, path: str) -> list[str]:
        return self.inner.list_directory(path)

    def pin(self, path: str) -> Pin:
        return self.inner.pin(path)

    def make_directory(self, path: str) -> None:
        self.call("make_directory", path, lambda: self.inner.make_directory(path))

    def rename(self, source: str, target: str) -> None:
        self.call("rename", source, lambda: self.inner.rename(source, target))

    def unlink(self, path: str) -> None:
        self.call("unlink", path, lambda: self.inner.unlink(path))

    def remove_directory(self, path: str) -> None:
        self.call("remove_directory", path, lambda: self.inner.remove_directory(path))

    def sync_directory(self, path: str) -> None:
        self.call("sync_directory", path, lambda: self.inner.sync_directory(path))

    def lock(self, path: str, content: str) -> File:
        return self.call("lock", path, lambda: self.inner.lock(path, content))

    def sync_file_system(self, path: str) -> None:
        self.call("sync_file_system", path, lambda: self.inner.sync_file_system(path))

    def free_bytes(self, path: str) -> int:
        return self.inner.free_bytes(path)

    def file_size(self, path: str) -> int:
        return self.inner.file_size(path)


class FailingFile(File):
    """An open file of `FailingFiles`."""

    __slots__ = ("_files", "_inner", "path")

    def __init__(self, files: FailingFiles, inner: File) -> None:
        self._files = files
        self._inner = inner
        self.path = inner.path

    def fileno(self) -> int:
        return self._inner.fileno()

    def pwrite(self, data: Buffer, position: int) -> None:
        if self._files.fails_now("pwrite"):
            self._inner.pwrite(memoryview(data)[: len(data) // 2], position)
            raise self._files.failure(self.path)
        self._inner.pwrite(data, position)

    def pread(self, size_bytes: int, position: int) -> bytes:
        data = self._files.call("pread", self.path, lambda: self._inner.pread(size_bytes, position))
        self._files.pread_bytes += len(data)
        return data

    def size(self) -> int:
        return self._inner.size()

    def datasync(self) -> None:
        self._files.call("datasync", self.path, self._inner.datasync)

    def write_back(self, position: int, size_bytes: int) -> None:
        write_back = self._inner.write_back
        self._files.call("write_back", self.path, lambda: write_back(position, size_bytes))

    def allocate(self, position: int, size_bytes: int) -> None:
        self._files.call("allocate", self.path, lambda: self._inner.allocate(position, size_bytes))

    def truncate(self, size_bytes: int) -> None:
        self._files.call("truncate", self.path, lambda: self._inner.truncate(size_bytes))

    def map(self) -> memoryview:
        return self._files.call("map", self.path, self._inner.map)

    def dontneed(self, position: int, size_bytes: int) -> None:
        self._inner.dontneed(position, size_bytes)

    def resident_bytes(self, position: int, size_bytes: int) -> int | None:
        return self._inner.resident_bytes(position, size_bytes)

    def populate(self, position: int, size_bytes: int) -> None:
        self._inner.populate(position, size_bytes)

    def close(self) -> None:
        self._inner.close()
