"""What a read gives: a range of a file, never bytes.

A fetch sends it with `sendfile`, so no record passes through this process; doors that cannot do
that (TLS, HTTP, a simulation) call `read`. The slice holds its segment: as long as it lives, the
descriptor is open and the bytes are what they were, even when the topic is deleted meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .segment import Segment


class FileSlice:
    """Whole batches of one segment, to be sent by `sendfile(fileno(), position, size_bytes)`.

    `first_offset` is what was asked for (the first batch may begin before it), `next_offset` where
    the next read goes on. `hot`: appended by this process lately, so surely in the page cache.
    Whoever got the slice calls `release` once, when the last byte has left.
    """

    __slots__ = ("first_offset", "hot", "next_offset", "position", "segment", "size_bytes")

    def __init__(
        self,
        segment: Segment,
        position: int,
        size_bytes: int,
        first_offset: int,
        next_offset: int,
        hot: bool,
    ) -> None:
        self.segment = segment
        self.position = position
        self.size_bytes = size_bytes
        self.first_offset = first_offset
        self.next_offset = next_offset
        self.hot = hot

    def fileno(self) -> int:
        """Return the segment's descriptor, valid until `release`."""
        return self.segment.file.fileno()

    def read(self) -> bytes:
        """Return the bytes themselves, for doors that cannot sendfile. Raises OSError."""
        return self.segment.file.pread(self.size_bytes, self.position)

    def release(self) -> None:
        """Let the segment go."""
        self.segment.release()
