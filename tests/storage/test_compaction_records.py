"""The two looks at records, beside the plain decoder, and on bytes that do not add up."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from logserver.storage.compaction_records import (
    GOES,
    STAYS,
    TOMBSTONE,
    Section,
    choose,
    move_timestamps,
    note_keys,
)
from logserver.storage.offset_map import FULL, NEW
from logwire.batch import HEADER, HEADER_BYTES, Record, decode_batch, encode_batch
from logwire.errors import ProtocolError


def random_batch(random: Random) -> bytes:
    """Keys, values, headers and times of all widths that a varint can have."""
    records = []
    for _ in range(random.randint(1, 90)):
        key = random.choice((None, b"", b"k", random.randbytes(100), random.randbytes(9000)))
        value = random.choice((None, b"", random.randbytes(70), random.randbytes(9000)))
        headers = random.choice(((), (("name", None), ("other", b"value"))))
        records.append((key, value, headers, random.choice((0, 50, 1 << 20, 1 << 41))))
    return bytes(encode_batch(records, base_offset=1000))


def records_of(data: bytes) -> Section:
    """What the looks want to know of a batch."""
    header = HEADER.unpack_from(data)
    return Section(data, HEADER_BYTES, len(data), header[12], header[0], header[0] + header[6])


@pytest.mark.parametrize("seed", range(20))
def test_keys_and_offsets_are_those_that_the_decoder_sees(seed: int) -> None:
    """From the asked offset on, null keys left out."""
    data = random_batch(Random(seed))
    found: list[tuple[bytes, int]] = []
    known: dict[bytes, int] = {}

    def put(key: bytes, offset: int) -> int:
        found.append((key, offset))
        before = known.get(key, NEW)
        known[key] = offset
        return before

    marks = bytearray(60)
    assert note_keys(records_of(data), 1003, put, marks) == -1
    decoded = [record for record in decode_batch(data) if record.offset >= 1003]
    assert found == [(r.key, r.offset) for r in decoded if r.key is not None]
    for record in decoded:
        if record.offset - 1003 < len(marks):
            is_newest = record.key is not None and known[record.key] == record.offset
            wanted = (TOMBSTONE if record.value is None else STAYS) if is_newest else GOES
            assert marks[record.offset - 1003] == wanted


def test_the_first_key_without_room_ends_the_look() -> None:
    """The answer is its offset."""
    data = bytes(encode_batch([(b"a", b"", (), 0), (b"b", b"", (), 0)], base_offset=7))
    put = {b"a": NEW, b"b": FULL}
    assert note_keys(records_of(data), 0, lambda key, _: put[key], bytearray()) == 8


def stays(record: Record, newest: dict[bytes, int], mapped_offset: int, expired: bool) -> bool:
    """Kafka's rule in its own words."""
    if record.offset > mapped_offset:
        return True
    if record.key is None:
        return False
    latest = record.offset >= newest.get(record.key, -1)
    return latest and (record.value is not None or not expired)


@pytest.mark.parametrize("seed", range(40))
def test_what_stays_is_what_the_rule_says(seed: int) -> None:
    """The ranges hold exactly the bytes of the records that stay; time and tombstones are told."""
    random = Random(seed)
    data = random_batch(random)
    decoded = list(decode_batch(data))
    newest = {record.key: random.randint(990, 1090) for record in decoded if record.key is not None}
    mapped_offset, expired = random.choice((1030, 2000)), random.random() < 0.5
    chosen = choose(records_of(data), mapped_offset, lambda k: newest.get(k, -1), expired)
    wanted = [r for r in decoded if stays(r, newest, mapped_offset, expired)]
    assert chosen.records_count == len(wanted)
    assert chosen.has_tombstone == any(record.value is None for record in wanted)
    if not wanted:
        assert (chosen.ranges, chosen.max_timestamp_delta) == ([], None)
        return
    base_ms = HEADER.unpack_from(data)[7]
    assert chosen.max_timestamp_delta == max(r.timestamp_ms for r in wanted) - base_ms
    assert all(a[1] < b[0] for a, b in zip(chosen.ranges, chosen.ranges[1:], strict=False))
    rest = bytearray(data[:HEADER_BYTES]) + b"".join(data[a:b] for a, b in chosen.ranges)
    rest[8:12] = (len(rest) - 12).to_bytes(4, "big")
    rest[57:61] = len(wanted).to_bytes(4, "big")
    assert list(decode_batch(bytes(rest))) == wanted


@pytest.mark.parametrize("by_ms", [-(1 << 41), -1, 1, 1 << 41])
def test_moved_timestamps_are_told_from_another_base(by_ms: int) -> None:
    """The record is otherwise the same, byte for byte behind its time."""
    data = random_batch(Random(5))
    moved = b"".join(move_timestamps(data, [(HEADER_BYTES, len(data))], by_ms))
    rest = bytearray(data[:HEADER_BYTES]) + moved
    rest[8:12] = (len(rest) - 12).to_bytes(4, "big")
    base_ms = int.from_bytes(data[27:35], "big") - by_ms
    rest[27:35] = base_ms.to_bytes(8, "big", signed=True)
    assert list(decode_batch(bytes(rest))) == list(decode_batch(data))


@pytest.mark.parametrize("seed", range(300))
def test_bytes_that_do_not_add_up_are_a_breach_and_nothing_worse(seed: int) -> None:
    """Flipped and cut: ProtocolError or an answer, in time that follows the bytes."""
    random = Random(seed)
    data = bytearray(random_batch(random)[:3000])
    for _ in range(random.randint(1, 4)):
        data[random.randrange(HEADER_BYTES, len(data))] = random.choice((0, 1, 127, 128, 255))
    for count in (random.randint(1, 100), 1 << 31):
        for look in (
            lambda count: note_keys(
                Section(bytes(data), 61, len(data), count, 0, 99), 0, lambda *_: NEW, bytearray(8)
            ),
            lambda count: choose(
                Section(bytes(data), 61, len(data), count, 0, 99), 99, lambda _: -1, True
            ),
        ):
            with suppress(ProtocolError):
                look(count)


@pytest.mark.parametrize(
    "section",
    [
        b"\x0c\x00\x00\x00\x0a\x01\x01",  # the key reaches beyond the record
        b"\x02\x00\x00\x00\x01\x01\x00",  # the record ends within itself
        b"\x0e\x00\x00\x00\x01\x01\x00\x00\x00",  # bytes behind the last record
        b"\x40\x00\x00\x00\x01\x01\x00",  # the record reaches beyond the batch
    ],
)
def test_a_record_must_end_where_it_says(section: bytes) -> None:
    """In both looks."""
    whole = Section(section, 0, len(section), 1, 0, 0)
    with pytest.raises(ProtocolError):
        note_keys(whole, 0, lambda *_: NEW, bytearray(8))
    with pytest.raises(ProtocolError):
        choose(whole, 9, lambda _: -1, False)


def test_an_offset_behind_the_batch_is_a_breach() -> None:
    """Else a record could make others go that were written after it."""
    section = b"\x10\x00\x00\x7e\x02k\x02v\x00"  # offset delta 63
    whole = Section(section, 0, len(section), 1, 10, 10)
    with pytest.raises(ProtocolError, match="behind its batch"):
        note_keys(whole, 0, lambda *_: NEW, bytearray(8))
    assert note_keys(whole._replace(last_offset=73), 0, lambda *_: NEW, bytearray(8)) == -1
