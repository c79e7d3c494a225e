"""Batches are byte for byte what other clients build, and hostile ones cost nothing."""

from __future__ import annotations

import contextlib
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logwire import batch
from logwire.batch import (
    HEADER,
    BatchHeader,
    Record,
    RecordFields,
    decode_batch,
    decode_varint,
    encode_batch,
    encode_varint,
    iterate_batches,
    stamp,
    stamp_append_time,
    stamp_producer,
    verify_batch,
)
from logwire.checksum import crc32c
from logwire.errors import ProtocolError
from tests.logwire.peers import aiokafka_records, kafka_python_records

NOW_MS = 1_763_000_000_000

header_values = st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8))
record_fields = st.tuples(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=200),
    st.lists(header_values, max_size=3),
    st.integers(0, 1 << 45) | st.integers(NOW_MS, NOW_MS + 100),
)


def plain(count: int, size_bytes: int = 100, step_ms: int = 0) -> list[RecordFields]:
    """Records with a value and a time only."""
    return [(None, bytes(size_bytes), (), NOW_MS + i * step_ms) for i in range(count)]


def with_crc(data: bytearray) -> bytearray:
    """Repair length and checksum after a test has changed bytes."""
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[17:21] = crc32c(memoryview(data)[21:]).to_bytes(4, "big")
    return data


def kafka_python_batch(
    records: list[RecordFields], codec: int, producer: tuple[int, int, int]
) -> bytes:
    """The same batch built by kafka-python, which writes leader epoch 0."""
    builder = kafka_python_records.DefaultRecordBatchBuilder(2, codec, False, *producer, 1 << 30)
    for offset, (key, value, headers, timestamp_ms) in enumerate(records):
        assert builder.append(offset, timestamp_ms, key, value, list(headers)) is not None
    return bytes(builder.build())


def records_of(data: bytes | bytearray) -> list[Record]:
    """All records of one batch."""
    return list(decode_batch(data))


@given(records=st.lists(record_fields, min_size=1, max_size=80))
def test_encoding_equals_kafka_python_byte_for_byte(records: list[RecordFields]) -> None:
    """Keys, nulls, headers, times out of order: the same bytes, checksum included."""
    ours = encode_batch(records, leader_epoch=0, producer_id=9, producer_epoch=2, base_sequence=77)
    assert bytes(ours) == kafka_python_batch(records, 0, (9, 2, 77))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200, 8191, 8192, 8193, 9000])
@pytest.mark.parametrize("step_ms", [0, 1, 3])
def test_table_boundaries_equal_kafka_python(count: int, step_ms: int) -> None:
    """Offset and timestamp deltas that change their width stay byte for byte equal."""
    sizes = (0, 1, 55, 56, 57, 63, 64, 65)
    records: list[RecordFields] = [
        (None, bytes(sizes[i % len(sizes)]), (), NOW_MS + i * step_ms) for i in range(count)
    ]
    assert bytes(encode_batch(records, leader_epoch=0)) == kafka_python_batch(
        records, 0, (-1, -1, -1)
    )


@pytest.mark.parametrize("size_bytes", [8100, 8150, 8159, 8160, 8161, 8191, 8192, 8193, 70_000])
def test_large_values_equal_kafka_python(size_bytes: int) -> None:
    """Where the tables end the careful path takes over."""
    records = plain(3, size_bytes, step_ms=5000) + plain(70, size_bytes)
    assert bytes(encode_batch(records, leader_epoch=0)) == kafka_python_batch(
        records, 0, (-1, -1, -1)
    )


@pytest.mark.parametrize("codec", range(5))
@given(records=st.lists(record_fields, min_size=1, max_size=20))
def test_what_is_encoded_is_decoded(codec: int, records: list[RecordFields]) -> None:
    """Offsets count up, times are kept, every codec."""
    data = encode_batch(records, codec=codec, base_offset=1000)
    assert verify_batch(data) is None
    assert records_of(data) == [
        Record(1000 + i, timestamp_ms, key, value, tuple(headers))
        for i, (key, value, headers, timestamp_ms) in enumerate(records)
    ]


