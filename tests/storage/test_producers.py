"""The producers' memory: Kafka's codes, Kafka's snapshot, and a window that survives exactly."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from logserver.storage.producers import (
    SEQUENCE_MAX,
    ProducerStates,
    SnapshotError,
    advance_sequence,
    batches,
    decode_snapshot,
    decode_window,
    encode_snapshot,
    encode_window,
)
from logwire import errors
from logwire.batch import HEADER
from tests.storage.partition_bench import batch

ID = 4000
ACCEPTED = (errors.NONE, -1)
FENCED = (errors.INVALID_PRODUCER_EPOCH, -1)
OUT_OF_ORDER = (errors.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)


def written(*ranges: tuple[int, int], epoch: int = 0) -> ProducerStates:
    """States after batches with these (first, last) sequences; offsets follow from 100."""
    states = ProducerStates()
    offset = 100
    for first, last in ranges:
        count = advance_sequence(last, -first) + 1
        states.update(ID, epoch, first, last, offset, offset + count - 1, 7)
        offset += count
    return states


def test_an_unknown_producer_may_begin_with_any_sequence() -> None:
    """Its earlier records may have been deleted by retention (KIP-360)."""
    assert ProducerStates().check(ID, 3, 17, 20) == ACCEPTED


def test_the_next_sequence_is_accepted_and_any_other_is_out_of_order() -> None:
    """In sequence means: exactly one after the last."""
    states = written((0, 9))
    assert states.check(ID, 0, 10, 12) == ACCEPTED
    assert states.check(ID, 0, 11, 12) == OUT_OF_ORDER
    assert states.check(ID, 0, 9, 12) == OUT_OF_ORDER


def test_each_of_the_last_five_batches_is_a_duplicate_with_its_first_base_offset() -> None:
    """Five is what a client may have in flight; the sixth is out of order, as in Kafka."""
    states = written(*[(i * 2, i * 2 + 1) for i in range(6)])
    for i in range(1, 6):
        assert states.check(ID, 0, i * 2, i * 2 + 1) == (errors.NONE, 100 + i * 2)
    assert states.check(ID, 0, 0, 1) == OUT_OF_ORDER


def test_a_repetition_with_other_bounds_is_no_duplicate() -> None:
    """A duplicate has the same first and the same last sequence."""
    states = written((0, 4), (5, 9))
    assert states.check(ID, 0, 5, 8) == OUT_OF_ORDER
    assert states.check(ID, 0, 0, 9) == OUT_OF_ORDER


def test_an_older_epoch_is_fenced_and_a_newer_one_begins_at_sequence_zero() -> None:
    """INVALID_PRODUCER_EPOCH for the zombie, OUT_OF_ORDER for a new epoch in mid-sequence."""
    states = written((0, 4), epoch=2)
    assert states.check(ID, 1, 5, 5) == FENCED
    assert states.check(ID, 3, 5, 5) == OUT_OF_ORDER
    assert states.check(ID, 3, 0, 0) == ACCEPTED


def test_a_new_epoch_forgets_the_batches_of_the_old() -> None:
    """After the bump a repeated old batch is fenced, not a duplicate."""
    states = written((0, 4))
    states.update(ID, 1, 0, 0, 105, 105, 8)
    assert states.check(ID, 0, 0, 4) == FENCED
    assert states.check(ID, 1, 0, 0) == (errors.NONE, 105)
    assert states.check(ID, 1, 1, 3) == ACCEPTED


def test_sequences_wrap_from_the_largest_int32_to_zero() -> None:
    """The ring has 2^31 places; a batch may lie across its end."""
    states = written((SEQUENCE_MAX - 1, SEQUENCE_MAX))
    assert states.check(ID, 0, 0, 3) == ACCEPTED
    states = written((SEQUENCE_MAX, 1))
    assert states.check(ID, 0, 2, 2) == ACCEPTED
    assert states.check(ID, 0, SEQUENCE_MAX, 1) == (errors.NONE, 100)


def test_a_producer_expires_by_its_last_timestamp() -> None:
    """`producer.id.expiration.ms`; afterwards it is unknown."""
    states = written((0, 4))
    assert states.expire(1006, 1000) == 0
    assert states.expire(1007, 1000) == 1
    assert states.check(ID, 0, 99, 99) == ACCEPTED


def test_the_snapshot_is_kafkas_byte_for_byte() -> None:
    """Version 1, CRC-32C from byte 6, one 46-byte entry with the last batch."""
    states = ProducerStates()
    states.update(1, 2, 10, 14, 1000, 1004, 1_600_000_000_000)
    assert encode_snapshot(states).hex() == (
        "0001" + "8f6b6b4e" + "00000001"
        "0000000000000001" + "0002" + "0000000e" + "00000000000003ec" + "00000004"
        "00000174876e8000" + "ffffffff" + "ffffffffffffffff"
    )


def test_a_snapshot_gives_back_the_last_batch_and_a_window_gives_back_all() -> None:
    """Kafka's file is a window of one; ours holds everything that `check` looks at."""
    states = written(*[(i * 2, i * 2 + 1) for i in range(6)])
    states.update(ID + 1, 7, 0, 0, 400, 400, 9)
    from_snapshot = decode_snapshot(encode_snapshot(states))
    assert list(batches(from_snapshot)) == [
        (ID, (10, 11, 110, 111, 7)),
        (ID + 1, (0, 0, 400, 400, 9)),
    ]
    from_window = decode_window(encode_window(states))
    assert list(batches(from_window)) == list(batches(states))
    assert from_window.check(ID, 0, 4, 5) == states.check(ID, 0, 4, 5) == (errors.NONE, 104)


@pytest.mark.parametrize("encode", [encode_snapshot, encode_window])
def test_every_flipped_bit_and_every_cut_of_the_files_is_found(
    encode: Callable[[ProducerStates], bytes],
) -> None:
    """Version, checksum, count and entries: nothing may change unseen."""
    decode = decode_snapshot if encode is encode_snapshot else decode_window
    data = bytearray(encode(written((0, 4), (5, 5), (6, 10))))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SnapshotError):
            decode(bytes(data))
        data[bit // 8] ^= 1 << bit % 8
    for size in range(len(data)):
        with pytest.raises(SnapshotError):
            decode(bytes(data[:size]))
    with pytest.raises(SnapshotError):
        decode(bytes(data) + b"\0")


def test_replaying_the_headers_gives_the_memory_that_appending_gave() -> None:
    """A random stream of batches: memory by `update` and memory by `replay` are the same."""
    seed = Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    appended, replayed = ProducerStates(), ProducerStates()
    next_sequence = dict.fromkeys(range(5), 0)
    epochs = dict.fromkeys(range(5), 0)
    offset = 0
    for _ in range(400):
        producer = random.randrange(5)
        if random.random() < 0.05:
            epochs[producer] += 1
            next_sequence[producer] = 0
        count = random.randint(1, 4)
        first = next_sequence[producer]
        last = first + count - 1
        assert appended.check(producer, epochs[producer], first, last) == ACCEPTED
        data = batch(offset, count, producer=(producer, epochs[producer], first))
        header = HEADER.unpack_from(data)
        appended.update(
            producer, epochs[producer], first, last, offset, offset + count - 1, header[8]
        )
        replayed.replay(header)
        next_sequence[producer] = last + 1
        offset += count
    assert encode_window(appended) == encode_window(replayed)


def test_batches_without_a_producer_leave_no_trace() -> None:
    """Plain producers have id -1."""
    states = ProducerStates()
    states.replay(HEADER.unpack_from(batch(0, 3)))
    assert not states.entries
