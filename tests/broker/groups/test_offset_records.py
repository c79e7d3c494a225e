"""Records of committed offsets against the schemas of `logwire.messages.group_records`."""

from __future__ import annotations

from random import Random

import pytest

from logserver.broker.groups.offset_records import (
    KEY_TYPES,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    tombstone,
)
from logserver.broker.groups.offset_store import CommittedOffset
from logwire.errors import ProtocolError
from logwire.messages import group_records

SEED = 20_261_122
NO_ID = bytes(16)
TEXTS = ("", "a", "text", "ü" * 70, "\U0001f600" * 100, "x" * 4096)


def some_offsets(count: int) -> list[CommittedOffset]:
    """Offsets with every kind of text, with and without epoch and topic id."""
    random = Random(SEED)
    return [
        CommittedOffset(
            random.randrange(2**63),
            random.choice([-1, 0, 7, 2**31 - 1]),
            random.choice(TEXTS),
            random.randrange(2**45),
            -1,
            random.choice([NO_ID, random.randbytes(16)]),
        )
        for _ in range(count)
    ]


def fields_of(committed: CommittedOffset) -> dict[str, object]:
    """The fields of Kafka's schema."""
    return {
        "offset": committed.offset,
        "leader_epoch": committed.leader_epoch,
        "metadata": committed.metadata,
        "commit_timestamp": committed.commit_ms,
        "expire_timestamp": committed.expire_ms,
        "topic_id": committed.topic_id,
    }


@pytest.mark.parametrize("text", ["g", "", "grüppe", "g" * 300])
def test_a_key_is_that_of_the_schema(text: str) -> None:
    """Byte for byte, and back."""
    key = encode_key(text, "topic", 12)
    fields = {"group": text, "topic": "topic", "partition": 12}
    assert key == group_records.encode_key("OffsetCommit", fields)
    assert key[:2] in KEY_TYPES
    assert decode_key(key) == (text, "topic", 12)
    assert decode_key(b"\x00\x00" + key[2:]) == (text, "topic", 12)
    assert tombstone(text, "topic", 12) == (key, None)


def test_values_are_those_of_the_schema() -> None:
    """Version 4 as Kafka 4.3.1 writes it, version 1 for older readers."""
    print(f"seed {SEED}")
    for committed in some_offsets(500):
        fields = fields_of(committed)
        for version in (4, 1):
            expected = group_records.encode_value("OffsetCommit", version, fields)
            assert encode_value(committed, version) == expected


def test_every_version_that_was_ever_written_is_read() -> None:
    """What a version has no room for is unknown."""
    print(f"seed {SEED}")
    for committed in some_offsets(200):
        for version in range(5):
            value = group_records.encode_value("OffsetCommit", version, fields_of(committed))
            kept = committed._replace(
                leader_epoch=committed.leader_epoch if version >= 3 else -1,
                topic_id=committed.topic_id if version == 4 else NO_ID,
            )
            assert decode_value(value) == kept


def test_an_expiry_of_its_own_is_written_in_version_1() -> None:
    """The only one that has room for it, as Kafka does."""
    committed = CommittedOffset(5, 3, "text", 1000, 2000, b"i" * 16)
    value = encode_value(committed, 4)
    assert value[:2] == b"\x00\x01"
    assert decode_value(value) == committed._replace(leader_epoch=-1, topic_id=NO_ID)


def test_unknown_tags_behind_a_value_are_passed_over() -> None:
    """A newer version may add some without a new version number (KIP-915)."""
    committed = CommittedOffset(5, 3, "text", 1000, -1, b"i" * 16)
    value = encode_value(committed, 4)
    tagged = value[:-19] + b"\x02" + value[-18:] + b"\x05\x02ab"
    assert decode_value(tagged) == committed
    none = encode_value(committed._replace(topic_id=NO_ID), 4)
    assert decode_value(none[:-1] + b"\x01\x05\x02ab").topic_id == NO_ID


@pytest.mark.parametrize("version", range(5))
def test_a_cut_value_is_refused(version: int) -> None:
    """Whatever byte it ends at."""
    committed = CommittedOffset(5, 3, "text", 1000, 2000, b"i" * 16)
    value = group_records.encode_value("OffsetCommit", version, fields_of(committed))
    for end in range(len(value)):
        with pytest.raises(ProtocolError):
            decode_value(value[:end])


def test_a_cut_or_long_key_is_refused() -> None:
    """Its lengths must add up."""
    key = encode_key("group", "topic", 3)
    for bad in [*(key[:end] for end in range(len(key))), key + b"\x00"]:
        with pytest.raises(ProtocolError):
            decode_key(bad)
    with pytest.raises(ProtocolError):
        decode_key(b"\x00\x01\xff\xfe" + key[4:])


def test_a_value_of_an_unknown_version_is_refused() -> None:
    """To skip it would send a consumer back to the beginning."""
    for version in (5, -1):
        with pytest.raises(ProtocolError):
            decode_value(version.to_bytes(2, "big", signed=True) + bytes(40))