@pytest.mark.parametrize("codec", range(5))
def test_aiokafka_and_kafka_python_read_our_batches(codec: int) -> None:
    """Two independent readers agree on every record and on the checksum."""
    records: list[RecordFields] = [
        (b"k%d" % i if i % 3 else None, b"value" * i, [("h", b"x")] * (i % 4), NOW_MS + i)
        for i in range(300)
    ]
    data = bytes(encode_batch(records, codec=codec, base_offset=5))
    for reader in (aiokafka_records.DefaultRecordBatch, kafka_python_records.DefaultRecordBatch):
        if codec == 2 and reader is kafka_python_records.DefaultRecordBatch:
            continue  # kafka-python needs python-snappy for it
        theirs = reader(data)
        assert theirs.validate_crc()
        assert [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in theirs] == [
            (5 + i, r[3], r[0], r[1], list(r[2])) for i, r in enumerate(records)
        ]


@pytest.mark.parametrize("codec", [0, 1, 3, 4])
def test_we_read_their_batches(codec: int) -> None:
    """kafka-python and aiokafka as writers."""
    records: list[RecordFields] = [
        (b"k", b"value" * i, [("h", None)], NOW_MS - i) for i in range(90)
    ]
    expected = [Record(i, r[3], r[0], r[1], (("h", None),)) for i, r in enumerate(records)]
    assert records_of(kafka_python_batch(records, codec, (1, 0, 0))) == expected
    builder = aiokafka_records.DefaultRecordBatchBuilder(2, codec, 0, 1, 0, 0, 1 << 30)
    for offset, (key, value, headers, timestamp_ms) in enumerate(records):
        builder.append(offset, timestamp_ms, key, value, list(headers))
    theirs = bytes(builder.build())
    assert records_of(theirs) == expected
    assert verify_batch(theirs) is None


def test_the_header_is_where_kafka_puts_it() -> None:
    """Field by field, against positions written out by hand."""
    data = encode_batch(
        plain(3, step_ms=10), codec=4, base_offset=7, leader_epoch=5, producer_id=99,
        producer_epoch=3, base_sequence=12, transactional=True,
    )  # fmt: skip
    header = BatchHeader._make(HEADER.unpack_from(data))
    assert header == BatchHeader(
        7, len(data) - 12, 5, 2, header.crc, 4 | 16, 2, NOW_MS, NOW_MS + 20, 99, 3, 12, 3
    )
    positions = [
        batch.BASE_OFFSET_POSITION, batch.BATCH_LENGTH_POSITION, batch.LEADER_EPOCH_POSITION,
        batch.MAGIC_POSITION, batch.CRC_POSITION, batch.ATTRIBUTES_POSITION,
        batch.LAST_OFFSET_DELTA_POSITION, batch.BASE_TIMESTAMP_POSITION,
        batch.MAX_TIMESTAMP_POSITION, batch.PRODUCER_ID_POSITION, batch.PRODUCER_EPOCH_POSITION,
        batch.BASE_SEQUENCE_POSITION, batch.RECORD_COUNT_POSITION, batch.RECORDS_POSITION,
    ]  # fmt: skip
    assert positions == [0, 8, 12, 16, 17, 21, 23, 27, 35, 43, 51, 53, 57, 61]
    for (low, high), value in zip(pairwise(positions), header, strict=True):
        mask = (1 << 8 * (high - low)) - 1
        assert int.from_bytes(data[low:high], "big") == value & mask


def test_control_and_append_time_bits() -> None:
    """The attribute bits, and records that all take the max timestamp."""
    data = encode_batch(plain(2, step_ms=9), control=True, log_append_time=True)
    assert HEADER.unpack_from(data)[5] == 0x28
    assert [r.timestamp_ms for r in decode_batch(data)] == [NOW_MS + 9] * 2


def test_stamping_leaves_the_checksum_right() -> None:
    """Base offset and leader epoch lie before byte 17, where the checksum does not look."""
    data = encode_batch(plain(4))
    stamp(memoryview(data), 123_456_789_000, 42)
    assert verify_batch(data) is None
    assert [r.offset for r in decode_batch(data)] == list(range(123_456_789_000, 123_456_789_004))
    assert HEADER.unpack_from(data)[2] == 42


