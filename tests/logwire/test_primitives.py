"""The primitive types: values both ways, and every promise checked before it is believed."""

import random
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwire import primitives as p
from logwire.errors import ProtocolError

FORMS = pytest.mark.parametrize("compact", [False, True], ids=["classic", "compact"])


def uvarint(value: int) -> bytes:
    out = bytearray()
    p.write_uvarint(out, value)
    return bytes(out)


@given(st.integers(0, 0xFFFF_FFFF))
def test_a_uvarint_survives_both_ways_and_takes_no_more_bytes_than_needed(value: int) -> None:
    """7 bits a byte."""
    data = uvarint(value)
    assert p.read_uvarint(memoryview(data + b"\xff"), 0) == (value, len(data))
    assert len(data) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 5, b"\xff" * 10, b"\x80" * 5 + b"\0", b"\xff\xff\xff\xff\x1f", b"\x80" * 100],
    ids=["5 open bytes", "10 open bytes", "6 bytes of zero", "33 bits", "endless"],
)
def test_a_uvarint_beyond_32_bits_is_a_protocol_error(data: bytes) -> None:
    """Nothing is shifted further than five bytes."""
    with pytest.raises(ProtocolError, match="varint"):
        p.read_uvarint(memoryview(data), 0)


def test_a_uvarint_that_stops_in_the_middle_breaks_off() -> None:
    """The caller turns BREACHES into ProtocolError."""
    for size in range(5):
        with pytest.raises(p.BREACHES):
            p.read_uvarint(memoryview(b"\x80" * size), 0)


@FORMS
@pytest.mark.parametrize("value", ["", "topic", "\u00e9\u20ac\U0001f4be", "x" * 300, None])
def test_a_string_survives_both_ways(compact: bool, value: str | None) -> None:
    """UTF-8, with or without null."""
    out = bytearray()
    p.string_writer(compact, nullable=True)(out, value)
    assert p.string_reader(compact, nullable=True)(memoryview(out), 0) == (value, len(out))


@FORMS
def test_records_come_back_as_a_view_and_not_as_a_copy(compact: bool) -> None:
    """What is read is the frame's own memory."""
    out = bytearray()
    p.bytes_writer(compact, nullable=False)(out, b"batch")
    frame = memoryview(bytes(out))
    value, _ = p.records_reader(compact, nullable=False)(frame, 0)
    assert isinstance(value, memoryview)
    assert value.obj is frame.obj
    assert bytes(value) == b"batch"


@FORMS
def test_null_is_refused_where_the_schema_allows_none(compact: bool) -> None:
    """By the reader as the peer's breach, by the writer as our bug."""
    item = p.fixed_reader(p.INT32)
    null = b"\0" if compact else b"\xff\xff\xff\xff"
    for read in (
        p.string_reader(compact, nullable=False),
        p.records_reader(compact, nullable=False),
        p.array_reader(item, 4, compact, False, p.Budget(100)),
    ):
        with pytest.raises(ProtocolError, match="null"):
            read(memoryview(null), 0)
    for write in (
        p.string_writer(compact, nullable=False),
        p.bytes_writer(compact, nullable=False),
        p.array_writer(p.fixed_writer(p.INT32), compact, nullable=False),
    ):
        with pytest.raises(ValueError, match="null"):
            write(bytearray(), None)


@pytest.mark.parametrize("size", [-2, -100, -(1 << 31)])
def test_a_negative_length_other_than_null_is_a_protocol_error(size: int) -> None:
    """In classic form; compact lengths cannot say it."""
    data = memoryview(struct.pack(">i", size) + bytes(8))
    for read in (
        p.records_reader(compact=False, nullable=True),
        p.array_reader(p.read_bool, 1, False, True, p.Budget(100)),
    ):
        with pytest.raises(ProtocolError, match="negative"):
            read(data, 0)
    with pytest.raises(ProtocolError, match="negative"):
        p.string_reader(compact=False, nullable=True)(memoryview(b"\x80\0" + bytes(8)), 0)


