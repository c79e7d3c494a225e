"""The sessions that `record_vectors` drives for groups, and for what administrators ask besides.

Each makes a topic of its own, reads it as a member of a group (of both protocols where the client
has both), commits, and asks about the group. Of these sessions only the APIs of `KEYS` are kept:
what clients say of topics and records is recorded by `tools/vector_clients.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.vector_clients import RECORDS, Session, run, topic_name, wait_all

KEYS = frozenset(
    {8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47, 68, 69}
    | {29, 30, 31, 34, 38, 39, 40, 41, 43, 45, 46, 55, 57, 65, 66, 71, 72, 74}
)
HEARTBEATS_S = 7
"""How long a member stays: long enough for a heartbeat in every client (3 or 5 s)."""


def kcat(bootstrap: str, _: str | None) -> str:
    topic = topic_name("kcat-groups")
    lines = "".join(f"value {i}\n" for i in range(RECORDS))
    run("kcat", "-b", bootstrap, "-t", topic, "-P", stdin=lines)
    member = ("timeout", str(HEARTBEATS_S), "kcat", "-b", bootstrap, "-G", topic)
    run(*member, "-X", "auto.offset.reset=earliest", topic)
    run(*member, "-X", "partition.assignment.strategy=cooperative-sticky", topic)
    words = run("kcat", "-V").split()
    version, library = words[words.index("Version") + 1], words[words.index("librdkafka") + 1]
    return f"kcat {version} (librdkafka {library})"


def confluent_kafka(bootstrap: str, _: str | None) -> str:
    import confluent_kafka as ck

    topic = topic_name("confluent-groups")
    config = {"bootstrap.servers": bootstrap, "client.id": "vectors"}
    producer = ck.Producer(config)
    for i in range(RECORDS):
        producer.produce(topic, f"value {i}")
    producer.flush(20)
    for protocol in ("classic", "consumer"):
        group = {"group.id": f"{topic}-{protocol}", "group.protocol": protocol}
        start = {"auto.offset.reset": "earliest", "group.instance.id": "instance"}
        consumer = ck.Consumer(config | group | start)
        consumer.subscribe([topic])
        confluent_read(consumer)
        confluent_admin(bootstrap, topic, f"{topic}-{protocol}")
        consumer.close()
        confluent_admin(bootstrap, topic, f"{topic}-{protocol}")
    confluent_admin_end(bootstrap, topic)
    return f"confluent-kafka {ck.__version__} (librdkafka {ck.libversion()[0]})"


def confluent_read(consumer: Any) -> None:
    count, end_s = 0, time.monotonic() + HEARTBEATS_S
    while count < RECORDS or time.monotonic() < end_s:
        count += len(consumer.consume(RECORDS, timeout=1))
    refused(lambda: consumer.commit(asynchronous=False))
    consumer.committed(consumer.assignment(), timeout=10)


def confluent_admin(bootstrap: str, topic: str, group: str) -> None:
    """Asked while the group has a member, and after it has left; some of it is refused then."""
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    admin: Any = import_module("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": bootstrap})
    client.list_consumer_groups(request_timeout=10).result()
    wait_all(client.describe_consumer_groups([group], request_timeout=10))
    wait_all(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 2)])
    for ask in (
        lambda: wait_all(client.alter_consumer_group_offsets([wanted])),
        lambda: wait_all(client.delete_consumer_groups([group], request_timeout=10)),
    ):
        refused(ask)


def confluent_admin_end(bootstrap: str, topic: str) -> None:
    from confluent_kafka import ElectionType, TopicPartition

    admin: Any = import_module("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": bootstrap})
    refused(
        lambda: client.elect_leaders(ElectionType.PREFERRED, [TopicPartition(topic, 0)]).result()
    )
    kinds = admin.AclBindingFilter
    every = (admin.ResourceType.ANY, None, admin.ResourcePatternType.ANY, None, None)
    rule = kinds(*every, admin.AclOperation.ANY, admin.AclPermissionType.ANY)
    refused(lambda: client.describe_acls(rule).result(20))
    wait_all(client.delete_topics([topic]))


def refused(ask: Callable[[], object]) -> None:
    """Ask, and be content with a refusal: it is an exchange like any other."""
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - each client has its own, and none matters here
        print(f"  refused: {error}"[:150])


def kafka_python(bootstrap: str, _: str | None) -> str:
    import kafka

    topic = topic_name("kafka-python-groups")
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap)
    for i in range(RECORDS):
        producer.send(topic, f"value {i}".encode())
    producer.close()
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=topic,
        auto_offset_reset="earliest",
        consumer_timeout_ms=HEARTBEATS_S * 1000,
    )
    list(consumer)
    consumer.commit()
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    for ask in (
        admin.list_groups,
        lambda: admin.describe_groups([topic]),
        lambda: admin.list_group_offsets(topic),
        consumer.close,
        lambda: admin.delete_groups([topic]),
        lambda: admin.delete_topics([topic]),
    ):
        refused(ask)
    admin.close()
    return f"kafka-python {kafka.__version__}"


def aiokafka(bootstrap: str, _: str | None) -> str:
    import aiokafka as package

    asyncio.run(aiokafka_session(bootstrap))
    return f"aiokafka {package.__version__}"


async def aiokafka_session(bootstrap: str) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient

    topic = topic_name("aiokafka-groups")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    for i in range(RECORDS):
        await producer.send_and_wait(topic, f"value {i}".encode())
    await producer.stop()
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest"
    )
    await consumer.start()
    for _ in range(HEARTBEATS_S):
        await consumer.getmany(timeout_ms=1000)
    await consumer.commit()
    for partition in consumer.assignment():
        await consumer.committed(partition)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.list_consumer_groups()
    await admin.describe_consumer_groups([topic])
    await admin.list_consumer_group_offsets(topic)
    await consumer.stop()
    await admin.delete_topics([topic])
    await admin.close()


def java_clients(bootstrap: str, jars: str | None) -> str:
    """The Java consumer and admin client of the kafka-clients jar in the folder `jars`."""
    if jars is None:
        raise SystemExit("java-clients-groups needs --kafka DIR, a folder with kafka-clients")
    source = str(Path(__file__).with_name("VectorGroups.java"))
    said = run("java", "-cp", f"{jars}/*", source, bootstrap, topic_name("java-groups"))
    return f"kafka-clients {said.split()[0] if said else 'unknown'}"


CLIENTS: dict[str, Session] = {
    "kcat-groups": kcat,
    "confluent-kafka-groups": confluent_kafka,
    "kafka-python-groups": kafka_python,
    "aiokafka-groups": aiokafka,
    "java-clients-groups": java_clients,
}
