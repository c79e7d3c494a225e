"""Records of __consumer_offsets: against the bytes of Kafka's own classes, and broken ones."""

import contextlib
import random
import tracemalloc
from typing import Any

import pytest

from logwire.errors import ProtocolError
from logwire.messages import group_records
from logwire.messages.group_records import decode_key, decode_value, encode_key, encode_value

KEYS = list(group_records.KINDS_BY_NAME)
VALUES = [
    (kind.name, version)
    for kind in group_records.KINDS_BY_NAME.values()
    for version in range(kind.max_version + 1)
]

TOPIC_ID = bytes(15) + b"\1"
PARTITION = {"topic_id": bytes(16), "partitions": [1]}
CLASSIC = {"session_timeout_ms": 5, "supported_protocols": [{"name": "r", "metadata": b"\1"}]}
CURRENT = "0000" + "00000000" * 2 + "00" + "02" + "00" * 16 + "02" + "00000001"
MEMBER = "0000" + "010101010101" + "ffffffff" + "01"

# name, version, fields, and what org.apache.kafka.coordinator.group.generated makes of them (4.3.1)
OF_KAFKA = [
    (
        "OffsetCommit",
        4,
        {"offset": 7, "metadata": "m"},
        "00040000000000000007ffffffff026d000000000000000000",
    ),
    (
        "OffsetCommit",
        4,
        {"offset": 7, "metadata": "m", "topic_id": TOPIC_ID},
        "00040000000000000007ffffffff026d000000000000000001001000000000000000000000000000000001",
    ),
    ("GroupMetadata", 4, {}, "000401000000000101ffffffffffffffff0100"),
    ("ConsumerGroupMemberMetadata", 0, {}, MEMBER + "00"),
    (
        "ConsumerGroupMemberMetadata",
        0,
        {"classic_member_metadata": None},
        MEMBER + "01000100",
    ),
    (
        "ConsumerGroupMemberMetadata",
        0,
        {"classic_member_metadata": CLASSIC},
        MEMBER + "01000c010000000502027202010000",
    ),
    (
        "ConsumerGroupCurrentMemberAssignment",
        0,
        {"assigned_partitions": [PARTITION]},
        CURRENT + "00" + "01" + "00",
    ),
    (
        "ConsumerGroupCurrentMemberAssignment",
        0,
        {"assigned_partitions": [PARTITION | {"assignment_epochs": None}]},
        CURRENT + "01000100" + "01" + "00",
    ),
    (
        "ConsumerGroupCurrentMemberAssignment",
        0,
        {"assigned_partitions": [PARTITION | {"assignment_epochs": [4]}]},
        CURRENT + "01000502" + "00000004" + "01" + "00",
    ),
]


@pytest.mark.parametrize(("name", "version", "fields", "expected"), OF_KAFKA)
def test_a_value_is_the_bytes_of_kafkas_own_class(
    name: str, version: int, fields: dict[str, Any], expected: str
) -> None:
    """Tagged fields, their defaults, and the two kinds of null among them."""
    value = encode_value(name, version, fields)
    assert value.hex() == expected
    again = decode_value(name, value)
    assert encode_value(name, *again) == value
    assert again[1].items() >= {key: v for key, v in fields.items() if v != [PARTITION]}.items()


@pytest.mark.parametrize(("name", "version"), VALUES)
def test_a_value_survives_both_ways_in_every_version(name: str, version: int) -> None:
    """With every default, cut anywhere, and with a byte too many."""
    value = encode_value(name, version, {})
    assert value[:2] == version.to_bytes(2)
    assert encode_value(name, *decode_value(name, value)) == value
    for end in range(len(value)):
        with pytest.raises(ProtocolError):
            decode_value(name, value[:end])
    with pytest.raises(ProtocolError, match="1 bytes too many"):
        decode_value(name, value + b"\0")


@pytest.mark.parametrize("name", KEYS)
def test_a_key_says_its_type_and_survives_both_ways(name: str) -> None:
    """Cut anywhere, and with a byte too many, it is a protocol error."""
    key = encode_key(name, {})
    assert key[:2] == group_records.KINDS_BY_NAME[name].record_type.to_bytes(2)
    found, fields = decode_key(key)
    assert found == name
    assert encode_key(name, fields) == key
    for end in range(len(key)):
        with pytest.raises(ProtocolError):
            decode_key(key[:end])
    with pytest.raises(ProtocolError, match="1 bytes too many"):
        decode_key(key + b"\0")


def test_the_key_of_an_offset_is_written_as_type_1_and_read_as_0_and_1() -> None:
    """Type 0 is what Kafka wrote before 0.9; body and meaning are the same."""
    fields = {"group": "g", "topic": "t", "partition": 3}
    key = encode_key("OffsetCommit", fields)
    assert key == b"\0\1" + b"\0\1g" + b"\0\1t" + b"\0\0\0\3"
    assert decode_key(key) == decode_key(b"\0\0" + key[2:]) == ("OffsetCommit", fields)


@pytest.mark.parametrize("record_type", [9, 15, 17, 200, 0x7FFF, -1])
def test_a_key_of_an_unknown_type_has_no_name(record_type: int) -> None:
    """Share groups, streams groups, a newer broker: whoever loads skips the record."""
    assert decode_key(record_type.to_bytes(2, signed=True) + b"whatever") == (None, {})


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\5", b"\xff\xff" + bytes(40), b"\0\4\xff"])
def test_a_value_of_an_unknown_version_or_no_version_is_a_protocol_error(value: bytes) -> None:
    """A newer broker may have written it."""
    with pytest.raises(ProtocolError, match="OffsetCommit value"):
        decode_value("OffsetCommit", value)


def test_a_version_that_a_kind_does_not_have_is_not_written() -> None:
    """Our bug, not the log's."""
    with pytest.raises(ValueError, match="OffsetCommit has no version 5"):
        encode_value("OffsetCommit", 5, {})


def test_an_offset_of_version_1_loses_leader_epoch_and_topic_id() -> None:
    """What `logserver.offsets.value.version=1` gives up for readers that know no newer one."""
    fields = {"offset": 9, "leader_epoch": 4, "metadata": "", "topic_id": TOPIC_ID}
    version, read = decode_value("OffsetCommit", encode_value("OffsetCommit", 1, fields))
    assert (version, read["offset"], read["leader_epoch"]) == (1, 9, -1)
    assert read["topic_id"] == bytes(16)


def test_the_metadata_of_a_member_is_a_copy() -> None:
    """The value lies in a buffer that is used again."""
    member = {"member_id": "m", "subscription": b"sub", "assignment": b"ass"}
    value = bytearray(encode_value("GroupMetadata", 4, {"members": [member]}))
    _, read = decode_value("GroupMetadata", memoryview(value))
    value[:] = bytes(len(value))
    assert (read["members"][0]["subscription"], read["members"][0]["assignment"]) == (
        b"sub",
        b"ass",
    )


@pytest.mark.parametrize(("name", "version"), VALUES)
def test_noise_in_a_value_is_a_protocol_error_or_another_value(name: str, version: int) -> None:
    """A log that went bad costs no memory and no other exception."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    whole = encode_value(name, version, {})
    tracemalloc.start()
    for _ in range(100):
        data = bytearray(whole)
        position = rng.randrange(2, len(data) + 1)
        data[position:position] = rng.choice((b"\xff" * 5, b"\x7f\xff\xff\xff", rng.randbytes(9)))
        with contextlib.suppress(ProtocolError):
            decode_value(name, bytes(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
