"""When a batch came, by offset, without making anybody wait: what lag in seconds is made of.

The time is the largest timestamp in the header of the batch that holds the offset. With
LogAppendTime that is when the batch was appended. With CreateTime it is when the producer made the
youngest record of the batch, just before it sent it; no file says more.

The loop may only read what is hot: written by this process to one of the last two segments, with
an index in memory. There it is one index search and mostly one `pread` of a page. Everything else
is an errand for a helper thread (`Errand.read`), which opens the files itself and reads them with
`pread`: no mapping, whose page faults would stop the interpreter, and no hold on a segment.
Retention or compaction may take the files away meanwhile; then there is no time to tell.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .index import OFFSET_ENTRY, OFFSET_ENTRY_BYTES
from .segment import (
    INDEX_SUFFIX,
    NO_TIMESTAMP_MS,
    CorruptSegmentError,
    Segment,
    segment_path,
)

if TYPE_CHECKING:
    from .files import Files
    from .log import Log

# An index interval of 4 KB holds at most 67 batches. Where the interval was made longer, a helper
# reads on.
HOT_BATCHES_MAX = 100


class Errand(NamedTuple):
    """What a helper needs to find the time at `offset`; `start_position` None: the file knows."""

    files: Files
    directory: str
    base_offset: int
    size_bytes: int
    start_position: int | None
    offset: int

    def read(self) -> int:
        """The time in ms, or NO_TIMESTAMP_MS when the batch is not there. Raises OSError."""
        try:
            start = self.start_position
            return self._walk(self._search_index() if start is None else start)
        except (CorruptSegmentError, struct.error):
            return NO_TIMESTAMP_MS  # the files were replaced, or cut, between two reads

    def _walk(self, start: int) -> int:
        file = self.files.open(segment_path(self.directory, self.base_offset), write=False)
        try:
            segment = Segment(self.files, self.directory, self.base_offset, file)
            segment.size_bytes = min(self.size_bytes, file.size())
            found = _time_ms(segment, start, self.offset, None)
            return NO_TIMESTAMP_MS if found is None else found
        finally:
            file.close()

    def _search_index(self) -> int:
        """The position of the last indexed batch that ends before `offset`."""
        path = segment_path(self.directory, self.base_offset, INDEX_SUFFIX)
        file = self.files.open(path, write=False)
        try:

            def entry(number: int) -> tuple[int, int]:
                data = file.pread(OFFSET_ENTRY_BYTES, number * OFFSET_ENTRY_BYTES)
                last_offset, position = OFFSET_ENTRY.unpack(data)
                return last_offset, position

            entries = range(file.size() // OFFSET_ENTRY_BYTES)
            wanted = self.offset - self.base_offset
            number = bisect_left(entries, wanted, key=lambda at: entry(at)[0]) - 1
            return entry(number)[1] if number >= 0 else 0
        finally:
            file.close()


def recent_time_ms(log: Log, offset: int) -> int | None:
    """The time in ms at `offset`, read at once; None where only an errand may read it.

    `offset` lies in the log. Raises OSError, CorruptSegmentError.
    """
    segment = log.lookup.segment_of(offset)
    if segment not in log.segments[-2:]:
        return None
    start = _start_position(segment, offset)
    if start is None or start < segment.hot_from_position:
        return None
    return _time_ms(segment, start, offset, HOT_BATCHES_MAX)


def errand(log: Log, offset: int) -> Errand:
    """What a helper is to read for the time at `offset`."""
    segment = log.lookup.segment_of(offset)
    return Errand(
        log.files,
        log.directory,
        segment.base_offset,
        segment.size_bytes,
        _start_position(segment, offset),
        offset,
    )


def _start_position(segment: Segment, offset: int) -> int | None:
    """From where to walk to `offset`, by the index in memory; None without one."""
    index = segment.lazy_offset_index
    if index is None:
        return None
    entry = index.find_offset(offset - segment.base_offset)
    return index.position(entry - 1) if entry else 0


def _time_ms(segment: Segment, start: int, offset: int, batches_max: int | None) -> int | None:
    for batch in islice(segment.walk(start, segment.size_bytes), batches_max):
        if batch.last_offset >= offset:
            return batch.max_timestamp_ms
    return None
