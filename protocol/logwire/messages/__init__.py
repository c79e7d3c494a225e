"""The messages of the APIs that Logserver speaks: bodies to dicts and dicts to bodies.

One module per API holds its schema as text (`api_03_metadata.py`, notation in `notation.py`).
Nothing is imported or compiled here until a message of that API and version first passes, so the
import is cheap; from then on the compiled reader or writer is one look-up away. The version ranges
stand once, in `APIS` below.

A message is a plain dict with Kafka's field names in snake case: structs are dicts, arrays lists,
uuids 16 bytes, `bytes` copies, records memoryviews into the frame (no copy), null is None.

Never here: headers (`logwire.frame`), a handler's meaning, or which versions are refused: the
caller compares with `APIS` before it asks.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from logwire.errors import ProtocolError
from logwire.primitives import BREACHES, Reader, Writer

Message = dict[str, Any]

# Items of all arrays of one message together. A request of 100,000 partitions is beyond every
# client in the field and still below 50 MB of Python objects; answers come from a server that was
# chosen, and the metadata of a large cluster holds a few hundred thousand items.
ITEMS_MAX = {"request": 100_000, "response": 1_000_000}


class Api(NamedTuple):
    """One API: versions `min_version` to `max_version` are read and written here.

    Which of them a server answers is its own matter: see `logserver.broker.dispatch`.

    `advertised_min` is what ApiVersions tells. It is lower than `min_version` for Produce only:
    librdkafka takes "Produce 0 is offered" as the sign that it may compress (KAFKA-18659).
    From `flexible_from` on bodies are compact and headers carry a tagged section.
    """

    key: int
    name: str
    min_version: int
    max_version: int
    advertised_min: int
    flexible_from: int


_ROWS = (
    Api(0, "Produce", 3, 13, 0, 9),
    Api(1, "Fetch", 4, 18, 4, 12),
    Api(2, "ListOffsets", 1, 11, 1, 6),
    Api(3, "Metadata", 0, 13, 0, 9),
    Api(8, "OffsetCommit", 2, 10, 2, 8),
    Api(9, "OffsetFetch", 1, 10, 1, 6),
    Api(10, "FindCoordinator", 0, 6, 0, 3),
    Api(11, "JoinGroup", 0, 9, 0, 6),
    Api(12, "Heartbeat", 0, 4, 0, 4),
    Api(13, "LeaveGroup", 0, 5, 0, 4),
    Api(14, "SyncGroup", 0, 5, 0, 4),
    Api(15, "DescribeGroups", 0, 6, 0, 5),
    Api(16, "ListGroups", 0, 5, 0, 3),
    Api(18, "ApiVersions", 0, 5, 0, 3),
    Api(19, "CreateTopics", 2, 7, 2, 5),
    Api(20, "DeleteTopics", 1, 6, 1, 4),
    Api(21, "DeleteRecords", 0, 2, 0, 2),
    Api(22, "InitProducerId", 0, 5, 0, 2),
    Api(23, "OffsetForLeaderEpoch", 2, 4, 2, 4),
    Api(29, "DescribeAcls", 1, 3, 1, 2),
    Api(30, "CreateAcls", 1, 3, 1, 2),
    Api(31, "DeleteAcls", 1, 3, 1, 2),
    Api(32, "DescribeConfigs", 1, 4, 1, 4),
    Api(33, "AlterConfigs", 0, 2, 0, 2),
    Api(34, "AlterReplicaLogDirs", 1, 2, 1, 2),
    Api(35, "DescribeLogDirs", 1, 5, 1, 2),
    Api(37, "CreatePartitions", 0, 3, 0, 2),
    Api(38, "CreateDelegationToken", 1, 3, 1, 2),
    Api(39, "RenewDelegationToken", 1, 2, 1, 2),
    Api(40, "ExpireDelegationToken", 1, 2, 1, 2),
    Api(41, "DescribeDelegationToken", 1, 3, 1, 2),
    Api(42, "DeleteGroups", 0, 3, 0, 2),
    Api(43, "ElectLeaders", 0, 2, 0, 2),
    Api(44, "IncrementalAlterConfigs", 0, 1, 0, 1),
    Api(45, "AlterPartitionReassignments", 0, 1, 0, 0),
    Api(46, "ListPartitionReassignments", 0, 0, 0, 0),
    Api(47, "OffsetDelete", 0, 0, 0, 1),
    Api(55, "DescribeQuorum", 0, 2, 0, 0),
    Api(57, "UpdateFeatures", 0, 2, 0, 0),
    Api(60, "DescribeCluster", 0, 2, 0, 0),
    Api(61, "DescribeProducers", 0, 0, 0, 0),
    Api(65, "DescribeTransactions", 0, 0, 0, 0),
    Api(66, "ListTransactions", 0, 2, 0, 0),
    Api(68, "ConsumerGroupHeartbeat", 0, 1, 0, 0),
    Api(69, "ConsumerGroupDescribe", 0, 1, 0, 0),
    Api(71, "GetTelemetrySubscriptions", 0, 0, 0, 0),
    Api(72, "PushTelemetry", 0, 0, 0, 0),
    Api(74, "ListConfigResources", 0, 1, 0, 0),
    Api(75, "DescribeTopicPartitions", 0, 0, 0, 0),
)
APIS: dict[int, Api] = {api.key: api for api in _ROWS}


def module_name(api: Api) -> str:
    """`api_03_metadata` for Metadata: the number first, so that a folder lists them in order."""
    snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in api.name)
    return f"logwire.messages.api_{api.key:02d}{snake}"


@cache
def schema(api_key: int) -> Mapping[str, Any]:
    """The parsed schema of an API: its fields under "request" and under "response"."""
    from logwire.messages import notation

    return notation.parse(import_module(module_name(APIS[api_key])).SCHEMA)


def load_schemas() -> None:
    """Import and parse every schema, 6 ms in all, so that no later request has to."""
    for api_key in APIS:
        schema(api_key)


@cache
def reader(api_key: int, version: int, block: str) -> Reader:
    """The compiled reader of a body; `block` is "request" or "response"."""
    from logwire.messages import compiler

    compact = version >= served(api_key, version).flexible_from
    return compiler.message_reader(schema(api_key)[block], version, compact, ITEMS_MAX[block])


@cache
def writer(api_key: int, version: int, block: str) -> Writer:
    """The compiled writer of a body; `block` is "request" or "response"."""
    from logwire.messages import compiler

    compact = version >= served(api_key, version).flexible_from
    return compiler.struct_writer(schema(api_key)[block], version, compact)


def served(api_key: int, version: int) -> Api:
    api = APIS.get(api_key)
    if api is None or not api.min_version <= version <= api.max_version:
        raise ProtocolError(f"API {api_key} version {version} is not served")
    return api


def decode_request(api_key: int, version: int, body: memoryview | bytes) -> Message:
    """Decodes a request body. ProtocolError when it breaks the schema.

    Bytes behind the body are ignored, as Kafka ignores them: librdkafka 2.16 sends three too many
    when it lists all topics with Metadata v13.
    """
    view = memoryview(body)
    return decode_body(reader(api_key, version, "request"), view, api_key, version, "request")[0]


def decode_response(api_key: int, version: int, body: memoryview | bytes) -> Message:
    """Decodes a response body. ProtocolError when it breaks the schema or bytes are left over."""
    view = memoryview(body)
    read = reader(api_key, version, "response")
    message, position = decode_body(read, view, api_key, version, "response")
    if position != len(view):
        left = len(view) - position
        raise ProtocolError(f"{APIS[api_key].name} response v{version}: {left} bytes too many")
    return message


def decode_body(
    read: Reader, view: memoryview, api_key: int, version: int, block: str
) -> tuple[Message, int]:
    """Decodes what `read` reads and returns it with the position behind it."""
    try:
        return read(view, 0)
    except (ProtocolError, *BREACHES) as error:
        raise ProtocolError(f"{APIS[api_key].name} {block} v{version}: {error}") from error


def encode_request(api_key: int, version: int, message: Mapping[str, Any]) -> bytes:
    """Encodes a request body; what is missing takes Kafka's default. ValueError: bad null."""
    return encode_body(writer(api_key, version, "request"), message)


def encode_response(api_key: int, version: int, message: Mapping[str, Any]) -> bytes:
    """Encodes a response body; what is missing takes Kafka's default. ValueError: bad null."""
    return encode_body(writer(api_key, version, "response"), message)


def encode_body(write: Writer, message: Mapping[str, Any]) -> bytes:
    out = bytearray()
    write(out, message)
    return bytes(out)


def encode_record(name: str, version: int, message: Mapping[str, Any]) -> bytes:
    """Encodes a metadata-log record with its frame, see `messages.records`."""
    from logwire.messages import records

    return records.encode_record(name, version, message)


def decode_record(data: memoryview | bytes) -> tuple[str, int, Message]:
    """Decodes a metadata-log record: (name, version, fields), see `messages.records`."""
    from logwire.messages import records

    return records.decode_record(data)
