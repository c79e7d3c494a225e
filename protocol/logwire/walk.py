"""Walk the records of a batch without decoding them: is it whole, and which records have no key?

What a broker must know before it stores a batch in a compacted topic: compaction keeps the last
record of each key, so a record without one could never be kept or dropped with reason. Record
layout and varints are drawn in `batch`; nothing is copied here, and a position only moves forward.

A batch is a stranger's, and a million tiny records take the better part of a second in Python. So
the walk is a generator that stops after every `SLICE_STEPS` records or headers, and whoever drives
it lets others have their turn in between.

Refused as Kafka refuses it (DefaultRecord.readFrom, DefaultRecordBatch.RecordIterator): a record or
field longer than what is there, a varint that is too long, a record whose fields end before or
behind it, a negative header count or header name, bytes behind the last record, fewer records than
the header promised. Offset and timestamp deltas are skipped, not judged.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from logwire.batch import RECORD_BYTES_MIN, Buffer, decode_varint
from logwire.errors import ProtocolError

# 0.6 to 0.9 us each: a slice stays below a millisecond.
SLICE_STEPS: Final = 1000
# Records named in an answer; the others are only counted.
NAMED_MAX: Final = 100

ONE_BYTE_MAX: Final = 0x7F
VARLONG_BYTES_MAX: Final = 10


class NullKeys:
    """Records without a key: how many, and the indexes of the first `NAMED_MAX` of them."""

    __slots__ = ("count", "indexes")

    def __init__(self) -> None:
        self.count = 0
        self.indexes: list[int] = []

    def add(self, index: int) -> None:
        """One more."""
        self.count += 1
        if self.count <= NAMED_MAX:
            self.indexes.append(index)


def walk_keys(records: Buffer, record_count: int, found: NullKeys) -> Iterator[None]:
    """Walk the decompressed records section; null keys are added to `found`.

    Yields after every slice and ends behind the last record. Raises ProtocolError, also in the
    middle, when the records are not what `record_count` promised.
    """
    if not 0 <= record_count <= len(records) // RECORD_BYTES_MIN:
        raise ProtocolError(f"{len(records)} bytes cannot hold {record_count} records")
    position = 0
    steps = SLICE_STEPS
    try:
        for index in range(record_count):
            if steps <= 0:
                yield
                steps = SLICE_STEPS
            steps -= 1
            length = records[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _read_rest(records, position)
            end = position + (length >> 1)
            if length & 1:
                raise ProtocolError(f"record {index} has a negative length")
            position += 2  # the attributes, of which no bit is defined; one byte of timestamp delta
            if records[position - 1] > ONE_BYTE_MAX:
                position = _read_rest(records, position, VARLONG_BYTES_MAX)[1]
            position += 1
            if records[position - 1] > ONE_BYTE_MAX:  # the offset delta
                position = _read_rest(records, position)[1]
            length = records[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _read_rest(records, position)
            if length & 1:
                found.add(index)
            else:
                position += length >> 1
            length = records[position]
            position += 1
            if length > ONE_BYTE_MAX:
                length, position = _read_rest(records, position)
            if not length & 1:
                position += length >> 1
            if records[position]:
                position, steps = yield from _walk_headers(records, position, end, steps)
            else:
                position += 1
            if position != end:
                raise ProtocolError(f"record {index} ends at byte {position}, not {end}")
    except IndexError:
        raise ProtocolError("the records end inside a record") from None
    if position != len(records):
        raise ProtocolError(f"{len(records) - position} bytes behind the last record")


def _read_rest(records: Buffer, position: int, bytes_max: int = 5) -> tuple[int, int]:
    """A varint whose first byte, before `position`, says that more follow; zig-zag is left on."""
    second = records[position]
    if second <= ONE_BYTE_MAX:
        return records[position - 1] + (second << 7) - 0x80, position + 1
    number, position = decode_varint(records, position - 1, bytes_max)
    return (number << 1) ^ (number >> 63), position


def _walk_headers(
    records: Buffer, position: int, end: int, steps: int
) -> Generator[None, None, tuple[int, int]]:
    """Skip the headers of a record: the position behind them and the steps left of the slice."""
    header_count, position = decode_varint(records, position)
    if not 0 <= header_count <= end - position:
        raise ProtocolError(f"{header_count} headers in the {end - position} bytes of a record")
    for _ in range(header_count):
        if steps <= 0:
            yield
            steps = SLICE_STEPS
        steps -= 1
        length, position = decode_varint(records, position)
        if length < 0:
            raise ProtocolError(f"a header name of {length} bytes")
        position += length
        length, position = decode_varint(records, position)
        if length > 0:
            position += length
    return position, steps
