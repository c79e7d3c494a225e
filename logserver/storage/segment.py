"""A segment: one file of record batches, back to back, and what is known about it.

    00000000000000000812.log         batch | batch | batch | zeros, preallocated
                                     ^ 0                   ^ size_bytes        ^ allocated_bytes

The name is the offset of the first record, in 20 digits. The file holds nothing but batches (drawn
in `logwire.batch`): `size_bytes` is the true tail, what lies behind it was never published. Bytes
before the tail are never rewritten and the file is never made shorter than it, because `sendfile`
may still be reading them for somebody.

Who reads holds: a slice (see `file_slice`) counts as one hold from `Log.read` to `release`, and a
segment that retention, trim or a delete has doomed keeps descriptor and file until nobody holds it.
A queued descriptor number that was closed and reused would send another file's bytes.

Where a batch starts is known without reading: from the index for every `index.interval.bytes`, and
from the end of the last read for a sequential reader. Else a few headers are read (`walk`), never
more than one index interval of them. A walk checks what it steps on: an index that leads between
two batches is found out (`CorruptSegmentError`) and rebuilt from the log.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from logwire.batch import HEADER, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC

from .digest import Sum, file_name, new_sum
from .files import Buffer, File, Files
from .index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES, OffsetIndex, TimeIndex

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
SUFFIXES = (
    LOG_SUFFIX,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    ".txnindex",
    ".snapshot",
    ".window",
    ".digest",
)
RELATIVE_OFFSET_MAX = 2**31 - 1  # what an index entry can say
NO_TIMESTAMP_MS = -1
WALK_WINDOW_BYTES = 4096  # one page holds the headers between two index entries


class CorruptSegmentError(Exception):
    """A place that should be the start of a batch is not; the message says where."""


class BatchAt(NamedTuple):
    """What a walk sees of a batch: where it is and what its header says."""

    position: int
    size_bytes: int
    first_offset: int
    last_offset: int
    max_timestamp_ms: int
    attributes: int
    records_count: int

    @property
    def is_dense(self) -> bool:
        """Whether it holds a record for each of its offsets: nothing was compacted away."""
        return self.records_count == self.last_offset - self.first_offset + 1


class Segment:
    """One segment of a log. Positions and sizes are bytes; offsets are absolute.

    `end_offset` is the offset after its last record and is kept up to date only once the segment
    has rolled. `named`: its directory entry is known to be durable. `sealed`: trimmed, indexed and
    digested on disk. `busy`: a helper thread works on its files. `hot_from_position`: from there on
    this process wrote it.
    """

    __slots__ = (
        "_files",
        "allocated_bytes",
        "base_offset",
        "busy",
        "created_ms",
        "directory",
        "doomed",
        "end_offset",
        "file",
        "first_timestamp_ms",
        "holds",
        "hot_from_position",
        "index_after_position",
        "lazy_offset_index",
        "lazy_time_index",
        "max_timestamp_ms",
        "max_timestamp_offset",
        "named",
        "rolled_ms",
        "sealed",
        "size_bytes",
        "summed",
        "when_idle",
    )

    def __init__(self, files: Files, directory: str, base_offset: int, file: File) -> None:
        """Describe an empty segment over an open file; `note` or `load` tell what is in it."""
        self._files = files
        self.directory = directory
        self.base_offset = base_offset
        self.end_offset = base_offset
        self.file = file
        self.size_bytes = 0
        # The XXH3 of everything appended, while every batch is large (`Log.append`).
        self.summed: Sum | None = None
        self.allocated_bytes = 0
        self.busy = False
        self.lazy_offset_index: OffsetIndex | None = OffsetIndex()
        self.lazy_time_index: TimeIndex | None = TimeIndex()
        self.index_after_position = 0
        self.first_timestamp_ms: int | None = None
        self.max_timestamp_ms = NO_TIMESTAMP_MS
        self.max_timestamp_offset = -1
        self.created_ms = self.rolled_ms = 0
        self.hot_from_position = 0
        self.holds = 0
        self.named = False
        self.sealed = False
        self.doomed = False
        self.when_idle: Callable[[], None] | None = None

    @classmethod
    def create(
        cls, files: Files, directory: str, base_offset: int, now_ms: int, interval_bytes: int
    ) -> Segment:
        """Make the file of a new, empty segment. Its name is durable after a directory sync."""
        file = files.open(segment_path(directory, base_offset), create=True)
        try:
            if not files.leaves_room(file):
                raise OSError(errno.EMFILE, "too few descriptors are left", file.path)
            if file.size():  # of a roll that failed half-way: nothing in it was ever published
                file.truncate(0)
        except OSError:
            file.close()
            raise
        segment = cls(files, directory, base_offset, file)
        segment.created_ms = now_ms
        segment.index_after_position = interval_bytes
        segment.summed = new_sum()
        return segment

    @classmethod
    def open(cls, files: Files, directory: str, base_offset: int, interval_bytes: int) -> Segment:
        """Open an existing segment and believe nothing yet: size 0, empty indexes."""
        segment = cls(
            files, directory, base_offset, files.open(segment_path(directory, base_offset))
        )
        segment.index_after_position = interval_bytes
        segment.named = True
        return segment

    def path(self, suffix: str) -> str:
        """Return the path of one of the segment's files."""
        return segment_path(self.directory, self.base_offset, suffix)

    # What is in it

    def note(
        self,
        size_bytes: int,
        first_offset: int,
        last_offset: int,
        max_timestamp_ms: int,
        interval_bytes: int,
    ) -> None:
        """Take the batch at the tail into account, as an append of it would have done.

        Recovery feeds every valid batch in turn, which rebuilds both indexes.
        """
        position = self.size_bytes
        if position == 0:
            self.first_timestamp_ms = max_timestamp_ms
        if max_timestamp_ms > self.max_timestamp_ms:
            self.max_timestamp_ms = max_timestamp_ms
            self.max_timestamp_offset = last_offset
        if position > self.index_after_position:
            self.add_index_entry(position, first_offset, last_offset, interval_bytes)
        self.size_bytes = position + size_bytes
        self.end_offset = last_offset + 1

    def add_index_entry(
        self, position: int, first_offset: int, last_offset: int, interval_bytes: int
    ) -> None:
        """Index the batch at `position`; the largest timestamp must already count it."""
        base_offset = self.base_offset
        self.offset_index.add(last_offset - base_offset, position, first_offset - base_offset)
        if self.max_timestamp_offset >= 0:
            self.time_index.maybe_add(
                self.max_timestamp_ms, self.max_timestamp_offset - base_offset
            )
        self.index_after_position = position + interval_bytes

    def finish_indexes(self) -> None:
        """Add the last time index entry, as Kafka does when a segment rolls or is closed."""
        if self.max_timestamp_offset >= 0:
            self.time_index.maybe_add(
                self.max_timestamp_ms, self.max_timestamp_offset - self.base_offset
            )

    def load(
        self,
        size_bytes: int,
        end_offset: int,
        max_timestamp_ms: int,
        *,
        sealed: bool,
        interval_bytes: int,
    ) -> None:
        """Believe the files as they are: sealed with a digest, or left by a clean stop.

        A sealed segment's indexes stay on disk and are mapped when needed; another one's are read,
        to be continued. Raises OSError.
        """
        self.max_timestamp_ms = max_timestamp_ms
        self.size_bytes = self.allocated_bytes = self.hot_from_position = size_bytes
        self.end_offset = end_offset
        self.sealed = sealed
        if sealed:
            self.forget_indexes()
        else:
            self.lazy_offset_index = OffsetIndex(bytearray(self._read(INDEX_SUFFIX)))
            self.lazy_time_index = TimeIndex(bytearray(self._read(TIME_INDEX_SUFFIX)))
            count = self.lazy_offset_index.count
            last_position = self.lazy_offset_index.position(count - 1) if count else 0
            self.index_after_position = last_position + interval_bytes
            self._take_youngest(self.lazy_time_index)

    def has_sound_indexes(self) -> bool:
        """Tell whether loaded indexes fit the segment as it is now (Kafka's sanityCheck)."""
        offsets, times = self.offset_index, self.time_index
        if len(offsets.data) % OFFSET_ENTRY_BYTES or len(times.data) % TIME_ENTRY_BYTES:
            return False
        if self.size_bytes and not times.count:
            return False  # every segment with a timestamp ends its time index with it
        last = offsets.count - 1
        return last < 0 or (
            0 <= offsets.position(last) < self.size_bytes
            and 0 <= offsets.last_offset(last) < self.end_offset - self.base_offset
        )

    def rebuild_indexes(self, interval_bytes: int) -> None:
        """Make both indexes anew, in memory, from the headers of all batches.

        Raises OSError, CorruptSegmentError.
        """
        fresh = Segment(self._files, self.directory, self.base_offset, self.file)
        fresh.index_after_position = interval_bytes
        for batch in self.walk(0, self.size_bytes):
            fresh.note(
                batch.size_bytes,
                batch.first_offset,
                batch.last_offset,
                batch.max_timestamp_ms,
                interval_bytes,
            )
        fresh.finish_indexes()
        self.lazy_offset_index = fresh.lazy_offset_index
        self.lazy_time_index = fresh.lazy_time_index
        self.index_after_position = fresh.index_after_position
        self.max_timestamp_ms = fresh.max_timestamp_ms
        self.max_timestamp_offset = fresh.max_timestamp_offset

    def first_timestamp(self) -> int:
        """Return the largest timestamp of the first batch, which `segment.ms` counts from."""
        if self.first_timestamp_ms is None:
            first = next(self.walk(0, self.size_bytes), None)
            self.first_timestamp_ms = first.max_timestamp_ms if first else NO_TIMESTAMP_MS
        return self.first_timestamp_ms

    def youngest(self) -> tuple[int, int]:
        """Return (largest timestamp, last offset of the first batch that has it), or (-1, -1).

        The last entry of a sealed segment's time index is just that. Raises OSError.
        """
        if self.max_timestamp_offset < 0 and self.sealed:
            file = self._files.open(self.path(TIME_INDEX_SUFFIX), write=False)
            try:
                last = file.pread(TIME_ENTRY_BYTES, max(0, file.size() - TIME_ENTRY_BYTES))
            finally:
                file.close()
            self._take_youngest(TimeIndex(memoryview(last)))
        return self.max_timestamp_ms, self.max_timestamp_offset

    def _take_youngest(self, times: TimeIndex) -> None:
        if times.count:
            self.max_timestamp_ms, relative_offset = times.entry(times.count - 1)
            self.max_timestamp_offset = self.base_offset + relative_offset

    # Indexes

    @property
    def offset_index(self) -> OffsetIndex:
        """The offset index; a sealed segment's is mapped at first use. Raises OSError."""
        if self.lazy_offset_index is None:
            self.lazy_offset_index = OffsetIndex(self._map(INDEX_SUFFIX))
        return self.lazy_offset_index

    @property
    def time_index(self) -> TimeIndex:
        """The time index; a sealed segment's is mapped at first use. Raises OSError."""
        if self.lazy_time_index is None:
            self.lazy_time_index = TimeIndex(self._map(TIME_INDEX_SUFFIX))
        return self.lazy_time_index

    def index_files(self) -> dict[str, Buffer]:
        """Return by name what belongs in the files of both indexes."""
        return {
            file_name(self.base_offset, INDEX_SUFFIX): self.offset_index.data,
            file_name(self.base_offset, TIME_INDEX_SUFFIX): self.time_index.data,
        }

    def forget_indexes(self) -> None:
        """Drop the indexes from memory (or unmap them): their files have everything."""
        self.lazy_offset_index = None
        self.lazy_time_index = None

    # Where a batch is

    def locate(self, offset: int) -> int:
        """Return the start position of the batch that holds `offset` (or the next that does).

        Reads nothing when the index knows the batch, else its header, else headers of at most one
        index interval. Entries that were not made by this process are checked by what is read. A
        sealed segment that ends in a gap has no such batch: then the position is its size.
        Raises OSError, CorruptSegmentError.
        """
        relative_offset = offset - self.base_offset
        if relative_offset == 0:
            return 0
        index = self.offset_index
        entry = index.find_offset(relative_offset)
        end = self.size_bytes
        if entry < index.count:
            end = index.position(entry)
            if self.first_offset_of(entry) <= offset:
                return end
        start, known_last = 0, None
        if entry:
            start = index.position(entry - 1)
            known_last = self.base_offset + index.last_offset(entry - 1)
        walked_to = start
        for batch in self.walk(start, end):
            if known_last not in (None, batch.last_offset):
                raise CorruptSegmentError(f"the index of {self.file.path} is wrong at {start}")
            known_last = None
            if batch.last_offset >= offset:
                return batch.position
            walked_to = batch.position + batch.size_bytes
        is_in_gap = end < self.size_bytes or (self.sealed and offset < self.end_offset)
        if is_in_gap and walked_to == end:  # compacted away: what comes next is the indexed batch
            return end
        raise CorruptSegmentError(f"offset {offset} is not in {self.file.path}")

    def fit(self, position: int, max_bytes: int) -> tuple[int, int]:
        """Return (end position, offset there) of the most whole batches, at least one.

        For a caller that knows that more than `max_bytes` of batches follow `position`. Ends at
        an index entry where one is in reach; else walks. Raises OSError, CorruptSegmentError.
        """
        index = self.offset_index
        limit = position + max_bytes
        entry = index.find_position(limit)
        if entry >= 0 and index.position(entry) > position:
            return index.position(entry), self.first_offset_of(entry)
        end, next_offset = position, self.base_offset
        for batch in self.walk(position, self.size_bytes):
            if batch.position > position and batch.position + batch.size_bytes > limit:
                break
            end, next_offset = batch.position + batch.size_bytes, batch.last_offset + 1
            if end >= limit:
                break
        return end, next_offset

    def first_offset_of(self, entry: int) -> int:
        """Return the first offset of an indexed batch: remembered, or read and checked."""
        relative_offset = self.offset_index.first_offset(entry)
        if relative_offset is not None:
            return self.base_offset + relative_offset
        last_offset = self.base_offset + self.offset_index.last_offset(entry)
        position = self.offset_index.position(entry)
        batch = next(self.walk(position, self.size_bytes, HEADER_BYTES), None)
        if batch is None or batch.last_offset != last_offset:
            raise CorruptSegmentError(f"entry {entry} of the index of {self.file.path} is wrong")
        return batch.first_offset

    def walk(
        self, position: int, end_position: int, window_bytes: int = WALK_WINDOW_BYTES
    ) -> Iterator[BatchAt]:
        """Iterate over the batches that start in [position, end_position), reading headers only.

        Raises OSError, and CorruptSegmentError where no batch starts.
        """
        window, window_position, size = b"", position, 0
        while position < end_position:
            at = position - window_position
            if at + HEADER_BYTES > len(window):
                want = HEADER_BYTES if size > window_bytes else window_bytes
                window = self.file.pread(min(want, self.size_bytes - position), position)
                window_position, at = position, 0
            if at + HEADER_BYTES > len(window):
                raise CorruptSegmentError(f"{self.file.path} ends within a header at {position}")
            fields = HEADER.unpack_from(window, at)
            size = fields[1] + LENGTH_OVERHEAD_BYTES
            if (
                fields[3] != MAGIC
                or not HEADER_BYTES <= size <= self.size_bytes - position
                or fields[0] < self.base_offset
                or fields[6] < 0
            ):
                raise CorruptSegmentError(f"no batch at {position} of {self.file.path}")
            first = fields[0]
            yield BatchAt(
                position, size, first, first + fields[6], fields[8], fields[5], fields[12]
            )
            position += size

    def read_batch(self, batch: BatchAt) -> bytes:
        """Return the bytes of a batch that a walk has found. Raises OSError."""
        return self.file.pread(batch.size_bytes, batch.position)

    # Who holds it

    def acquire(self) -> None:
        """Keep descriptor and file until `release`."""
        assert not self.doomed, "a doomed segment is not handed out"
        self.holds += 1

    def release(self) -> None:
        """Give one hold back; the last one lets a doomed segment be removed."""
        assert self.holds > 0, "released more often than acquired"
        self.holds -= 1
        if self.doomed and not self.holds and self.when_idle is not None:
            self.when_idle()

    def close(self) -> None:
        """Close the descriptor and drop the indexes."""
        assert not self.holds, "somebody still reads this segment"
        self.file.close()
        self.forget_indexes()

    def _read(self, suffix: str) -> bytes:
        return self._files.read_file(self.path(suffix))

    def _map(self, suffix: str) -> memoryview:
        file = self._files.open(self.path(suffix), write=False)
        try:
            return file.map()
        finally:
            file.close()


def segment_path(directory: str, base_offset: int, suffix: str = LOG_SUFFIX) -> str:
    """Return Kafka's path of a segment's file."""
    return f"{directory}/{file_name(base_offset, suffix)}"


def write_files(
    files: Files,
    directory: str,
    contents: Mapping[str, Buffer],
    *,
    sync: bool,
    beside: Sequence[File] = (),
) -> None:
    """Write rebuildable files in place; not atomic, as their user believes only a digest.

    `sync`: in one go, those `beside` them too. Without it the caller syncs the file system.
    """
    written: list[File] = []
    try:
        for name, data in contents.items():
            file = files.open(f"{directory}/{name}", create=True)
            written.append(file)
            file.truncate(0)
            file.pwrite(data, 0)
        if sync:
            files.datasync_all([*beside, *written])
    finally:
        for file in written:
            file.close()
