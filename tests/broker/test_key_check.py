"""Compacted topics: no record without a key gets in, whatever hides it.

The bench plays the server: `check_keys` runs decompressions and slices until nothing is held. What
happens to batches that wait for each other is in `test_held_batches`.
"""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

import pytest

from logserver.broker.key_check import (
    DECOMPRESSED_BYTES_MAX,
    DECOMPRESSED_BYTES_MIN,
    decompressed_bytes_max,
)
from logwire import errors
from logwire.batch import HEADER_BYTES, encode_batch, stamp_producer
from logwire.compression import CODECS
from logwire.walk import SLICE_STEPS
from tests.broker.compacted_bench import (
    GZIP,
    TIMESTAMP_MS,
    ZSTD,
    alter,
    around,
    batch,
    compacted_bench,
    keys,
    row_of,
)
from tests.broker.data_bench import DataBench
from tests.logwire.test_walk import BROKEN

SEED = 20_260_104
SENTENCE = "Compacted topic cannot accept message without key in topic partition c-0"


@pytest.fixture
def bench() -> DataBench:
    """Topics `c` and `d` are compacted, `r` is not."""
    return compacted_bench()


def test_a_null_key_is_refused_with_the_records_that_have_none(bench: DataBench) -> None:
    """INVALID_RECORD and an error per record, as Kafka answers; nothing is written."""
    row = row_of(bench, bench.send("c", batch(b"a", None, b"", None)))
    assert (row["error_code"], row["base_offset"]) == (errors.INVALID_RECORD, -1)
    assert [(e["batch_index"], e["batch_index_error_message"]) for e in row["record_errors"]] == [
        (1, SENTENCE),
        (3, SENTENCE),
    ]
    assert row["error_message"].startswith("2 records have no key, the first at index 1")
    assert bench.partition("c").log.end_offset == 0
    assert bench.broker.counters.errors[errors.INVALID_RECORD] == 1


def test_a_short_plain_batch_is_appended_at_once(bench: DataBench) -> None:
    """Nothing is held, so nothing costs a turn; an empty key is a key."""
    assert bench.sent(bench.send("c", batch(b"a", b""))) == (0, 0)
    assert bench.sent(bench.send("c", batch(b"b"))) == (0, 2)
    assert bench.broker.key_checks.held_count == 0
    assert keys(bench, "c") == [b"a", b"", b"b"]


def test_an_ordinary_topic_takes_null_keys(bench: DataBench) -> None:
    """Its batches are not looked into."""
    assert bench.sent(bench.send("r", batch(None, codec=ZSTD))) == (0, 0)
    assert bench.sent(bench.send("r", around(b"noise", 1))) == (0, 1)
    assert bench.partition("r").held is None


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=CODECS.get)
def test_a_compressed_batch_is_looked_into_before_it_is_appended(
    bench: DataBench, codec: int
) -> None:
    """Held, decompressed, walked, appended as it came; or refused."""
    good = bench.send("c", batch(b"a", b"b", codec=codec))
    bad = bench.send("c", batch(b"c", None, codec=codec))
    assert good.answer is None
    assert bad.answer is None
    assert bench.partition("c").log.end_offset == 0
    bench.check_keys()
    assert bench.sent(good) == (0, 0)
    row = row_of(bench, bad)
    assert row["error_code"] == errors.INVALID_RECORD
    assert [error["batch_index"] for error in row["record_errors"]] == [1]
    assert keys(bench, "c") == [b"a", b"b"]
    assert bench.broker.counters.errors == {errors.INVALID_RECORD: 1}
    assert bench.broker.counters.requests[0] == 2


def test_a_long_batch_is_walked_in_slices(bench: DataBench) -> None:
    """One slice a turn: others are served in between."""
    reply = bench.send("c", batch(*[b"k"] * (3 * SLICE_STEPS)))
    checks = bench.broker.key_checks
    for _ in range(3):
        assert reply.answer is None
        checks.advance(bench.now_ms)
    checks.advance(bench.now_ms)
    assert bench.sent(reply) == (0, 0)
    assert not checks.due


