"""Receive buffers: one arena for everybody, one of its own for whoever sent half a frame.

Theory. Nearly every readiness brings whole requests: all connections receive into one shared
arena and leave nothing behind, so ten thousand idle connections hold no buffer at all. Only a
connection whose last frame is incomplete keeps a buffer, and keeps at most `GROWTH` times what has
really arrived: a promised length allocates nothing. Buffers come in powers of two and are kept
for reuse up to `KEPT_BYTES_MAX`, since a fresh megabyte costs 256 page faults.

The sum of all kept partial frames is bounded by `limit_bytes` (config
`queued.max.request.bytes`); past it the connection that asks for more is closed.
"""

from __future__ import annotations

from struct import Struct

SIZE = Struct(">i")
# 2 MB: two frames of the largest default batch. Larger gains nothing, smaller splits 1 MB frames.
ARENA_BYTES = 2 * 1024 * 1024
SMALLEST_BYTES = 4096
# A partial frame may hold a buffer four times as large as its bytes: each growth copies, and
# doubling twice at once halves the copies. Kafka allocates the promised size at once.
GROWTH = 4
# Less than this left over in the arena is copied out; more takes the arena along.
TAKE_ARENA_DIVISOR = 4
KEPT_BYTES_MAX = 8 * 1024 * 1024
assert KEPT_BYTES_MAX >= ARENA_BYTES


def receive_end(buffer: memoryview, start: int, filled: int) -> int:
    """Up to where to receive, when a frame begins at `start` and `filled` says how far it is there.

    To its end and no further: then the next one starts at the arena's beginning and nothing is ever
    copied for a stream of large frames.
    """
    if filled - start < SIZE.size:
        return len(buffer)
    size_bytes: int = SIZE.unpack_from(buffer, start)[0]
    return min(len(buffer), start + SIZE.size + size_bytes)


class Buffers:
    """The arena and a pool of writable memoryviews whose sizes are powers of two.

    `held_bytes` is what connections keep; the arena is not among it. Not thread-safe.
    """

    __slots__ = ("_free", "_kept_bytes", "arena", "held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.arena = memoryview(bytearray(ARENA_BYTES))
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._free: dict[int, list[memoryview]] = {}
        self._kept_bytes = 0

    def acquire(self, size_bytes: int) -> memoryview | None:
        """A buffer of at least `size_bytes`, or None when the limit is reached."""
        capacity = SMALLEST_BYTES
        while capacity < size_bytes:
            capacity *= 2
        if self.held_bytes + capacity > self.limit_bytes:
            return None
        self.held_bytes += capacity
        free = self._free.get(capacity)
        if free:
            self._kept_bytes -= capacity
            return free.pop()
        return memoryview(bytearray(capacity))

    def release(self, buffer: memoryview) -> None:
        """Give a buffer back; it is kept for the next one or freed."""
        capacity = len(buffer)
        self.held_bytes -= capacity
        assert self.held_bytes >= 0
        if self._kept_bytes + capacity <= KEPT_BYTES_MAX:
            self._kept_bytes += capacity
            self._free.setdefault(capacity, []).append(buffer)

    def keep(self, buffer: memoryview, start: int, end: int) -> tuple[memoryview, int, int] | None:
        """Keep the beginning of a frame, buffer[start:end]: where it lies now; None: the limit.

        It stays where it is if the frame may end there, and takes the arena along if that saves a
        copy worth it; else it moves, and a buffer that was its own is given back.
        """
        left_bytes = end - start
        frame_bytes = SIZE.size
        if left_bytes >= SIZE.size:
            frame_bytes += SIZE.unpack_from(buffer, start)[0]
        fits = start + frame_bytes <= len(buffer)
        is_arena = buffer is self.arena
        if not is_arena and (fits or end < len(buffer)):
            return buffer, start, end
        if is_arena and fits and left_bytes >= ARENA_BYTES // TAKE_ARENA_DIVISOR:
            fresh = self.acquire(ARENA_BYTES)
            if fresh is not None:
                self.arena = fresh
                return buffer, start, end
        fresh = self.acquire(max(left_bytes, min(frame_bytes, GROWTH * left_bytes)))
        if fresh is None:
            return None
        fresh[:left_bytes] = buffer[start:end]
        if not is_arena:
            self.release(buffer)
        return fresh, 0, left_bytes
