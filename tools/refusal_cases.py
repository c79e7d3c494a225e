"""Broken input for a Kafka server, case by case: what `record_refusals` sends and records.

Everything is packed by hand with `struct`, on purpose without `logwire`: a mistake there must not
be able to hide itself here. A produce case is a topic with a configuration and a few steps; each
step is one Produce request with one record set, and what matters is the code that comes back:

    Case("gap in the sequence", [Step(batch(PRODUCER)), Step(batch(PRODUCER, sequence=5))])

The record batch, magic 2 (KIP-98, `org.apache.kafka.common.record.DefaultRecordBatch`); the CRC32C
covers everything from the attributes on:

    0 base offset | 8 batch length | 12 leader epoch | 16 magic | 17 crc | 21 attributes
    23 last offset delta | 27 base timestamp | 35 max timestamp | 43 producer id
    51 producer epoch | 53 base sequence | 57 record count | 61 records
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import fastcrc

TIMESTAMP_MS = 1_700_000_000_000  # 2023-11-14: old enough for every default, young enough to keep
FUTURE_MS = 7_258_118_400_000  # 2200-01-01
PRODUCER = 4_000_000  # a producer id nobody handed out: Kafka takes any without transactions

COMPACT = {"cleanup.policy": "compact"}
UNEXPECTED = (87, "in Apache Kafka an unexpected exception")

CODEC_MASK = 7
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL, DELETE_HORIZON = 8, 16, 32, 64

_HEADER = struct.Struct(">qiibIhiqqqhii")
_BODY = struct.Struct(">hiqqqhii")


class Step(NamedTuple):
    """One Produce request: the record set and what surrounds it."""

    records: bytes | None
    version: int = 8
    acks: int = -1
    transactional_id: str | None = None
    partition: int = 0
    topic: str | None = None  # None: the topic of the case
    note: str = ""


class Case(NamedTuple):
    """Steps on one new topic with one partition. `inside`: Kafka finds it only by walking records.

    `ours` is the code that this project gives where it differs on purpose, with the reason.
    """

    name: str
    steps: Sequence[Step]
    config: Mapping[str, str] = {}
    inside: bool = False
    ours: tuple[int, str] | None = None


def zigzag(number: int) -> bytes:
    """A signed variable-length integer, least significant seven bits first."""
    return uvarint((number << 1) ^ (number >> 63))


def uvarint(number: int) -> bytes:
    """An unsigned variable-length integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def record(
    offset_delta: int,
    value: bytes | None = b"value",
    key: bytes | None = b"key",
    timestamp_delta: int = 0,
) -> bytes:
    """One record of a batch, without headers."""
    body = b"\0" + zigzag(timestamp_delta) + zigzag(offset_delta)
    for field in (key, value):
        body += zigzag(-1) if field is None else zigzag(len(field)) + field
    body += zigzag(0)
    return zigzag(len(body)) + body


def batch(
    producer_id: int = -1,
    *,
    count: int = 1,
    epoch: int | None = None,
    sequence: int | None = None,
    attributes: int = 0,
    records: bytes | None = None,
    last_offset_delta: int | None = None,
    record_count: int | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    magic: int = 2,
    timestamp_ms: int = TIMESTAMP_MS,
    max_timestamp_ms: int | None = None,
    length: int | None = None,
    length_change: int = 0,
    crc_change: int = 0,
) -> bytes:
    """A record batch that is right unless an argument says otherwise; the CRC fits what is said."""
    if records is None:
        records = b"".join(record(delta) for delta in range(count))
    plain = producer_id < 0
    body = _BODY.pack(
        attributes,
        count - 1 if last_offset_delta is None else last_offset_delta,
        timestamp_ms,
        timestamp_ms if max_timestamp_ms is None else max_timestamp_ms,
        producer_id,
        (-1 if plain else 0) if epoch is None else epoch,
        (-1 if plain else 0) if sequence is None else sequence,
        count if record_count is None else record_count,
    )
    crc = (fastcrc.crc32.iscsi(body + records) + crc_change) & 0xFFFFFFFF
    if length is None:
        length = 9 + len(body) + len(records) + length_change
    head = struct.pack(">qiibI", base_offset, length, leader_epoch, magic, crc)
    return head + body + records


def old_message(magic: int, value: bytes = b"value", *, crc_change: int = 0) -> bytes:
    """A whole message of format 0 or 1 (`LegacyRecord`), as producers before 0.11 sent it."""
    body = struct.pack(">bb", magic, 0)
    if magic == 1:
        body += struct.pack(">q", TIMESTAMP_MS)
    body += struct.pack(">i", -1) + struct.pack(">i", len(value)) + value
    crc = (zlib.crc32(body) + crc_change) & 0xFFFFFFFF
    return struct.pack(">qiI", 0, len(body) + 4, crc) + body


