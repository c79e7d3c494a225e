"""Record batches, version 2: the one format of the buffer, the wire, the disk and shared memory.

A batch (Kafka: DefaultRecordBatch, KIP-98; big-endian; positions from the first byte):

     0  base offset             int64   the log's first offset for it; written by the broker
     8  batch length            int32   bytes after this field: the whole batch is 12 + length
    12  partition leader epoch  int32   written by the broker
    16  magic                   int8    2; older formats kept it at the same byte
    17  CRC-32C                 uint32  over byte 21 to the end
    21  attributes              int16   bits 0-2 codec, 3 log append time, 4 transactional,
                                        5 control, 6 base timestamp is the delete horizon
    23  last offset delta       int32   the next batch starts at base offset + this + 1
    27  base timestamp          int64   ms since 1970; records carry differences to it
    35  max timestamp           int64   ms; with log append time it is every record's timestamp
    43  producer id             int64   -1 without idempotence
    51  producer epoch          int16
    53  base sequence           int32   of the first record; wraps to 0 behind 2147483647
    57  record count            int32
    61  records                 compressed as a whole when the codec says so

The checksum starts at byte 21 so that a broker stamps what it alone knows, base offset and leader
epoch, without touching a byte that the checksum covers.

A record (DefaultRecord; varints are zig-zag, 7 bits a byte, low bits first):

    length varint | attributes int8 = 0 | timestamp delta varlong | offset delta varint |
    key length varint, -1 null | key | value length varint, -1 null | value |
    header count varint | (name length varint | name | value length varint, -1 null | value)*

Encoding is a table look-up: a plain record is six pieces in a list, joined once, 0.2 to 0.35 us
with 1 KB values. Decoding is lazy and bounded: a position only moves forward, a byte that is not
there raises `ProtocolError`, and nothing is allocated for a length that was only promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from logwire.checksum import crc32c
from logwire.compression import CODECS, compress, decompress
from logwire.errors import ProtocolError

HEADER: Final = Struct(">qiibIhiqqqhii")

BASE_OFFSET_POSITION: Final = 0
BATCH_LENGTH_POSITION: Final = BASE_OFFSET_POSITION + 8
LEADER_EPOCH_POSITION: Final = BATCH_LENGTH_POSITION + 4
MAGIC_POSITION: Final = LEADER_EPOCH_POSITION + 4
CRC_POSITION: Final = MAGIC_POSITION + 1
ATTRIBUTES_POSITION: Final = CRC_POSITION + 4
LAST_OFFSET_DELTA_POSITION: Final = ATTRIBUTES_POSITION + 2
BASE_TIMESTAMP_POSITION: Final = LAST_OFFSET_DELTA_POSITION + 4
MAX_TIMESTAMP_POSITION: Final = BASE_TIMESTAMP_POSITION + 8
PRODUCER_ID_POSITION: Final = MAX_TIMESTAMP_POSITION + 8
PRODUCER_EPOCH_POSITION: Final = PRODUCER_ID_POSITION + 8
BASE_SEQUENCE_POSITION: Final = PRODUCER_EPOCH_POSITION + 2
RECORD_COUNT_POSITION: Final = BASE_SEQUENCE_POSITION + 4
RECORDS_POSITION: Final = RECORD_COUNT_POSITION + 4
assert RECORDS_POSITION == HEADER.size == 61

HEADER_BYTES: Final = HEADER.size
LENGTH_OVERHEAD_BYTES: Final = BATCH_LENGTH_POSITION + 4  # what the batch length does not count
MAGIC: Final = 2

CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
DELETE_HORIZON: Final = 0x40
KNOWN_ATTRIBUTES: Final = CODEC_MASK | LOG_APPEND_TIME | TRANSACTIONAL | CONTROL | DELETE_HORIZON

NO_PRODUCER_ID: Final = -1
NO_TIMESTAMP_MS: Final = -1

# A batch of message.max.bytes (1 MB) that grows beyond this is an attack, not telemetry.
DECOMPRESSED_BYTES_MAX: Final = 128 << 20

RECORD_BYTES_MIN: Final = 7  # length, attributes, two deltas, two lengths, header count

Headers = Sequence[tuple[str, bytes | None]]
RecordFields = tuple[bytes | None, bytes | None, Headers, int]
Buffer = bytes | bytearray | memoryview

_PRODUCER: Final = Struct(">qhi")
_CRC: Final = Struct(">I")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")


class Record(NamedTuple):
    """One record as a consumer sees it. `timestamp_ms` counts from 1970, -1 is none."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class BatchHeader(NamedTuple):
    """The 61 bytes, unpacked: `BatchHeader._make(HEADER.unpack_from(view, position))`."""

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int


# Varints


