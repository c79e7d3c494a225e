"""The two looks at the records of a batch that compaction takes: note keys, then choose.

Both walk the records where they lie (drawn in `logwire.batch`) and copy nothing but keys. What is
chosen comes back as ranges of the original bytes, neighbours joined: a batch that loses nothing is
one range, and a batch that loses half its records a few.

The first look also marks, a byte for each offset, what it learns of single records: one that has a
newer one of its key, or no key, goes; one without a value is a tombstone. So the second look need
not walk the batches whose records all stay or all go, which in most logs are most of them.

These are the hot loops of compaction, some 0.8 us a record each; hence local names, varints of one
and two bytes read in place, and no object per record.

The batches passed their checksum, but a topic that was not always compacted may hold records that
nobody has ever looked into: whatever does not add up raises ProtocolError, and a position only
moves forward.
"""

from __future__ import annotations

from collections.abc import Callable
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


def note_keys(
    section: Section, from_offset: int, put: Callable[[bytes, int], int], marks: bytearray
) -> int:
    """Tell `put` (`OffsetMap.put`) of the key and offset of each record from `from_offset` on.

    `marks`: a byte for each offset from there on, as many as there are. Returns -1, or the offset
    of the record that `put` had no room for. Raises ProtocolError.
    """
    data, position, end, count, base_offset, last_offset = section
    marks_count = len(marks)
    try:
        for _ in range(count):
            length = data[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _rest(data, position)
            record_end = position + (length >> 1)
            position += 2  # the attributes, of which no bit is defined; one byte of timestamp delta
            if data[position - 1] > ONE_BYTE_MAX:
                _, position = _rest(data, position, VARLONG_BYTES_MAX)
            delta = data[position]
            position += 1
            if delta > ONE_BYTE_MAX:
                delta, position = _rest(data, position)
            length = data[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _rest(data, position)
            key_end = position if length & 1 else position + (length >> 1)
            if not key_end < record_end <= end:
                raise ProtocolError("a record or its key ends beyond what holds it")
            offset = base_offset + (delta >> 1)
            if offset > last_offset:
                raise ProtocolError("a record claims an offset behind its batch")
            if offset >= from_offset:
                mark = offset - from_offset if length & 1 else -1
                if not length & 1:
                    before = put(data[position:key_end], offset)
                    if before == FULL:
                        return offset
                    if before >= 0:
                        mark = before - from_offset
                    if data[key_end] & 1 and offset - from_offset < marks_count:
                        marks[offset - from_offset] = TOMBSTONE
                if 0 <= mark < marks_count:
                    marks[mark] = GOES
            position = record_end
    except IndexError:
        raise ProtocolError("the records end inside a record") from None
    _check_end(position, end)
    return -1


def _check_end(position: int, end: int) -> None:
    if position != end:
        raise ProtocolError(f"{end - position} bytes behind the last record")


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
    try:
        return _choose(section, mapped_offset, newest, tombstones_expired)
    except IndexError:
        raise ProtocolError("the records end inside a record") from None


def _choose(
    section: Section,
    mapped_offset: int,
    newest: Callable[[bytes], int],
    tombstones_expired: bool,
) -> Chosen:
    data, position, end, count, base_offset, _ = section
    ranges: list[tuple[int, int]] = []
    kept_count = 0
    run_start = -1  # of the records that stay, one behind the other
    top: int | None = None
    has_tombstone = False
    for _ in range(count):
        start = position
        length = data[position]
        position += 1
        if length > ONE_BYTE_MAX:
            length, position = _rest(data, position)
        record_end = position + (length >> 1)
        stamp = data[position + 1]
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
        key_end = position if length & 1 else position + (length >> 1)
        if not key_end < record_end <= end:
            raise ProtocolError("a record or its key ends beyond what holds it")
        is_tombstone = data[key_end] & 1
        offset = base_offset + (delta >> 1)
        if offset > mapped_offset or (
            not length & 1
            and offset >= newest(data[position:key_end])
            and not (is_tombstone and tombstones_expired)
        ):
            if run_start < 0:
                run_start = start
            kept_count += 1
            if is_tombstone:
                has_tombstone = True
            stamp = (stamp >> 1) ^ -(stamp & 1)
            if top is None or stamp > top:
                top = stamp
        elif run_start >= 0:
            ranges.append((run_start, start))
            run_start = -1
        position = record_end
    _check_end(position, end)
    if run_start >= 0:
        ranges.append((run_start, end))
    return Chosen(kept_count, ranges, top, has_tombstone)


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
