"""From an offset to a place: which segment, which byte.

Most readers go on where they stopped, so the places where reads ended are remembered (`hints`) and
a sequential read costs one dictionary look-up. Whoever starts in the middle pays a binary search
over the segments and one in the segment's index.

Indexes of sealed segments are mapped when somebody looks something up in them; a mapping costs a
descriptor each, so only the last few stay mapped. The small indexes of what this process sealed
last stay in memory instead, with the first offset of each batch, which no file has: a replay of
large batches then reads nothing at all to find its way.
"""

from __future__ import annotations

from bisect import bisect_right

from .segment import CorruptSegmentError, Segment

HINTS_COUNT_MAX = 64  # a partition rarely has more readers
MAPPED_COUNT_MAX = 8  # two indexes each
# 12 bytes an entry: 3 MB in a partition that has 6 GB of large batches and is being replayed.
KEPT_ENTRIES_MAX = 4096
KEPT_COUNT_MAX = 64


class Lookup:
    """The segments of one log by offset. `hints`: offset -> (segment, position) of a batch."""

    __slots__ = ("bases", "hints", "interval_bytes", "kept", "mapped", "rebuilds_count", "segments")

    def __init__(self, segments: list[Segment], interval_bytes: int) -> None:
        self.segments = segments
        self.bases = [segment.base_offset for segment in segments]
        self.hints: dict[int, tuple[Segment, int]] = {}
        self.mapped: list[Segment] = []
        self.kept: list[Segment] = []
        self.interval_bytes = interval_bytes
        self.rebuilds_count = 0

    def add(self, segment: Segment) -> None:
        """Take a new last segment."""
        self.segments.append(segment)
        self.bases.append(segment.base_offset)

    def drop(self, count: int) -> list[Segment]:
        """Forget the oldest segments and return them."""
        dropped = self.segments[:count]
        del self.segments[:count], self.bases[:count]
        self.hints.clear()
        self.mapped = [segment for segment in self.mapped if segment not in dropped]
        self.kept = [segment for segment in self.kept if segment not in dropped]
        return dropped

    def replace(self, old: list[Segment], new: Segment) -> None:
        """Put one segment in the place of neighbours."""
        first = self.segments.index(old[0])
        behind = first + len(old)
        assert self.segments[first:behind] == old, "neighbours are replaced"
        self.segments[first:behind] = [new]
        self.bases[first:behind] = [new.base_offset]
        self.hints.clear()
        self.mapped = [segment for segment in self.mapped if segment not in old]
        self.kept = [segment for segment in self.kept if segment not in old]

    def keep(self, segment: Segment) -> None:
        """Decide what stays in memory of a segment that has just been sealed."""
        if segment.offset_index.count > KEPT_ENTRIES_MAX:
            segment.forget_indexes()
            return
        self.kept.append(segment)
        if len(self.kept) > KEPT_COUNT_MAX:
            self.kept.pop(0).forget_indexes()

    def segment_of(self, offset: int) -> Segment:
        """Return the segment whose range of offsets holds `offset`."""
        return self.segments[bisect_right(self.bases, offset) - 1]

    def since(self, segment: Segment) -> list[Segment]:
        """Return `segment` and those after it; all, when it has been dropped already."""
        return self.segments[max(0, bisect_right(self.bases, segment.base_offset) - 1) :]

    def locate(self, offset: int) -> tuple[Segment, int]:
        """Return (segment, position) of the batch that holds `offset`, or of the next one.

        In a compacted log there may be none with that offset any more; where another program
        compacted, not even in its segment. Raises OSError, CorruptSegmentError.
        """
        index = bisect_right(self.bases, offset) - 1
        while True:
            segment = self.segments[index]
            position = self._locate_in(segment, offset)
            if position < segment.size_bytes or index + 1 == len(self.segments):
                return segment, position
            index += 1
            offset = self.bases[index]

    def _locate_in(self, segment: Segment, offset: int) -> int:
        self.keep_mapped(segment)
        try:
            return segment.locate(offset)
        except CorruptSegmentError:
            self._rebuild(segment)
            return segment.locate(offset)

    def fit(self, segment: Segment, position: int, max_bytes: int) -> tuple[int, int]:
        """Return `Segment.fit`, from a rebuilt index if the present one leads astray."""
        self.keep_mapped(segment)
        try:
            return segment.fit(position, max_bytes)
        except CorruptSegmentError:
            self._rebuild(segment)
            return segment.fit(position, max_bytes)

    def remember(self, offset: int, segment: Segment, position: int) -> None:
        """Note that the batch at `position` begins with `offset`, or will."""
        hints = self.hints
        hints[offset] = (segment, position)
        if len(hints) > HINTS_COUNT_MAX:
            del hints[next(iter(hints))]

    def _rebuild(self, segment: Segment) -> None:
        # Believe the batches, not the index; a second failure is the batches' own.
        self.rebuilds_count += 1
        segment.rebuild_indexes(self.interval_bytes)

    def keep_mapped(self, segment: Segment) -> None:
        """Count a sealed segment among those whose indexes are mapped, and unmap the oldest."""
        if segment.sealed and segment not in self.mapped and segment not in self.kept:
            self.mapped.append(segment)
            if len(self.mapped) > MAPPED_COUNT_MAX:
                self.mapped.pop(0).forget_indexes()