def _one(name: str, records: bytes | None, **more: object) -> Case:
    """A case of one step."""
    config = more.pop("config", {})
    inside = bool(more.pop("inside", False))
    ours = more.pop("ours", None)
    step = Step(records, **more)  # type: ignore[arg-type]
    return Case(name, [step], config, inside, ours)  # type: ignore[arg-type]


def shape_cases() -> list[Case]:
    """Lengths, magic, CRC, counts: what the 61 bytes of the header say about the batch."""
    good = batch()
    return [
        _one("a good batch", good),
        _one("a good batch of three", batch(count=3)),
        _one("no records field", None, ours=(87, "Apache Kafka never answers")),
        _one("an empty record set", b""),
        _one("sixty bytes, one less than a header", good[:60]),
        _one("eleven bytes, less than offset and length", good[:11]),
        _one("wrong CRC", batch(crc_change=1)),
        _one("a flipped bit in the last byte", good[:-1] + bytes([good[-1] ^ 1])),
        _one("magic 0 in a version 2 batch", batch(magic=0)),
        _one("magic 1 in a version 2 batch", batch(magic=1)),
        _one("magic 3", batch(magic=3)),
        _one("magic -1", batch(magic=-1)),
        _one("a real message of format 0", old_message(0)),
        _one("a real message of format 1", old_message(1)),
        _one("a message of format 1 with a wrong CRC", old_message(1, crc_change=1)),
        _one("batch length one too long", batch(length_change=1)),
        _one("batch length far too long", batch(length=1_000_000)),
        _one(
            "batch length 2147483647",
            batch(length=0x7FFFFFFF),
            ours=(87, "as any length beyond the bytes; in Apache Kafka the sum overflows"),
        ),
        _one("batch length one too short", batch(length_change=-1)),
        _one("batch length 48, less than a header", batch(length=48)),
        _one("batch length 49, a bare header, records behind it", batch(length=49)),
        _one("batch length 13, less than the smallest message", batch(length=13)),
        _one("batch length 0", batch(length=0)),
        _one("batch length -1", batch(length=-1)),
        _one("batch length -2147483648", batch(length=-0x80000000)),
        _one("two batches", good + batch(base_offset=1)),
        _one("two batches, the second cut short", good + batch(base_offset=1)[:-1]),
        _one("two batches, the second with a wrong CRC", good + batch(crc_change=1)),
        _one("eleven foreign bytes behind the batch", good + b"\0" * 11),
        _one("sixty foreign bytes behind the batch", good + b"\0" * 60),
        _one("one foreign byte behind the batch", good + b"x"),
        _one("base offset 7", batch(base_offset=7)),
        _one("base offset -1", batch(base_offset=-1)),
        _one("leader epoch 99", batch(leader_epoch=99)),
        _one("leader epoch -2", batch(leader_epoch=-2)),
    ]


def count_cases() -> list[Case]:
    """Record count against last offset delta."""
    compressed = gzip.compress(record(0), mtime=0)
    return [
        _one("record count 0 and last offset delta -1", batch(count=0, records=b"")),
        _one("record count 0, last offset delta 0", batch(record_count=0)),
        _one("record count 0, gzip", batch(record_count=0, attributes=1, records=compressed)),
        _one("record count -1", batch(record_count=-1)),
        _one("record count 2147483647", batch(record_count=0x7FFFFFFF)),
        _one("record count 2, last offset delta 0", batch(count=2, last_offset_delta=0)),
        _one("record count 1, last offset delta 1", batch(last_offset_delta=1)),
        _one("last offset delta -1", batch(last_offset_delta=-1)),
        _one("last offset delta -2147483648", batch(last_offset_delta=-0x80000000)),
        _one("last offset delta 2147483647", batch(last_offset_delta=0x7FFFFFFF)),
        _one(
            "count 3 promised, 2 there",
            batch(count=2, record_count=3, last_offset_delta=2),
            inside=True,
        ),
        _one(
            "count 2 promised, 3 there",
            batch(count=3, record_count=2, last_offset_delta=1),
            inside=True,
        ),
    ]