@FORMS
@pytest.mark.parametrize("size", [9, 127, 128, 0x7FFF_FFFE])
def test_a_length_beyond_the_bytes_that_are_there_allocates_nothing(
    compact: bool, size: int
) -> None:
    """A promise of two gigabytes costs a kilobyte."""
    promise = uvarint(size + 1) if compact else struct.pack(">i", size)
    data = memoryview(promise + bytes(8))
    readers = [
        p.records_reader(compact, nullable=True),
        p.array_reader(p.read_bool, 1, compact, True, p.Budget(1 << 40)),
    ]
    tracemalloc.start()
    for read in readers:
        with pytest.raises(ProtocolError, match="left"):
            read(data, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000


def test_arrays_share_one_budget_of_items_even_when_their_bytes_are_there() -> None:
    """A byte can become an object of hundreds: bytes alone are no bound."""
    budget = p.Budget(10)
    read = p.array_reader(p.read_bool, 1, False, False, budget)
    data = memoryview(struct.pack(">i", 6) + bytes(6))
    read(data, 0)
    assert budget.left_count == 4
    with pytest.raises(ProtocolError, match="6 array items where 4 more are allowed"):
        read(data, 0)


def test_an_array_is_measured_by_the_smallest_size_of_its_items() -> None:
    """Three items of eight bytes do not fit into twenty-three."""
    int64 = p.fixed_reader(struct.Struct(">q"))
    read = p.array_reader(int64, 8, False, False, p.Budget(100))
    assert read(memoryview(struct.pack(">i3q", 3, 1, 2, 3)), 0) == ([1, 2, 3], 28)
    with pytest.raises(ProtocolError, match="3 array items where 23 bytes are left"):
        read(memoryview(struct.pack(">i3q", 3, 1, 2, 3))[:-1], 0)


def test_twenty_million_tagged_fields_are_refused_before_the_first_is_read() -> None:
    """Even when forty million bytes follow."""
    count = 20_000_000
    data = memoryview(uvarint(count) + bytes(1000))
    with pytest.raises(ProtocolError, match="20000000 tagged fields"):
        p.skip_tagged(data, 0)
    whole = memoryview(uvarint(count) + bytes(2 * count))
    with pytest.raises(ProtocolError, match="20000000 tagged fields"):
        p.skip_tagged(whole, 0)


def test_unknown_tagged_fields_are_skipped_and_known_ones_read() -> None:
    """The value of tag 7 is nobody's business here."""
    out = bytearray()
    fields = [(1, bytearray(b"\0\0\0\5")), (7, bytearray(b"whatever"))]
    p.write_tagged(out, fields)
    message: dict[str, object] = {}
    known = {1: ("epoch", p.fixed_reader(p.INT32))}
    assert p.read_tagged(memoryview(out), 0, known, message) == len(out)
    assert message == {"epoch": 5}
    assert p.skip_tagged(memoryview(out), 0) == len(out)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_tagged_value_must_fill_its_size_exactly(size: int) -> None:
    """An int32 takes four bytes, whatever was announced."""
    data = memoryview(uvarint(1) + uvarint(1) + uvarint(size) + bytes(8))
    with pytest.raises(ProtocolError, match="tagged field 1"):
        p.read_tagged(data, 0, {1: ("epoch", p.fixed_reader(p.INT32))}, {})


def test_random_bytes_only_ever_raise_protocol_errors_or_break_off() -> None:
    """Every reader over noise: a value, a ProtocolError, or one of BREACHES."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    readers: list[p.Reader] = [
        *(p.string_reader(compact, nullable=True) for compact in (False, True)),
        *(p.records_reader(compact, nullable=True) for compact in (False, True)),
        *(
            p.array_reader(p.read_bool, 1, compact, True, p.Budget(1 << 40))
            for compact in (False, True)
        ),
        p.read_uvarint,
        lambda data, position: (None, p.skip_tagged(data, position)),
    ]
    for _ in range(3_000):
        data = memoryview(rng.randbytes(rng.randrange(24)))
        for read in readers:
            try:
                _, end = read(data, 0)
            except (ProtocolError, *p.BREACHES):
                continue
            assert 0 < end <= len(data)


def test_a_string_longer_than_kafka_allows_is_refused_when_written() -> None:
    """32,767 bytes of UTF-8 are the end."""
    out = bytearray()
    p.string_writer(compact=True, nullable=False)(out, "x" * 0x7FFF)
    with pytest.raises(ValueError, match="32767"):
        p.string_writer(compact=True, nullable=False)(out, "x" * 0x8000)


def test_a_string_longer_than_kafka_allows_is_refused_when_read() -> None:
    """The length of a compact string could say more; a record of ours could not hold it."""
    read = p.string_reader(compact=True, nullable=False)
    longest = uvarint(0x7FFF + 1) + b"x" * 0x7FFF
    assert read(memoryview(longest), 0) == ("x" * 0x7FFF, len(longest))
    with pytest.raises(ProtocolError, match="32767"):
        read(memoryview(uvarint(0x8000 + 1) + b"x" * 0x8000), 0)
