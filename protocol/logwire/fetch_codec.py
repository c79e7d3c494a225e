"""Fetch on the hot path: requests taken apart, and answers as bytes around slices of the log.

A steady consumer sends the same few shapes: one topic with one partition, or (in a fetch session,
KIP-227) no topic at all. Those have a path of their own; every other request goes through the
compiled schema of `messages.api_01_fetch`, which is also what the tests hold all of this to.

An answer never contains records here. It is a list that alternates bytes and slices of the log
(anything with `size_bytes`): the connection sends the bytes, and the kernel sends the slices.

    request body      4  5  7  9  11 12 13 15+      answer                    4  5  7  11 12 13+
    int32 replica id  x  x  x  x  x  x  x           int32 throttle ms         x  x  x  x  x  x
    int32 max wait    x  x  x  x  x  x  x  x        int16 error code                x  x  x  x
    int32 min bytes   x  x  x  x  x  x  x  x        int32 session id                x  x  x  x
    int32 max bytes   x  x  x  x  x  x  x  x        topics:                   x  x  x  x  x  x
    int8 isolation    x  x  x  x  x  x  x  x          name (13+: 16-byte id)  x  x  x  x  x  x
    int32 session id        x  x  x  x  x  x          partitions:             x  x  x  x  x  x
    int32 epoch             x  x  x  x  x  x            int32 index           x  x  x  x  x  x
    topics            x  x  x  x  x  x  x  x            int16 error code      x  x  x  x  x  x
      name or id      x  x  x  x  x  x  x  x            int64 high watermark  x  x  x  x  x  x
      partitions      x  x  x  x  x  x  x  x            int64 last stable     x  x  x  x  x  x
        int32 index   x  x  x  x  x  x  x  x            int64 log start          x  x  x  x  x
        int32 leader epoch    x  x  x  x  x             aborted transactions  x  x  x  x  x  x
        int64 offset  x  x  x  x  x  x  x  x            int32 read replica             x  x  x
        int32 last epoch               x  x  x          records               x  x  x  x  x  x
        int64 log start  x  x  x  x  x  x  x            tags, from 12 on               -  x  x
        int32 max     x  x  x  x  x  x  x  x
    forgotten topics        x  x  x  x  x  x
    rack id                       x  x  x  x

From version 12 on counts and lengths are compact and structs end with tagged sections.
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from logwire.errors import ProtocolError
from logwire.messages import reader
from logwire.primitives import BREACHES, INT16, INT32, write_uvarint

FETCH = 1
FLEXIBLE_FROM = 12
TOPIC_IDS_FROM = 13
REPLICA_STATE_FROM = 15


class Slice(Protocol):
    """A range of a log that the kernel will send."""

    @property
    def size_bytes(self) -> int: ...


Topic = str | bytes
"""A topic's name, or from version 13 on its 16-byte id."""
Wanted = tuple[int, int, int, int, int, int]
"""partition, current leader epoch, fetch offset, last fetched epoch, log start offset, max bytes"""
Fetch = tuple[
    int, int, int, int, int, int,
    list[tuple[Topic, list[Wanted]]], list[tuple[Topic, list[int]]], str,
]  # fmt: skip
Found = tuple[Any, ...]
Part = bytes | Slice

UNKNOWN_EPOCH = -1
NO_SESSION = 0
FINAL_EPOCH = -1  # the session epoch of a client that keeps no session


def request_head(version: int) -> struct.Struct:
    """Everything in front of the first topic, and the topic count."""
    replica = "" if version >= REPLICA_STATE_FROM else "i"
    session = "ii" if version >= 7 else ""
    return struct.Struct(f">{replica}iiib{session}{'B' if version >= FLEXIBLE_FROM else 'i'}")


def request_partition(version: int) -> struct.Struct:
    """The partition count and one partition."""
    if version >= FLEXIBLE_FROM:
        return struct.Struct(">BiiqiqiBB")  # with the tagged sections of partition and topic
    epoch = "i" if version >= 9 else ""
    start = "q" if version >= 5 else ""
    return struct.Struct(f">ii{epoch}q{start}i")


VERSIONS = range(4, 19)
HEADS = {version: request_head(version) for version in VERSIONS}
PARTITIONS = {version: request_partition(version) for version in VERSIONS}
CLASSIC_ENDS = {  # no forgotten topics, an empty rack
    version: b"" if version < 7 else bytes(4) if version < 11 else bytes(6)
    for version in range(4, FLEXIBLE_FROM)
}
COMPACT_END = b"\1\1\0"  # the same, and no tagged fields


def decode_fetch(version: int, frame: memoryview, position: int) -> Fetch:
    """Decodes a fetch request.

    Returns (max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch, topics,
    forgotten topics, rack_id); topics is a list of (name or id, list of `Wanted`), forgotten a list
    of (name or id, list of partition indexes). Versions without sessions read as epoch -1.
    Raises ProtocolError when the body breaks the schema; bytes behind it are ignored.
    """
    try:
        decoded = decode_simple(version, frame, position)
    except BREACHES:
        decoded = None
    return decoded or decode_any(version, frame, position)


