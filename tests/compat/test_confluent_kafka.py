"""confluent-kafka (librdkafka): the client that most of the world's languages share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from tests.compat.records import FIRST_MS, Records, Sent

TIMEOUT_S = 20.0


def produce(bootstrap: str, topic: str, records: Sequence[Sent], **settings: Any) -> list[int]:
    """Send all records to partition 0 and return their offsets; any error fails the test."""
    offsets: list[int] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        offset = message.offset()
        offsets.append(-1 if offset is None else offset)  # acks=0 tells none

    options = {"bootstrap.servers": bootstrap, "linger.ms": 5, **settings}
    producer = Producer({key.replace("_", "."): value for key, value in options.items()})
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            partition=0,
            on_delivery=delivered,
            timestamp=record.timestamp_ms,
            headers=list(record.headers),
        )
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0, "records were not delivered in time"
    return offsets


def consume(bootstrap: str, start: TopicPartition, count: int, **settings: Any) -> list[Message]:
    """Read `count` messages of an assigned partition."""
    options = {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False}
    consumer = Consumer({**options, **{k.replace("_", "."): v for k, v in settings.items()}})
    try:
        consumer.assign([start])
        messages: list[Message] = []
        deadline_s = time.monotonic() + TIMEOUT_S
        while len(messages) < count and time.monotonic() < deadline_s:
            for message in consumer.consume(count - len(messages), timeout=0.5):
                assert message.error() is None, message.error()
                messages.append(message)
        return messages
    finally:
        consumer.close()


def as_sent(message: Message) -> Sent:
    """A received message in the form of the records."""
    headers: Any = message.headers() or ()
    key: Any = message.key()
    value: Any = message.value()
    return Sent(key, value, tuple(map(tuple, headers)), message.timestamp()[1])


@pytest.mark.parametrize("idempotent", [False, True])
def test_what_is_produced_is_consumed(
    kafka_bootstrap: str, topic: str, records: Records, codec: str, idempotent: bool
) -> None:
    """Every codec, with and without idempotence: keys, values, headers, timestamps, order."""
    settings = {"compression.type": codec, "enable.idempotence": idempotent}
    offsets = produce(kafka_bootstrap, topic, records, **settings)
    assert offsets == list(range(len(records)))
    start = TopicPartition(topic, 0, OFFSET_BEGINNING)
    assert [as_sent(message) for message in consume(kafka_bootstrap, start, 100)] == list(records)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_each_acks_setting_stores_the_records(
    kafka_bootstrap: str, topic: str, records: Records, acks: str
) -> None:
    """Without acknowledgements the client learns no offsets, but the records are there."""
    produce(kafka_bootstrap, topic, records, acks=acks)
    start = TopicPartition(topic, 0, OFFSET_BEGINNING)
    received = consume(kafka_bootstrap, start, len(records))
    assert [message.offset() for message in received] == list(range(len(records)))


def test_consuming_starts_at_an_offset_a_time_or_the_end(
    kafka_bootstrap: str, topic: str, records: Records
) -> None:
    """ListOffsets: beginning, end, an exact time, between two times, after the last."""
    produce(kafka_bootstrap, topic, records)
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": "unused"})
    try:
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S) == (0, 100)

        def offset_at(timestamp_ms: int) -> int:
            asked = [TopicPartition(topic, 0, timestamp_ms)]
            return int(consumer.offsets_for_times(asked, TIMEOUT_S)[0].offset)

        assert offset_at(FIRST_MS) == 0
        assert offset_at(FIRST_MS + 50_000) == 50
        assert offset_at(FIRST_MS + 50_001) == 51
        assert offset_at(FIRST_MS + 99_001) == OFFSET_END
    finally:
        consumer.close()
    received = consume(kafka_bootstrap, TopicPartition(topic, 0, 90), 10)
    assert [message.offset() for message in received] == list(range(90, 100))


def test_small_fetches_make_progress_past_large_records(
    kafka_bootstrap: str, topic: str, records: Records
) -> None:
    """A first batch larger than the fetch size still comes: KIP-74."""
    produce(kafka_bootstrap, topic, records, **{"batch.num.messages": 1})
    start = TopicPartition(topic, 0, OFFSET_BEGINNING)
    settings = {"fetch.message.max.bytes": 1000, "fetch.max.bytes": 1000, "message.max.bytes": 1000}
    received = consume(kafka_bootstrap, start, 100, **settings)
    assert [as_sent(message) for message in received] == list(records)


def test_an_offset_out_of_range_is_an_error_or_resets(
    kafka_bootstrap: str, topic: str, records: Records
) -> None:
    """`auto.offset.reset` decides on the client what OFFSET_OUT_OF_RANGE means."""
    produce(kafka_bootstrap, topic, records)
    start = TopicPartition(topic, 0, 5000)
    received = consume(kafka_bootstrap, start, 1, **{"auto.offset.reset": "earliest"})
    assert received[0].offset() == 0


def wait_for_partitions(admin: AdminClient, topic: str, expected: set[int] | None) -> None:
    """Ask Metadata until it says so: Apache Kafka's brokers learn a moment after the answer."""
    deadline_s = time.monotonic() + TIMEOUT_S
    found: set[int] | None = set()
    while found != expected and time.monotonic() < deadline_s:
        metadata = admin.list_topics(timeout=TIMEOUT_S).topics.get(topic)
        found = None if metadata is None else set(metadata.partitions)
    assert found == expected


def test_the_admin_client_creates_grows_configures_and_deletes(
    kafka_bootstrap: str, topic: str
) -> None:
    """CreateTopics, CreatePartitions, DescribeConfigs, IncrementalAlterConfigs, DeleteTopics."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    wanted = NewTopic(topic, 2, 1, config={"retention.ms": "86400000"})
    admin.create_topics([wanted])[topic].result(TIMEOUT_S)
    wait_for_partitions(admin, topic, {0, 1})
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(TIMEOUT_S)
    wait_for_partitions(admin, topic, {0, 1, 2})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (future,) = admin.describe_configs([resource]).values()
    assert future.result(TIMEOUT_S)["retention.ms"].value == "86400000"
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    wait_for_partitions(admin, topic, None)


def test_the_cluster_describes_itself(kafka_bootstrap: str) -> None:
    """DescribeCluster: one node, which is its own controller."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    cluster = admin.describe_cluster().result(TIMEOUT_S)
    assert cluster.cluster_id
    assert len(cluster.nodes) == 1
    assert cluster.controller.id == cluster.nodes[0].id
