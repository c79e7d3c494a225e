"""Hashes of topics, held against numbers that Kafka's own library gave."""

from __future__ import annotations

from logserver.broker.groups.cluster import NO_CLUSTER, Settings, group_hash, topic_hash

TOPIC_ID = bytes([1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18])
# com.dynatrace.hash4j 0.22.0, fed as Kafka's Utils.computeTopicHash and computeGroupHash feed it.
KAFKA_TOPIC_HASH = -3967608492204731963
KAFKA_GROUP_HASH = -4707598291506023140


def test_the_hashes_are_those_of_kafka() -> None:
    """A group that comes from Kafka with its log does not rebalance because of us."""
    number = topic_hash("orders", TOPIC_ID, 3)
    assert number == KAFKA_TOPIC_HASH
    assert group_hash([("b", 42), ("a", number)]) == KAFKA_GROUP_HASH


def test_everything_that_makes_a_topic_another_one_is_in_its_hash() -> None:
    """Name, id, partitions."""
    hashes = {
        topic_hash("orders", TOPIC_ID, 3),
        topic_hash("order", TOPIC_ID, 3),
        topic_hash("orders", TOPIC_ID[::-1], 3),
        topic_hash("orders", TOPIC_ID, 4),
    }
    assert len(hashes) == 4


def test_no_topics_hash_to_nought() -> None:
    """As in Kafka: a group that subscribes to nothing that exists."""
    assert group_hash([]) == 0


def test_there_is_nothing_in_no_cluster() -> None:
    """What a group sees that is only being read from the log."""
    assert (NO_CLUSTER.topic_id("a"), NO_CLUSTER.topic_name(TOPIC_ID)) == (None, None)
    assert NO_CLUSTER.topic_hash("a") is None
    assert (NO_CLUSTER.partition_count(TOPIC_ID), list(NO_CLUSTER.topic_names())) == (0, [])
    assert NO_CLUSTER.settings("g") == Settings()
