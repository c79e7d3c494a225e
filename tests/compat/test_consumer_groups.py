"""Consumer groups (KIP-848) with real clients: librdkafka and Java, alone, together, in transit."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.server_process import ServerProcess

Java = Callable[..., str]
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
DUMP = "org.apache.kafka.tools.DumpLogSegments"
TIMEOUT_S = 40.0
RECORDS_COUNT = 60

# Members hear of each other at their next heartbeat: more often than Kafka's 5 s. And a classic
# group does not wait for more members before it begins.
SERVER_SETTINGS = {
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
}
CLASSIC = {"protocol": "classic", "session_timeout_ms": "6000", "heartbeat_interval_ms": "500"}


class Clients:
    """Consumers of one group, closed at the end; topics of six partitions with records."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.group = f"group-{uuid.uuid4().hex[:8]}"
        self.open: list[Any] = []

    def topic(self, name: str = "") -> str:
        """A topic with ten records in each partition."""
        topic = name or f"topic-{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(topic, 6, 1)])[topic].result(TIMEOUT_S)
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for number in range(RECORDS_COUNT):
            producer.produce(topic, str(number), partition=number % 6)
        assert producer.flush(TIMEOUT_S) == 0
        return topic

    def join(self, *topics: str, protocol: str = "consumer", **settings: str) -> Any:
        """A consumer that subscribes, and begins at the beginning."""
        options = {
            "bootstrap.servers": self.bootstrap,
            "group.id": self.group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": "false",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        consumer = Consumer(options)
        consumer.subscribe(list(topics))
        self.open.append(consumer)
        return consumer

    def close(self) -> None:
        """Whoever is still open leaves."""
        for consumer in self.open:
            consumer.close()


@pytest.fixture
def clients(kafka_bootstrap: str) -> Iterator[Clients]:
    """Consumers against the server that this module shares."""
    made = Clients(kafka_bootstrap)
    yield made
    made.close()


def poll(consumers: list[Any], until: Callable[[], bool]) -> list[str]:
    """Read with all of them until it is so; the values read."""
    values: list[str] = []
    deadline_s = time.monotonic() + TIMEOUT_S
    while not until():
        assert time.monotonic() < deadline_s, [len(c.assignment()) for c in consumers]
        for consumer in consumers:
            message = consumer.poll(0.05)
            if message is not None:
                assert message.error() is None, message.error()
                values.append(message.value().decode())
    return values


def shares(*consumers: Any) -> list[int]:
    """How many partitions each has."""
    return [len(consumer.assignment()) for consumer in consumers]


def test_one_consumer_reads_everything_and_commits(clients: Clients) -> None:
    """Every record once; the next one in the group goes on where it stopped."""
    topic = clients.topic()
    consumer = clients.join(topic)
    messages = consumer.consume(RECORDS_COUNT, TIMEOUT_S)
    values = [message.value().decode() for message in messages]
    assert sorted(map(int, values)) == list(range(RECORDS_COUNT))
    consumer.commit(asynchronous=False)
    committed = consumer.committed([TopicPartition(topic, number) for number in range(6)])
    assert [partition.offset for partition in committed] == [10] * 6


def test_consumers_share_and_take_over(clients: Clients) -> None:
    """Six for one, three for each of two, six again when one has left."""
    topic = clients.topic()
    first = clients.join(topic)
    poll([first], lambda: shares(first) == [6])
    second = clients.join(topic)
    poll([first, second], lambda: shares(first, second) == [3, 3])
    clients.open.remove(first)
    first.close()
    poll([second], lambda: shares(second) == [6])


def test_an_expression_finds_topics_that_come_later(clients: Clients) -> None:
    """The server matches it (RE2), not the client."""
    name = f"series-{uuid.uuid4().hex[:8]}"
    clients.topic(f"{name}-a")
    consumer = clients.join(f"^{name}-.$")
    poll([consumer], lambda: shares(consumer) == [6])
    clients.topic(f"{name}-b")
    poll([consumer], lambda: shares(consumer) == [12])


def test_a_static_member_restarts_without_a_rebalance(clients: Clients) -> None:
    """It gets back exactly what it had; the other one notices nothing."""
    topic = clients.topic()
    first = clients.join(topic, group_instance_id="one")
    second = clients.join(topic, group_instance_id="two")
    poll([first, second], lambda: shares(first, second) == [3, 3])
    had = sorted(part.partition for part in first.assignment())
    clients.open.remove(first)
    first.close()
    again = clients.join(topic, group_instance_id="one")
    poll([again, second], lambda: shares(again, second) == [3, 3])
    assert sorted(part.partition for part in again.assignment()) == had


def test_a_group_moves_to_the_new_protocol_and_back_while_it_reads(clients: Clients) -> None:
    """Classic, both, new, both, classic: all partitions are always somebody's in the end."""
    topic = clients.topic()
    old = clients.join(topic, **CLASSIC)
    poll([old], lambda: shares(old) == [6])
    new = clients.join(topic)
    poll([old, new], lambda: shares(old, new) == [3, 3])
    clients.open.remove(old)
    old.close()
    poll([new], lambda: shares(new) == [6])
    back = clients.join(topic, **CLASSIC)
    poll([back, new], lambda: shares(back, new) == [3, 3])
    clients.open.remove(new)
    new.close()
    poll([back], lambda: shares(back) == [6])
    admin = AdminClient({"bootstrap.servers": clients.bootstrap})
    listed = {row.group_id: row for row in admin.list_consumer_groups().result().valid}
    assert listed[clients.group].type.name == "CLASSIC"


def test_a_restarted_server_finds_its_consumers_where_they_were(tmp_path: Path) -> None:
    """Killed and started: the members live on, and read on."""
    server = ServerProcess(tmp_path / "data").start()
    clients = Clients(server.bootstrap)
    try:
        topic = clients.topic()
        consumer = clients.join(topic)
        poll([consumer], lambda: shares(consumer) == [6])
        consumer.commit(asynchronous=False, offsets=[TopicPartition(topic, 0, 5)])
        server.kill()
        server.start()
        producer = Producer({"bootstrap.servers": server.bootstrap})
        producer.produce(topic, "later", partition=3)
        assert producer.flush(TIMEOUT_S) == 0
        values: list[str] = []
        deadline_s = time.monotonic() + TIMEOUT_S
        while "later" not in values:
            assert time.monotonic() < deadline_s
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                values.append(message.value().decode())
        assert shares(consumer) == [6]
    finally:
        clients.close()
        server.close()


def test_java_reads_with_the_new_protocol_and_its_tools_see_the_group(
    clients: Clients, java: Java
) -> None:
    """Console consumer with another assignor; members, state and assignor as the tool tells."""
    topic = clients.topic()
    text = java(
        CONSOLE, "--bootstrap-server", clients.bootstrap, "--topic", topic, "--from-beginning",
        "--max-messages", str(RECORDS_COUNT), "--timeout-ms", "30000", "--group", clients.group,
        "--command-property", "group.protocol=consumer",
        "--command-property", "group.remote.assignor=range",
    )  # fmt: skip
    values = [int(line) for line in text.splitlines() if line.isdigit()]
    assert sorted(values) == list(range(RECORDS_COUNT))
    consumer = clients.join(topic, client_id="shown", group_remote_assignor="range")
    poll([consumer], lambda: shares(consumer) == [6])
    about = ("--bootstrap-server", clients.bootstrap, "--describe", "--group", clients.group)
    state = java(GROUPS, *about, "--state")
    assert re.search(rf"{clients.group}\s.*\srange\s+Stable\s+1\s", state)
    members = java(GROUPS, *about, "--members", "--verbose")
    assert re.search(r"/127\.0\.0\.1\s+shown\s+6\s.*0,1,2,3,4,5", members)


@pytest.mark.usefixtures("only_ours")
def test_kafka_decodes_every_record_of_a_group(java: Java, tmp_path: Path) -> None:
    """DumpLogSegments with the decoder of `__consumer_offsets`: all kinds, no complaint."""
    directory = tmp_path / "data"
    settings = {"offsets.topic.num.partitions": "1", **SERVER_SETTINGS}
    with ServerProcess(directory, settings) as server:
        clients = Clients(server.bootstrap)
        topic = clients.topic()
        first = clients.join(f"^{topic}$", group_instance_id="one")
        poll([first], lambda: shares(first) == [6])
        first.commit(asynchronous=False, offsets=[TopicPartition(topic, 0, 5)])
        old = clients.join(topic, **CLASSIC)
        poll([first, old], lambda: shares(first, old) == [3, 3])
        clients.close()
        assert server.stop() == 0
    log = directory / "__consumer_offsets-0/00000000000000000000.log"
    text = java(DUMP, "--offsets-decoder", "--files", str(log))
    types = set(re.findall(r'key: \{"type":"(\d+)"', text))
    assert types >= {"1", "3", "5", "6", "7", "8", "16"}
    keys = len(re.findall(r" key: ", text))
    assert keys == len(re.findall(r' key: \{"type":"\d+","data":\{', text)), "one is not decoded"
    assert '"classicMemberMetadata":{"sessionTimeoutMs":6000' in text
    assert '"classicMemberMetadata":null' in text
    assert re.search(r'"assignmentEpochs":\[\d', text)