def encode_varint(number: int) -> bytes:
    """Zig-zag varint of an int32 or int64: 1 byte for -64..63, 2 for -8192..8191, at most 10."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return rest.to_bytes(1, "big")
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def decode_varint(data: Buffer, position: int, bytes_max: int = 5) -> tuple[int, int]:
    """Read a zig-zag varint (5 bytes at most; 10 for an int64): (number, position behind it).

    Raises `ProtocolError` for a longer one or a number beyond 32 (64) bits, and `IndexError`
    where the data ends.
    """
    rest = 0
    for shift in range(0, 7 * bytes_max, 7):
        byte = data[position]
        position += 1
        rest |= (byte & 0x7F) << shift
        if byte < 0x80:
            if rest >> (32 if bytes_max == 5 else 64):
                break
            return (rest >> 1) ^ -(rest & 1), position
    raise ProtocolError(f"a varint is longer than {bytes_max} bytes or too large")


# Encoding

# Two-byte varints end at 8191: larger values and later timestamps take the careful path.
_TABLE_COUNT: Final = 8192
_offset_width_steps: Final = ((0, 64, 1), (64, 8192, 2), (8192, 1 << 20, 3), (1 << 20, 1 << 27, 4))


class _Tables:
    """Pieces of records by number, made on the first encode (1 MB, 4 ms): readers never pay."""

    __slots__ = ("lengths", "null_keys", "varints")

    def __init__(self) -> None:
        self.varints = [encode_varint(number) for number in range(_TABLE_COUNT)]
        # record length, then its attributes; null key, then the value's length
        self.lengths = [varint + b"\x00" for varint in self.varints]
        self.null_keys = [b"\x01" + varint for varint in self.varints]


_tables: _Tables | None = None


def encode_batch(
    records: Sequence[RecordFields],
    *,
    codec: int = 0,
    level: int | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    log_append_time: bool = False,
    control: bool = False,
    transactional: bool = False,
) -> bytearray:
    """Encode (key, value, headers, timestamp_ms) tuples, at least one, as one batch.

    Offsets count from `base_offset` without gaps, the base timestamp is the first record's.
    Nothing is checked beyond what Python's types and struct refuse: the data is the caller's own.
    """
    assert records, "a batch holds at least one record"
    assert codec in CODECS, f"codec {codec} is none of {CODECS}"
    base_timestamp_ms = records[0][3]
    max_timestamp_ms = max([record[3] for record in records])
    attributes = codec
    if log_append_time:
        attributes |= LOG_APPEND_TIME
    if control:
        attributes |= CONTROL
    if transactional:
        attributes |= TRANSACTIONAL
    pieces = encode_records(records, base_timestamp_ms)
    if codec:
        pieces = [compress(codec, b"".join(pieces), level)]
    pieces.insert(0, bytes(HEADER_BYTES))
    batch = bytearray().join(pieces)
    HEADER.pack_into(
        batch,
        0,
        base_offset,
        len(batch) - LENGTH_OVERHEAD_BYTES,
        leader_epoch,
        MAGIC,
        0,
        attributes,
        len(records) - 1,
        base_timestamp_ms,
        max_timestamp_ms,
        producer_id,
        producer_epoch,
        base_sequence,
        len(records),
    )
    _write_crc(batch)
    return batch


def encode_records(records: Sequence[RecordFields], base_timestamp_ms: int) -> list[Buffer]:
    """The records section as pieces to be joined. Kept bare: 0.2 us a plain record of 1 KB."""
    global _tables  # noqa: PLW0603 - made once, on first use
    tables = _tables or _Tables()
    _tables = tables
    varints = tables.varints
    lengths = tables.lengths
    null_keys = tables.null_keys
    table_count = _TABLE_COUNT - 32  # the length of the whole record must be in the table too
    pieces: list[Buffer] = []
    for first, stop, offset_width in _offset_width_steps:
        if first >= len(records):
            break
        step = records[first:stop] if first or stop < len(records) else records
        last_size = last_timestamp_ms = -1
        delta = first - 1
        for key, value, headers, timestamp_ms in step:
            delta += 1
            if value is None or key is not None or headers:
                timestamp_delta = timestamp_ms - base_timestamp_ms
                if headers or not 0 <= timestamp_delta < table_count or delta >= table_count:
                    pieces += _record_pieces(key, value, headers, timestamp_delta, delta)
                else:
                    pieces += _keyed_pieces(tables, key, value, timestamp_delta, delta)
                continue
            size = len(value)
            if timestamp_ms != last_timestamp_ms or size != last_size:
                timestamp_delta = timestamp_ms - base_timestamp_ms
                if size >= table_count or not 0 <= timestamp_delta < table_count:
                    pieces += _record_pieces(key, value, headers, timestamp_delta, delta)
                    continue
                last_timestamp_ms = timestamp_ms
                last_size = size
                timestamp = varints[timestamp_delta]
                key_and_size = null_keys[size]
                # attributes 1, header count 1
                length = lengths[2 + len(timestamp) + offset_width + len(key_and_size) + size]
            offset = varints[delta] if delta < 8192 else encode_varint(delta)
            pieces += (length, timestamp, offset, key_and_size, value, b"\x00")
    return pieces


def _record_pieces(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_delta: int, delta: int
) -> list[Buffer]:
    """Any record: keys, nulls, headers, large values, times out of order."""
    pieces: list[Buffer] = [b"\x00" + encode_varint(timestamp_delta) + encode_varint(delta)]
    _append_nullable(pieces, key)
    _append_nullable(pieces, value)
    pieces.append(encode_varint(len(headers)))
    for name, header_value in headers:
        _append_nullable(pieces, name.encode())
        _append_nullable(pieces, header_value)
    pieces.insert(0, encode_varint(sum(map(len, pieces))))
    return pieces


def _keyed_pieces(
    tables: _Tables, key: bytes | None, value: bytes | None, timestamp_delta: int, delta: int
) -> tuple[Buffer, ...]:
    """A record with a key or without a value, by tables: what brokers keep, in half the time."""
    varints = tables.varints
    key_size, value_size = len(key or b""), len(value or b"")
    if key_size + value_size >= _TABLE_COUNT - 32:
        return tuple(_record_pieces(key, value, (), timestamp_delta, delta))
    before_key = b"\x01" if key is None else varints[key_size]
    before_value = b"\x01" if value is None else varints[value_size]
    head = varints[timestamp_delta] + varints[delta] + before_key
    length = 2 + len(head) + key_size + len(before_value) + value_size
    return tables.lengths[length], head, key or b"", before_value, value or b"", b"\x00"


def _append_nullable(pieces: list[Buffer], data: bytes | None) -> None:
    if data is None:
        pieces.append(b"\x01")
    else:
        pieces += (encode_varint(len(data)), data)


def _write_crc(batch: bytearray | memoryview) -> None:
    _CRC.pack_into(batch, CRC_POSITION, crc32c(memoryview(batch)[ATTRIBUTES_POSITION:]))


def stamp(batch: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write what only the broker knows; the checksum does not cover it."""
    _INT64.pack_into(batch, BASE_OFFSET_POSITION, base_offset)
    _INT32.pack_into(batch, LEADER_EPOCH_POSITION, leader_epoch)


