"""The load's own batches are real Kafka batches, and the check finds every kind of damage."""

import pytest

from perf import batches
from perf.batches import LoadError, check, ring


def stored(source: batches.Ring, numbers: list[int]) -> bytearray:
    """What a broker would hold: the batches with their base offsets stamped."""
    out = bytearray()
    for place, number in enumerate(numbers):
        one = bytearray(source.batches[number % len(source.batches)])
        one[:8] = (place * source.record_count).to_bytes(8, "big")
        out += one
    return out


SOURCE = ring(3, 4, 1_700_000_000_000)


def test_a_ring_holds_different_batches_of_one_size() -> None:
    """Otherwise a repeated batch would look like the right one."""
    assert len({len(one) for one in SOURCE.batches}) == 1
    assert len(set(SOURCE.crcs)) == len(SOURCE.batches)


def test_logwire_reads_what_the_load_wrote() -> None:
    """Two implementations of the format agree: CRC, count, values."""
    batch = pytest.importorskip("logwire.batch")
    for number, one in enumerate(SOURCE.batches):
        assert batch.verify_batch(memoryview(bytearray(one))) is None
        records = list(batch.decode_batch(memoryview(one)))
        assert [bytes(record.value)[:8] for record in records] == [
            (number * 3 + delta).to_bytes(8, "big") for delta in range(3)
        ]


def test_whole_runs_pass_also_when_the_ring_comes_round() -> None:
    """Six batches of a ring of four, from the start and from the middle."""
    data = stored(SOURCE, [0, 1, 2, 3, 4, 5])
    assert check(memoryview(data), 0, SOURCE) == 18
    size = SOURCE.batch_bytes
    assert check(memoryview(data)[2 * size :], 6, SOURCE) == 18


@pytest.mark.parametrize("numbers", [[0, 2], [0, 0], [1, 0]])
def test_a_lost_repeated_or_reordered_batch_is_found(numbers: list[int]) -> None:
    """Even with the offsets of a flawless log."""
    with pytest.raises(LoadError, match="another batch"):
        check(memoryview(stored(SOURCE, numbers)), 0, SOURCE)


def test_every_flipped_byte_is_found() -> None:
    """Whatever byte is damaged, but the broker's own stamp of the leader epoch."""
    data = stored(SOURCE, [0])
    for position in range(len(data)):
        if 12 <= position < 16:
            continue
        data[position] ^= 1
        with pytest.raises(LoadError):
            check(memoryview(data), 0, SOURCE)
        data[position] ^= 1


def test_a_torn_batch_is_found() -> None:
    """Bytes that are no whole batch."""
    with pytest.raises(LoadError, match="no whole batch"):
        check(memoryview(stored(SOURCE, [0, 1]))[:-1], 0, SOURCE)


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, 1024 * 1024])
def test_a_batch_of_a_named_size_fits_into_it_closely(size: int) -> None:
    """As many 1 KB records as fit: the largest is still below Kafka's message.max.bytes."""
    one = ring(batches.records_that_fit(size), 1, 0).batch_bytes
    assert size * 0.93 < one <= size
