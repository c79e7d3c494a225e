"""Produce on the hot path: requests taken apart and answers built by hand.

Nearly every produce request in the field carries one topic with one partition and no transactional
id, and nearly every answer says "no error". Those two shapes have a path of their own, one or two
Structs long; everything else goes through the compiled schema of `messages.api_00_produce`, which
is also the reference that tests hold both paths to.

    request body, versions 3-8                      versions 9-12 and 13 (compact)
    int16   transactional id length, -1 = null      uvarint length + 1, 0 = null
    int16   acks                                    int16
    int32   timeout ms                              int32
    int32   topic count                             uvarint count + 1
    string  topic name                              compact string; version 13: 16-byte topic id
    int32   partition count                         uvarint count + 1
    int32   partition index                         int32
    int32   records length, -1 = null               uvarint length + 1, 0 = null
    ...     records: one batch                      records
                                                    3 tagged sections: partition, topic, request

The one trick: a fast path that meets anything unexpected (another count, a short frame, a tagged
field) returns None and leaves judgement to the schema. It never has to explain an error.
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from logwire.errors import ProtocolError
from logwire.frame import response_frame
from logwire.messages import Message, encode_response, reader
from logwire.primitives import BREACHES, read_uvarint

PRODUCE = 0
FLEXIBLE_FROM = 9
TOPIC_IDS_FROM = 13

Topic = str | bytes
"""A topic's name, or from version 13 on its 16-byte id."""
PartitionRecords = tuple[int, memoryview | None]
Produce = tuple[str | None, int, int, list[tuple[Topic, list[PartitionRecords]]]]


class RecordErrors(NamedTuple):
    """Why a batch was refused, record by record (KIP-467): (index in the batch, sentence)."""

    message: str
    errors: Sequence[tuple[int, str]]


PartitionAnswer = tuple[int, int, int, int, int, str | RecordErrors | None]

# transactional id length, acks, timeout ms, topic count, topic name length
CLASSIC_HEAD = struct.Struct(">hhiih")
CLASSIC_TAIL = struct.Struct(">iii")  # partition count, partition index, records length
COMPACT_HEAD = struct.Struct(">BhiBB")  # the same as CLASSIC_HEAD in compact form
COMPACT_TAIL = struct.Struct(">Bi")  # partition count + 1, partition index
ID_HEAD = struct.Struct(">BhiB16sBi")  # COMPACT_HEAD with a topic id, and COMPACT_TAIL


def decode_produce(version: int, frame: memoryview, position: int) -> Produce:
    """Decodes a produce request: (transactional_id, acks, timeout_ms, topics).

    `frame` is the request without its size, `position` where its body starts. topics is a list of
    (name or id, list of (partition index, records)); records are views into `frame`.
    Raises ProtocolError when the body breaks the schema; bytes behind it are ignored.
    """
    try:
        if version < FLEXIBLE_FROM:
            decoded = decode_classic(frame, position)
        elif version < TOPIC_IDS_FROM:
            decoded = decode_compact(frame, position)
        else:
            decoded = decode_by_id(frame, position)
    except BREACHES:
        decoded = None  # too short for one partition; an empty request may still be right
    return decoded or decode_any(version, frame, position)


def decode_classic(frame: memoryview, position: int) -> Produce | None:
    unset, acks, timeout_ms, topics, size = CLASSIC_HEAD.unpack_from(frame, position)
    if unset != -1 or topics != 1 or size < 0:
        return None
    start = position + 14
    end = start + size
    partitions, index, size = CLASSIC_TAIL.unpack_from(frame, end)
    if partitions != 1 or size < 0 or end + 12 + size != len(frame):
        return None
    topic = str(frame[start:end], "utf-8")
    return None, acks, timeout_ms, [(topic, [(index, frame[end + 12 :])])]


def decode_compact(frame: memoryview, position: int) -> Produce | None:
    unset, acks, timeout_ms, topics, size = COMPACT_HEAD.unpack_from(frame, position)
    if unset or topics != 2 or not 0 < size < 0x80:
        return None
    start = position + 9
    end = start + size - 1
    partitions, index = COMPACT_TAIL.unpack_from(frame, end)
    if partitions != 2:
        return None
    size, position = read_uvarint(frame, end + 5)
    stop = position + size - 1
    if size == 0 or stop + 3 != len(frame) or frame[stop] | frame[stop + 1] | frame[stop + 2]:
        return None
    topic = str(frame[start:end], "utf-8")
    return None, acks, timeout_ms, [(topic, [(index, frame[position:stop])])]


def decode_by_id(frame: memoryview, position: int) -> Produce | None:
    unset, acks, timeout_ms, topics, topic_id, partitions, index = ID_HEAD.unpack_from(
        frame, position
    )
    if unset or topics != 2 or partitions != 2:
        return None
    size, position = read_uvarint(frame, position + 29)
    stop = position + size - 1
    if size == 0 or stop + 3 != len(frame) or frame[stop] | frame[stop + 1] | frame[stop + 2]:
        return None
    return None, acks, timeout_ms, [(topic_id, [(index, frame[position:stop])])]