def test_append_time_is_stamped_with_a_new_checksum() -> None:
    """LogAppendTime rewrites attributes and max timestamp."""
    data = encode_batch(plain(4, step_ms=3), codec=1)
    stamp_append_time(memoryview(data), NOW_MS + 5000)
    assert verify_batch(data) is None
    assert {r.timestamp_ms for r in decode_batch(data)} == {NOW_MS + 5000}


def test_a_producer_starts_over_with_the_same_records() -> None:
    """Producer id, epoch and sequence change, the records and a right checksum stay."""
    data = encode_batch(plain(4), producer_id=1, producer_epoch=0, base_sequence=50)
    stamp_producer(data, 2, 1, 0)
    assert data == encode_batch(plain(4), producer_id=2, producer_epoch=1, base_sequence=0)


def test_batches_are_found_one_behind_the_other() -> None:
    """Positions and headers of whole batches; a cut last one is left out at every cut."""
    batches = [encode_batch(plain(n), base_offset=10 * n, codec=n % 5) for n in range(1, 6)]
    joined = b"".join(batches)
    found = list(iterate_batches(memoryview(joined)))
    assert [header.base_offset for _, header in found] == [10, 20, 30, 40, 50]
    assert [position for position, _ in found] == [
        sum(map(len, batches[:i])) for i in range(len(batches))
    ]
    for cut in range(len(joined)):
        whole = sum(sum(map(len, batches[: i + 1])) <= cut for i in range(len(batches)))
        assert len(list(iterate_batches(joined[:cut]))) == whole


def test_iteration_refuses_old_magics_and_bad_lengths() -> None:
    """Where the next batch starts would be a guess."""
    good = encode_batch(plain(1))
    for position, value in ((16, 1), (16, 0), (8, 0xFF), (11, 3)):
        bad = bytearray(good)
        bad[8:11] = bad[8:11] if position != 11 else b"\0\0\0"
        bad[position] = value
        with pytest.raises(ProtocolError):
            list(iterate_batches(good + bad))


@pytest.mark.parametrize(
    ("position", "value", "word"),
    [
        (16, b"\x01", "magic"),
        (8, b"\x00\x00\x00\x31", "length"),
        (17, b"\x00\x00\x00\x00", "crc"),
        (60, b"\x07", "crc"),
        (21, b"\x00\x80", "attributes"),
        (21, b"\x00\x05", "attributes"),
        (23, b"\xff\xff\xff\xff", "last offset delta"),
        (57, b"\xff\xff\xff\xff", "record count"),
        (57, b"\x00\x00\x00\x09", "record count"),
    ],
)
def test_verification_names_the_field(position: int, value: bytes, word: str) -> None:
    """Each broken field is told by its name."""
    data = encode_batch(plain(3))
    data[position : position + len(value)] = value
    if word in ("attributes", "last offset delta", "record count"):
        with_crc(data)
    assert (verify_batch(data) or "").startswith(word + ":")


def test_every_flipped_bit_behind_the_epoch_is_found() -> None:
    """All bits but base offset and leader epoch are covered by a check."""
    data = encode_batch(plain(2, 20))
    for position in [*range(8, 12), *range(16, len(data))]:
        for bit in range(8):
            data[position] ^= 1 << bit
            assert verify_batch(data) is not None, (position, bit)
            data[position] ^= 1 << bit
    assert verify_batch(data) is None


def test_every_cut_of_a_batch_is_a_protocol_error() -> None:
    """Cut records with a repaired header and checksum never decode."""
    data = encode_batch([(b"key", b"value", [("name", b"x" * 70)], NOW_MS)] * 3)
    for cut in range(61, len(data)):
        with pytest.raises(ProtocolError):
            records_of(with_crc(data[:cut]))
    with pytest.raises(ProtocolError):
        records_of(with_crc(data + b"\x00"))
    for cut in range(61):
        with pytest.raises(ProtocolError):
            records_of(data[:cut])


