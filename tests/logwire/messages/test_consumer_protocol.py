"""What classic consumers tell each other: versions, newer ones, and noise."""

import contextlib
import random

import pytest

from logwire.errors import ProtocolError
from logwire.messages.consumer_protocol import (
    VERSION_MAX,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)

SUBSCRIPTION = {
    "topics": ["a", "bc"],
    "user_data": b"\1\2",
    "owned_partitions": [{"topic": "a", "partitions": [0, 1]}],
    "generation_id": 7,
    "rack_id": "r1",
}
ASSIGNMENT = {"assigned_partitions": [{"topic": "a", "partitions": [2]}], "user_data": None}

# What org.apache.kafka.clients.consumer.internals.ConsumerProtocol of 4.3.1 writes.
SUBSCRIPTION_OF_KAFKA = (
    "0003"
    "00000002" + "000161" + "00026263"
    "00000002" + "0102"
    "00000001" + "000161" + "00000002" + "00000000" + "00000001"
    "00000007" + "00027231"
)
ASSIGNMENT_OF_KAFKA = "0003" + "00000001" + "000161" + "00000001" + "00000002" + "ffffffff"


def test_a_subscription_and_an_assignment_are_the_bytes_of_kafka() -> None:
    """In the newest version."""
    assert encode_subscription(SUBSCRIPTION).hex() == SUBSCRIPTION_OF_KAFKA
    assert encode_assignment(ASSIGNMENT).hex() == ASSIGNMENT_OF_KAFKA
    assert decode_subscription(bytes.fromhex(SUBSCRIPTION_OF_KAFKA)) == (3, SUBSCRIPTION)
    assert decode_assignment(bytes.fromhex(ASSIGNMENT_OF_KAFKA)) == (3, ASSIGNMENT)


@pytest.mark.parametrize("version", range(VERSION_MAX + 1))
def test_each_version_carries_what_it_knows(version: int) -> None:
    """Owned partitions from 1 on, the generation from 2, the rack from 3."""
    found, message = decode_subscription(encode_subscription(SUBSCRIPTION, version))
    assert found == version
    assert message["topics"] == ["a", "bc"]
    assert bool(message["owned_partitions"]) == (version >= 1)
    assert message["generation_id"] == (7 if version >= 2 else -1)
    assert message["rack_id"] == ("r1" if version >= 3 else None)


def test_a_newer_version_is_read_as_the_newest_that_is_known() -> None:
    """Its further fields lie behind those that are known, and are ignored."""
    newer = b"\0\x09" + encode_subscription(SUBSCRIPTION)[2:] + b"future"
    assert decode_subscription(newer) == (9, SUBSCRIPTION)
    newer = b"\0\4" + encode_assignment(ASSIGNMENT)[2:] + b"\0"
    assert decode_assignment(newer) == (4, ASSIGNMENT)


def test_a_version_that_is_not_known_is_not_written() -> None:
    """Our bug, not a peer's."""
    for version in (-1, VERSION_MAX + 1):
        with pytest.raises(ValueError, match="has no version"):
            encode_subscription(SUBSCRIPTION, version)


def test_cut_anywhere_it_is_a_protocol_error() -> None:
    """Members of a group are peers like any other."""
    for data, decode in (
        (encode_subscription(SUBSCRIPTION), decode_subscription),
        (encode_assignment(ASSIGNMENT), decode_assignment),
    ):
        for end in range(len(data)):
            with pytest.raises(ProtocolError, match="of a consumer"):
                decode(data[:end])
        with pytest.raises(ProtocolError, match="version -1"):
            decode(b"\xff\xff" + data[2:])


def test_noise_is_a_protocol_error_or_another_value() -> None:
    """Nothing else comes out of it."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    whole = encode_subscription(SUBSCRIPTION)
    for _ in range(500):
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(ProtocolError):
            decode_subscription(bytes(data))
        with contextlib.suppress(ProtocolError):
            decode_subscription(rng.randbytes(rng.randrange(60)))