def test_one_record_with_thousands_of_headers_is_walked_in_slices(bench: DataBench) -> None:
    """Headers are counted like records."""
    headers = [("h", b"v")] * (2 * SLICE_STEPS)
    reply = bench.send("c", bytes(encode_batch([(b"k", b"v", headers, TIMESTAMP_MS)])))
    assert reply.answer is None
    bench.check_keys()
    assert bench.sent(reply) == (0, 0)


def test_a_repeated_shape_is_looked_into_as_well(bench: DataBench) -> None:
    """The short cut of `handle_repeat` ends in the same check."""
    for n in range(3):
        assert bench.sent(bench.send("c", batch(b"k"))) == (0, n)
    assert bench.peer.repeat is not None
    assert bench.sent(bench.send("c", batch(None)))[0] == errors.INVALID_RECORD
    held = bench.send("c", batch(b"k", codec=GZIP))
    behind = bench.send("c", batch(b"k"))
    refused = bench.send("c", batch(None, codec=GZIP))
    assert held.answer is behind.answer is None
    bench.check_keys()
    assert [bench.sent(reply) for reply in (held, behind)] == [(0, 3), (0, 4)]
    assert bench.sent(refused)[0] == errors.INVALID_RECORD


def test_a_refused_acks_zero_request_closes_its_connection(bench: DataBench) -> None:
    """When the check has ended; a good one is not answered and closes nothing."""
    bench.send("c", batch(b"a", codec=ZSTD), acks=0)
    bench.check_keys()
    assert not bench.peer.refused
    bench.send("c", batch(None, codec=ZSTD), acks=0)
    assert not bench.peer.refused
    bench.check_keys()
    assert bench.peer.refused
    assert bench.peer.answers == []
    assert keys(bench, "c") == [b"a"]


@pytest.mark.parametrize("codec", [0, GZIP, ZSTD], ids=CODECS.get)
@pytest.mark.parametrize(("records", "count"), BROKEN.values(), ids=BROKEN)
def test_records_that_are_not_what_was_promised_are_refused(
    bench: DataBench, records: bytes, count: int, codec: int
) -> None:
    """INVALID_RECORD, nothing written, and the next batch is taken."""
    reply = bench.send("c", around(records, count, codec))
    bench.check_keys()
    assert bench.sent(reply) == (errors.INVALID_RECORD, -1)
    assert bench.sent(bench.send("c", batch(b"k"))) == (0, 0)
    assert bench.partition("c").log.end_offset == 1


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=CODECS.get)
@pytest.mark.parametrize("noise", [b"", b"\0", b"\xff" * 30, b"\x82SNAPPY\0" + b"\x7f" * 20])
def test_what_no_codec_can_read_is_refused(bench: DataBench, codec: int, noise: bytes) -> None:
    """The codec bits promise something that is not there."""
    made = bytearray(around(noise, 1))
    made[22] = codec
    stamp_producer(made, -1, -1, -1)
    reply = bench.send("c", bytes(made))
    bench.check_keys()
    assert bench.sent(reply) == (errors.INVALID_RECORD, -1)


def test_damaged_compressed_batches_are_refused_or_taken_but_never_raise(bench: DataBench) -> None:
    """Each codec, 300 random changes under a right CRC; then a good batch still gets in."""
    random = Random(SEED)
    for codec in (1, 2, 3, 4):
        whole = batch(*[b"key-%d" % n for n in range(50)], codec=codec)
        for _ in range(300):
            made = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                made[random.randrange(HEADER_BYTES, len(made))] = random.randrange(256)
            stamp_producer(made, -1, -1, -1)
            reply = bench.send("c", bytes(made))
            bench.check_keys()
            assert bench.sent(reply)[0] in (errors.NONE, errors.INVALID_RECORD, 10), f"seed {SEED}"
    assert bench.sent(bench.send("c", batch(b"k")))[0] == errors.NONE


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=CODECS.get)
def test_a_batch_that_decompresses_to_too_much_is_refused(bench: DataBench, codec: int) -> None:
    """MESSAGE_TOO_LARGE, with memory for what is allowed and no more."""
    limit_bytes = decompressed_bytes_max(bench.partition("c"))
    bomb = around(bytes(limit_bytes + (1 << 20)), 1, codec)
    reply = bench.send("c", bomb)
    tracemalloc.start()
    bench.check_keys()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bench.sent(reply) == (errors.MESSAGE_TOO_LARGE, -1)
    assert peak_bytes < 2 * limit_bytes + len(bomb)


