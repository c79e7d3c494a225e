"""What an operator asks is answered, and what is refused is refused with the server's sentence."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from logserver.client import Admin, ClientError, Producer
from logserver.client.connection import DESCRIBE_CLUSTER

NOW_MS = 1_763_000_000_000


@pytest.fixture
def admin(kafka_bootstrap: str) -> Iterator[Admin]:
    """An open admin client."""
    with Admin(kafka_bootstrap) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    """A topic name that nobody has used."""
    return f"admin-{uuid.uuid4().hex[:8]}"


def becomes(ask: Callable[[], object], wanted: object) -> None:
    """Ask until the answer is as wanted: in Kafka a broker learns of a change a moment later."""
    deadline_s = time.monotonic() + 10
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline_s, found


def test_a_topic_lives_and_dies(admin: Admin, name: str) -> None:
    """Create, list, describe, grow, delete."""
    assert admin.create_topic(name, partitions=2, configs={"retention.ms": "1000000"}) == 2
    topic = admin.describe_topic(name)
    assert topic in admin.list_topics()
    assert (topic.name, len(topic.partitions), topic.is_internal) == (name, 2, False)
    assert len(topic.topic_id) == 16
    assert topic.topic_id != bytes(16)
    assert topic.partitions[0].isr_nodes == topic.partitions[0].replica_nodes
    admin.add_partitions(name, 5)
    assert [part.partition for part in admin.describe_topic(name).partitions] == [0, 1, 2, 3, 4]
    assert admin.partitions(name) == [0, 1, 2, 3, 4]
    admin.delete_topic(name)
    assert name not in [topic.name for topic in admin.list_topics()]
    with pytest.raises(ClientError, match=f"cannot describe topic {name}: UNKNOWN_TOPIC"):
        admin.describe_topic(name)


def test_validation_changes_nothing(admin: Admin, name: str) -> None:
    """`validate_only` answers as if."""
    assert admin.create_topic(name, partitions=3, validate_only=True) == 3
    assert name not in [topic.name for topic in admin.list_topics()]
    admin.create_topic(name, partitions=1)
    admin.add_partitions(name, 2, validate_only=True)
    assert admin.partitions(name) == [0]


def test_refusals_carry_code_and_sentence(admin: Admin, name: str) -> None:
    """The codes of Kafka."""
    admin.create_topic(name)
    for call, code in (
        (lambda: admin.create_topic(name), 36),
        (lambda: admin.create_topic("bad/name"), 17),
        (lambda: admin.create_topic(name + "-x", partitions=0), 37),
        (lambda: admin.create_topic(name + "-x", replication_factor=9), 38),
        (lambda: admin.create_topic(name + "-x", configs={"bogus": "1"}), 40),
        (lambda: admin.delete_topic(name + "-x"), 3),
        (lambda: admin.add_partitions(name, 1), 37),
        (lambda: admin.alter_configs(name, {"bogus": "1"}), 40),
        (lambda: admin.describe_configs(name + "-x"), 3),
        (lambda: admin.offsets(name + "-x", "end"), 3),
        (lambda: admin.delete_records(name, {0: 77}), 1),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert (caught.value.kind, caught.value.code) == ("refused", code), str(caught.value)
        assert str(caught.value).startswith("cannot ")


def test_configuration_is_set_and_taken_back(admin: Admin, name: str) -> None:
    """A set key is the topic's own, a removed one falls back."""

    def own() -> dict[str, str | None]:
        entries = admin.describe_configs(name)
        return {entry.name: entry.value for entry in entries if entry.source == "topic"}

    admin.create_topic(name, configs={"retention.ms": "1000000"})
    admin.alter_configs(name, {"segment.bytes": "20000000", "max.message.bytes": "5000"})
    becomes(
        own,
        {"retention.ms": "1000000", "segment.bytes": "20000000", "max.message.bytes": "5000"},
    )
    admin.alter_configs(name, {"retention.ms": None, "segment.bytes": None})
    becomes(own, {"max.message.bytes": "5000"})
    admin.alter_configs(name, {"max.message.bytes": None}, validate_only=True)
    assert own() == {"max.message.bytes": "5000"}
    broker_id = next(iter(admin.describe_cluster().brokers))
    keys = {entry.name for entry in admin.describe_configs(str(broker_id), resource="broker")}
    assert "log.segment.bytes" in keys


def test_offsets_are_found_by_place_and_time(admin: Admin, kafka_bootstrap: str, name: str) -> None:
    """Beginning, end, newest, a time in between, a time too late."""
    admin.create_topic(name, partitions=2)
    with Producer(kafka_bootstrap) as producer:
        for index in range(10):
            producer.send(name, b"v", partition=0, timestamp_ms=NOW_MS + index * 10)
    assert admin.delete_records(name, {0: 3}) == {0: 3}
    assert {i: place.offset for i, place in admin.offsets(name, "beginning").items()} == {
        0: 3,
        1: 0,
    }
    assert {i: place.offset for i, place in admin.offsets(name, "end").items()} == {0: 10, 1: 0}
    assert admin.offsets(name, "newest", partitions=[0])[0] == (9, NOW_MS + 90)
    assert admin.offsets(name, NOW_MS + 41, partitions=[0])[0] == (5, NOW_MS + 50)
    assert admin.offsets(name, NOW_MS + 91)[0].offset == -1
    sizes = {part.partition: part.size_bytes for part in admin.log_sizes() if part.topic == name}
    assert sizes[0] > sizes[1] == 0


def test_the_cluster_describes_itself(admin: Admin, kafka_bootstrap: str) -> None:
    """An id, a controller, and the address that we came by."""
    cluster = admin.describe_cluster()
    assert cluster.cluster_id
    assert cluster.controller_id in cluster.brokers
    assert kafka_bootstrap in {str(address) for address in cluster.brokers.values()}
    assert admin.request(DESCRIBE_CLUSTER, {})["cluster_id"] == cluster.cluster_id
