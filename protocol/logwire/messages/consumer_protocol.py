"""What classic consumers say to each other by way of JoinGroup and SyncGroup.

A broker carries it as bytes. It reads it where it must know what members want: which topics a
group is subscribed to (expiry of offsets, OffsetDelete), and when a classic group becomes a
consumer group (KIP-848).

    int16 version | body, never flexible

A reader takes a version that it does not know as the newest that it knows, and ignores what is left
over: fields are only ever added at the end. Subscriptions of version 1 carry owned partitions
(KIP-429), 2 the generation (KIP-792), 3 the rack (KIP-881).

Source: org.apache.kafka.clients.consumer.internals.ConsumerProtocol, kafka-clients 4.3.1.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from logwire.errors import ProtocolError
from logwire.messages import Message, compiler, notation
from logwire.primitives import BREACHES, INT16, Reader, Writer

VERSION_MAX = 3
ITEMS_MAX = 100_000  # topics and partitions of one member, as in a request

SCHEMA = """
subscription
  topics            []string
  user_data         bytes?              = null
  owned_partitions  []TopicPartition  1+
    topic           string            1+
    partitions      []int32           1+
  generation_id     int32             2+  = -1
  rack_id           string?           3+  = null
assignment
  assigned_partitions  []TopicPartition
    topic              string
    partitions         []int32
  user_data            bytes?          = null
"""


@cache
def schema() -> Mapping[str, tuple[notation.Field, ...]]:
    return notation.parse(SCHEMA)


@cache
def reader(block: str, version: int) -> Reader:
    return compiler.message_reader(schema()[block], version, False, ITEMS_MAX)


@cache
def writer(block: str, version: int) -> Writer:
    return compiler.struct_writer(schema()[block], version, False)


def encode_subscription(message: Mapping[str, Any], version: int = VERSION_MAX) -> bytes:
    """Encodes what a member wants to read: `metadata` of a protocol in JoinGroup."""
    return encode("subscription", message, version)


def decode_subscription(data: memoryview | bytes) -> tuple[int, Message]:
    """Decodes a subscription: (version as written, fields). ProtocolError for garbage."""
    return decode("subscription", data)


def encode_assignment(message: Mapping[str, Any], version: int = VERSION_MAX) -> bytes:
    """Encodes what a member shall read: its `assignment` in SyncGroup."""
    return encode("assignment", message, version)


def decode_assignment(data: memoryview | bytes) -> tuple[int, Message]:
    """Decodes an assignment: (version as written, fields). ProtocolError for garbage.

    So are empty bytes, which a member is given that its leader left out.
    """
    return decode("assignment", data)


def encode(block: str, message: Mapping[str, Any], version: int) -> bytes:
    if not 0 <= version <= VERSION_MAX:
        raise ValueError(f"a consumer's {block} has no version {version}")
    out = bytearray(INT16.pack(version))
    writer(block, version)(out, message)
    return bytes(out)


def decode(block: str, data: memoryview | bytes) -> tuple[int, Message]:
    view = memoryview(data)
    try:
        version = INT16.unpack_from(view)[0]
        if version < 0:
            raise ProtocolError(f"version {version}")
        message, _ = reader(block, min(version, VERSION_MAX))(view, INT16.size)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"{block} of a consumer, {len(view)} bytes: {error}") from error
    return version, message
