"""Client telemetry (KIP-714) with the clients that have it: librdkafka and Java."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from prometheus_client.parser import text_string_to_metric_families

from logserver.client.connection import INCREMENTAL_ALTER_CONFIGS, Connection, parse_bootstrap
from tests.server_process import ServerProcess

Java = Callable[..., str]
Labels = dict[str, str]
TIMEOUT_S = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the test's own: whoever connects would push. Its groups begin at once."""
    with ServerProcess(tmp_path / "data", {"group.initial.rebalance.delay.ms": "0"}) as process:
        yield process


def pushed(server: ServerProcess, wanted: str, within_s: float = TIMEOUT_S) -> list[Labels]:
    """The labels of a series of /metrics, as soon as it is there; nothing when it never is."""
    deadline_s = time.monotonic() + within_s
    while True:
        with urllib.request.urlopen(f"http://{server.ready_line['http']}/metrics") as answer:
            text = answer.read().decode()
        found = [
            sample.labels
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == wanted
        ]
        if found or time.monotonic() >= deadline_s:
            return found


def test_java_clients_push_what_they_are_asked_for(
    server: ServerProcess, java: Java, topic: str
) -> None:
    """A subscription made by ConfigCommand; the last push comes as the producer closes."""
    about = ("--bootstrap-server", server.bootstrap, "--entity-type", "client-metrics")
    subscription = "metrics=[org.apache.kafka.producer.],interval.ms=100"
    java(
        "kafka.admin.ConfigCommand",
        *(*about, "--alter", "--entity-name", "all", "--add-config", subscription),
    )
    java(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--bootstrap-server", server.bootstrap, "--topic", topic, "--num-records", "100"),
        *("--record-size", "10", "--throughput", "-1"),
    )
    (labels,) = pushed(server, "kafka_client_producer_record_send_total")
    assert labels["client_id"] == "perf-producer-client"
    assert (labels["software"], labels["version"]) == ("apache-kafka-java", "4.3.1")
    assert pushed(server, "kafka_client_kafka_count_count", within_s=0) == []


def subscribe(bootstrap: str) -> None:
    """Ask every client for everything, ten times a second; librdkafka cannot say so itself."""
    configs = [
        {"name": name, "config_operation": 0, "value": value}
        for name, value in (("metrics", "*"), ("interval.ms", "100"))
    ]
    resource = {"resource_type": 16, "resource_name": "all", "configs": configs}
    connection = Connection(parse_bootstrap(bootstrap)[0])
    (row,) = connection.request(INCREMENTAL_ALTER_CONFIGS, {"resources": [resource]})["responses"]
    assert row["error_code"] == 0, row
    connection.close()


def test_librdkafka_pushes_with_the_group_of_its_consumer(
    server: ServerProcess, topic: str
) -> None:
    """The subscription stands before the client begins; a close pushes once more."""
    subscribe(server.bootstrap)
    producer = Producer({"bootstrap.servers": server.bootstrap, "client.id": "sender"})
    producer.produce(topic, b"value")
    assert producer.flush(TIMEOUT_S) == 0
    settings = {"group.id": "readers", "client.id": "reader", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": server.bootstrap, **settings})
    consumer.subscribe([topic])
    message = consumer.poll(TIMEOUT_S)
    assert message is not None
    assert message.error() is None
    consumer.close()
    (labels,) = pushed(server, "kafka_client_consumer_connection_creation_total")
    assert (labels["client_id"], labels["group"]) == ("reader", "readers")
    assert labels["software"] in ("confluent-kafka-python", "librdkafka")
