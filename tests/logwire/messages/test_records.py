"""Records of the metadata log: frame, versions, and what is refused."""

import pytest

from logwire.errors import ProtocolError
from logwire.messages import decode_record, encode_record, records

CASES = [
    (kind.name, version)
    for kind in records.KINDS_BY_KEY.values()
    for version in range(kind.max_version + 1)
]
TOPIC_ID = bytes(range(16))


@pytest.mark.parametrize(("name", "version"), CASES)
def test_a_record_survives_both_ways(name: str, version: int) -> None:
    """With every default; the vectors of Kafka's own log are in test_vectors."""
    value = encode_record(name, version, {})
    assert decode_record(value)[:2] == (name, version)
    assert encode_record(*decode_record(value)) == value


def test_a_topic_record_is_the_bytes_that_kafka_writes() -> None:
    """Drawn by hand: frame version 1, key 2, version 0, compact name, id, no tags."""
    value = encode_record("TopicRecord", 0, {"name": "abc", "topic_id": TOPIC_ID})
    assert value == b"\1\2\0" + b"\4abc" + TOPIC_ID + b"\0"


def test_a_partition_change_says_only_what_changes() -> None:
    """Its fields are tagged: the rest is not there."""
    change = {"partition_id": 3, "topic_id": TOPIC_ID, "leader": 2, "isr": [2]}
    value = encode_record("PartitionChangeRecord", 0, change)
    assert len(value) == 3 + 4 + 16 + 1 + (2 + 5) + (2 + 4)
    _, _, decoded = decode_record(value)
    assert (decoded["leader"], decoded["isr"], decoded["replicas"]) == (2, [2], None)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\1",
        b"\1\2",
        b"\2\2\0" + b"\1" + bytes(17),
        b"\1\x63\0" + bytes(20),
        b"\1\2\1" + b"\1" + bytes(17),
        b"\1\2\0" + b"\1" + bytes(18),
        b"\xff" * 12,
    ],
    ids=["empty", "no key", "no version", "frame 2", "key 99", "version 1", "too long", "noise"],
)
def test_a_record_that_is_not_understood_is_a_protocol_error(value: bytes) -> None:
    """A newer server may have written it: the log is then not read any further."""
    with pytest.raises(ProtocolError):
        decode_record(value)


def test_a_version_that_a_kind_does_not_have_is_not_written() -> None:
    """Our bug, not a peer's."""
    with pytest.raises(ValueError, match="TopicRecord has no version 1"):
        encode_record("TopicRecord", 1, {})
