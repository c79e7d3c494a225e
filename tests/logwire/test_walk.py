"""Walking records for their keys: what is found, what is refused, and in how many slices.

The lazy decoder of `batch` is the model: whatever bytes it cannot read are refused here too, and
whatever it reads has the same null keys.
"""

from __future__ import annotations

from random import Random

import pytest

from logwire.batch import HEADER_BYTES, RECORD_COUNT_POSITION, decode_batch, encode_batch
from logwire.errors import ProtocolError
from logwire.walk import NAMED_MAX, SLICE_STEPS, NullKeys, walk_keys
from tools.refusal_cases import record, zigzag

SEED = 20_260_103
TIMESTAMP_MS = 1_700_000_000_000


def walked(records: bytes | memoryview, count: int) -> tuple[NullKeys, int]:
    """The records without a key, and how many times the walk let others have a turn."""
    found = NullKeys()
    return found, sum(1 for _ in walk_keys(records, count, found))


def section(batch: bytes | bytearray) -> bytes:
    """The records section of an uncompressed batch."""
    return bytes(batch[HEADER_BYTES:])


def test_records_without_a_key_are_named() -> None:
    """By their index in the batch, as Kafka's RecordError does; an empty key is a key."""
    keys = [b"a", None, b"", None, b"k" * 200]
    records = [(key, b"value", (), TIMESTAMP_MS + n) for n, key in enumerate(keys)]
    found, turns = walked(section(encode_batch(records)), len(keys))
    assert (found.count, found.indexes, turns) == (2, [1, 3], 0)


def test_a_view_into_a_larger_buffer_is_walked_where_it_lies() -> None:
    """Records need not be copied out of the receive buffer."""
    batch = encode_batch([(b"k", None, (), TIMESTAMP_MS)])
    found, _ = walked(memoryview(batch)[HEADER_BYTES:], 1)
    assert found.count == 0


def test_any_negative_key_length_is_a_null_key() -> None:
    """Java reads it so; the position does not move back."""
    body = b"\0\0\0" + zigzag(-7) + zigzag(-1) + zigzag(0)
    found, _ = walked(zigzag(len(body)) + body, 1)
    assert found.indexes == [0]


def test_all_null_keys_are_counted_and_the_first_hundred_named() -> None:
    """Two million null keys must not become two million numbers."""
    count = NAMED_MAX + 50
    records = [(None, b"v", (), TIMESTAMP_MS)] * count
    found, _ = walked(section(encode_batch(records)), count)
    assert found.count == count
    assert found.indexes == list(range(NAMED_MAX))


@pytest.mark.parametrize("count", [1, SLICE_STEPS, SLICE_STEPS + 1, 3 * SLICE_STEPS])
def test_a_long_walk_stops_between_slices(count: int) -> None:
    """One slice for so many records, two for one more."""
    records = [(b"key", b"v", (), TIMESTAMP_MS)] * count
    _, turns = walked(section(encode_batch(records)), count)
    assert turns == (count - 1) // SLICE_STEPS


def test_headers_count_as_steps_too() -> None:
    """One record may hold as many headers as a batch holds records."""
    headers = tuple(("name", b"value") for _ in range(5 * SLICE_STEPS))
    records = [(b"key", b"v", headers, TIMESTAMP_MS), (None, None, (("n", None),), TIMESTAMP_MS)]
    found, turns = walked(section(encode_batch(records)), 2)
    assert found.indexes == [1]
    assert turns == 5


