"""The two looks at the records of a batch that compaction takes: note keys, then choose.

Both walk the records where they lie (drawn in `logwire.batch`) and copy nothing but keys. What is
chosen comes back as ranges of the original bytes, neighbours joined: a batch that loses nothing is
one range, and a batch that loses half its records a few.

The first look also marks, a byte for each offset, what it learns of single records: one that has a
newer one of its key, or no key, goes; one without a value is a tombstone. So the second look need
not walk the batches whose records all stay or all go, which in most logs are most of them.

These are the hot loops of compaction, some 0.8 us a record each; hence local names, and varints of
one and two bytes read in place.

The batches passed their checksum, but a topic that was not always compacted may hold records that
nobody has ever looked into: whatever does not add up raises ProtocolError, and a position only
moves forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from logwire.batch import decode_varint, encode_varint
from logwire.errors import ProtocolError

from .offset_map import FULL

ONE_BYTE_MAX: Final = 0x7F
VARLONG_BYTES_MAX: Final = 10
MINUS_ONE: Final = 1  # zig-zag: the length of null; any odd number is a negative length


class Chosen(NamedTuple):
    """The records of a batch that stay.

    `ranges`: (start, end) positions, none empty, in order. `max_timestamp_delta`: the largest of
    the records that stay, None without any.
    """

    records_count: int
    ranges: list[tuple[int, int]]
    max_timestamp_delta: int | None
    has_tombstone: bool


STAYS: Final = 0
GOES: Final = 1
TOMBSTONE: Final = 2  # it stays or goes by its time


class Section(NamedTuple):
    """The records of a batch, plain: bytes [position, end) of `data` hold `records_count`."""

    data: bytes
    position: int
    end: int
    records_count: int
    base_offset: int
    last_offset: int


Walked = tuple[int, int, bytes | None, int, int]
"""start position, offset, key, 1 for a tombstone (else 0), timestamp delta with its zig-zag on"""


def note_keys(
    section: Section, from_offset: int, put: Callable[[bytes, int], int], marks: bytearray
) -> int:
    """Tell `put` (`OffsetMap.put`) of the key and offset of each record from `from_offset` on.

    `marks`: a byte for each offset from there on, as many as there are. Returns -1, or the offset
    of the record that `put` had no room for. Raises ProtocolError.
    """
    last_offset = section.last_offset
    marks_count = len(marks)
    for _, offset, key, is_tombstone, _ in _walk(section):
        if offset > last_offset:
            raise ProtocolError("a record claims an offset behind its batch")
        mark = own_mark = offset - from_offset
        if own_mark < 0:
            continue
        if key is not None:
            before = put(key, offset)
            if before == FULL:
                return offset
            mark = before - from_offset
            if is_tombstone and own_mark < marks_count:
                marks[own_mark] = TOMBSTONE
        if 0 <= mark < marks_count:
            marks[mark] = GOES
    return -1


def choose(
    section: Section,
    mapped_offset: int,
    newest: Callable[[bytes], int],
    tombstones_expired: bool,
) -> Chosen:
    """Return the records that stay, by Kafka's rule (Cleaner.shouldRetainRecord).

    One beyond `mapped_offset`, the last that the map knows, stays. Of the others go those without
    a key, those with a newer one of their key, and without a value when `tombstones_expired`.
    Raises ProtocolError.
    """
    ranges: list[tuple[int, int]] = []
    kept_count = 0
    run_start = -1  # of the records that stay, one behind the other
    top: int | None = None
    has_tombstone = False
    for start, offset, key, is_tombstone, stamp in _walk(section):
        if offset > mapped_offset or (
            key is not None and offset >= newest(key) and not (is_tombstone and tombstones_expired)
        ):
            if run_start < 0:
                run_start = start
            kept_count += 1
            if is_tombstone:
                has_tombstone = True
            delta = (stamp >> 1) ^ -(stamp & 1)
            if top is None or delta > top:
                top = delta
        elif run_start >= 0:
            ranges.append((run_start, start))
            run_start = -1
    if run_start >= 0:
        ranges.append((run_start, section.end))
    return Chosen(kept_count, ranges, top, has_tombstone)


def _walk(section: Section) -> Iterator[Walked]:
    """Iterate over the records of a section. Raises ProtocolError, also in the middle."""
    data, position, end, count, base_offset, _ = section
    try:
        for _ in range(count):
            start = position
            length = data[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _rest(data, position)
            record_end = position + (length >> 1)
            stamp = data[position + 1]  # behind the attributes, of which no bit is defined
            position += 2
            if stamp > ONE_BYTE_MAX:
                stamp, position = _rest(data, position, VARLONG_BYTES_MAX)
            delta = data[position]
            position += 1
            if delta > ONE_BYTE_MAX:
                delta, position = _rest(data, position)
            length = data[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _rest(data, position)
            key = None
            if not length & 1:
                key = data[position : position + (length >> 1)]
                position += length >> 1
            if not position < record_end <= end:
                raise ProtocolError("a record or its key ends beyond what holds it")
            yield start, base_offset + (delta >> 1), key, data[position] & 1, stamp
            position = record_end
    except IndexError:
        raise ProtocolError("the records end inside a record") from None
    if position != end:
        raise ProtocolError(f"{end - position} bytes behind the last record")


def move_timestamps(data: bytes, ranges: list[tuple[int, int]], by_ms: int) -> list[bytes]:
    """Return the records of `ranges` with `by_ms` added to each timestamp delta.

    For a batch whose base timestamp becomes its delete horizon: rare, so plain.
    """
    pieces = []
    for position, end in ranges:
        while position < end:
            length, position = decode_varint(data, position)
            record_end = position + length
            delta, behind = decode_varint(data, position + 1, VARLONG_BYTES_MAX)
            stamp = encode_varint(around(delta + by_ms))
            body = data[position : position + 1] + stamp + data[behind:record_end]
            pieces.append(encode_varint(len(body)) + body)
            position = record_end
    return pieces


def around(number: int) -> int:
    """A sum of times as an int64, around the ends as in Kafka: producers may claim any times."""
    return (number + 2**63) % 2**64 - 2**63


def _rest(data: bytes, position: int, bytes_max: int = 5) -> tuple[int, int]:
    """A varint whose first byte, before `position`, says that more follow; zig-zag is left on."""
    second = data[position]
    if second <= ONE_BYTE_MAX:
        return data[position - 1] + (second << 7) - 0x80, position + 1
    number, position = decode_varint(data, position - 1, bytes_max)
    return (number << 1) ^ (number >> 63), position
