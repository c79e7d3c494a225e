"""aiokafka: Python's asyncio client, with assigned partitions."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.compat.records import FIRST_MS, Records, Sent

TIMEOUT_S = 20.0


async def produce(
    bootstrap: str, topic: str, records: Records, codec: str = "none", idempotent: bool = False
) -> list[int]:
    """Send all records to partition 0 and return their offsets."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent,
        acks="all",
        linger_ms=5,
    )
    await producer.start()
    try:
        futures = [
            await producer.send(
                topic,
                record.value,
                record.key,
                partition=0,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
            for record in records
        ]
        return [(await future).offset for future in futures]
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, offset: int, count: int) -> list[Sent]:
    """Read `count` records of partition 0 from an offset on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, offset)
        received: list[Sent] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(received) < count:
                message = await consumer.getone()
                headers = tuple((name, bytes(value)) for name, value in message.headers)
                received.append(Sent(message.key, message.value, headers, message.timestamp))
        return received
    finally:
        await consumer.stop()


@pytest.mark.parametrize("idempotent", [False, True])
def test_what_is_produced_is_consumed(
    kafka_bootstrap: str, topic: str, records: Records, codec: str, idempotent: bool
) -> None:
    """Every codec, with and without idempotence."""

    async def run() -> list[Sent]:
        offsets = await produce(kafka_bootstrap, topic, records, codec, idempotent)
        assert offsets == list(range(len(records)))
        return await consume(kafka_bootstrap, topic, 0, len(records))

    assert asyncio.run(run()) == list(records)


def test_offsets_and_times_are_found(kafka_bootstrap: str, topic: str, records: Records) -> None:
    """beginning_offsets, end_offsets, offsets_for_times and a read from the middle."""

    async def run() -> None:
        await produce(kafka_bootstrap, topic, records)
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            assert await consumer.beginning_offsets([partition]) == {partition: 0}
            assert await consumer.end_offsets([partition]) == {partition: len(records)}
            found = await consumer.offsets_for_times({partition: FIRST_MS + 30_500})
            assert found[partition].offset == 31
        finally:
            await consumer.stop()
        assert await consume(kafka_bootstrap, topic, 95, 5) == list(records)[95:]

    asyncio.run(run())


def test_the_admin_client_creates_and_deletes(kafka_bootstrap: str, topic: str) -> None:
    """CreateTopics and DeleteTopics as aiokafka sends them."""

    async def run() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, 2, 1)])
            assert topic in await admin.list_topics()
            await admin.delete_topics([topic])
            assert topic not in await admin.list_topics()
        finally:
            await admin.close()

    asyncio.run(run())
