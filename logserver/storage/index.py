"""Kafka's two sparse indexes: where to start looking for an offset, and for a time.

Both are arrays of big-endian entries, one for roughly every `index.interval.bytes` of log, made at
an append when more than that was written since the last entry; they hold no checksum and nothing
that the log does not say as well, so they can be rebuilt at any time (`Segment.note`).

    .index      0                 4
                last offset of    start position     the batch at that position ends with that
                a batch - base    of that batch      offset; both columns grow
                int32             int32

    .timeindex  0                 8
                largest timestamp offset of the      no record after the entry's offset and before
                so far, in ms     batch that has it  the place where the entry was made is younger;
                int64             - base   int32     timestamps grow strictly

The active segment keeps exactly these bytes in memory and a sealed one maps its files, so search
and format exist once. What the files lack is the *first* offset of an indexed batch: a reader that
stops in front of the batch needs it to know where it goes on. For batches indexed by this process
it is kept beside the entries (4 bytes each); for older ones it is 8 bytes read from the log.

Source: Kafka's OffsetIndex, TimeIndex, and DumpLogSegments, which checks every entry.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from struct import Struct

OFFSET_ENTRY = Struct(">ii")
TIME_ENTRY = Struct(">qi")
_OFFSET = Struct(">i")
_TIMESTAMP = Struct(">q")

OFFSET_ENTRY_BYTES = OFFSET_ENTRY.size
TIME_ENTRY_BYTES = TIME_ENTRY.size
assert (OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES) == (8, 12), "Kafka's entry sizes"


class OffsetIndex:
    """Entries of one segment's `.index`; offsets are relative to the segment's base offset."""

    __slots__ = ("_first_offsets", "count", "data")

    def __init__(self, data: bytearray | memoryview | None = None) -> None:
        """Start empty, or from a file's content (a bytearray can be continued)."""
        self.data: bytearray | memoryview = bytearray() if data is None else data
        self.count = len(self.data) // OFFSET_ENTRY_BYTES
        self._first_offsets = array("i")  # of the newest entries, as many as this process made

    def add(self, last_offset: int, position: int, first_offset: int) -> None:
        """Append an entry for the batch at `position`."""
        assert isinstance(self.data, bytearray)
        self.data += OFFSET_ENTRY.pack(last_offset, position)
        self._first_offsets.append(first_offset)
        self.count += 1

    def last_offset(self, index: int) -> int:
        """Return the relative last offset of entry `index`."""
        offset: int = _OFFSET.unpack_from(self.data, index * OFFSET_ENTRY_BYTES)[0]
        return offset

    def position(self, index: int) -> int:
        """Return the start position of the batch of entry `index`."""
        position: int = _OFFSET.unpack_from(self.data, index * OFFSET_ENTRY_BYTES + 4)[0]
        return position

    def first_offset(self, index: int) -> int | None:
        """Return the relative first offset of that batch where it is remembered."""
        known = index - (self.count - len(self._first_offsets))
        return self._first_offsets[known] if known >= 0 else None

    def find_offset(self, offset: int) -> int:
        """Return the first entry whose batch ends at or after the relative `offset`, or `count`.

        All batches before the entry in front of it end before `offset`.
        """
        return _last_at_most(self.data, self.count, 0, offset - 1) + 1

    def find_position(self, position: int) -> int:
        """Return the last entry whose batch starts at or before `position`, or -1."""
        return _last_at_most(self.data, self.count, 4, position)

    def memory_bytes(self) -> int:
        """Return what the index holds in memory of its own."""
        return len(self._first_offsets) * 4 + (
            len(self.data) if isinstance(self.data, bytearray) else 0
        )


def _last_at_most(data: bytearray | memoryview, count: int, column: int, value: int) -> int:
    """Return the last of `count` offset entries whose `column` (0 or 4) is <= value, or -1.

    Entries lie about evenly, since one is made every so many bytes: so a guess by proportion is
    right or close, and from there steps that double find an end to search. A bisection alone would
    look at fifteen entries of a full index, this one mostly at four.
    """
    if not count or _OFFSET.unpack_from(data, column)[0] > value:
        return -1
    last: int = _OFFSET.unpack_from(data, (count - 1) * OFFSET_ENTRY_BYTES + column)[0]
    if last <= value:
        return count - 1
    guess = value * count // last
    step = 1
    if _OFFSET.unpack_from(data, guess * OFFSET_ENTRY_BYTES + column)[0] <= value:
        low = guess
        high = min(low + 1, count - 1)
        while _OFFSET.unpack_from(data, high * OFFSET_ENTRY_BYTES + column)[0] <= value:
            low = high
            step *= 2
            high = min(low + step, count - 1)
    else:
        high = guess
        low = max(high - 1, 0)
        while _OFFSET.unpack_from(data, low * OFFSET_ENTRY_BYTES + column)[0] > value:
            high = low
            step *= 2
            low = max(high - step, 0)
    while high - low > 1:
        middle = (low + high) // 2
        if _OFFSET.unpack_from(data, middle * OFFSET_ENTRY_BYTES + column)[0] <= value:
            low = middle
        else:
            high = middle
    return low


class TimeIndex:
    """Entries of one segment's `.timeindex`."""

    __slots__ = ("count", "data", "last_timestamp_ms")

    def __init__(self, data: bytearray | memoryview | None = None) -> None:
        """Start empty, or from a file's content (a bytearray can be continued)."""
        self.data: bytearray | memoryview = bytearray() if data is None else data
        self.count = len(self.data) // TIME_ENTRY_BYTES
        self.last_timestamp_ms = self.entry(self.count - 1)[0] if self.count else -1

    def maybe_add(self, timestamp_ms: int, offset: int) -> None:
        """Append an entry if it is younger than the last one, as Kafka's maybeAppend does."""
        if timestamp_ms > self.last_timestamp_ms:
            assert isinstance(self.data, bytearray)
            self.data += TIME_ENTRY.pack(timestamp_ms, offset)
            self.last_timestamp_ms = timestamp_ms
            self.count += 1

    def entry(self, index: int) -> tuple[int, int]:
        """Return (largest timestamp so far in ms, relative offset of the batch that has it)."""
        timestamp_ms, offset = TIME_ENTRY.unpack_from(self.data, index * TIME_ENTRY_BYTES)
        return timestamp_ms, offset

    def offset_before(self, timestamp_ms: int) -> int | None:
        """Return a relative offset up to which every record is older than `timestamp_ms`."""
        index = bisect_left(range(self.count), timestamp_ms, key=self._timestamp) - 1
        return self.entry(index)[1] if index >= 0 else None

    def _timestamp(self, index: int) -> int:
        timestamp_ms: int = _TIMESTAMP.unpack_from(self.data, index * TIME_ENTRY_BYTES)[0]
        return timestamp_ms
