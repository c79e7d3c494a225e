"""kafka-python: the oldest Python client, with assigned partitions."""

from __future__ import annotations

import time

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.compat.records import FIRST_MS, Records, Sent

TIMEOUT_S = 20.0


def produce(
    bootstrap: str, topic: str, records: Records, codec: str = "none", idempotent: bool = False
) -> list[int]:
    """Send all records to partition 0 and return their offsets."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent,
        acks="all",
        linger_ms=5,
    )
    try:
        futures = [
            producer.send(
                topic,
                record.value,
                record.key,
                partition=0,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
            for record in records
        ]
        return [future.get(TIMEOUT_S).offset for future in futures]
    finally:
        producer.close()


def consume(bootstrap: str, topic: str, offset: int, count: int) -> list[Sent]:
    """Read `count` records of partition 0 from an offset on."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, offset)
        received: list[Sent] = []
        deadline_s = time.monotonic() + TIMEOUT_S
        while len(received) < count and time.monotonic() < deadline_s:
            for message in consumer.poll(timeout_ms=500).get(partition, []):
                headers = tuple(message.headers)
                received.append(Sent(message.key, message.value, headers, message.timestamp))
        return received
    finally:
        consumer.close()


@pytest.mark.parametrize("idempotent", [False, True])
def test_what_is_produced_is_consumed(
    kafka_bootstrap: str, topic: str, records: Records, codec: str, idempotent: bool
) -> None:
    """Every codec, with and without idempotence."""
    offsets = produce(kafka_bootstrap, topic, records, codec, idempotent)
    assert offsets == list(range(len(records)))
    assert consume(kafka_bootstrap, topic, 0, len(records)) == list(records)


def test_offsets_and_times_are_found(kafka_bootstrap: str, topic: str, records: Records) -> None:
    """beginning_offsets, end_offsets, offsets_for_times and a read from the middle."""
    produce(kafka_bootstrap, topic, records)
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap, enable_auto_commit=False)
    try:
        partition = TopicPartition(topic, 0)
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        assert consumer.end_offsets([partition]) == {partition: len(records)}
        found = consumer.offsets_for_times({partition: FIRST_MS + 30_500})
        assert found[partition].offset == 31
    finally:
        consumer.close()
    assert consume(kafka_bootstrap, topic, 95, 5) == list(records)[95:]


def test_the_admin_client_creates_and_deletes(kafka_bootstrap: str, topic: str) -> None:
    """CreateTopics and DeleteTopics as kafka-python sends them."""
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    try:
        admin.create_topics([NewTopic(topic, 2, 1)])
        assert topic in admin.list_topics()
        admin.delete_topics([topic])
        assert topic not in admin.list_topics()
    finally:
        admin.close()