@settings(max_examples=400)
@given(payload=st.binary(max_size=120), count=st.integers(-3, 40))
def test_hostile_records_only_raise_protocol_errors(payload: bytes, count: int) -> None:
    """Random record sections with a valid header and checksum."""
    data = encode_batch(plain(1))[:61] + payload
    data[57:61] = count.to_bytes(4, "big", signed=True)
    try:
        records = records_of(with_crc(data))
    except ProtocolError:
        return
    assert len(records) == count


@settings(max_examples=300)
@given(st.data())
def test_damaged_records_only_raise_protocol_errors(data: st.DataObject) -> None:
    """Valid sections with some bytes changed reach deeper into the decoder."""
    good = encode_batch([(b"key", b"value", [("name", b"x")], NOW_MS + i) for i in range(3)])
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(61, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        list(decode_batch(with_crc(good)))


def test_promises_are_not_believed() -> None:
    """Two billion records, headers or bytes in a hundred bytes are refused, not allocated."""
    data = encode_batch(plain(1))
    data[57:61] = b"\x7f\xff\xff\xff"
    with pytest.raises(ProtocolError, match="cannot hold"):
        decode_batch(with_crc(data))
    huge = encode_varint((1 << 31) - 1)
    for body in (
        b"\x00\x00\x00" + huge,  # key
        b"\x00\x00\x00\x01" + huge,  # value
        b"\x00\x00\x00\x01\x01" + huge,  # header count
        b"\x00\x00\x00\x01\x01\x02" + huge,  # header name
    ):
        for length in (encode_varint(len(body) + 10), huge):
            hostile = encode_batch(plain(1))[:61] + length + body + bytes(10)
            with pytest.raises(ProtocolError):
                records_of(with_crc(hostile))


def test_decompression_of_a_batch_is_capped() -> None:
    """The cap is the caller's, for every codec."""
    for codec in range(1, 5):
        data = encode_batch(plain(10, 10_000), codec=codec)
        assert len(list(decode_batch(data, 110_000))) == 10
        with pytest.raises(ProtocolError, match="more than"):
            decode_batch(data, 90_000)


@given(number=st.integers(-(1 << 63), (1 << 63) - 1))
def test_varints_round_trip(number: int) -> None:
    """All of int64, in the fewest bytes."""
    encoded = encode_varint(number)
    assert decode_varint(encoded + b"\xff", 0, 10) == (number, len(encoded))
    bits = max(1, (number if number >= 0 else ~number).bit_length() + 1)
    assert len(encoded) == -(-bits // 7)


def test_long_varints_are_refused() -> None:
    """Five bytes for 32 bits, ten for 64, and no number beyond them."""
    assert decode_varint(b"\xff\xff\xff\xff\x0f", 0) == (-(1 << 31), 5)
    for data, limit in (
        (b"\xff\xff\xff\xff\x1f", 5),
        (b"\x80\x80\x80\x80\x80\x00", 5),
        (b"\xff" * 9 + b"\x02", 10),
        (b"\x80" * 10 + b"\x00", 10),
    ):
        with pytest.raises(ProtocolError):
            decode_varint(data, 0, limit)
    with pytest.raises(IndexError):
        decode_varint(b"\x80\x80", 0)


@pytest.mark.parametrize("kind", ["one size, one time", "many sizes", "many times"])
def test_encode_1000_records_of_1_kb(benchmark: object, kind: str) -> None:
    """Micro-benchmark: a record costs a thousandth of it; at most 0.5 us."""
    rng = random.Random(1)
    records: list[RecordFields] = [
        (
            None,
            bytes(rng.randint(900, 1100) if kind == "many sizes" else 1000),
            (),
            NOW_MS + (i if kind == "many times" else 0),
        )
        for i in range(1000)
    ]
    benchmark(encode_batch, records)  # type: ignore[operator]


def test_decode_1000_records_of_1_kb(benchmark: object) -> None:
    """Micro-benchmark: the consumer's side."""
    data = bytes(encode_batch(plain(1000, 1000, step_ms=1)))
    benchmark(records_of, data)  # type: ignore[operator]


def test_verify_64_kb(benchmark: object) -> None:
    """Micro-benchmark: header checks and checksum of one batch."""
    data = encode_batch(plain(64, 1000))
    benchmark(verify_batch, memoryview(data))  # type: ignore[operator]