def attribute_cases() -> list[Case]:
    """The attribute bits: codec, timestamp type, transactional, control, horizon, unknown."""
    unknown = (87, "a bit without a meaning today must not be stored: it may get one")
    codec = (76, "in Apache Kafka an unexpected exception")
    converted = (32, "Apache Kafka rewrites the batch from its records; we do not walk them")
    transactions = "no transactions yet: a transactional id and the transactional bit get 53"
    control_record = record(0, value=b"\0\0\0\0\0\0", key=b"\0\0\0\1")
    transactional = TRANSACTIONAL
    return [
        *(_one(f"codec {number}", batch(attributes=number), ours=codec) for number in (5, 6, 7)),
        *(
            _one(f"attribute bit {bit}", batch(attributes=1 << bit), ours=unknown)
            for bit in range(6, 15)
        ),
        _one("attribute bit 15", batch(attributes=-0x8000), ours=unknown),
        _one("timestamp type LogAppendTime", batch(attributes=LOG_APPEND_TIME), ours=converted),
        _one("control bit", batch(attributes=CONTROL)),
        _one(
            "control bit with a control record", batch(attributes=CONTROL, records=control_record)
        ),
        _one(
            "control and transactional bits with a producer",
            batch(PRODUCER, attributes=CONTROL | transactional, records=control_record),
            ours=(53, transactions),
        ),
        _one(
            "transactional bit, no transactional id, no producer id",
            batch(attributes=transactional),
            ours=(53, transactions),
        ),
        _one(
            "transactional bit, no transactional id, a producer id",
            batch(PRODUCER, attributes=transactional),
            ours=(53, transactions),
        ),
        _one(
            "transactional bit with a transactional id",
            batch(PRODUCER, attributes=transactional),
            transactional_id="t",
            ours=(53, transactions),
        ),
        _one(
            "a transactional id around a plain batch",
            batch(),
            transactional_id="t",
            ours=(53, transactions),
        ),
    ]


def timestamp_cases() -> list[Case]:
    """Bounds of `message.timestamp.before/after.max.ms`, and timestamps that contradict."""
    hour = {"message.timestamp.before.max.ms": "3600000"}
    append = {"message.timestamp.type": "LogAppendTime"}
    trusted = (32, "the header's word is checked; Apache Kafka recomputes it from the records")
    return [
        _one("timestamp in the year 2200", batch(timestamp_ms=FUTURE_MS)),
        _one(
            "max timestamp alone in the year 2200", batch(max_timestamp_ms=FUTURE_MS), ours=trusted
        ),
        _one("old timestamp within the default", batch(timestamp_ms=1)),
        _one("timestamp older than before.max.ms", batch(), config=hour),
        _one("max timestamp alone in the year 1970", batch(max_timestamp_ms=1), ours=trusted),
        _one("no timestamp (-1)", batch(timestamp_ms=-1)),
        _one("no timestamp (-1) with before.max.ms", batch(timestamp_ms=-1), config=hour),
        _one("timestamp -2", batch(timestamp_ms=-2)),
        _one(
            "max timestamp below the base timestamp",
            batch(max_timestamp_ms=TIMESTAMP_MS - 1),
            ours=trusted,
        ),
        _one("max timestamp above every record", batch(max_timestamp_ms=TIMESTAMP_MS + 5)),
        _one("max timestamp -1", batch(max_timestamp_ms=-1), ours=trusted),
        _one("year 2200 on a LogAppendTime topic", batch(timestamp_ms=FUTURE_MS), config=append),
        _one(
            "LogAppendTime bit on a LogAppendTime topic",
            batch(attributes=LOG_APPEND_TIME),
            config=append,
        ),
    ]


def producer_cases() -> list[Case]:
    """Producer id, epoch and sequence of one batch alone."""
    return [
        _one("producer with its first batch", batch(PRODUCER)),
        _one("a new producer that starts at sequence 7", batch(PRODUCER, sequence=7)),
        _one("producer id without epoch", batch(PRODUCER, epoch=-1)),
        _one("producer id with epoch -2", batch(PRODUCER, epoch=-2)),
        _one("producer id without sequence", batch(PRODUCER, sequence=-1)),
        _one("producer id with sequence -2", batch(PRODUCER, sequence=-2)),
        _one("sequence without producer id", batch(sequence=0)),
        _one("epoch without producer id", batch(epoch=0)),
        _one("epoch and sequence without producer id", batch(epoch=0, sequence=0)),
        _one("producer id -2", batch(-2)),
        _one("producer id -2 with epoch and sequence", batch(-2, epoch=0, sequence=0)),
    ]


def _sequences(name: str, *steps: tuple[int, int, int]) -> Case:
    """Steps of one producer: each (epoch, base sequence, record count)."""
    return Case(
        name,
        [
            Step(batch(PRODUCER, epoch=epoch, sequence=first, count=count))
            for epoch, first, count in steps
        ],
    )