WHOLE = record(0) + record(1)
BODY = b"\0\0\0" + zigzag(1) + b"k" + zigzag(-1)
BROKEN = {
    "fewer records than promised": (WHOLE, 3),
    "more records than promised": (WHOLE, 1),
    "no records at all": (b"", 1),
    "a count that no batch can hold": (WHOLE, 2**31 - 1),
    "a negative count": (WHOLE, -1),
    "noise": (b"\xff" * 20, 1),
    "zeros": (bytes(20), 1),
    "a record longer than the batch": (zigzag(500) + WHOLE, 1),
    "a negative record length": (zigzag(-20) + WHOLE, 1),
    "a record length of ten bytes": (b"\x80" * 9 + b"\x01" + WHOLE, 1),
    "a key beyond the end": (zigzag(9) + b"\0\0\0" + zigzag(2**30) + WHOLE, 1),
    "a value of 2 GB": (zigzag(12) + b"\0\0\0" + zigzag(1) + b"k" + zigzag(2**31 - 1) + WHOLE, 1),
    "a record one byte too long": (zigzag(len(BODY) + 2) + BODY + b"\0\0", 1),
    "a record one byte too short": (zigzag(len(BODY)) + BODY + b"\0", 1),
    "a byte behind the last record": (WHOLE + b"\0", 2),
    "a timestamp delta that never ends": (zigzag(20) + b"\0" + b"\x80" * 20, 1),
    "an offset delta that never ends": (zigzag(20) + b"\0\0" + b"\x80" * 20, 1),
    "more headers than bytes": (zigzag(len(BODY) + 5) + BODY + zigzag(2**31 - 1), 1),
    "a negative header count": (zigzag(len(BODY) + 1) + BODY + zigzag(-1), 1),
    "a null header name": (zigzag(len(BODY) + 3) + BODY + zigzag(1) + zigzag(-1) + zigzag(-1), 1),
    "a header beyond the end": (zigzag(len(BODY) + 3) + BODY + zigzag(1) + zigzag(60) + b"n", 1),
}


@pytest.mark.parametrize(("records", "count"), BROKEN.values(), ids=BROKEN)
def test_records_that_are_not_what_was_promised_are_refused(records: bytes, count: int) -> None:
    """Always ProtocolError, whether the bytes lie in `bytes` or in a view."""
    for data in (records, memoryview(bytearray(records))):
        with pytest.raises(ProtocolError):
            walked(data, count)


def test_every_cut_of_a_batch_is_refused() -> None:
    """Wherever the bytes end, the last record is missing."""
    headers = (("name", b"value"), ("empty", None))
    records = [(b"k%d" % n, b"v" * 100 * n, headers, TIMESTAMP_MS + 1000 * n) for n in range(4)]
    whole = section(encode_batch(records))
    assert walked(whole, 4)[0].count == 0
    for size_bytes in range(len(whole)):
        with pytest.raises(ProtocolError):
            walked(whole[:size_bytes], 4)


def verdict(batch: bytes | bytearray) -> list[int] | None:
    """What the decoder says: the indexes of null keys, or None for bytes it cannot read."""
    try:
        return [n for n, item in enumerate(decode_batch(batch)) if item.key is None]
    except ProtocolError:
        return None


def test_the_walk_and_the_decoder_agree_on_damaged_batches() -> None:
    """Random bytes changed, 5,000 times: both refuse or both find the same null keys."""
    random = Random(SEED)
    refused = 0
    for _ in range(5000):
        records = [
            (
                random.choice([None, b"", b"key", b"k" * 130]),
                random.choice([None, b"value", b"v" * 9000]),
                (),
                TIMESTAMP_MS + random.choice([0, 5, -3, 10**7]),
            )
            for _ in range(random.randint(1, 5))
        ]
        batch = encode_batch(records)
        for _ in range(random.randint(0, 3)):
            batch[random.randrange(HEADER_BYTES, len(batch))] = random.randrange(256)
        count = int.from_bytes(batch[RECORD_COUNT_POSITION:HEADER_BYTES], "big")
        try:
            seen: list[int] | None = walked(section(batch), count)[0].indexes
        except ProtocolError:
            seen = None
        expected = verdict(batch)
        refused += expected is None
        assert seen == expected, f"seed {SEED}: {bytes(batch).hex()}"
    assert 100 < refused < 4900
