"""Repeated requests: the short way and the careful way must never disagree."""

from __future__ import annotations

import random

import pytest

from logwire.frame import request_header
from logwire.messages import encode_request
from logwire.produce_codec import decode_produce, encode_produce_response
from logwire.produce_repeat import Repeat

SIZES = (1, 61, 125, 126, 127, 128, 1000, 16381, 16382, 16383, 16384, 70_000, 2_097_149, 2_097_160)


def request(version: int, records: bytes, client: str = "bench", **fields: object) -> memoryview:
    """A Produce frame without its size."""
    partition = {"index": 3, "records": records}
    topic = {"name": "telemetry", "topic_id": b"i" * 16, "partition_data": [partition]}
    message = {"transactional_id": None, "acks": -1, "timeout_ms": 9, "topic_data": [topic]}
    body = request_header(0, version, 77, client)
    return memoryview(bytearray(body + encode_request(0, version, {**message, **fields})))


def body_position(version: int, client: str = "bench") -> int:
    """Where the body starts."""
    return len(request_header(0, version, 77, client))


def learned(version: int, records: bytes = b"r" * 100) -> Repeat:
    """A repeat that was learned from one request."""
    repeat = Repeat.learn(version, request(version, records), body_position(version))
    assert repeat is not None
    return repeat


@pytest.mark.parametrize("version", range(7, 14))
@pytest.mark.parametrize("size_bytes", SIZES)
def test_records_of_any_size_are_found_as_the_decoder_finds_them(
    version: int, size_bytes: int
) -> None:
    """Or the decoder is asked (None), never anything else."""
    repeat = learned(version)
    frame = request(version, bytes(size_bytes))
    found = repeat.records(frame)
    topics = decode_produce(version, frame, body_position(version))[3]
    if found is None:
        assert size_bytes + 1 > 0x1F_FFFF
        assert version >= 9
    else:
        assert found == topics[0][1][0][1]


@pytest.mark.parametrize("version", range(7, 14))
def test_the_answer_is_the_encoders(version: int) -> None:
    """Byte for byte."""
    repeat = learned(version)
    again = request(version, b"r" * 100)
    again[4:8] = (4242).to_bytes(4, "big")
    assert repeat.records(again) is not None
    topic = b"i" * 16 if version >= 13 else "telemetry"
    rows = [(topic, [(3, 0, 12345, 678, 90, None)])]
    expected = encode_produce_response(version, 4242, rows)
    assert repeat.answer(12345, 678, 90) == expected
    assert (repeat.topic, repeat.index, repeat.acks) == (topic, 3, -1)


@pytest.mark.parametrize("version", [7, 9, 13])
def test_anything_different_is_left_to_the_decoder(version: int) -> None:
    """Another client id, other acks, another topic, a transactional id."""
    repeat = learned(version)
    other = {"name": "telemetri", "topic_id": b"j" * 16}
    topic = {**other, "partition_data": [{"index": 3, "records": b"r" * 100}]}
    assert repeat.records(request(version, b"r" * 100, client="other")) is None
    assert repeat.records(request(version, b"r" * 100, acks=1)) is None
    assert repeat.records(request(version, b"r" * 100, topic_data=[topic])) is None
    assert repeat.records(request(version, b"r" * 100, transactional_id="t")) is None


@pytest.mark.parametrize("version", [7, 9, 13])
def test_a_cut_or_longer_frame_is_left_to_the_decoder(version: int) -> None:
    """At every byte; the decoder knows what is wrong with it."""
    repeat = learned(version)
    frame = request(version, b"r" * 300)
    for size_bytes in range(len(frame)):
        assert repeat.records(frame[:size_bytes]) is None
    longer = memoryview(bytearray(bytes(frame) + b"\0"))
    assert repeat.records(longer) is None


@pytest.mark.parametrize("version", [3, 5, 6])
def test_old_versions_are_decoded_every_time(version: int) -> None:
    """They need a look at the codec, and nobody sends them at a high rate."""
    assert Repeat.learn(version, request(version, b"r"), body_position(version)) is None


def test_requests_about_more_than_one_partition_are_not_learned() -> None:
    """Nor those with a transactional id, or without records."""
    partitions = [{"index": n, "records": b"r"} for n in range(2)]
    two = [{"name": "t", "topic_id": b"i" * 16, "partition_data": partitions}]
    none = [{"name": "t", "partition_data": [{"index": 0, "records": None}]}]
    for fields in ({"topic_data": two}, {"transactional_id": "x"}, {"topic_data": none}):
        frame = request(9, b"r", **fields)
        assert Repeat.learn(9, frame, body_position(9)) is None


def test_a_flipped_byte_never_gives_other_records_than_the_decoder() -> None:
    """Seeded; any byte, those of the request's head too."""
    seed = 20261122
    print(f"seed {seed}")
    rng = random.Random(seed)
    repeat = learned(9)
    good = bytes(request(9, b"r" * 50))
    for _ in range(20_000):
        spoilt = bytearray(good)
        spoilt[rng.randrange(len(good))] = rng.randrange(256)
        frame = memoryview(spoilt)
        found = repeat.records(frame)
        if found is not None:
            assert spoilt[:4] == good[:4]
            topics = decode_produce(9, frame, body_position(9))[3]
            assert found == topics[0][1][0][1]
