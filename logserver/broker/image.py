"""The image: what the metadata log says, applied. Topics, partitions, configurations, ids.

Theory. State is a log too: nothing below is ever changed except by `apply` of a record that is in
`__cluster_metadata-0` (Kafka's record schemas, KIP-631), so a restart that replays the log sees
the same image, and one batch of records is one atomic change.

Topics are keyed by id; a name is only a way to find the id. Two topics that had the same name one
after the other therefore never meet: what belongs to the old id (a directory, a fetch session)
cannot be taken for the new one's.

The owner of a partition is the `leader` of its record, even on a single broker. The leader *epoch*
that answers carry is the log's own (`leader-epoch-checkpoint`), because recovery raises it without
asking anybody; the record's is where it began.
"""

from __future__ import annotations

from typing import Any

from logwire.messages import Message

# Resource types of ConfigRecord and of the configuration APIs (Kafka's ConfigResource.Type).
TOPIC_RESOURCE = 2
BROKER_RESOURCE = 4
BROKER_LOGGER_RESOURCE = 8
CLIENT_METRICS_RESOURCE = 16
GROUP_RESOURCE = 32

# "The leader does not change" in PartitionChangeRecord; -1 would be "there is none".
NO_LEADER_CHANGE = -2


class TopicPartition:
    """Who owns one partition: `leader` and `replicas` are broker ids, `leader_epoch` a counter."""

    __slots__ = ("index", "leader", "leader_epoch", "partition_epoch", "replicas")

    def __init__(self, record: Message) -> None:
        self.index: int = record["partition_id"]
        self.leader: int = record["leader"]
        self.leader_epoch: int = record["leader_epoch"]
        self.partition_epoch: int = record["partition_epoch"]
        self.replicas: list[int] = list(record["replicas"])


class Topic:
    """A topic: `topic_id` (16 bytes), `name`, and partitions by index, gapless from 0."""

    __slots__ = ("name", "partitions", "topic_id")

    def __init__(self, name: str, topic_id: bytes) -> None:
        self.name = name
        self.topic_id = topic_id
        self.partitions: dict[int, TopicPartition] = {}


class Image:
    """The state of the cluster after the records applied so far.

    `configs`: (resource type, resource name) -> key -> text, only what was set. `features`: feature
    name -> finalized level; `decided_features` also those that were lowered to none.
    `next_producer_id`: the first id that no broker was ever given.
    """

    __slots__ = (
        "configs",
        "decided_features",
        "features",
        "next_producer_id",
        "topics",
        "topics_by_name",
    )

    def __init__(self) -> None:
        self.topics: dict[bytes, Topic] = {}
        self.topics_by_name: dict[str, Topic] = {}
        self.configs: dict[tuple[int, str], dict[str, str]] = {}
        self.features: dict[str, int] = {}
        self.decided_features: set[str] = set()
        self.next_producer_id = 0

    def topic_configs(self, name: str) -> dict[str, str]:
        """The overrides of a topic, as text by key; empty when it has none."""
        return self.configs.get((TOPIC_RESOURCE, name), {})

    def broker_configs(self, node_id: int) -> dict[str, str]:
        """The dynamic values of a broker: the cluster's defaults, then its own above them."""
        defaults = self.configs.get((BROKER_RESOURCE, ""), {})
        return {**defaults, **self.configs.get((BROKER_RESOURCE, str(node_id)), {})}

    def group_configs(self, group_id: str) -> dict[str, str]:
        """The overrides of a group, as text by key; empty when it has none."""
        return self.configs.get((GROUP_RESOURCE, group_id), {})

    def partition_count(self) -> int:
        """Partitions of all topics together."""
        return sum(len(topic.partitions) for topic in self.topics.values())

    def apply(self, name: str, record: Message) -> None:
        """Apply one record; a kind this version does not use changes nothing.

        Records come in the order they were written. A record that contradicts the image (a
        partition of an unknown topic) is our own bug or a damaged log, and asserts.
        """
        handler = _APPLY.get(name)
        if handler is not None:
            handler(self, record)


def _topic(image: Image, record: Message) -> None:
    name, topic_id = record["name"], bytes(record["topic_id"])
    assert name not in image.topics_by_name, f"topic {name} is created twice"
    assert topic_id not in image.topics, f"topic id {topic_id.hex()} is given twice"
    topic = Topic(name, topic_id)
    image.topics[topic_id] = topic
    image.topics_by_name[name] = topic


def _partition(image: Image, record: Message) -> None:
    topic = image.topics[bytes(record["topic_id"])]
    partition = TopicPartition(record)
    topic.partitions[partition.index] = partition


def _partition_change(image: Image, record: Message) -> None:
    partition = image.topics[bytes(record["topic_id"])].partitions[record["partition_id"]]
    if record["leader"] != NO_LEADER_CHANGE:
        partition.leader = record["leader"]
        partition.leader_epoch += 1
    if record["replicas"] is not None:
        partition.replicas = list(record["replicas"])
    partition.partition_epoch += 1


def _remove_topic(image: Image, record: Message) -> None:
    topic = image.topics.pop(bytes(record["topic_id"]))
    del image.topics_by_name[topic.name]
    # Kafka writes no ConfigRecords at a removal either: the configuration goes with its topic.
    image.configs.pop((TOPIC_RESOURCE, topic.name), None)


def _config(image: Image, record: Message) -> None:
    resource = (record["resource_type"], record["resource_name"])
    entries = image.configs.setdefault(resource, {})
    if record["value"] is None:
        entries.pop(record["name"], None)
    else:
        entries[record["name"]] = record["value"]
    if not entries:
        del image.configs[resource]


def _feature_level(image: Image, record: Message) -> None:
    image.decided_features.add(record["name"])
    if record["feature_level"] == 0:
        image.features.pop(record["name"], None)
    else:
        image.features[record["name"]] = record["feature_level"]


def _producer_ids(image: Image, record: Message) -> None:
    image.next_producer_id = record["next_producer_id"]


_APPLY: dict[str, Any] = {
    "TopicRecord": _topic,
    "PartitionRecord": _partition,
    "PartitionChangeRecord": _partition_change,
    "RemoveTopicRecord": _remove_topic,
    "ConfigRecord": _config,
    "FeatureLevelRecord": _feature_level,
    "ProducerIdsRecord": _producer_ids,
}
