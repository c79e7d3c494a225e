"""What a consumer group may know of the world around it: topics, and what it may do.

The machine of a group knows no broker. It is given a `Cluster`: a view of the topics that changes
under it, with a version that tells when to look again, and the settings in force. `topic_hash` puts
a topic's identity into one number; the hash of a group is made of those of its topics, and is
persisted, so that a group notices after a restart what happened to its topics meanwhile.

    topic hash = XXH3( 0 | topic id, as two int64 | name in UTF-16 | its length, int32
                     | partition count, int32 | each partition's number, int32 )   little endian
    group hash = XXH3( topic hashes as int64, in the order of the topics' names );   0: no topics

Both are Kafka's numbers (KIP-1101, `computeTopicHash` and `computeGroupHash` of
org.apache.kafka.coordinator.group.Utils) for partitions whose replicas have no rack: a group that
came from Kafka with its log does not rebalance because of us.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple, Protocol

from logserver.storage.digest import xxh3

_INT32 = Struct("<i")
_INT64 = Struct("<q")


class Settings(NamedTuple):
    """What is in force for one group; `assignors` by preference, sizes in members.

    `metadata_bytes_max` is for all members of a consumer group together.
    """

    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 5000
    assignment_interval_ms: int = 1000
    regex_refresh_interval_ms: int = 600_000
    assignors: tuple[str, ...] = ("uniform", "range")
    size_max: int = 2**31 - 1
    classic_size_max: int = 2**31 - 1
    metadata_bytes_max: int = 64 * 1024 * 1024
    upgrades: bool = True
    downgrades: bool = True


class Cluster(Protocol):
    """Topics by name and by id, as they are at this moment."""

    @property
    def version(self) -> int:
        """Another number than before as soon as any topic may have changed."""

    def topic_id(self, name: str) -> bytes | None:
        """The id of a topic that exists."""

    def topic_name(self, topic_id: bytes) -> str | None:
        """The name of a topic that exists."""

    def partition_count(self, topic_id: bytes) -> int:
        """Partitions of a topic; 0 if it does not exist."""

    @property
    def names_version(self) -> int:
        """Another number than before as soon as any topic has come or gone."""

    def topic_names(self) -> Iterable[str]:
        """The names of all topics."""

    def topic_hash(self, name: str) -> int | None:
        """The hash of a topic's identity; None if it does not exist."""

    def settings(self, group_id: str) -> Settings:
        """What is in force for this group."""


class _NoCluster:
    """Nothing: what a group sees that is only being read from the log."""

    version = names_version = 0

    def topic_id(self, _name: str) -> bytes | None:
        return None

    def topic_name(self, _topic_id: bytes) -> str | None:
        return None

    def partition_count(self, _topic_id: bytes) -> int:
        return 0

    def topic_names(self) -> Iterable[str]:
        return ()

    def topic_hash(self, _name: str) -> int | None:
        return None

    def settings(self, _group_id: str) -> Settings:
        return Settings()


NO_CLUSTER: Cluster = _NoCluster()


def topic_hash(name: str, topic_id: bytes, partition_count: int) -> int:
    """One signed 64-bit number for a topic's name, id and partitions."""
    text = name.encode("utf-16-le", "surrogatepass")
    data = bytearray(b"\0")
    data += topic_id[7::-1] + topic_id[:7:-1]  # two big-endian numbers, read little endian
    data += text + _INT32.pack(len(text) // 2) + _INT32.pack(partition_count)
    for partition in range(partition_count):
        data += _INT32.pack(partition)
    return _signed(xxh3(bytes(data)))


def group_hash(topic_hashes: Iterable[tuple[str, int]]) -> int:
    """One signed 64-bit number for (name, topic hash) of all topics of a group."""
    ordered = sorted(topic_hashes)
    if not ordered:
        return 0
    return _signed(xxh3(b"".join(_INT64.pack(number) for _, number in ordered)))


def _signed(number: int) -> int:
    return number - 2**64 if number >> 63 else number