def decode_simple(version: int, frame: memoryview, position: int) -> Fetch | None:
    """Decodes a request with one partition, or with none; None when it has more or says more."""
    layout = HEADS[version]
    head = layout.unpack_from(frame, position)
    position += layout.size
    wait, minimum, maximum, isolation = head[-7:-3] if version >= 7 else head[1:5]
    session, epoch = head[-3:-1] if version >= 7 else (NO_SESSION, FINAL_EPOCH)
    compact = version >= FLEXIBLE_FROM
    topics: list[tuple[Topic, list[Wanted]]] = []
    if head[-1] == (2 if compact else 1):
        if version >= TOPIC_IDS_FROM:
            topic: Topic = bytes(frame[position : position + 16])
            position += 16
        else:
            if compact:
                size = frame[position] - 1
                position += 1
                if size >= 0x7F:
                    return None
            else:
                (size,) = INT16.unpack_from(frame, position)
                position += 2
            if size < 0:
                return None
            topic = str(frame[position : position + size], "utf-8")
            position += size
        layout = PARTITIONS[version]
        wanted = one_partition(version, layout.unpack_from(frame, position))
        if wanted is None:
            return None
        position += layout.size
        topics.append((topic, [wanted]))
    elif head[-1] != (1 if compact else 0):
        return None
    if frame[position:] != (COMPACT_END if compact else CLASSIC_ENDS[version]):
        return None
    return wait, minimum, maximum, isolation, session, epoch, topics, [], ""


def one_partition(version: int, values: tuple[int, ...]) -> Wanted | None:
    """Orders the values of `request_partition`; None unless they are of exactly one partition."""
    if version >= FLEXIBLE_FROM:
        count, index, epoch, offset, last, start, maximum, tags, topic_tags = values
        if count != 2 or tags or topic_tags:
            return None
        return index, epoch, offset, last, start, maximum
    if values[0] != 1:
        return None
    epoch = values[2] if version >= 9 else UNKNOWN_EPOCH
    offset, start = values[-3:-1] if version >= 5 else (values[2], -1)
    return values[1], epoch, offset, UNKNOWN_EPOCH, start, values[-1]


def decode_any(version: int, frame: memoryview, position: int) -> Fetch:
    """Decodes any fetch request by its schema; the only place that names what is wrong."""
    try:
        message, _ = reader(FETCH, version, "request")(frame, position)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"Fetch request v{version}: {error}") from error
    key = "topic_id" if version >= TOPIC_IDS_FROM else "topic"
    topics = [
        (topic[key], [wanted_of(part) for part in topic["partitions"]])
        for topic in message["topics"]
    ]
    forgotten = [(topic[key], topic["partitions"]) for topic in message["forgotten_topics_data"]]
    return (
        message["max_wait_ms"],
        message["min_bytes"],
        message["max_bytes"],
        message["isolation_level"],
        message["session_id"],
        message["session_epoch"],
        topics,
        forgotten,
        message["rack_id"],
    )


def wanted_of(part: dict[str, Any]) -> Wanted:
    return (
        part["partition"],
        part["current_leader_epoch"],
        part["fetch_offset"],
        part["last_fetched_epoch"],
        part["log_start_offset"],
        part["partition_max_bytes"],
    )


NO_LIST = 0xFFFF_FFFF  # a classic null array: no aborted transactions
NAME_BYTES_MAX = 126  # a longer name takes two bytes for its compact length
COMPACT_TAIL = bytes(3)  # the tagged sections of partition, topic and answer


@cache
def response_head(version: int, topic_size: int, length_bytes: int) -> struct.Struct:
    """The whole answer about one partition up to its records; `length_bytes`: see `uvarint`."""
    if version >= FLEXIBLE_FROM:
        topic = "16s" if version >= TOPIC_IDS_FROM else f"B{topic_size}s"
        return struct.Struct(f">iiBihiB{topic}BihqqqBi{length_bytes}s")
    session = "hi" if version >= 7 else ""
    start = "q" if version >= 5 else ""
    replica = "i" if version >= 11 else ""
    return struct.Struct(f">iii{session}ih{topic_size}siihqq{start}I{replica}i")


def uvarint(value: int) -> bytes:
    out = bytearray()
    write_uvarint(out, value)
    return bytes(out)


def fetch_response_parts(
    version: int,
    correlation_id: int,
    error_code: int,
    session_id: int,
    topics: Sequence[tuple[Topic, Sequence[Found]]],
) -> list[Part]:
    """Encodes a whole answer as a list that alternates bytes and slices; bytes come first.

    topics is a list of (name or id, list of `Found`), and a found partition a tuple of (index,
    error code, high watermark, last stable offset, log start offset, slice or None), which two
    more items may follow: (epoch, end offset) where the client's log diverges or None, and
    (leader id, leader epoch) or None; versions below 12 do not tell those two. The first bytes
    begin with the frame's size, which counts the slices.
    """
    if len(topics) == 1 and len(topics[0][1]) == 1:
        topic, (part,) = topics[0]
        if len(part) == 6:
            name = topic.encode() if isinstance(topic, str) else topic
            if len(name) <= NAME_BYTES_MAX:
                return simple_parts(version, correlation_id, error_code, session_id, name, part)
    return any_parts(version, correlation_id, error_code, session_id, topics)


