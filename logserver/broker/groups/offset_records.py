"""Records of committed offsets, to bytes and back: the two formats that are written at full rate.

    key    int16 type (1; 0 before 0.9), string group, string topic, int32 partition
    value  int16 version, then
           0    int64 offset, string metadata, int64 commit time
           1    ... int64 expire time behind it
           2    as 0
           3    int64 offset, int32 leader epoch, string metadata, int64 commit time
           4    as 3, metadata a compact string, then tagged fields: 0 = topic id (16 bytes)

Times are wall-clock milliseconds. The schemas of all other records of `__consumer_offsets` are in
`logwire.messages.group_records`, these two as well: the tests hold both against each other. This
module exists because a schema-driven codec costs four times as much, and a start reads hundreds of
thousands of these records.

Source: OffsetCommitKey.json, LegacyOffsetCommitKey.json, OffsetCommitValue.json of Kafka 4.3.1.
"""

from __future__ import annotations

from struct import Struct, error
from typing import TYPE_CHECKING

from logserver.broker.groups.offset_store import (
    NO_EXPIRY,
    NO_LEADER_EPOCH,
    NO_TOPIC_ID,
    CommittedOffset,
)
from logwire.errors import ProtocolError
from logwire.primitives import read_uvarint, write_uvarint

if TYPE_CHECKING:
    from logserver.broker.groups.effects import Record

KEY_TYPES = (b"\x00\x00", b"\x00\x01")
KEY_TYPE = KEY_TYPES[1]
VALUE_VERSIONS = (0, 1, 2, 3, 4)

_INT16 = Struct(">h")
_INT32 = Struct(">i")
_OFFSET = Struct(">hq")
_OFFSET_AND_EPOCH = Struct(">hqi")
_TIME = Struct(">q")
_TIMES = Struct(">qq")
_EMPTY_V4 = Struct(">hqiBq")  # version 4 with empty metadata, up to the tagged fields
_NO_TAGS = b"\x00"
_TOPIC_ID_TAG = b"\x01\x00\x10"  # one tagged field: tag 0, 16 bytes


def encode_key(group_id: str, topic: str, index: int) -> bytes:
    """The key of the offset that a group committed for a partition."""
    group_bytes, topic_bytes = group_id.encode(), topic.encode()
    return b"".join(
        (
            KEY_TYPE,
            _INT16.pack(len(group_bytes)),
            group_bytes,
            _INT16.pack(len(topic_bytes)),
            topic_bytes,
            _INT32.pack(index),
        )
    )


def encode_value(committed: CommittedOffset, version: int) -> bytes:
    """The value of a committed offset; `version` is 4 or 1 (`logserver.offsets.value.version`).

    As Kafka does, an offset with an expiry time of its own is written in version 1, the only one
    that can say so; version 1 knows no leader epoch and no topic id.
    """
    offset, leader_epoch, metadata, commit_ms, expire_ms, topic_id = committed
    if version == 1 or expire_ms != NO_EXPIRY:
        text = metadata.encode()
        return b"".join(
            (
                _OFFSET.pack(1, offset),
                _INT16.pack(len(text)),
                text,
                _TIMES.pack(commit_ms, expire_ms),
            )
        )
    tags = _NO_TAGS if topic_id == NO_TOPIC_ID else _TOPIC_ID_TAG + topic_id
    if not metadata:
        return _EMPTY_V4.pack(4, offset, leader_epoch, 1, commit_ms) + tags
    text = metadata.encode()
    out = bytearray(_OFFSET_AND_EPOCH.pack(4, offset, leader_epoch))
    write_uvarint(out, len(text) + 1)
    return b"".join((out, text, _TIME.pack(commit_ms), tags))


def tombstone(group_id: str, topic: str, index: int) -> Record:
    """The record that deletes a committed offset."""
    return encode_key(group_id, topic, index), None


def decode_key(key: bytes) -> tuple[str, str, int]:
    """(group id, topic, partition) of a key whose type is one of KEY_TYPES.

    Raises ProtocolError.
    """
    try:
        group_end = 4 + _INT16.unpack_from(key, 2)[0]
        topic_end = group_end + 2 + _INT16.unpack_from(key, group_end)[0]
        index = _INT32.unpack_from(key, topic_end)[0]
        if not 4 <= group_end <= topic_end - 2 or len(key) != topic_end + 4:
            raise ProtocolError(f"a key of {len(key)} bytes for an offset")
        return key[4:group_end].decode(), key[group_end + 2 : topic_end].decode(), index
    except (error, UnicodeDecodeError) as breach:
        raise ProtocolError(f"a key of {len(key)} bytes for an offset: {breach}") from breach


def decode_value(value: bytes) -> CommittedOffset:
    """The committed offset that a value holds. Raises ProtocolError, for unknown versions too."""
    try:
        version = _INT16.unpack_from(value)[0]
        if version == 4:
            return _decode_compact(value)
        if version not in VALUE_VERSIONS:
            raise ProtocolError(f"a committed offset in version {version}")
        offset, position = _OFFSET.unpack_from(value)[1], _OFFSET.size
        leader_epoch, expire_ms = NO_LEADER_EPOCH, NO_EXPIRY
        if version == 3:
            leader_epoch, position = _INT32.unpack_from(value, position)[0], position + 4
        end = position + 2 + _INT16.unpack_from(value, position)[0]
        metadata = value[position + 2 : end].decode()
        if version == 1:
            commit_ms, expire_ms = _TIMES.unpack_from(value, end)
        else:
            commit_ms = _TIME.unpack_from(value, end)[0]
    except (error, IndexError, UnicodeDecodeError) as breach:
        raise ProtocolError(f"a committed offset of {len(value)} bytes: {breach}") from breach
    return CommittedOffset(offset, leader_epoch, metadata, commit_ms, expire_ms, NO_TOPIC_ID)


def _decode_compact(value: bytes) -> CommittedOffset:
    _, offset, leader_epoch = _OFFSET_AND_EPOCH.unpack_from(value)
    position = _OFFSET_AND_EPOCH.size
    metadata = ""
    if value[position] == 1:
        position += 1
    else:
        length, position = read_uvarint(memoryview(value), position)
        if not length:
            raise ProtocolError("a committed offset with null metadata")
        metadata = value[position : position + length - 1].decode()
        position += length - 1
    commit_ms = _TIME.unpack_from(value, position)[0]
    position += 8
    if value[position : position + 3] == _TOPIC_ID_TAG and len(value) == position + 19:
        topic_id = value[position + 3 :]
    else:
        topic_id = _decode_tags(value, position)
    return CommittedOffset(offset, leader_epoch, metadata, commit_ms, NO_EXPIRY, topic_id)


def _decode_tags(value: bytes, position: int) -> bytes:
    """The topic id, if there is one among the tagged fields; others may be a newer server's."""
    view = memoryview(value)
    topic_id = NO_TOPIC_ID
    count, position = read_uvarint(view, position)
    for _ in range(count):
        tag, position = read_uvarint(view, position)
        size_bytes, position = read_uvarint(view, position)
        if position + size_bytes > len(value) or (tag == 0 and size_bytes != 16):
            raise ProtocolError(f"a committed offset of {len(value)} bytes ends in tag {tag}")
        if tag == 0:
            topic_id = value[position : position + 16]
        position += size_bytes
    return topic_id