def decode_any(version: int, frame: memoryview, position: int) -> Produce:
    """Decodes any produce request by its schema; the only place that names what is wrong."""
    try:
        message, _ = reader(PRODUCE, version, "request")(frame, position)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"Produce request v{version}: {error}") from error
    key = "topic_id" if version >= TOPIC_IDS_FROM else "name"
    topics = [
        (topic[key], [(part["index"], part["records"]) for part in topic["partition_data"]])
        for topic in message["topic_data"]
    ]
    return message["transactional_id"], message["acks"], message["timeout_ms"], topics


# The answer about one partition without an error message is one Struct per version and name length:
#
#   int32 size | int32 correlation id | (tags) | topic count | name or id | partition count
#   | int32 index | int16 error code | int64 base offset | int64 log append time ms
#   | int64 log start offset, from 5 | record errors (none) and error message (null), from 8
#   | (tags, tags) | int32 throttle ms | (tags)
#
# Constant bytes between the values travel as one number where they can.

NAME_BYTES_MAX = 126  # a longer name takes two bytes for its compact length: the schema's work
COMPACT_AFTER = 0x01_00_00_00  # record errors (1: none), error message (0: null), tags, tags
NULL_STRING = 0xFFFF  # a classic null string: length -1

# size, correlation id, tags and topic count, id, partition count, the partition, after, throttle
ID_ANSWER = struct.Struct(">iiH16sBihqqqIiB")
ID_ANSWER_SIZE = ID_ANSWER.size - 4
TAGS_AND_ONE = 0x00_02  # an empty tagged section, then a compact count of 1


@cache
def name_answer(version: int, name_size: int) -> tuple[Callable[..., bytes], int]:
    """The packer of an answer to a topic of that name length, and the frame size it says."""
    if version >= FLEXIBLE_FROM:
        layout = struct.Struct(f">iiHB{name_size}sBihqqqIiB")
    elif version >= 8:
        layout = struct.Struct(f">iiih{name_size}siihqqqIHi")
    elif version >= 5:
        layout = struct.Struct(f">iiih{name_size}siihqqqi")
    else:
        layout = struct.Struct(f">iiih{name_size}siihqqi")
    return layout.pack, layout.size - 4


def encode_produce_response(
    version: int,
    correlation_id: int,
    topics: Sequence[tuple[Topic, Sequence[PartitionAnswer]]],
    throttle_ms: int = 0,
) -> bytes:
    """Encodes a whole answer frame: size, header, body.

    topics is a list of (name or id, list of (partition index, error code, base offset,
    log append time ms or -1, log start offset, error message or `RecordErrors` or None)).
    """
    if len(topics) == 1 and len(topics[0][1]) == 1:
        topic, (part,) = topics[0]
        index, code, base, append_ms, start, message = part
        if message is None:
            if version >= TOPIC_IDS_FROM:
                return ID_ANSWER.pack(
                    ID_ANSWER_SIZE, correlation_id, TAGS_AND_ONE, topic, 2,
                    index, code, base, append_ms, start, COMPACT_AFTER, throttle_ms, 0,
                )  # fmt: skip
            assert isinstance(topic, str)
            name = topic.encode()
            if len(name) <= NAME_BYTES_MAX:
                return encode_named(version, correlation_id, name, part, throttle_ms)
    return encode_any(version, correlation_id, topics, throttle_ms)


def encode_named(
    version: int, correlation_id: int, name: bytes, part: PartitionAnswer, throttle_ms: int
) -> bytes:
    """Encodes the answer about one partition of one named topic, without an error message."""
    length = len(name)
    pack, size = name_answer(version, length)
    index, code, base, append_ms, start, _ = part
    if version >= FLEXIBLE_FROM:
        return pack(
            size, correlation_id, TAGS_AND_ONE, length + 1, name, 2,
            index, code, base, append_ms, start, COMPACT_AFTER, throttle_ms, 0,
        )  # fmt: skip
    if version >= 8:
        return pack(
            size, correlation_id, 1, length, name, 1,
            index, code, base, append_ms, start, 0, NULL_STRING, throttle_ms,
        )  # fmt: skip
    if version >= 5:
        return pack(
            size, correlation_id, 1, length, name, 1,
            index, code, base, append_ms, start, throttle_ms,
        )  # fmt: skip
    return pack(
        size, correlation_id, 1, length, name, 1, index, code, base, append_ms, throttle_ms
    )  # fmt: skip


def encode_any(
    version: int,
    correlation_id: int,
    topics: Sequence[tuple[Topic, Sequence[PartitionAnswer]]],
    throttle_ms: int,
) -> bytes:
    """Encodes any answer by its schema."""
    key = "topic_id" if version >= TOPIC_IDS_FROM else "name"
    names = ("index", "error_code", "base_offset", "log_append_time_ms", "log_start_offset")
    responses = [
        {
            key: topic,
            "partition_responses": [
                dict(zip(names, part, strict=False)) | explanation(part[5]) for part in parts
            ],
        }
        for topic, parts in topics
    ]
    message = {"responses": responses, "throttle_time_ms": throttle_ms}
    body = encode_response(PRODUCE, version, message)
    return response_frame(PRODUCE, version, correlation_id, body)


def explanation(why: str | RecordErrors | None) -> Message:
    """The fields of an answer that say why, which versions below 8 do not have."""
    if not isinstance(why, RecordErrors):
        return {"error_message": why}
    rows = [
        {"batch_index": index, "batch_index_error_message": sentence}
        for index, sentence in why.errors
    ]
    return {"error_message": why.message, "record_errors": rows}