def sequence_cases() -> list[Case]:
    """What came before decides: gaps, duplicates, epochs, the wrap at 2147483647."""
    top = 0x7FFFFFFF
    singles = [(0, number, 1) for number in range(6)]
    return [
        _sequences("consecutive batches", (0, 0, 2), (0, 2, 3), (0, 5, 1)),
        _sequences("a gap in the sequence", (0, 0, 1), (0, 5, 1)),
        _sequences("a gap, then the right one", (0, 0, 1), (0, 5, 1), (0, 1, 1)),
        _sequences("a duplicate of the last batch", (0, 0, 2), (0, 0, 2)),
        _sequences("duplicates of each of the last five", *singles[:5], *singles[:5]),
        _sequences("a duplicate of the sixth last", *singles, singles[0]),
        _sequences("a duplicate, then the next", (0, 0, 1), (0, 0, 1), (0, 1, 1)),
        _sequences("same first sequence, more records", (0, 0, 2), (0, 0, 3)),
        _sequences("same first sequence, fewer records", (0, 0, 3), (0, 0, 2)),
        _sequences("overlapping the end of the last batch", (0, 0, 3), (0, 2, 2)),
        _sequences("a part of a kept batch", (0, 0, 3), (0, 1, 2)),
        _sequences("two kept batches as one", (0, 0, 1), (0, 1, 1), (0, 0, 2)),
        _sequences("an older epoch", (3, 0, 1), (2, 1, 1)),
        _sequences("an older epoch from sequence 0", (3, 0, 1), (2, 0, 1)),
        _sequences("a newer epoch from sequence 0", (0, 0, 1), (1, 0, 1)),
        _sequences("a newer epoch from sequence 1", (0, 0, 1), (1, 1, 1)),
        _sequences("a newer epoch, then a duplicate of the old", (0, 0, 1), (1, 0, 1), (0, 0, 1)),
        _sequences("the same sequences in a newer epoch", (0, 0, 2), (1, 0, 2), (1, 0, 2)),
        _sequences("the wrap, batch ending at the top", (0, top, 1), (0, 0, 1)),
        _sequences("the wrap, inside one batch", (0, top, 3), (0, 2, 1)),
        _sequences("the wrap, a gap behind it", (0, top, 1), (0, 1, 1)),
        _sequences("a duplicate of the batch that wraps", (0, top, 3), (0, top, 3)),
    ]


def request_cases() -> list[Case]:
    """What surrounds the records: acks, versions, topics, partitions, sizes."""
    small = {"max.message.bytes": "200"}
    zstd = bytes.fromhex("28b52ffd0400410000") + b"\0" * 8
    return [
        _one("acks 2", batch(), acks=2),
        _one("acks -2", batch(), acks=-2),
        _one("acks 1", batch(), acks=1),
        *(_one(f"Produce version {version}", batch(), version=version) for version in (3, 5, 7)),
        _one("zstd below Produce version 7", batch(attributes=4, records=zstd), version=6),
        _one("a topic that is not there", batch(), topic="refusals.nowhere"),
        _one("a topic with a slash", batch(), topic="a/b"),
        _one("the topic ..", batch(), topic=".."),
        _one("an empty topic name", batch(), topic=""),
        _one("partition 1 of one", batch(), partition=1),
        _one("partition -1", batch(), partition=-1),
        _one("batch of 300 bytes against 200", batch(records=record(0, b"v" * 230)), config=small),
        _one("a good batch on two replicas required", batch(), config={"min.insync.replicas": "2"}),
        _one(
            "acks 1 on two replicas required", batch(), acks=1, config={"min.insync.replicas": "2"}
        ),
        _one("wrong CRC and too large", batch(count=30, crc_change=1), config=small),
        _one("two batches and a wrong CRC", batch(crc_change=1) * 2),
        _one("wrong CRC and a gap-free producer", batch(PRODUCER, crc_change=1)),
        _one("wrong CRC in the future", batch(crc_change=1, timestamp_ms=FUTURE_MS)),
        _one("control bit in the future", batch(attributes=CONTROL, timestamp_ms=FUTURE_MS)),
    ]


