"""The world that consumer groups see: the broker's topics and configuration (`cluster.Cluster`).

There is one for all groups of a broker. Everything in it is looked up in the image; hashes of
topics, the set of names and the settings of groups are kept until the metadata log has grown, which
is also what tells a group that it has to look again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from logserver.broker.groups.cluster import Settings, topic_hash
from logserver.config import group_config

if TYPE_CHECKING:
    from logserver.broker.broker import Broker


class BrokerCluster:
    """See `cluster.Cluster`."""

    __slots__ = ("_broker", "_hashes", "_names", "_names_seen", "_names_version", "_settings")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._hashes: dict[str, tuple[bytes, int, int]] = {}
        self._names: frozenset[str] = frozenset()
        self._names_seen = -1
        self._names_version = 0
        self._settings: dict[str, tuple[object, int, Settings]] = {}

    @property
    def version(self) -> int:
        """Where the metadata log ends."""
        return self._broker.metadata_log.log.end_offset

    @property
    def names_version(self) -> int:
        """The version that brought the names of topics that there are now."""
        version = self.version
        if version != self._names_seen:
            self._names_seen = version
            names = frozenset(self._broker.image.topics_by_name)
            if names != self._names:
                self._names = names
                self._names_version = version
                self._hashes = {n: h for n, h in self._hashes.items() if n in names}
        return self._names_version

    def topic_id(self, name: str) -> bytes | None:
        """The id of a topic that exists."""
        topic = self._broker.image.topics_by_name.get(name)
        return None if topic is None else topic.topic_id

    def topic_name(self, topic_id: bytes) -> str | None:
        """The name of a topic that exists."""
        topic = self._broker.image.topics.get(topic_id)
        return None if topic is None else topic.name

    def partition_count(self, topic_id: bytes) -> int:
        """Partitions of a topic; 0 if it does not exist."""
        topic = self._broker.image.topics.get(topic_id)
        return 0 if topic is None else len(topic.partitions)

    def topic_names(self) -> Iterable[str]:
        """The names of all topics, in the order in which they were created."""
        return self._broker.image.topics_by_name

    def topic_hash(self, name: str) -> int | None:
        """The hash of a topic's identity; None if it does not exist."""
        topic = self._broker.image.topics_by_name.get(name)
        if topic is None:
            return None
        topic_id, count = topic.topic_id, len(topic.partitions)
        known = self._hashes.get(name)
        if known is None or known[:2] != (topic_id, count):
            known = topic_id, count, topic_hash(name, topic_id, count)
            self._hashes[name] = known
        return known[2]

    def settings(self, group_id: str) -> Settings:
        """The group's own configuration above the broker's."""
        config, version = self._broker.config, self.version
        known = self._settings.get(group_id)
        if known is not None and known[0] is config and known[1] == version:
            return known[2]
        if len(self._settings) > SETTINGS_COUNT_MAX:
            self._settings.clear()  # groups come and go
        group = group_config(config, self._broker.image.group_configs(group_id))
        policy = config.group_consumer_migration_policy.lower()
        settings = Settings(
            group.consumer_session_timeout_ms,
            group.consumer_heartbeat_interval_ms,
            group.consumer_assignment_interval_ms,
            config.group_consumer_regex_refresh_interval_ms,
            config.group_consumer_assignors,
            config.group_consumer_max_size,
            config.group_max_size,
            config.group_metadata_max_bytes,
            policy in ("upgrade", "bidirectional"),
            policy in ("downgrade", "bidirectional"),
        )
        self._settings[group_id] = config, version, settings
        return settings


SETTINGS_COUNT_MAX = 10_000
