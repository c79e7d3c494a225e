"""Consumer groups of the classic protocol, as each client library lives in them.

The same story for every client: two members share the partitions, every record comes to one of
them, one leaves and the other takes over, and who comes later goes on where the group stopped.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Protocol

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from kafka import KafkaConsumer

TIMEOUT_S = 30.0
PARTITIONS = 4
COUNT = 200
# Groups do not wait for more members before they begin.
SERVER_SETTINGS = {"group.initial.rebalance.delay.ms": "0"}

Java = Callable[..., str]


class Member(threading.Thread):
    """A consumer that polls in a thread of its own until it is told to leave."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.group = group
        self.topic = topic
        self.seen: list[bytes] = []
        self.owned: set[int] = set()
        self.failure: BaseException | None = None
        self.leaving = threading.Event()

    def run(self) -> None:
        """Poll, note what came, commit; at the end leave the group."""
        try:
            self.consume()
        except BaseException as error:
            self.failure = error
            raise

    def consume(self) -> None:
        """What the client at hand does."""
        raise NotImplementedError

    def leave(self) -> None:
        """Leave and wait until that is done."""
        self.leaving.set()
        self.join(TIMEOUT_S)
        assert not self.is_alive()
        assert self.failure is None


class Librdkafka(Member):
    """confluent-kafka, with the eager protocol."""

    strategy = "range"

    def consume(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": self.strategy,
                "heartbeat.interval.ms": 200,
            }
        )
        consumer.subscribe([self.topic])
        while not self.leaving.is_set():
            message = consumer.poll(0.1)
            self.owned = {one.partition for one in consumer.assignment()}
            if message is not None:
                assert message.error() is None, message.error()
                self.seen.append(message.value() or b"")
        consumer.close()


class LibrdkafkaCooperative(Librdkafka):
    """confluent-kafka, with cooperative rebalances (KIP-429)."""

    strategy = "cooperative-sticky"


class KafkaPython(Member):
    """kafka-python."""

    def consume(self) -> None:
        consumer = KafkaConsumer(
            self.topic,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=200,
        )
        while not self.leaving.is_set():
            for records in consumer.poll(timeout_ms=100).values():
                self.seen += [record.value for record in records]
            self.owned = {one.partition for one in consumer.assignment()}
        consumer.close()


class Aiokafka(Member):
    """aiokafka."""

    def consume(self) -> None:
        asyncio.run(self.consume_later())

    async def consume_later(self) -> None:
        """The same, on a loop of its own."""
        consumer = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=200,
        )
        await consumer.start()
        while not self.leaving.is_set():
            for records in (await consumer.getmany(timeout_ms=100)).values():
                self.seen += [record.value for record in records]
            self.owned = {one.partition for one in consumer.assignment()}
        await consumer.stop()


MEMBERS = (Librdkafka, LibrdkafkaCooperative, KafkaPython, Aiokafka)


def fill(bootstrap: str, topic: str, first: int, count: int) -> set[bytes]:
    """Write numbered records over all partitions of a topic."""
    producer = Producer({"bootstrap.servers": bootstrap})
    values = [b"%d" % number for number in range(first, first + count)]
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % PARTITIONS)
    assert producer.flush(TIMEOUT_S) == 0
    return set(values)


