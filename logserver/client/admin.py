"""Topics, configuration, offsets and groups: what an operator asks a server.

    from logserver.client import Admin

    with Admin("127.0.0.1:9092") as admin:
        admin.create_topic("telemetry", partitions=4, configs={"retention.ms": "86400000"})
        print(admin.describe_topic("telemetry").partitions)
        print(admin.offsets("telemetry", "end"))
        print(admin.groups.all())

Every call is one request and its answer; a refusal raises `ClientError` with the server's sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Self

from logserver.client import connection as wire
from logserver.client.cluster import Cluster, TopicMetadata, closing_on_error
from logserver.client.connection import Address, Connection
from logserver.client.failure import check_row, only_row
from logserver.client.groups import Groups
from logserver.client.offsets import (
    BEGINNING,
    END,
    NEWEST,
    FoundOffset,
    ask_leaders,
    list_offsets,
    partition_rows,
)
from logwire import errors
from logwire.messages import Message

TOPIC_RESOURCE: Final = 2
BROKER_RESOURCE: Final = 4
_SPECIAL: Final = {"end": END, "beginning": BEGINNING, "newest": NEWEST}
_SET, _DELETE = 0, 1  # IncrementalAlterConfigs operations

CONFIG_SOURCES: Final = {
    1: "topic",
    2: "dynamic broker",
    3: "dynamic default broker",
    4: "static broker",
    5: "default",
    6: "dynamic broker logger",
}


class Partition(NamedTuple):
    partition: int
    leader_id: int
    leader_epoch: int
    replica_nodes: list[int]
    isr_nodes: list[int]
    offline_replicas: list[int]


class Topic(NamedTuple):
    """`topic_id` is 16 bytes."""

    name: str
    topic_id: bytes
    is_internal: bool
    partitions: list[Partition]


class ConfigEntry(NamedTuple):
    """One configuration key; `source` is one of `CONFIG_SOURCES`' words."""

    name: str
    value: str | None
    source: str
    is_read_only: bool
    is_sensitive: bool
    documentation: str | None


class ClusterDescription(NamedTuple):
    cluster_id: str
    controller_id: int
    brokers: dict[int, Address]


class PartitionSize(NamedTuple):
    broker_id: int
    log_directory: str
    topic: str
    partition: int
    size_bytes: int


