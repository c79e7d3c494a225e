"""What of the log is in the page cache, so that `sendfile` never waits for the disk.

A cold page would block the loop, and everybody on it, inside `sendfile`. So a slice that was not
appended lately is looked up first (`cachestat`), and a cold one is brought in by a helper thread.

The kernel is asked for a window ahead of the slice and believed for `RESIDENT_MS`: a reader that
streams pays for one question in 4 MB. Where the kernel cannot say, residency is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from logserver.server.helper import Helper
    from logserver.storage.file_slice import FileSlice
    from logserver.storage.segment import Segment

WINDOW_BYTES = 4 * 1024 * 1024
# Pages rarely leave the cache within a second of being read.
RESIDENT_MS = 1000
KNOWN_COUNT_MAX = 64


class Residency:
    """Knows for a while what the kernel said; `reader` is the helper that waits for the disk."""

    __slots__ = ("_known", "_reader")

    def __init__(self, reader: Helper) -> None:
        # segment -> (from position, to position, until ms)
        self._known: dict[Segment, tuple[int, int, int]] = {}
        self._reader = reader

    def holds(self, piece: FileSlice, uptime_ms: int) -> bool:
        """Whether the whole slice is in the page cache."""
        segment, position = piece.segment, piece.position
        end = position + piece.size_bytes
        known = self._known.get(segment)
        if known is not None and known[0] <= position and end <= known[1] and uptime_ms < known[2]:
            return True
        window_end = min(segment.size_bytes, max(end, position + WINDOW_BYTES))
        resident_bytes = segment.file.resident_bytes(position, window_end - position)
        if resident_bytes is None or resident_bytes >= window_end - position:
            if len(self._known) >= KNOWN_COUNT_MAX:
                self._known.clear()
            self._known[segment] = (position, window_end, uptime_ms + RESIDENT_MS)
            return True
        resident_bytes = segment.file.resident_bytes(position, piece.size_bytes)
        return resident_bytes is None or resident_bytes >= piece.size_bytes

    def bring(self, piece: FileSlice, then: Callable[[], None]) -> None:
        """Read the slice into the page cache in the helper, then call `then` on the loop.

        Holds the segment meanwhile: the slice itself may be released when its connection closes.
        An error of the disk is met again, and judged, by whoever sends.
        """
        segment = piece.segment
        position, size_bytes = piece.position, piece.size_bytes
        segment.acquire()

        def finish(_: object) -> None:
            segment.release()
            then()

        self._reader.submit(lambda: segment.file.populate(position, size_bytes), finish)
