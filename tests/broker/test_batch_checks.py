"""Why a batch is refused. The codes are Kafka's: tests/server/test_refusals.py holds us to them.

Here: that the slow half of the check agrees with the fast half, and says a sentence.
"""

from __future__ import annotations

import pytest

from logserver.broker.batch_checks import diagnose, is_zstd, whole_batch
from logserver.broker.produce import append_batch
from logwire import errors
from tests.broker.data_bench import DataBench, batch


@pytest.fixture
def bench() -> DataBench:
    """A broker with a relaxed topic `r`."""
    bench = DataBench()
    bench.relaxed("r")
    return bench


def test_a_good_batch_is_fine(bench: DataBench) -> None:
    """The slow half finds nothing where the fast half asked for nothing."""
    partition = bench.partition("r")
    assert diagnose(partition, memoryview(bytearray(batch(3))), bench.now_ms) == (0, None)


def test_every_flipped_bit_that_is_refused_has_a_sentence(bench: DataBench) -> None:
    """Bits outside the CRC change what the batch says of itself; the broker overwrites the rest.

    Base offset, length, magic and CRC are checked; the leader epoch (bytes 12 to 15) is stamped.
    """
    partition = bench.partition("r")
    good = batch(1)
    for position in range(len(good)):
        for bit in range(8):
            spoilt = bytearray(good)
            spoilt[position] ^= 1 << bit
            code, offset, _ = append_batch(
                bench.broker, partition, memoryview(spoilt), bench.now_ms
            )
            stamped = 12 <= position < 16
            assert (code == 0) == stamped, f"byte {position} bit {bit}: code {code}"
            assert (offset >= 0) == stamped
            if code:
                assert bench.broker.refusal_message


def test_bytes_behind_the_batch_that_cannot_be_one_are_ignored(bench: DataBench) -> None:
    """Kafka trims them too."""
    good = batch(1)
    kept, refused = whole_batch(memoryview(bytearray(good + b"eleven byte")))
    assert refused[0] == 0
    assert kept is not None
    assert bytes(kept) == good


def test_two_batches_are_one_too_many() -> None:
    """Exactly one batch per partition and request."""
    kept, refused = whole_batch(memoryview(bytearray(batch(1) * 2)))
    assert kept is None
    assert refused[0] == errors.INVALID_RECORD


def test_zstd_is_seen_from_the_header() -> None:
    """It may be sent from Produce version 7 on (KIP-110)."""
    assert is_zstd(memoryview(batch(1, codec=4)))
    assert not is_zstd(memoryview(batch(1, codec=2)))
    assert not is_zstd(memoryview(b"short"))


@pytest.mark.parametrize("policy", ["compact", "delete"])
def test_clients_do_not_write_internal_topics(bench: DataBench, policy: str) -> None:
    """Whatever an administrator has made of its configuration."""
    bench.create("__consumer_offsets", 1, cleanup_policy=policy)
    partition = bench.partition("__consumer_offsets")
    records = memoryview(bytearray(batch(1)))
    if policy == "compact":
        code, offset, _ = bench.broker.key_checks.append(partition, records, bench.now_ms)
    else:
        code, offset, _ = append_batch(bench.broker, partition, records, bench.now_ms)
    assert (code, offset) == (errors.INVALID_TOPIC_EXCEPTION, -1)
    assert partition.log.end_offset == 0
