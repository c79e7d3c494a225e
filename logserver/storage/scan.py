"""Walking the batches of a segment: where do they end, and what stands there.

Two walks, one loop. `checked` reads everything and sums each batch (above the durable mark);
unchecked reads only headers, in chunks that skip over large batches (below it, to rebuild an index
or the producers' memory). Both demand what a log demands of neighbours: magic 2, a length that fits
between header and end, base offset = the offset after the batch before, a leader epoch that never
falls, a record count that matches. In a compacted segment (`sparse`) offsets need only rise. A
segment is never recycled, so an old batch cannot pass.

The walk stops at the first position that holds no such batch and says what it found there:

    END          nothing: the range ends exactly behind a batch
    ZEROS        zeros up to the end of the range: preallocated space
    TORN         the beginning of a batch that reaches beyond the end of the range
    INVALID      anything else, zeros with something behind them included
    UNREADABLE   the device refused to read it (EIO)

What that means is not decided here; see `recovery`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from logwire.batch import CRC_POSITION, HEADER, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC
from logwire.checksum import crc32c

from .files import File

CHECKED_CHUNK_BYTES: Final = 4 << 20  # large reads: the scan runs at the device's speed
HEADER_CHUNK_BYTES: Final = 128 << 10  # of 1 MB batches an eighth is read
SUMMED_FROM: Final = CRC_POSITION + 4
ZEROS: Final = bytes(HEADER_BYTES)
ZERO_PAGE: Final = bytes(4096)

Header = tuple[int, ...]
Observe = Callable[[int, Header], None]
"""Told of each batch: its position in the file and its header (`logwire.batch.HEADER`)."""


class Found(Enum):
    """What stands where the batches end."""

    END = "end"
    ZEROS = "zeros"
    TORN = "torn"
    INVALID = "invalid"
    UNREADABLE = "unreadable"


class Stop(NamedTuple):
    """Where a walk ended. `offset` is the next offset expected, `epoch` that of the last batch."""

    found: Found
    position: int
    offset: int
    epoch: int
    why: str


class _Fault(Exception):
    """A position that holds no valid batch."""

    def __init__(self, found: Found, why: str) -> None:
        super().__init__(why)
        self.found = found


def walk(
    file: File,
    position: int,
    end_position: int,
    offset: int,
    epoch: int,
    observe: Observe,
    *,
    checked: bool,
    sparse: bool = False,
) -> Stop:
    """Walk the batches of [position, end_position), the first of which begins at `offset`.

    `sparse`: the segment was compacted, offsets need only rise. `observe` is called for each batch
    that passed. The range must lie within the file.
    """
    try:
        for at, header in _batches(file, position, end_position, checked):
            if header[2] < epoch or (header[0] < offset if sparse else header[0] != offset):
                raise _Fault(Found.INVALID, _discontinuity(header, offset, epoch))
            observe(at, header)
            offset = header[0] + header[6] + 1
            epoch = header[2]
            position = at + header[1] + LENGTH_OVERHEAD_BYTES
    except _Fault as fault:
        return Stop(fault.found, position, offset, epoch, str(fault))
    except OSError as error:
        return Stop(Found.UNREADABLE, position, offset, epoch, f"cannot be read: {error}")
    return Stop(Found.END, position, offset, epoch, "the file ends here")


def _batches(
    file: File, position: int, end_position: int, checked: bool
) -> Iterator[tuple[int, Header]]:
    chunk_bytes = CHECKED_CHUNK_BYTES if checked else HEADER_CHUNK_BYTES
    chunk = b""
    start = 0  # where in the chunk the next header begins
    unpack = HEADER.unpack_from
    while position < end_position:
        if start + HEADER_BYTES > len(chunk):
            chunk = file.pread(min(chunk_bytes, end_position - position), position)
            start = 0
        if start + HEADER_BYTES > len(chunk):
            raise _short(file, chunk, position, end_position)
        header = unpack(chunk, start)
        size = header[1] + LENGTH_OVERHEAD_BYTES
        if (
            size < HEADER_BYTES
            or size > end_position - position
            or header[3] != MAGIC
            or header[6] < 0
            or header[12] < 0
        ):
            raise _fault_of(file, header, position, end_position)
        if checked:
            if start + size > len(chunk) and size <= chunk_bytes:
                chunk = file.pread(min(chunk_bytes, end_position - position), position)
                start = 0
            if _sum(file, chunk, start, position, size) != header[4]:
                raise _Fault(Found.INVALID, "the checksum of the batch does not match")
        yield position, header
        position += size
        start += size


def _sum(file: File, chunk: bytes, start: int, position: int, size: int) -> int:
    if start + size <= len(chunk):
        return crc32c(memoryview(chunk)[start + SUMMED_FROM : start + size])
    checksum, at, end = 0, position + SUMMED_FROM, position + size
    while at < end:  # a batch larger than a chunk, in pieces
        piece = file.pread(min(CHECKED_CHUNK_BYTES, end - at), at)
        if not piece:
            raise _Fault(Found.TORN, "the file became shorter while it was read")
        checksum = crc32c(piece, checksum)
        at += len(piece)
    return checksum


def _short(file: File, chunk: bytes, position: int, end_position: int) -> _Fault:
    if not any(chunk) and all_zeros(file, position, end_position):
        return _Fault(Found.ZEROS, "zeros up to the end")
    return _Fault(Found.TORN, "a batch header is cut off by the end")


def _fault_of(file: File, header: Header, position: int, end_position: int) -> _Fault:
    if header == ZERO_HEADER:
        if all_zeros(file, position, end_position):
            return _Fault(Found.ZEROS, "zeros up to the end")
        return _Fault(Found.INVALID, "zeros where a batch should begin, and more behind them")
    if header[3] != MAGIC:
        return _Fault(Found.INVALID, f"magic {header[3]} where a batch should begin")
    size = header[1] + LENGTH_OVERHEAD_BYTES
    if size > end_position - position:
        return _Fault(Found.TORN, f"a batch of {size} bytes reaches beyond the end")
    if size < HEADER_BYTES:
        return _Fault(Found.INVALID, f"a batch claims {size} bytes, a header has {HEADER_BYTES}")
    return _Fault(Found.INVALID, f"a batch claims {header[12]} records, last delta {header[6]}")


ZERO_HEADER: Final = HEADER.unpack(ZEROS)


def _discontinuity(header: Header, offset: int, epoch: int) -> str:
    if header[0] != offset:
        return f"a batch has base offset {header[0]}, expected {offset}"
    return f"leader epoch {header[2]} after {epoch}"


def all_zeros(file: File, position: int, end_position: int) -> bool:
    """Whether a range holds nothing but zeros."""
    while position < end_position:
        chunk = file.pread(min(CHECKED_CHUNK_BYTES, end_position - position), position)
        if not chunk:
            return True
        if chunk.count(0) != len(chunk):
            return False
        position += len(chunk)
    return True


def last_nonzero(file: File, position: int, end_position: int) -> int:
    """The position behind the last nonzero byte of a range; `position` if there is none."""
    while position < end_position:
        start = max(position, end_position - CHECKED_CHUNK_BYTES)
        kept = len(file.pread(end_position - start, start).rstrip(b"\0"))
        if kept:
            return start + kept
        end_position = start
    return position


def find_batch(file: File, position: int, end_position: int, offset: int) -> int | None:
    """The position of a whole, valid batch behind `position` whose base offset is >= `offset`.

    The boundaries are lost, so every position is a candidate: those where the upper half of a base
    offset near `offset` and the magic byte stand, then the CRC decides.
    """
    upper_half = offset.to_bytes(8, "big")[:4]
    while position + HEADER_BYTES <= end_position:
        chunk = file.pread(min(CHECKED_CHUNK_BYTES, end_position - position), position)
        for start in _candidates(chunk, upper_half):
            if _is_batch(file, position + start, end_position, offset):
                return position + start
        if len(chunk) < CHECKED_CHUNK_BYTES:
            return None
        position += len(chunk) - HEADER_BYTES + 1
    return None


def _candidates(chunk: bytes, upper_half: bytes) -> Iterator[int]:
    start = 0
    while (start := chunk.find(upper_half, start)) >= 0 and start + HEADER_BYTES <= len(chunk):
        if chunk[start + CRC_POSITION - 1] == MAGIC:
            yield start
        elif chunk.startswith(ZERO_PAGE, start):
            start += len(ZERO_PAGE) - HEADER_BYTES  # preallocated space, a page at a time
        start += 1


def _is_batch(file: File, position: int, end_position: int, offset: int) -> bool:
    try:
        for _, header in _batches(file, position, end_position, checked=True):
            return offset <= header[0] < offset + (1 << 32)
    except _Fault:
        pass
    return False