def inside_cases() -> list[Case]:
    """Kafka walks every record of a batch. This server does so for compacted topics only."""
    return [
        _one("records that are noise", batch(records=b"\xff" * 20), inside=True),
        _one("a record longer than the batch", batch(records=zigzag(500) + b"x"), inside=True),
        _one("bytes behind the last record", batch(records=record(0) + b"\0"), inside=True),
        _one("offset delta 5 in the only record", batch(records=record(5)), inside=True),
        _one("gzip bit on plain records", batch(attributes=1), inside=True),
        _one("snappy bit on plain records", batch(attributes=2), inside=True),
        _one("lz4 bit on plain records", batch(attributes=3), inside=True),
        _one("zstd bit on plain records", batch(attributes=4), inside=True),
        _compacted("a null key", batch(records=record(0, key=None))),
        _compacted("a key", batch()),
        _one("null key and value", batch(records=record(0, None, None))),
    ]


def _compacted(name: str, records: bytes, **more: object) -> Case:
    """A case of one step on a compacted topic."""
    return _one(f"{name} on a compacted topic", records, config=COMPACT, **more)


def _zipped(records: bytes, count: int = 1, cut_bytes: int = 0) -> bytes:
    """A gzipped batch; `cut_bytes` are missing at the end of its records."""
    compressed = gzip.compress(records, mtime=0)
    return batch(count=count, attributes=1, records=compressed[: len(compressed) - cut_bytes])


def compacted_cases() -> list[Case]:
    """Null keys of all kinds on compacted topics, and among what else they are found."""
    null, two = record(0, key=None), record(0) + record(1)
    future = batch(records=null, timestamp_ms=FUTURE_MS)
    gap = [Step(batch(PRODUCER)), Step(batch(PRODUCER, records=null, sequence=7))]
    old = [Step(batch(PRODUCER, epoch=1)), Step(batch(PRODUCER, records=null))]
    second = record(0) + record(1, key=None) + record(2)
    return [
        _compacted("an empty key", batch(records=record(0, key=b""))),
        _compacted("a key and a null value", batch(records=record(0, value=None))),
        _compacted("the second of three keys null", batch(count=3, records=second)),
        _compacted("gzipped keys", _zipped(two, 2)),
        _compacted("a gzipped null key", _zipped(second, 3)),
        _compacted("a null key and a wrong CRC", batch(records=null, crc_change=1)),
        _compacted("a null key in the future", future, ours=(32, "the header comes first")),
        _compacted("a null key without sequence", batch(PRODUCER, records=null, sequence=-1)),
        Case(
            "a null key on a topic that is compacted and deleted",
            [Step(batch(records=null))],
            {"cleanup.policy": "compact,delete"},
        ),
        Case("a null key behind a gap on a compacted topic", gap, COMPACT),
        Case("a null key of an old epoch on a compacted topic", old, COMPACT),
        Case("a duplicate on a compacted topic", [Step(batch(PRODUCER))] * 2, COMPACT),
        *walked_cases(),
    ]


def walked_cases() -> list[Case]:
    """Records that are not what the header says, on topics where this server looks at them."""
    two = record(0) + record(1)
    promised = batch(count=2, record_count=3, last_offset_delta=2)
    there = batch(count=3, record_count=2, last_offset_delta=1)
    return [
        _compacted("count 3 promised, 2 there", promised),
        _compacted("count 2 promised, 3 there", there),
        _compacted("gzip, count 3 promised, 2 there", _zipped(two, 3)),
        _compacted("gzip, count 1 promised, 2 there", _zipped(two)),
        _compacted("records that are noise", batch(records=b"\xff" * 20), ours=UNEXPECTED),
        _compacted("gzipped noise", _zipped(b"\xff" * 20)),
        _compacted("a record longer than the batch", batch(records=zigzag(500) + b"x")),
        _compacted("a gzipped record longer than the batch", _zipped(zigzag(500) + b"x")),
        _compacted("bytes behind the last record", batch(records=record(0) + b"\0")),
        _compacted("gzip, bytes behind the last record", _zipped(record(0) + b"\0")),
        _compacted("gzip that ends too early", _zipped(two, 2, cut_bytes=12), ours=UNEXPECTED),
        _compacted("offset delta 5 in the only record", batch(records=record(5))),
        _compacted("gzip bit on plain records", batch(attributes=1), ours=UNEXPECTED),
        _compacted("snappy bit on plain records", batch(attributes=2), ours=UNEXPECTED),
        _compacted("lz4 bit on plain records", batch(attributes=3), ours=UNEXPECTED),
        _compacted("zstd bit on plain records", batch(attributes=4), ours=UNEXPECTED),
    ]


def produce_cases() -> list[Case]:
    """Every case, in the order of the file."""
    return [
        *shape_cases(),
        *count_cases(),
        *attribute_cases(),
        *timestamp_cases(),
        *producer_cases(),
        *sequence_cases(),
        *request_cases(),
        *inside_cases(),
        *compacted_cases(),
    ]