class Admin:
    """Administration of the servers behind `bootstrap` (`host:port,...`), one thread at a time.

    Connects at once: raises `ClientError` "connect" when no server can be reached.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "logserver-admin",
        request_timeout_ms: int = wire.REQUEST_TIMEOUT_MS,
    ) -> None:
        def connect(address: Address) -> Connection:
            return Connection(address, client_id=client_id, request_timeout_ms=request_timeout_ms)

        self.request_timeout_ms = request_timeout_ms
        self.cluster = Cluster(bootstrap, connect)
        self.groups = Groups(self.cluster, timeout_ms=request_timeout_ms)
        with closing_on_error(self.cluster):
            self.cluster.control()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.cluster.close()

    def request(self, api_key: int, message: Message) -> Message:
        """Any request, answered by any broker, as dicts; see `logwire.messages`."""
        return self.cluster.request(api_key, message)

    # topics

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = -1,
        replication_factor: int = -1,
        configs: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> int:
        """Create a topic, -1 taking the server's defaults; returns its number of partitions.

        Returns when the topic can be used."""
        topic = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": replication_factor,
            "assignments": [],
            "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
        }
        answer = self.cluster.request(
            wire.CREATE_TOPICS,
            {
                "topics": [topic],
                "timeout_ms": self.request_timeout_ms,
                "validate_only": validate_only,
            },
            timeout_ms=self.request_timeout_ms,
        )
        row = only_row(answer["topics"])
        check_row(f"create topic {name}", row)
        if not validate_only:
            self._wait_topic(name, lambda topic: topic is not None)
        count: int = row.get("num_partitions", partitions)
        return count

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its records."""
        answer = self.cluster.request(
            wire.DELETE_TOPICS,
            {
                "topics": [{"name": name, "topic_id": bytes(16)}],
                "topic_names": [name],
                "timeout_ms": self.request_timeout_ms,
            },
            timeout_ms=self.request_timeout_ms,
        )
        check_row(f"delete topic {name}", only_row(answer["responses"]))
        self._wait_topic(name, lambda topic: topic is None)

    def add_partitions(self, name: str, total_count: int, *, validate_only: bool = False) -> None:
        """Grow a topic to `total_count` partitions."""
        answer = self.cluster.request(
            wire.CREATE_PARTITIONS,
            {
                "topics": [{"name": name, "count": total_count, "assignments": None}],
                "timeout_ms": self.request_timeout_ms,
                "validate_only": validate_only,
            },
            timeout_ms=self.request_timeout_ms,
        )
        check_row(f"grow topic {name} to {total_count} partitions", only_row(answer["results"]))
        if not validate_only:
            self._wait_topic(name, lambda topic: topic is None or len(topic.leaders) >= total_count)

    def _wait_topic(self, name: str, is_seen: Callable[[TopicMetadata | None], bool]) -> None:
        """Wait until the broker that we ask sees what the controller has done: in Kafka its
        metadata is a moment behind. After the request's timeout it is no longer our concern."""
        for _ in self.cluster.attempts(self.request_timeout_ms):
            self.cluster.refresh([name])
            topic = self.cluster.topics.get(name)
            if is_seen(topic) and (topic is None or -1 not in topic.leaders.values()):
                return

    def list_topics(self, *, internal: bool = False) -> list[Topic]:
        """All topics by name; internal ones only when asked for."""
        topics = [_topic(row) for row in self._metadata(None)]
        return sorted(topic for topic in topics if internal or not topic.is_internal)

    def describe_topic(self, name: str) -> Topic:
        """One topic; `ClientError` "refused" when there is none of that name."""
        row = only_row(self._metadata([name]))
        check_row(f"describe topic {name}", row)
        return _topic(row)

    def _metadata(self, names: list[str] | None) -> list[Message]:
        wanted = (
            None if names is None else [{"name": name, "topic_id": bytes(16)} for name in names]
        )
        message = {"topics": wanted, "allow_auto_topic_creation": False}
        rows: list[Message] = self.cluster.request(wire.METADATA, message)["topics"]
        return rows

    # configuration

    def describe_configs(
        self, name: str, *, resource: Literal["topic", "broker"] = "topic"
    ) -> list[ConfigEntry]:
        """All configuration keys of a topic, or of a broker by its id."""
        answer = self.cluster.request(
            wire.DESCRIBE_CONFIGS,
            {
                "resources": [
                    {
                        "resource_type": _resource_type(resource),
                        "resource_name": name,
                        "configuration_keys": None,
                    }
                ],
                "include_documentation": True,
            },
        )
        row = only_row(answer["results"])
        check_row(f"describe the configuration of {resource} {name}", row)
        return [
            ConfigEntry(
                entry["name"],
                entry["value"],
                CONFIG_SOURCES.get(entry["config_source"], "unknown"),
                entry["read_only"],
                entry["is_sensitive"],
                entry.get("documentation"),
            )
            for entry in row["configs"]
        ]

    def alter_configs(
        self,
        name: str,
        changes: Mapping[str, str | None],
        *,
        resource: Literal["topic", "broker"] = "topic",
        validate_only: bool = False,
    ) -> None:
        """Set configuration keys; None takes a key back to its default. All or nothing."""
        configs = [
            {
                "name": key,
                "config_operation": _DELETE if value is None else _SET,
                "value": value,
            }
            for key, value in changes.items()
        ]
        target = {
            "resource_type": _resource_type(resource),
            "resource_name": name,
            "configs": configs,
        }
        answer = self.cluster.request(
            wire.INCREMENTAL_ALTER_CONFIGS, {"resources": [target], "validate_only": validate_only}
        )
        check_row(f"alter the configuration of {resource} {name}", only_row(answer["responses"]))

    # offsets

    def offsets(
        self,
        topic: str,
        at: Literal["beginning", "end", "newest"] | int,
        *,
        partitions: Sequence[int] | None = None,
    ) -> dict[int, FoundOffset]:
        """Per partition: the log start, the end, the newest timestamp, or the first record at or
        after a timestamp in ms (offset -1 when all are older)."""
        timestamp_ms = _SPECIAL[at] if isinstance(at, str) else at
        wanted = self.partitions(topic) if partitions is None else partitions
        return self.list_offsets(topic, dict.fromkeys(wanted, timestamp_ms))

    def partitions(self, topic: str) -> list[int]:
        """Indexes of a topic's partitions."""
        return sorted(self.cluster.topic(topic, timeout_ms=self.request_timeout_ms).leaders)

    def list_offsets(self, topic: str, timestamps_ms: Mapping[int, int]) -> dict[int, FoundOffset]:
        """ListOffsets of several partitions at once, each with its own (special) timestamp."""
        return list_offsets(self.cluster, topic, timestamps_ms, timeout_ms=self.request_timeout_ms)

    def delete_records(self, topic: str, before: Mapping[int, int]) -> dict[int, int]:
        """Move log starts to offsets (-1: the end); the new log start per partition."""

        def ask(connection: Connection, indexes: list[int]) -> list[Message]:
            rows = [{"partition_index": i, "offset": before[i]} for i in indexes]
            message = {
                "topics": [{"name": topic, "partitions": rows}],
                "timeout_ms": self.request_timeout_ms,
            }
            return partition_rows(
                connection.request(wire.DELETE_RECORDS, message, timeout_ms=self.request_timeout_ms)
            )

        return ask_leaders(
            self.cluster,
            topic,
            before,
            ask,
            lambda row: int(row["low_watermark"]),
            what="delete records of",
            timeout_ms=self.request_timeout_ms,
        )

    # the cluster

    def describe_cluster(self) -> ClusterDescription:
        """Cluster id, controller and the addresses of all brokers."""
        self.cluster.refresh([])
        cluster = self.cluster
        return ClusterDescription(cluster.cluster_id, cluster.controller_id, dict(cluster.brokers))

    def log_sizes(self) -> list[PartitionSize]:
        """What each partition takes in each log directory of each broker.

        A directory that has failed says nothing of its partitions: they are left out.
        """
        self.cluster.refresh([])
        sizes = []
        for broker_id in self.cluster.brokers:
            answer = self.cluster.data(broker_id).request(wire.DESCRIBE_LOG_DIRS, {"topics": None})
            for directory in answer["results"]:
                if directory["error_code"] == errors.KAFKA_STORAGE_ERROR:
                    continue
                check_row(f"describe log directory {directory['log_dir']}", directory)
                sizes += [
                    PartitionSize(
                        broker_id,
                        directory["log_dir"],
                        topic["name"],
                        part["partition_index"],
                        part["partition_size"],
                    )
                    for topic in directory["topics"]
                    for part in topic["partitions"]
                ]
        return sizes


def _resource_type(resource: str) -> int:
    return TOPIC_RESOURCE if resource == "topic" else BROKER_RESOURCE


def _topic(row: Message) -> Topic:
    partitions = [
        Partition(
            part["partition_index"],
            part["leader_id"],
            part.get("leader_epoch", -1),
            part["replica_nodes"],
            part["isr_nodes"],
            part.get("offline_replicas", []),
        )
        for part in row["partitions"]
    ]
    return Topic(
        row["name"],
        row.get("topic_id", bytes(16)),
        row.get("is_internal", False),
        sorted(partitions),
    )
