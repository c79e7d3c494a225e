"""The receive buffers: sizes, reuse and the limit."""

from logserver.server.buffers import (
    ARENA_BYTES,
    KEPT_BYTES_MAX,
    SMALLEST_BYTES,
    Buffers,
    receive_end,
)


def test_a_buffer_has_the_next_power_of_two() -> None:
    """So that buffers of one size class can serve each other."""
    buffers = Buffers(1 << 30)
    assert [len(buffers.acquire(n) or b"") for n in (1, 4096, 4097, 100_000)] == [
        SMALLEST_BYTES,
        4096,
        8192,
        131_072,
    ]


def test_a_released_buffer_is_used_again() -> None:
    """A fresh megabyte costs 256 page faults."""
    buffers = Buffers(1 << 30)
    first = buffers.acquire(1 << 20)
    assert first is not None
    buffers.release(first)
    assert buffers.acquire(1 << 20) is first


def test_beyond_the_limit_there_is_no_buffer() -> None:
    """Whoever asks is closed; what others hold stays."""
    buffers = Buffers(3 * SMALLEST_BYTES)
    held = [buffers.acquire(1), buffers.acquire(SMALLEST_BYTES + 1)]
    assert buffers.acquire(1) is None
    assert held[1] is not None
    buffers.release(held[1])
    assert buffers.acquire(1) is not None


def test_what_is_kept_for_reuse_is_bounded() -> None:
    """A burst of large frames does not stay in memory for ever."""
    buffers = Buffers(1 << 30)
    held = [buffers.acquire(KEPT_BYTES_MAX // 2) for _ in range(4)]
    for buffer in held:
        assert buffer is not None
        buffers.release(buffer)
    assert buffers.held_bytes == 0
    kept = [buffers.acquire(KEPT_BYTES_MAX // 2) for _ in range(4)]
    assert sum(any(k is h for h in held) for k in kept) == 2


def test_receiving_ends_with_the_frame() -> None:
    """Or with the buffer, while its size is not known or it is larger."""
    buffer = memoryview(bytearray((100).to_bytes(4, "big") + bytes(60)))
    assert receive_end(buffer, 0, 3) == 64
    assert receive_end(buffer, 0, 4) == 64
    long = memoryview(bytearray(b"\0" * 10 + (100).to_bytes(4, "big") + bytes(500)))
    assert receive_end(long, 10, 20) == 114


def test_a_small_part_of_a_frame_leaves_the_arena() -> None:
    """Into a buffer that grows with what came, not with what was promised."""
    buffers = Buffers(1 << 30)
    arena = buffers.arena
    arena[100:108] = (1 << 30).to_bytes(4, "big") + b"part"
    kept, start, end = buffers.keep(arena, 100, 108) or (arena, 0, 0)
    assert (len(kept), bytes(kept[start:end])) == (SMALLEST_BYTES, b"\x40\0\0\0part")
    assert buffers.arena is arena
    assert buffers.held_bytes == SMALLEST_BYTES


def test_a_large_part_takes_the_arena_along() -> None:
    """Copying it would cost more than another arena."""
    buffers = Buffers(1 << 30)
    arena = buffers.arena
    arena[:4] = (ARENA_BYTES - 4).to_bytes(4, "big")
    assert buffers.keep(arena, 0, ARENA_BYTES // 2) == (arena, 0, ARENA_BYTES // 2)
    assert buffers.arena is not arena
    assert buffers.held_bytes == ARENA_BYTES


def test_a_part_stays_in_its_own_buffer_until_that_is_full() -> None:
    """Then it moves, and the buffer is given back."""
    buffers = Buffers(1 << 30)
    own = buffers.acquire(SMALLEST_BYTES)
    assert own is not None
    own[1000:1004] = (5000).to_bytes(4, "big")
    assert buffers.keep(own, 1000, 4000) == (own, 1000, 4000)
    moved, start, end = buffers.keep(own, 1000, 4096) or (own, 0, 0)
    assert (len(moved), start, end) == (8192, 0, 3096)
    assert moved[:3096] == own[1000:4096]
    assert buffers.acquire(SMALLEST_BYTES) is own


def test_no_part_is_kept_beyond_the_limit() -> None:
    """Whoever sent it is closed."""
    buffers = Buffers(SMALLEST_BYTES)
    buffers.arena[:4] = bytes(4)
    assert buffers.keep(buffers.arena, 0, 4) is not None
    assert buffers.keep(buffers.arena, 0, 4) is None