def test_the_bound_of_decompression_follows_the_topic(bench: DataBench) -> None:
    """Sixteen times max.message.bytes, never below 16 MB and never above 128."""
    sizes = {
        "1000": DECOMPRESSED_BYTES_MIN,
        "4194304": 64 << 20,
        "90000000": DECOMPRESSED_BYTES_MAX,
    }
    for given, expected in sizes.items():
        bench.relaxed(f"m{given}", max_message_bytes=given)
        assert decompressed_bytes_max(bench.partition(f"m{given}")) == expected


def test_headers_are_judged_before_anything_is_held(bench: DataBench) -> None:
    """Wrong CRC, too large, two batches: as for every topic, at once and in Kafka's order."""
    one = batch(None, codec=ZSTD)
    wrong = bytearray(one)
    wrong[17] ^= 1
    assert bench.sent(bench.send("c", bytes(wrong)))[0] == errors.CORRUPT_MESSAGE
    assert bench.sent(bench.send("c", one + one))[0] == errors.INVALID_RECORD
    assert bench.sent(bench.send("c", one[:-1]))[0] == errors.INVALID_RECORD
    bench.relaxed("small", cleanup_policy="compact", max_message_bytes="100")
    large = batch(None, value=bytes(100))
    assert bench.sent(bench.send("small", large))[0] == errors.MESSAGE_TOO_LARGE
    assert bench.broker.key_checks.held_count == 0


def test_what_hangs_behind_a_batch_is_not_stored(bench: DataBench) -> None:
    """Bytes behind the batch that cannot be one are cut off, as for every topic."""
    reply = bench.send("c", batch(b"a", codec=ZSTD) + b"foreign")
    bench.check_keys()
    assert bench.sent(reply) == (0, 0)
    assert bench.sent(bench.send("c", batch(b"b") + b"foreign")) == (0, 1)
    assert keys(bench, "c") == [b"a", b"b"]


def test_a_topic_that_becomes_compacted_is_checked_from_then_on(bench: DataBench) -> None:
    """Also for a connection whose requests are known by their shape."""
    for _ in range(3):
        assert bench.sent(bench.send("r", batch(None)))[0] == errors.NONE
    assert bench.peer.repeat is not None
    alter(bench, "r", "compact")
    assert bench.sent(bench.send("r", batch(None)))[0] == errors.INVALID_RECORD
    alter(bench, "r", "delete")
    assert bench.partition("r").held is None
    assert bench.sent(bench.send("r", batch(None)))[0] == errors.NONE


def test_nothing_is_left_for_the_garbage_collector(bench: DataBench) -> None:
    """Which is off while the server serves: a refused batch that forms a ring is lost memory."""
    hostile = [around(*row, codec) for row in BROKEN.values() for codec in (0, GZIP, ZSTD)]
    hostile += [around(b"k", 1, ZSTD)[:-1], batch(None, codec=GZIP), batch(b"k", codec=ZSTD)]

    def serve() -> None:
        for records in hostile:
            bench.send("c", records)
            bench.check_keys()
        bench.peer.answers.clear()

    serve()  # whatever is made once
    gc.collect()
    gc.disable()
    try:
        serve()
        assert gc.collect() == 0
    finally:
        gc.enable()
