"""The per-partition region: one row per partition, in a memory file beside the page.

    header   magic "LOGPART1", layout digest, generation, rows allocated, 0, 0   (6 words)
    row      word 0   sequence: odd while name or figures change; 0 = never used
             word 1   partition index, -1 = the row is free
             word 2.. end offset, high watermark, log start offset, size in bytes
             word 6   length of the topic's name in bytes
             word 7.. the name, UTF-8, 256 bytes                                (39 words)

Copying a row costs about a microsecond, so ten thousand rows at once would hold up every request
for ten milliseconds: `publish_some` copies a few hundred per call and goes round. With up to 256
partitions each is fresh every 250 ms, with 1,024 every second.

A partition keeps its row until it is gone. When the rows are used up the file is replaced by one
twice as large (unlink, create): readers notice the new inode, as with the page.
"""

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from logserver.statistics.layout import LAYOUT_DIGEST, PARTITION_METRICS
from logserver.statistics.page import (
    HEADER_WORDS,
    READ_ATTEMPTS,
    WORD_BYTES,
    PageError,
    create_memory_file,
    map_read_only,
)

MAGIC = int.from_bytes(b"LOGPART1", "little")
NAME_BYTES = 256
"""Kafka's topic names end at 249 characters, all of them ASCII."""
FIRST_FIGURE = 2
NAME_LENGTH = FIRST_FIGURE + len(PARTITION_METRICS)
NAME = NAME_LENGTH + 1
ROW_WORDS = NAME + NAME_BYTES // WORD_BYTES
FIRST_ROWS = 256
ROWS_PER_CALL = 256

Key = tuple[str, int]
P = TypeVar("P")


class PartitionFigures(NamedTuple):
    """One row as read; the figures in the order of layout.PARTITION_METRICS."""

    topic: str
    partition: int
    end_offset: int
    high_watermark: int
    log_start_offset: int
    size_bytes: int


class PartitionsWriter:
    """Owns the region. Rows are given out as partitions are seen and taken back when they go."""

    __slots__ = ("_free", "_map", "_pending", "_rows", "_seen", "_words", "generation", "path")

    def __init__(self, path: str, *, generation: int, rows: int = FIRST_ROWS) -> None:
        """Raises OSError when the memory file system is full or read-only."""
        self.path = path
        self.generation = generation
        self._rows: dict[Key, int] = {}
        self._pending: Iterator[Key] | None = None
        self._seen: set[Key] = set()
        self._create(rows)

    def _create(self, rows: int) -> None:
        size_bytes = (HEADER_WORDS + rows * ROW_WORDS) * WORD_BYTES
        self._map: mmap.mmap = create_memory_file(self.path, size_bytes)
        self._words = memoryview(self._map).cast("q")
        self._words[1] = LAYOUT_DIGEST
        self._words[2] = self.generation
        self._words[3] = rows
        self._free = list(range(rows - 1, -1, -1))
        self._words[0] = MAGIC

    def publish_some(
        self,
        partitions: Mapping[Key, P],
        figures: Callable[[P], tuple[int, int, int, int]],
        limit: int = ROWS_PER_CALL,
    ) -> None:
        """Copy the figures of up to `limit` partitions, going on where the last call ended.

        `partitions` is keyed by (topic, partition index); `figures` gives the words of one in
        the order of layout.PARTITION_METRICS. At the end of a round the rows of partitions
        that are gone become free.
        """
        if self._pending is None:
            self._pending = iter(list(partitions))
            self._seen = set()
        for _ in range(limit):
            key = next(self._pending, None)
            if key is None:
                self._end_round()
                return
            partition = partitions.get(key)
            if partition is not None:
                self._seen.add(key)
                self._store(key, figures(partition))

    def _end_round(self) -> None:
        self._pending = None
        for key in [key for key in self._rows if key not in self._seen]:
            row = self._rows.pop(key)
            at = HEADER_WORDS + row * ROW_WORDS
            self._words[at] += 1
            self._words[at + 1] = -1
            self._words[at] += 1
            self._free.append(row)

    def _store(self, key: Key, figures: tuple[int, int, int, int]) -> None:
        row = self._rows.get(key)
        named = row is not None
        if row is None:
            if not self._free:
                self._grow()
            row = self._rows[key] = self._free.pop()
        words = self._words
        at = HEADER_WORDS + row * ROW_WORDS
        words[at] += 1
        if not named:
            self._name_row(at, key)
        first = at + FIRST_FIGURE
        words[first], words[first + 1], words[first + 2], words[first + 3] = figures
        words[at] += 1

    def _name_row(self, at: int, key: Key) -> None:
        topic, partition = key
        name = topic.encode()[:NAME_BYTES]
        self._words[at + 1] = partition
        self._words[at + NAME_LENGTH] = len(name)
        start = (at + NAME) * WORD_BYTES
        self._map[start : start + NAME_BYTES] = name.ljust(NAME_BYTES, b"\0")

    def _grow(self) -> None:
        old_rows = len(self._rows)
        keep = self._map[HEADER_WORDS * WORD_BYTES :]
        self._release()
        self._create(old_rows * 2)
        start = HEADER_WORDS * WORD_BYTES
        self._map[start : start + len(keep)] = keep
        self._free = list(range(old_rows * 2 - 1, old_rows - 1, -1))

    def _release(self) -> None:
        self._words.release()
        self._map.close()

    def close(self) -> None:
        """Unmap; the file is the runtime directory's to remove."""
        self._release()


class PartitionsReader:
    """Reads rows one at a time, so that a caller may pause between them: `rows()`, then `read`."""

    __slots__ = ("_inode", "_map", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        self._inode = -1

    def rows(self) -> range:
        """The rows that may be read now. Raises PageError: no server, or another version."""
        mapped = self._open()
        header = memoryview(mapped[: HEADER_WORDS * WORD_BYTES]).cast("q")
        if header[0] != MAGIC or header[1] != LAYOUT_DIGEST:
            raise PageError(f"partition figures {self.path} were written by another version")
        return range(header[3])

    def read(self, row: int) -> PartitionFigures | None:
        """One row, whole; None when it is free, or gave no rest to be read."""
        mapped = self._map
        assert mapped is not None, "rows() first"
        start = (HEADER_WORDS + row * ROW_WORDS) * WORD_BYTES
        for _ in range(READ_ATTEMPTS):
            raw = mapped[start : start + ROW_WORDS * WORD_BYTES]
            words = memoryview(raw).cast("q")
            sequence = words[0]
            if sequence == 0 or words[1] < 0:
                return None
            again = memoryview(mapped[start : start + WORD_BYTES]).cast("q")[0]
            if sequence % 2 == 0 and again == sequence:
                name = raw[NAME * WORD_BYTES : NAME * WORD_BYTES + words[NAME_LENGTH]]
                return PartitionFigures(
                    name.decode(), words[1], *words[FIRST_FIGURE:NAME_LENGTH].tolist()
                )
        return None

    def _open(self) -> mmap.mmap:
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            raise PageError(f"no partition figures at {self.path}") from None
        if self._map is None or inode != self._inode:
            self.close()
            self._map = map_read_only(self.path)
            self._inode = inode
        return self._map

    def close(self) -> None:
        """Unmap; the next `rows` maps again."""
        if self._map is not None:
            self._map.close()
            self._map = None
