"""Records of the metadata log, with Kafka's own schemas (KIP-631).

The value of such a record is a frame of three unsigned varints and a flexible body:

    uvarint frame version (1) | uvarint record key | uvarint version | body

Source: org.apache.kafka.metadata.MetadataRecordSerde, common/metadata/*.json of Kafka 4.3.1.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from logwire.errors import ProtocolError
from logwire.messages import Message, compiler, notation
from logwire.primitives import BREACHES, Reader, Writer, read_uvarint, write_uvarint

FRAME_VERSION = 1
ITEMS_MAX = 10_000  # replicas of a partition, listeners of a broker: dozens at most


class RecordKind(NamedTuple):
    """A kind of record: the key that stands for it on disk, and its newest version (from 0)."""

    key: int
    name: str
    max_version: int


_KINDS = (
    RecordKind(0, "RegisterBrokerRecord", 4),
    RecordKind(2, "TopicRecord", 0),
    RecordKind(3, "PartitionRecord", 2),
    RecordKind(4, "ConfigRecord", 0),
    RecordKind(5, "PartitionChangeRecord", 2),
    RecordKind(9, "RemoveTopicRecord", 0),
    RecordKind(12, "FeatureLevelRecord", 0),
    RecordKind(15, "ProducerIdsRecord", 0),
)
KINDS_BY_KEY = {kind.key: kind for kind in _KINDS}
KINDS_BY_NAME = {kind.name: kind for kind in _KINDS}

SCHEMA = """
RegisterBrokerRecord
  broker_id                int32
  is_migrating_zk_broker   bool              2+
  incarnation_id           uuid
  broker_epoch             int64
  end_points               []BrokerEndpoint
    name                   string
    host                   string
    port                   uint16
    security_protocol      int16
  features                 []BrokerFeature
    name                   string
    min_supported_version  int16
    max_supported_version  int16
  rack                     string?
  fenced                   bool                  = true
  in_controlled_shutdown   bool              1+
  log_dirs                 []uuid            3+  tag 0
  cordoned_log_dirs        []uuid?           4+  = null tag 1
TopicRecord
  name      string
  topic_id  uuid
PartitionRecord
  partition_id              int32         = -1
  topic_id                  uuid
  replicas                  []int32
  isr                       []int32
  removing_replicas         []int32
  adding_replicas           []int32
  leader                    int32         = -1
  leader_recovery_state     int8          tag 0
  leader_epoch              int32         = -1
  partition_epoch           int32         = -1
  directories               []uuid    1+
  eligible_leader_replicas  []int32?  2+  = null tag 1
  last_known_elr            []int32?  2+  = null tag 2
ConfigRecord
  resource_type  int8
  resource_name  string
  name           string
  value          string?
PartitionChangeRecord
  partition_id              int32         = -1
  topic_id                  uuid
  isr                       []int32?      = null tag 0
  leader                    int32         = -2 tag 1
  replicas                  []int32?      = null tag 2
  removing_replicas         []int32?      = null tag 3
  adding_replicas           []int32?      = null tag 4
  leader_recovery_state     int8          = -1 tag 5
  directories               []uuid?   1+  = null tag 8
  eligible_leader_replicas  []int32?  2+  = null tag 6
  last_known_elr            []int32?  2+  = null tag 7
RemoveTopicRecord
  topic_id  uuid
FeatureLevelRecord
  name           string
  feature_level  int16
ProducerIdsRecord
  broker_id         int32
  broker_epoch      int64  = -1
  next_producer_id  int64
"""


@cache
def schema() -> Mapping[str, tuple[notation.Field, ...]]:
    return notation.parse(SCHEMA)


@cache
def record_reader(name: str, version: int) -> Reader:
    return compiler.message_reader(schema()[name], version, True, ITEMS_MAX)


@cache
def record_writer(name: str, version: int) -> Writer:
    return compiler.struct_writer(schema()[name], version, compact=True)


def encode_record(name: str, version: int, message: Mapping[str, Any]) -> bytes:
    """Encodes the value of a metadata record. ValueError for a version that the kind has not."""
    kind = KINDS_BY_NAME[name]
    if not 0 <= version <= kind.max_version:
        raise ValueError(f"{name} has no version {version}")
    out = bytearray()
    for number in (FRAME_VERSION, kind.key, version):
        write_uvarint(out, number)
    record_writer(name, version)(out, message)
    return bytes(out)


def decode_record(data: memoryview | bytes) -> tuple[str, int, Message]:
    """Decodes the value of a metadata record: (name, version, fields).

    ProtocolError for a frame, kind or version that this server does not know (a newer one may have
    written it), and for a body that breaks its schema or has bytes left over.
    """
    view = memoryview(data)
    try:
        frame_version, position = read_uvarint(view, 0)
        key, position = read_uvarint(view, position)
        version, position = read_uvarint(view, position)
        kind = KINDS_BY_KEY.get(key)
        if frame_version != FRAME_VERSION or kind is None or version > kind.max_version:
            raise ProtocolError(f"frame {frame_version}, record {key} version {version}: unknown")
        message, position = record_reader(kind.name, version)(view, position)
    except BREACHES as error:
        raise ProtocolError(f"metadata record of {len(view)} bytes: {error}") from error
    if position != len(view):
        raise ProtocolError(f"{kind.name} v{version}: {len(view) - position} bytes too many")
    return kind.name, version, message