@pytest.fixture
def filled(kafka_bootstrap: str, topic: str) -> set[bytes]:
    """A topic of four partitions with records in each; their values."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result(TIMEOUT_S)
    return fill(kafka_bootstrap, topic, 0, COUNT)


class Condition(Protocol):
    """Something that will be true soon."""

    def __call__(self) -> bool: ...


def wait_until(what: str, condition: Condition, *members: Member) -> None:
    """Wait until it is true; a member that failed fails the test at once."""
    deadline = time.monotonic() + TIMEOUT_S
    pause = threading.Event()
    while not condition():
        for member in members:
            assert member.failure is None, member.failure
        owned = [member.owned for member in members]
        assert time.monotonic() < deadline, f"{what} never came true; owned: {owned}"
        pause.wait(0.01)


@pytest.mark.parametrize("kind", MEMBERS)
def test_two_members_share_one_leaves_and_a_third_goes_on(
    kind: type[Member], kafka_bootstrap: str, topic: str, filled: set[bytes]
) -> None:
    """Everything is read by somebody, and after a clean end nothing twice."""
    first = kind(kafka_bootstrap, topic, topic)
    second = kind(kafka_bootstrap, topic, topic)
    first.start()
    wait_until("all partitions", lambda: len(first.owned) == PARTITIONS, first)
    second.start()
    wait_until(
        "half of the partitions each",
        lambda: len(first.owned) == len(second.owned) == 2 and not first.owned & second.owned,
        first,
        second,
    )
    wait_until("all records", lambda: set(first.seen + second.seen) >= filled, first, second)
    first.leave()
    wait_until("its partitions", lambda: len(second.owned) == PARTITIONS, second)
    second.leave()
    more = fill(kafka_bootstrap, topic, COUNT, 20)
    third = kind(kafka_bootstrap, topic, topic)
    third.start()
    wait_until("the new records", lambda: set(third.seen) >= more, third)
    third.leave()
    assert set(third.seen) == more


def test_a_static_member_comes_back_and_nobody_notices(
    kafka_bootstrap: str, topic: str, filled: set[bytes]
) -> None:
    """A restart within the session: same partitions, and no rebalance for the other (KIP-345)."""
    rebalances: list[str] = []

    def member(instance: str) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": kafka_bootstrap,
                "group.id": topic,
                "group.instance.id": instance,
                "auto.offset.reset": "earliest",
                "heartbeat.interval.ms": 200,
            }
        )
        consumer.subscribe(
            [topic],
            on_assign=lambda _, __: rebalances.append(instance),
            on_revoke=lambda _, __: rebalances.append(instance),
        )
        return consumer

    def settled() -> bool:
        for consumer in (one, two):
            consumer.poll(0.05)
        return len(one.assignment()) == len(two.assignment()) == 2

    one, two = member("one"), member("two")
    wait_until("half of the partitions each", settled)
    owned = {partition.partition for partition in two.assignment()}
    two.close()  # a static member does not leave when it is closed
    rebalances.clear()
    two = member("two")
    wait_until("its partitions back", settled)
    assert {partition.partition for partition in two.assignment()} == owned
    assert rebalances == ["two"]
    one.close()
    two.close()
    assert filled


def test_kcat_shares_a_topic_in_a_balanced_group(
    require_tool: Callable[[str], str], kafka_bootstrap: str, topic: str, filled: set[bytes]
) -> None:
    """`kcat -G`, with the librdkafka that Debian ships."""
    words = [require_tool("kcat"), "-b", kafka_bootstrap, "-G", topic, "-q", "-e"]
    words += ["-X", "auto.offset.reset=earliest", topic]
    result = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) == filled
    again = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert again.stdout == b"", "the offsets were not committed"


def test_the_console_consumer_and_the_group_command_agree(
    java: Java, kafka_bootstrap: str, topic: str, filled: set[bytes]
) -> None:
    """Read in a group, look at its offsets, set them back, delete it."""
    consume = (
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", kafka_bootstrap, "--topic", topic, "--group", topic),
        *("--from-beginning", "--max-messages", str(COUNT), "--timeout-ms", "60000"),
    )
    command = (
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", kafka_bootstrap),
    )
    assert filled <= {line.encode() for line in java(*consume).splitlines()}
    described = java(*command, "--describe", "--group", topic)
    rows = [line.split() for line in described.splitlines() if line.startswith(topic)]
    assert sorted(int(row[2]) for row in rows) == list(range(PARTITIONS))
    assert [row[3:6] for row in rows] == [["50", "50", "0"]] * PARTITIONS
    reset = ("--reset-offsets", "--to-offset", "40", "--topic", topic, "--execute")
    moved = java(*command, "--group", topic, *reset)
    assert [line.split()[-1] for line in moved.splitlines() if topic in line] == ["40"] * PARTITIONS
    assert "successful" in java(*command, "--delete", "--group", topic)
