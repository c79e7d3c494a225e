"""Record batches made before the clock starts, and the check that they came back unharmed.

A load generator that builds its messages while it measures, measures itself. So a ring of finished
record batches (format v2) is built once, every batch with its own sequence number, its own random
bytes and its own CRC-32C; sending is then one `send` of bytes that exist already.

The ring also makes checking cheap. One producer on a fresh partition owns its offsets: batch number
n starts at offset n * records. Whoever fetches offset o therefore knows which batch of the ring
must be there, `(o // records) % ring`, and compares its stored CRC and the CRC of the bytes that
really arrived. A lost, repeated, reordered or damaged batch cannot pass: sequence and content both
differ.

    base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes ...
    0                 8            12                 16         17        21

The CRC covers byte 21 to the end: what a broker stamps (base offset, leader epoch) lies before it.
The format is written here a second time, on purpose: the judge shares no code with the judged.
Source: Kafka's RecordBatch (DefaultRecordBatch), kafka.apache.org "Record Batch".
"""

import random
import struct
from typing import NamedTuple

from fastcrc.crc32 import iscsi as crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = HEADER.size
CRC_POSITION = 17
COVERED_POSITION = 21
PREFIX = struct.Struct(">qiibI")  # base offset, length, leader epoch, magic, crc

VALUE_BYTES = 1024
RECORD_OVERHEAD_BYTES_MAX = 11  # length, attributes, two deltas, null key, value length, no headers


class LoadError(Exception):
    """The run is worthless: a message was lost, repeated, damaged or refused."""


class Ring(NamedTuple):
    """`len(batches)` different batches of one size, `record_count` records each."""

    batches: list[bytes]
    crcs: list[int]
    record_count: int
    batch_bytes: int


def varint(value: int) -> bytes:
    """Zigzag varint, as record fields are written."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def uvarint(value: int) -> bytes:
    """Unsigned varint, as compact lengths are written."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(value: bytes, offset_delta: int) -> bytes:
    """One plain record: null key, no headers, timestamp delta 0."""
    body = b"\0\0" + varint(offset_delta) + b"\x01" + varint(len(value)) + value + b"\0"
    return varint(len(body)) + body


def batch(values: list[bytes], timestamp_ms: int) -> bytes:
    """One uncompressed batch of plain records, without a producer id."""
    records = b"".join(record(value, delta) for delta, value in enumerate(values))
    last_delta = len(values) - 1
    header = HEADER.pack(
        0, HEADER_BYTES - 12 + len(records), -1, 2, 0, 0, last_delta,
        timestamp_ms, timestamp_ms, -1, -1, -1, len(values),
    )  # fmt: skip
    out = bytearray(header + records)
    struct.pack_into(">I", out, CRC_POSITION, crc32c(bytes(out[COVERED_POSITION:])))
    return bytes(out)


def records_that_fit(batch_bytes: int) -> int:
    """How many 1 KB records a batch of at most `batch_bytes` holds; at least one."""
    room = batch_bytes - HEADER_BYTES
    return max(1, room // (VALUE_BYTES + RECORD_OVERHEAD_BYTES_MAX))


def ring(record_count: int, batch_count: int, timestamp_ms: int, seed: int = 1) -> Ring:
    """`batch_count` different batches of `record_count` records of 1 KB, reproducible by seed."""
    chance = random.Random(seed)
    batches = []
    for number in range(batch_count):
        first = number * record_count
        noise = chance.randbytes(VALUE_BYTES - 8 + record_count)
        values = [
            (first + n).to_bytes(8, "big") + noise[n : n + VALUE_BYTES - 8]
            for n in range(record_count)
        ]
        batches.append(batch(values, timestamp_ms))
    crcs = [PREFIX.unpack_from(one)[4] for one in batches]
    return Ring(batches, crcs, record_count, len(batches[0]))


def check(view: memoryview, expected_offset: int, expected: Ring) -> int:
    """Check whole batches back to back in `view`, the first at `expected_offset`.

    Returns the offset after the last one. Raises LoadError for a gap, a repetition, a foreign
    or damaged batch, and for bytes that are no whole batch.
    """
    position = 0
    end = len(view)
    crcs = expected.crcs
    batch_bytes = expected.batch_bytes
    while position < end:
        if end - position < batch_bytes:
            raise LoadError(f"offset {expected_offset}: {end - position} bytes are no whole batch")
        offset, length, _, magic, crc = PREFIX.unpack_from(view, position)
        if offset != expected_offset:
            raise LoadError(f"offset {expected_offset} expected, {offset} came")
        if length + 12 != batch_bytes or magic != 2:
            raise LoadError(f"offset {offset}: length {length}, magic {magic}")
        if crc != crcs[offset // expected.record_count % len(crcs)]:
            raise LoadError(f"offset {offset}: another batch than the one sent")
        if crc32c(view[position + COVERED_POSITION : position + batch_bytes]) != crc:
            raise LoadError(f"offset {offset}: CRC differs, bytes were damaged")
        position += batch_bytes
        expected_offset += expected.record_count
    return expected_offset
