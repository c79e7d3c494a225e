"""Records of `__consumer_offsets`, with Kafka's own schemas: what a group coordinator remembers.

Key and value are each framed by a version; the key's is the type of the record:

    key    int16 record type | body, never flexible
    value  int16 version     | body, flexible from the version in KINDS on; a null value deletes

Record type 0 is the commit of an offset as Kafka wrote it before 0.9; it reads like type 1.

Two defaults of Kafka are traps for whoever writes: a ConsumerGroupMemberMetadata without
`classic_member_metadata` says *a classic member with no protocol*, None says that it is none; and
`assignment_epochs` that are left out are an empty list, None says that they are not known.

Source: org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde and the schemas in
kafka-group-coordinator 4.3.1; KIP-848.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from logwire.errors import ProtocolError
from logwire.messages import Message, compiler, notation
from logwire.primitives import BREACHES, INT16, Reader, Writer

# Items of all arrays of one value together. A target assignment lists every partition of a member,
# and a message of the log is 1 MB: 250,000 of them.
ITEMS_MAX = 1_000_000


class RecordKind(NamedTuple):
    """A kind of record: its type in the key, and the versions of its value (from 0)."""

    record_type: int
    name: str
    max_version: int
    flexible_from: int


_KINDS = (
    RecordKind(1, "OffsetCommit", 4, 4),
    RecordKind(2, "GroupMetadata", 4, 4),
    RecordKind(3, "ConsumerGroupMetadata", 0, 0),
    RecordKind(4, "ConsumerGroupPartitionMetadata", 0, 0),
    RecordKind(5, "ConsumerGroupMemberMetadata", 0, 0),
    RecordKind(6, "ConsumerGroupTargetAssignmentMetadata", 0, 0),
    RecordKind(7, "ConsumerGroupTargetAssignmentMember", 0, 0),
    RecordKind(8, "ConsumerGroupCurrentMemberAssignment", 0, 0),
    RecordKind(16, "ConsumerGroupRegularExpression", 0, 0),
)
KINDS_BY_NAME = {kind.name: kind for kind in _KINDS}
KINDS_BY_TYPE = {kind.record_type: kind for kind in _KINDS}
KINDS_BY_TYPE[0] = KINDS_BY_NAME["OffsetCommit"]

SCHEMA = """
OffsetCommitKey
  group      string
  topic      string
  partition  int32
OffsetCommitValue
  offset            int64
  leader_epoch      int32   3+  = -1
  metadata          string
  commit_timestamp  int64
  expire_timestamp  int64   1   = -1
  topic_id          uuid    4+  tag 0
GroupMetadataKey
  group  string
GroupMetadataValue
  protocol_type            string
  generation               int32
  protocol                 string?
  leader                   string?
  current_state_timestamp  int64             2+  = -1
  members                  []MemberMetadata
    member_id              string
    group_instance_id      string?           3+  = null
    client_id              string
    client_host            string
    rebalance_timeout      int32             1+  = -1
    session_timeout        int32
    subscription           bytes
    assignment             bytes
ConsumerGroupMetadataKey
  group_id  string
ConsumerGroupMetadataValue
  epoch          int32
  metadata_hash  int64  tag 0
ConsumerGroupPartitionMetadataKey
  group_id  string
ConsumerGroupPartitionMetadataValue
  topics                []TopicMetadata
    topic_id            uuid
    topic_name          string
    num_partitions      int32
    partition_metadata  []PartitionMetadata
      partition         int32
      racks             []string
ConsumerGroupMemberMetadataKey
  group_id   string
  member_id  string
ConsumerGroupMemberMetadataValue
  instance_id              string?
  rack_id                  string?
  client_id                string
  client_host              string
  subscribed_topic_names   []string
  subscribed_topic_regex   string?
  rebalance_timeout_ms     int32                   = -1
  server_assignor          string?
  classic_member_metadata  ClassicMemberMetadata?  tag 0
    session_timeout_ms     int32
    supported_protocols    []ClassicProtocol
      name                 string
      metadata             bytes
ConsumerGroupTargetAssignmentMetadataKey
  group_id  string