def simple_parts(
    version: int, correlation_id: int, error_code: int, session_id: int, name: Any, part: Found
) -> list[Part]:
    """Encodes the answer about one partition with one `Struct.pack`."""
    index, code, high, stable, start, log_slice = part
    records_size = 0 if log_slice is None else log_slice.size_bytes
    length = len(name)
    if version >= FLEXIBLE_FROM:
        compact_size = uvarint(records_size + 1)
        layout = response_head(version, length, len(compact_size))
        size = layout.size - 4 + records_size + 3
        if version >= TOPIC_IDS_FROM:
            head = layout.pack(
                size, correlation_id, 0, 0, error_code, session_id, 2, name,
                2, index, code, high, stable, start, 0, -1, compact_size,
            )  # fmt: skip
        else:
            head = layout.pack(
                size, correlation_id, 0, 0, error_code, session_id, 2, length + 1, name,
                2, index, code, high, stable, start, 0, -1, compact_size,
            )  # fmt: skip
        return [head + COMPACT_TAIL] if log_slice is None else [head, log_slice, COMPACT_TAIL]
    layout = response_head(version, length, 0)
    size = layout.size - 4 + records_size
    values: list[Any] = [size, correlation_id, 0]
    if version >= 7:
        values += (error_code, session_id)
    values += (1, length, name, 1, index, code, high, stable)
    if version >= 5:
        values.append(start)
    values.append(NO_LIST)
    if version >= 11:
        values.append(-1)
    head = layout.pack(*values, records_size)
    return [head] if log_slice is None else [head, log_slice]


class PartsWriter:
    """Collects an answer: bytes until a slice comes, then bytes again."""

    __slots__ = ("compact", "out", "parts", "slices_size")

    def __init__(self, compact: bool) -> None:
        self.parts: list[Part] = []
        self.out = bytearray()
        self.compact = compact
        self.slices_size = 0

    def count(self, number: int) -> None:
        """Writes an array count, or a length, in the form that the version asks for."""
        if self.compact:
            write_uvarint(self.out, number + 1)
        else:
            self.out += INT32.pack(number)

    def tags(self) -> None:
        if self.compact:
            self.out.append(0)

    def name(self, name: str) -> None:
        data = name.encode()
        if self.compact:
            self.count(len(data))
        else:
            self.out += INT16.pack(len(data))
        self.out += data

    def slice(self, log_slice: Slice) -> None:
        self.parts += (bytes(self.out), log_slice)
        self.out = bytearray()
        self.slices_size += log_slice.size_bytes

    def finish(self) -> list[Part]:
        """Closes the list and puts the frame's size in front."""
        if self.out or not self.parts:
            self.parts.append(bytes(self.out))
        first = self.parts[0]
        assert isinstance(first, bytes)
        size = self.slices_size + sum(len(part) for part in self.parts if isinstance(part, bytes))
        self.parts[0] = INT32.pack(size) + first
        return self.parts


@cache
def partition_head(version: int) -> struct.Struct:
    """index, error code, high watermark, last stable offset, and the log start offset from 5 on."""
    return struct.Struct(">ihqqq" if version >= 5 else ">ihqq")


def any_parts(
    version: int,
    correlation_id: int,
    error_code: int,
    session_id: int,
    topics: Sequence[tuple[Topic, Sequence[Found]]],
) -> list[Part]:
    """Encodes any answer, partition by partition."""
    writer = PartsWriter(version >= FLEXIBLE_FROM)
    writer.out += INT32.pack(correlation_id)
    writer.tags()
    writer.out += INT32.pack(0)
    if version >= 7:
        writer.out += INT16.pack(error_code) + INT32.pack(session_id)
    writer.count(len(topics))
    for topic, parts in topics:
        if isinstance(topic, bytes):
            writer.out += topic
        else:
            writer.name(topic)
        writer.count(len(parts))
        for part in parts:
            write_partition(writer, version, part)
        writer.tags()
    writer.tags()
    return writer.finish()


def write_partition(writer: PartsWriter, version: int, part: Found) -> None:
    log_slice = part[5]
    values = part[:5] if version >= 5 else part[:4]
    writer.out += partition_head(version).pack(*values)
    writer.count(-1)  # aborted transactions: null
    if version >= 11:
        writer.out += INT32.pack(-1)  # no preferred read replica
    writer.count(0 if log_slice is None else log_slice.size_bytes)
    if log_slice is not None:
        writer.slice(log_slice)
    if writer.compact:
        write_partition_tags(writer.out, *part[6:])


def write_partition_tags(
    out: bytearray,
    diverging: tuple[int, int] | None = None,
    leader: tuple[int, int] | None = None,
) -> None:
    """Tag 0: where the client's log diverges; tag 1: who leads now. Both are structs with tags."""
    out.append((diverging is not None) + (leader is not None))
    if diverging is not None:
        out += struct.pack(">BBiqB", 0, 13, *diverging, 0)
    if leader is not None:
        out += struct.pack(">BBiiB", 1, 9, *leader, 0)
