"""An example to copy: tests of a small program that writes to Kafka, with a broker in each.

`pip install logserver confluent-kafka pytest`, and the fixture `broker` is there. The program under
test is `pay`; the broker is real, so what fails here is what would fail in production.
"""

from __future__ import annotations

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
)

from logserver.testing import Broker


def pay(bootstrap: str, account: str, amounts: list[int], timeout_s: float = 10) -> None:
    """Write payments in their order, each exactly once; raise if they cannot be delivered."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_s * 1000),
        }
    )
    failures = []
    for amount in amounts:
        producer.produce(
            "payments",
            str(amount),
            account,
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    if producer.flush(timeout_s) or failures:
        raise KafkaException(failures[0] if failures else "not delivered in time")


def paid(bootstrap: str) -> list[int]:
    """What the log says, from its beginning to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "auditor",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told once a fetch has found nothing
        }
    )
    consumer.assign([TopicPartition("payments", 0, OFFSET_BEGINNING)])
    amounts = []
    while (message := consumer.poll(10)) is not None and message.error() is None:
        amounts.append(int(message.value() or b""))
    consumer.close()
    return amounts


@pytest.fixture
def broker_settings() -> dict[str, object]:
    """Any configuration key of Kafka's, for every broker of this module."""
    return {"num.partitions": 1}


def test_payments_are_written_in_order(broker: Broker) -> None:
    """The plain case; the broker was ready in the blink of an eye."""
    pay(broker.bootstrap, "ada", [10, 20, 30])
    assert paid(broker.bootstrap) == [10, 20, 30]


def test_nothing_is_paid_twice_when_an_answer_is_lost(broker: Broker) -> None:
    """The record arrives, its acknowledgement does not, and the client tries again."""
    pay(broker.bootstrap, "ada", [10])
    with broker.lost_answers("Produce"):
        pay(broker.bootstrap, "ada", [20])
    assert paid(broker.bootstrap) == [10, 20]


def test_what_was_paid_survives_a_crash(broker: Broker) -> None:
    """kill -9 and a start on the same files, on the same port."""
    pay(broker.bootstrap, "ada", [10, 20])
    broker.kill()
    broker.start()
    assert paid(broker.bootstrap) == [10, 20]


def test_a_full_disk_is_an_error_and_not_a_silence(broker: Broker) -> None:
    """The caller hears it, and can try again once there is room."""
    with broker.full_disk(), pytest.raises(KafkaException):
        pay(broker.bootstrap, "ada", [10], timeout_s=0.5)
    pay(broker.bootstrap, "ada", [10])
    assert paid(broker.bootstrap) == [10]


@pytest.mark.parametrize(
    "broker_settings",
    [{"log.retention.ms": 3_600_000, "log.message.timestamp.type": "LogAppendTime"}],
)
def test_payments_are_forgotten_after_an_hour(broker: Broker) -> None:
    """Two hours pass in some milliseconds, and retention has done its work."""
    pay(broker.bootstrap, "ada", [10])
    broker.jump(7200)
    pay(broker.bootstrap, "ada", [20])
    assert paid(broker.bootstrap) == [20]
