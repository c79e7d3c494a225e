"""Both indexes byte by byte as Kafka writes them, and as searches see them."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right

from hypothesis import given
from hypothesis import strategies as st

from logserver.storage.index import OffsetIndex, TimeIndex


def test_an_offset_entry_is_eight_bytes_big_endian() -> None:
    """Relative last offset, then the start position (Kafka's OffsetIndex)."""
    index = OffsetIndex()
    index.add(last_offset=0x01020304, position=0x0A0B0C0D, first_offset=5)
    assert bytes(index.data).hex() == "01020304" + "0a0b0c0d"
    assert (index.last_offset(0), index.position(0), index.first_offset(0)) == (
        0x01020304,
        0x0A0B0C0D,
        5,
    )


def test_a_time_entry_is_twelve_bytes_big_endian() -> None:
    """Timestamp, then the relative offset (Kafka's TimeIndex)."""
    index = TimeIndex()
    index.maybe_add(0x0102030405060708, 0x0A0B0C0D)
    assert bytes(index.data).hex() == "0102030405060708" + "0a0b0c0d"
    assert index.entry(0) == (0x0102030405060708, 0x0A0B0C0D)


def test_time_entries_grow_strictly() -> None:
    """An entry that is not younger is not made; the same one twice is one."""
    index = TimeIndex()
    for timestamp_ms, offset in [(5, 0), (5, 0), (4, 3), (6, 3), (6, 9)]:
        index.maybe_add(timestamp_ms, offset)
    assert [index.entry(i) for i in range(index.count)] == [(5, 0), (6, 3)]
    assert TimeIndex(memoryview(bytes(index.data))).last_timestamp_ms == 6


GROWING = st.lists(st.tuples(st.integers(1, 50), st.integers(61, 9000)), max_size=60)


@given(GROWING, st.integers(0, 3000))
def test_the_first_entry_at_or_after_an_offset_is_found(
    steps: list[tuple[int, int]], offset: int
) -> None:
    """The same in memory, where it can be continued, and over a mapped file."""
    index, last_offset, position = OffsetIndex(), -1, 0
    for count, size in steps:
        index.add(last_offset + count, position, last_offset + 1)
        last_offset, position = last_offset + count, position + size
    mapped = OffsetIndex(memoryview(bytes(index.data)))
    lasts = [index.last_offset(i) for i in range(index.count)]
    expected = bisect_left(lasts, offset)
    assert index.find_offset(offset) == mapped.find_offset(offset) == expected
    if expected < index.count:
        assert mapped.first_offset(expected) is None
        assert index.first_offset(expected) == (lasts[expected - 1] + 1 if expected else 0)


@given(GROWING, st.integers(0, 300_000))
def test_the_last_entry_at_or_before_a_position_is_found(
    steps: list[tuple[int, int]], limit: int
) -> None:
    """Where a read of a limited size may end."""
    index, position = OffsetIndex(), 0
    for number, (_, size) in enumerate(steps):
        index.add(number, position, number)
        position += size
    entry = index.find_position(limit)
    assert entry == sum(index.position(i) <= limit for i in range(index.count)) - 1


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(0, 1001))
def test_everything_up_to_the_offset_before_a_time_is_older(
    timestamps_ms: list[int], wanted_ms: int
) -> None:
    """The promise that a search by time starts from."""
    index, youngest_ms, youngest_offset = TimeIndex(), -1, -1
    for offset, timestamp_ms in enumerate(timestamps_ms):
        if timestamp_ms > youngest_ms:
            youngest_ms, youngest_offset = timestamp_ms, offset
        if offset % 3 == 2:
            index.maybe_add(youngest_ms, youngest_offset)
    offset_before = index.offset_before(wanted_ms)
    if offset_before is not None:
        assert all(t < wanted_ms for t in timestamps_ms[: offset_before + 1])


def test_first_offsets_are_known_for_what_this_process_indexed() -> None:
    """A continued index remembers its own entries and not those of the file."""
    before = OffsetIndex()
    before.add(4, 100, 3)
    index = OffsetIndex(bytearray(before.data))
    index.add(9, 300, 7)
    assert [index.first_offset(i) for i in range(2)] == [None, 7]
    assert index.memory_bytes() == 2 * 8 + 4


def test_search_finds_what_a_bisection_finds_however_uneven_the_entries() -> None:
    """Even, random, clustered at either end; every value around every entry. Seeded."""
    seed = 20261122
    print(f"seed {seed}")
    rng = random.Random(seed)
    shapes = [
        list(range(0, 4000, 40)),
        sorted(rng.sample(range(10**6), 300)),
        [*range(100), 10**9],
        [0, *range(10**9, 10**9 + 100)],
        [5],
        [],
    ]
    for positions in shapes:
        index = OffsetIndex()
        for n, position in enumerate(positions):
            index.add(position + 7, position, n)
        for value in {p + d for p in positions for d in (-1, 0, 1)} | {0, 2**31 - 1}:
            assert index.find_position(value) == bisect_right(positions, value) - 1
            last_offsets = [position + 7 for position in positions]
            assert index.find_offset(value) == bisect_left(last_offsets, value)