def stamp_append_time(batch: bytearray | memoryview, append_time_ms: int) -> None:
    """Turn a verified batch into a LogAppendTime one: attributes, max timestamp and checksum."""
    batch[ATTRIBUTES_POSITION + 1] |= LOG_APPEND_TIME
    _INT64.pack_into(batch, MAX_TIMESTAMP_POSITION, append_time_ms)
    _write_crc(batch)


def stamp_producer(
    batch: bytearray | memoryview, producer_id: int, producer_epoch: int, base_sequence: int
) -> None:
    """Give an encoded batch another producer id and sequence, with a new checksum: a producer that
    starts over under a new id sends the same records."""
    _PRODUCER.pack_into(batch, PRODUCER_ID_POSITION, producer_id, producer_epoch, base_sequence)
    _write_crc(batch)


# Decoding


def iterate_batches(view: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """Positions and headers of the whole batches in `view`, in order; checksums are not checked.

    Stops before a last batch that is cut, as a fetch answer may end with one. Raises
    `ProtocolError` for a magic other than 2 or a length below the header's.
    """
    position = 0
    end = len(view)
    while position + HEADER_BYTES <= end:
        header = BatchHeader._make(HEADER.unpack_from(view, position))
        if header.magic != MAGIC:
            raise ProtocolError(f"magic {header.magic} at byte {position}, only 2 is read")
        if header.batch_length < HEADER_BYTES - LENGTH_OVERHEAD_BYTES:
            raise ProtocolError(f"batch length {header.batch_length} at byte {position}")
        next_position = position + LENGTH_OVERHEAD_BYTES + header.batch_length
        if next_position > end:
            return
        yield position, header
        position = next_position


def verify_batch(view: Buffer) -> str | None:
    """What is wrong with the one batch that `view` should be, or None.

    The sentence starts with the failing field and a colon: length, magic, crc, attributes,
    last offset delta, record count. The records themselves are not walked. A batch from the log
    may hold fewer records than offsets (compaction, control batches); from a producer it may not.
    """
    if len(view) < HEADER_BYTES:
        return f"length: {len(view)} bytes are less than a batch header's {HEADER_BYTES}"
    header = BatchHeader._make(HEADER.unpack_from(view, 0))
    if header.magic != MAGIC:
        return f"magic: {header.magic} instead of {MAGIC}"
    if header.batch_length != len(view) - LENGTH_OVERHEAD_BYTES:
        return f"length: {header.batch_length} declared, {len(view) - LENGTH_OVERHEAD_BYTES} there"
    computed = crc32c(memoryview(view)[ATTRIBUTES_POSITION:])
    if computed != header.crc:
        return f"crc: {header.crc:#010x} stored, {computed:#010x} computed"
    if header.attributes & ~KNOWN_ATTRIBUTES or header.attributes & CODEC_MASK not in CODECS:
        return f"attributes: {header.attributes & 0xFFFF:#06x} has unknown bits or codec"
    if header.last_offset_delta < 0:
        return f"last offset delta: {header.last_offset_delta}"
    if not 0 <= header.record_count <= header.last_offset_delta + 1:
        return f"record count: {header.record_count} for {header.last_offset_delta + 1} offsets"
    return None


def decode_batch(view: Buffer, max_output_bytes: int = DECOMPRESSED_BYTES_MAX) -> Iterator[Record]:
    """Records of the one batch that `view` is, lazily; its checksum is not checked here.

    Header and decompression fail at the call, records while they are iterated, all with
    `ProtocolError`. Keys and values are copies. Control records come like all others.
    """
    if len(view) < HEADER_BYTES:
        raise ProtocolError(f"{len(view)} bytes are less than a batch header")
    header = BatchHeader._make(HEADER.unpack_from(view, 0))
    if header.magic != MAGIC or header.batch_length != len(view) - LENGTH_OVERHEAD_BYTES:
        raise ProtocolError(f"magic {header.magic}, batch length {header.batch_length}")
    codec = header.attributes & CODEC_MASK
    payload = memoryview(view)[RECORDS_POSITION:]
    records = decompress(codec, payload, max_output_bytes) if codec else bytes(payload)
    if not 0 <= header.record_count <= len(records) // RECORD_BYTES_MIN:
        raise ProtocolError(f"{len(records)} bytes cannot hold {header.record_count} records")
    return _iterate_records(records, header)


def _iterate_records(data: bytes, header: BatchHeader) -> Iterator[Record]:
    """Walk the records. `tuple.__new__` skips the named tuple's own slower constructor."""
    base_offset = header.base_offset
    base_timestamp_ms = header.base_timestamp_ms
    append_time_ms = header.max_timestamp_ms if header.attributes & LOG_APPEND_TIME else None
    new = tuple.__new__
    position = 0
    try:
        for _ in range(header.record_count):
            length, position = _read_length(data, position)
            end = position + length
            timestamp_delta = data[position + 1]  # behind the attributes: no bit is defined
            position += 2
            if timestamp_delta < 0x80:
                timestamp_delta = (timestamp_delta >> 1) ^ -(timestamp_delta & 1)
            else:
                timestamp_delta, position = decode_varint(data, position - 1, 10)
            offset_delta, position = _read_length(data, position)
            key = value = None
            if data[position] == 1:
                position += 1
            else:
                key, position = _read_nullable(data, position)
            value_length, position = _read_length(data, position)
            if value_length >= 0:
                value = data[position : position + value_length]
                position += value_length
            headers: tuple[tuple[str, bytes | None], ...] = ()
            if data[position]:
                headers, position = _read_headers(data, position, end)
            else:
                position += 1
            if position != end:
                raise ProtocolError(
                    f"a record of {length} bytes ends at byte {position}, not {end}"
                )
            yield new(
                Record,
                (
                    base_offset + offset_delta,
                    base_timestamp_ms + timestamp_delta
                    if append_time_ms is None
                    else append_time_ms,
                    key,
                    value,
                    headers,
                ),
            )
    except IndexError:
        raise ProtocolError("the records end inside a record") from None
    if position != len(data):
        raise ProtocolError(f"{len(data) - position} bytes behind the last record")


def _read_length(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    second = data[position + 1]
    if second < 0x80:
        rest = byte & 0x7F | second << 7
        return (rest >> 1) ^ -(rest & 1), position + 2
    return decode_varint(data, position)


def _read_nullable(data: bytes, position: int) -> tuple[bytes | None, int]:
    """Any negative length is null, as Java reads it; the position never moves back."""
    length, position = _read_length(data, position)
    if length < 0:
        return None, position
    return data[position : position + length], position + length


def _read_headers(
    data: bytes, position: int, end: int
) -> tuple[tuple[tuple[str, bytes | None], ...], int]:
    count, position = _read_length(data, position)
    if not 0 <= count <= end - position:
        raise ProtocolError(f"{count} headers in the {end - position} bytes left of a record")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, position = _read_nullable(data, position)
        if name is None or position > end:
            raise ProtocolError("a header without a name")
        value, position = _read_nullable(data, position)
        headers.append((name.decode("utf-8", "replace"), value))
    return tuple(headers), position