ConsumerGroupTargetAssignmentMetadataValue
  assignment_epoch      int32
  assignment_timestamp  int64  tag 0
ConsumerGroupTargetAssignmentMemberKey
  group_id   string
  member_id  string
ConsumerGroupTargetAssignmentMemberValue
  topic_partitions  []TopicPartition
    topic_id        uuid
    partitions      []int32
ConsumerGroupCurrentMemberAssignmentKey
  group_id   string
  member_id  string
ConsumerGroupCurrentMemberAssignmentValue
  member_epoch                   int32
  previous_member_epoch          int32
  state                          int8
  assigned_partitions            []TopicPartitions
    topic_id                     uuid
    partitions                   []int32
    assignment_epochs            []int32?           tag 0
  partitions_pending_revocation  []TopicPartitions
    topic_id                     uuid
    partitions                   []int32
    assignment_epochs            []int32?           tag 0
ConsumerGroupRegularExpressionKey
  group_id            string
  regular_expression  string
ConsumerGroupRegularExpressionValue
  topics     []string
  version    int64
  timestamp  int64
"""


@cache
def schema() -> Mapping[str, tuple[notation.Field, ...]]:
    return notation.parse(SCHEMA)


@cache
def key_reader(name: str) -> Reader:
    return compiler.message_reader(schema()[name + "Key"], 0, False, ITEMS_MAX)


@cache
def key_writer(name: str) -> Writer:
    return compiler.struct_writer(schema()[name + "Key"], 0, False)


@cache
def value_reader(name: str, version: int) -> Reader:
    compact = version >= KINDS_BY_NAME[name].flexible_from
    return compiler.message_reader(schema()[name + "Value"], version, compact, ITEMS_MAX)


@cache
def value_writer(name: str, version: int) -> Writer:
    kind = KINDS_BY_NAME[name]
    if not 0 <= version <= kind.max_version:
        raise ValueError(f"{name} has no version {version}")
    return compiler.struct_writer(schema()[name + "Value"], version, version >= kind.flexible_from)


def encode_key(name: str, fields: Mapping[str, Any]) -> bytes:
    """Encodes the key of a record, such as "OffsetCommit"."""
    out = bytearray(INT16.pack(KINDS_BY_NAME[name].record_type))
    key_writer(name)(out, fields)
    return bytes(out)


def encode_value(name: str, version: int, fields: Mapping[str, Any]) -> bytes:
    """Encodes the value of a record. ValueError for a version that the kind has not."""
    write = value_writer(name, version)
    out = bytearray(INT16.pack(version))
    write(out, fields)
    return bytes(out)


def decode_key(data: memoryview | bytes) -> tuple[str | None, Message]:
    """Decodes a key: (name, fields); (None, {}) for a type of record that is not known here.

    A newer broker may have written it, or share and streams groups: whoever loads skips it.
    ProtocolError for a body that breaks its schema or has bytes left over.
    """
    view = memoryview(data)
    try:
        record_type = INT16.unpack_from(view)[0]
        kind = KINDS_BY_TYPE.get(record_type)
        if kind is None:
            return None, {}
        message, position = key_reader(kind.name)(view, INT16.size)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"group record key of {len(view)} bytes: {error}") from error
    check_end(view, position, f"{kind.name} key")
    return kind.name, message


def decode_value(name: str, data: memoryview | bytes) -> tuple[int, Message]:
    """Decodes a value that is not null: (version, fields).

    ProtocolError for a version that is not known, a body that breaks its schema, or bytes left.
    """
    view = memoryview(data)
    try:
        version = INT16.unpack_from(view)[0]
        if not 0 <= version <= KINDS_BY_NAME[name].max_version:
            raise ProtocolError(f"version {version} is not known")
        message, position = value_reader(name, version)(view, INT16.size)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"{name} value of {len(view)} bytes: {error}") from error
    check_end(view, position, f"{name} v{version}")
    return version, message


def check_end(view: memoryview, position: int, what: str) -> None:
    if position != len(view):
        raise ProtocolError(f"{what}: {len(view) - position} bytes too many")
