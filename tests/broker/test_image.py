"""The image: what records make of it."""

import pytest

from logserver.broker.image import BROKER_RESOURCE, TOPIC_RESOURCE, Image
from logwire.messages import Message, decode_record, encode_record

ID_A, ID_B = b"a" * 16, b"b" * 16


def apply(image: Image, kind: str, /, **fields: object) -> None:
    """Apply a record as it comes from the log."""
    image.apply(*decode_record(encode_record(kind, 0, fields))[::2])


def partition(topic_id: bytes, index: int) -> Message:
    """The fields of a new partition of broker 1."""
    return {
        "partition_id": index,
        "topic_id": topic_id,
        "replicas": [1],
        "isr": [1],
        "removing_replicas": [],
        "adding_replicas": [],
        "leader": 1,
        "leader_epoch": 0,
        "partition_epoch": 0,
    }


@pytest.fixture
def image() -> Image:
    """An image with one topic of two partitions."""
    image = Image()
    apply(image, "TopicRecord", name="a", topic_id=ID_A)
    for index in (0, 1):
        apply(image, "PartitionRecord", **partition(ID_A, index))
    return image


def test_a_topic_is_found_by_id_and_by_name(image: Image) -> None:
    """Both ways lead to the same topic."""
    topic = image.topics[ID_A]
    assert image.topics_by_name["a"] is topic
    assert (topic.name, list(topic.partitions), image.partition_count()) == ("a", [0, 1], 2)
    assert (topic.partitions[1].leader, topic.partitions[1].replicas) == (1, [1])


def test_a_removal_takes_partitions_and_configuration_along(image: Image) -> None:
    """A topic created later under the name starts without them."""
    set_config(image, TOPIC_RESOURCE, "a", "retention.ms", "5")
    apply(image, "RemoveTopicRecord", topic_id=ID_A)
    apply(image, "TopicRecord", name="a", topic_id=ID_B)
    assert list(image.topics) == [ID_B]
    assert image.topic_configs("a") == {}
    assert image.topics[ID_B].partitions == {}


def set_config(image: Image, kind: int, resource: str, name: str, value: str | None) -> None:
    """Apply a ConfigRecord."""
    apply(
        image,
        "ConfigRecord",
        resource_type=kind,
        resource_name=resource,
        name=name,
        value=value,
    )


def test_a_null_value_deletes_a_config(image: Image) -> None:
    """Deleting what is not there changes nothing."""
    set_config(image, TOPIC_RESOURCE, "a", "retention.ms", "5")
    set_config(image, TOPIC_RESOURCE, "a", "segment.ms", "6")
    set_config(image, TOPIC_RESOURCE, "a", "retention.ms", None)
    assert image.topic_configs("a") == {"segment.ms": "6"}
    set_config(image, TOPIC_RESOURCE, "a", "segment.ms", None)
    set_config(image, TOPIC_RESOURCE, "a", "segment.ms", None)
    assert image.configs == {}


def test_a_brokers_own_value_stands_above_the_clusters_default(image: Image) -> None:
    """Resource name "" is the default of all brokers."""
    set_config(image, BROKER_RESOURCE, "", "log.retention.ms", "1")
    set_config(image, BROKER_RESOURCE, "", "message.max.bytes", "2")
    set_config(image, BROKER_RESOURCE, "1", "log.retention.ms", "3")
    assert image.broker_configs(1) == {"log.retention.ms": "3", "message.max.bytes": "2"}
    assert image.broker_configs(2) == {"log.retention.ms": "1", "message.max.bytes": "2"}


def test_a_new_leader_raises_both_epochs(image: Image) -> None:
    """As Kafka: the leader epoch counts leaders, the partition epoch counts changes."""
    apply(image, "PartitionChangeRecord", partition_id=1, topic_id=ID_A, leader=2)
    changed = image.topics[ID_A].partitions[1]
    assert (changed.leader, changed.leader_epoch, changed.partition_epoch) == (2, 1, 1)
    apply(image, "PartitionChangeRecord", partition_id=1, topic_id=ID_A, replicas=[2])
    assert (changed.leader_epoch, changed.partition_epoch, changed.replicas) == (1, 2, [2])


def test_features_and_producer_ids_are_the_last_ones_written(image: Image) -> None:
    """Level 0 means that a feature is not finalized."""
    apply(image, "FeatureLevelRecord", name="metadata.version", feature_level=30)
    apply(image, "ProducerIdsRecord", broker_id=1, next_producer_id=3000)
    assert (image.features, image.next_producer_id) == ({"metadata.version": 30}, 3000)
    apply(image, "FeatureLevelRecord", name="metadata.version", feature_level=0)
    assert image.features == {}


def test_a_kind_that_is_not_used_changes_nothing(image: Image) -> None:
    """A log written by a later version may hold others."""
    image.apply("RegisterBrokerRecord", {"broker_id": 1})
    assert image.partition_count() == 2


def test_a_record_that_contradicts_the_image_is_a_bug(image: Image) -> None:
    """The same name twice can only come from us."""
    with pytest.raises(AssertionError):
        apply(image, "TopicRecord", name="a", topic_id=ID_B)
