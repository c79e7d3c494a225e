"""Requests that are wrong in the ways of clients, not of random bytes.

A number that stands for one of a few things (a type of resource, an operation) is mostly one of
them: Apache Kafka closes the connection of whoever sends another, or never answers. Timeouts are
long enough to be answered, nobody is a replica, and nobody waits for other members of a group.
"""

from __future__ import annotations

from typing import Any

from tests.broker.request_generator import Requests

CHOICES: dict[str, tuple[Any, ...]] = {
    "timeout_ms": (5000,),
    "timeout": (5000,),
    "replica_id": (-1,),
    "current_leader_epoch": (-1, -1, 0, 1),
    "isolation_level": (0, 1),
    "resource_type": (2, 2, 2, 4, 8, 16, 32),
    "resource_types": (2, 4, 8, 16, 32, 64),
    "config_operation": (0, 0, 1, 2, 3),
    "resource_type_filter": (1, 2, 3, 4),
    "pattern_type_filter": (1, 2, 3, 4),
    "resource_pattern_type": (3, 4),
    "operation": (1, 2, 3, 4),
    "permission_type": (1, 2, 3),
    "election_type": (0, 1),
    "upgrade_type": (1, 2, 3),
    "key_type": (0, 0, 0, 2, 3),
    "endpoint_type": (1,),
    "transactional_id": (None,),
    "transaction_timeout_ms": (60_000,),
    "group_id": ("g", "h", ""),
    "group": ("g", "h"),
    "groups": ("g", "h"),
    "groups_names": ("g", "h", ""),
    "group_ids": ("g", "h"),
    "session_timeout_ms": (5,),
    "rebalance_timeout_ms": (500,),
    "member_epoch": (-1, -2, 1, 7),
    "protocol_type": ("consumer", ""),
    "server_assignor": (None, "uniform", "range", "nope"),
    "subscribed_topic_regex": (None,),
    "states_filter": ("Stable", "Empty", "nope"),
    "types_filter": ("classic", "consumer", "nope"),
    "state_filters": ("Ongoing", "nope"),
    "feature": ("metadata.version", "group.version", "nope"),
    "max_version_level": (0, 1, 7, 30, 31, -1),
    "num_partitions": (-1, 0, 1, 2, 3),
    "replication_factor": (-1, 0, 1, 2),
    "count": (0, 1, 2, 4, 5),
    "replicas": (0, 1, 2, -1),
    "broker_ids": (1, 1, 1, 2, -1),
    "codes": (0,),
    "generation_id_or_member_epoch": (-1, -1, -1, 0, 7),
    "response_partition_limit": (0, 1, 2, 2000),
    "client_software_name": ("kcat", "kcat", "a b", ""),
    "client_software_version": ("1.0", "1.0", "-", ""),
    "node_id": (-1, 1, 2),
    "cluster_id": (None,),
    "max_lifetime_ms": (-1, 1000),
    "owner_principal_type": ("User",),
}
CONFIG_NAMES = (
    "retention.ms", "cleanup.policy", "segment.bytes", "max.message.bytes", "min.insync.replicas",
    "consumer.session.timeout.ms", "interval.ms", "metrics", "match", "log.retention.ms",
    "num.io.threads", "node.id", "nope",
)  # fmt: skip
CONFIG_VALUES = (
    "1",
    "-1",
    "x",
    "",
    "compact",
    "delete",
    "46000",
    "2000000",
    "client_id=a",
    "9" * 30,
)


class SensibleRequests(Requests):
    """A source of requests; `ids` are (placeholders of) topic ids that exist."""

    def _one(self, field: Any, version: int) -> Any:
        if field.name in CHOICES and field.kind != "struct":
            return self.random.choice(CHOICES[field.name])
        return super()._one(field, version)

    def _value(self, field: Any, version: int) -> Any:
        if field.name == "configs" and field.kind == "struct":
            return [self._config(field, version) for _ in range(self.random.choice((0, 1, 1, 2)))]
        return super()._value(field, version)

    def _config(self, field: Any, version: int) -> Any:
        row = self._struct(field.fields, version)
        row["name"] = self.random.choice(CONFIG_NAMES)
        row["value"] = self.random.choice(CONFIG_VALUES)
        return row
