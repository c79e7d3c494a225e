"""Classic groups on Apache Kafka and on us: the same requests, the same answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Consumer, TopicPartition

from perf.servers import Kafka, install_kafka
from tests.compat.group_differential import GroupLife
from tests.server_process import ServerProcess

STEPS_COUNT = 30
SETTINGS = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"}
ALONE = {"offsets.topic.replication.factor": "1"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, kafka_jars: str) -> Iterator[tuple[str, str]]:
    """Addresses of an Apache Kafka and of ours; the first join of a group is not held back."""
    assert kafka_jars
    folder = tmp_path_factory.mktemp("differential")
    (folder / "kafka").mkdir()
    kafka = Kafka(folder / "kafka", install_kafka(), SETTINGS | ALONE)
    kafka.start()
    try:
        with ServerProcess(Path(folder / "ours"), SETTINGS) as ours:
            yield "{}:{}".format(*kafka.address), ours.bootstrap
    finally:
        kafka.stop()


def warm_up(bootstrap: str) -> None:
    """Have the coordinator's topic made and loaded."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "first", "enable.metrics.push": False}
    )
    consumer.committed([TopicPartition("none", 0)], timeout=60)
    consumer.close()


def test_classic_groups_answer_as_kafka_does(servers: tuple[str, str], full: bool) -> None:
    """LOGSERVER_SEED repeats one life; 200 in the long form."""
    reference, ours = servers
    warm_up(reference)
    warm_up(ours)
    given = os.environ.get("LOGSERVER_SEED")
    first = int(given) if given else Random().randrange(1 << 32)
    count = 1 if given else 200 if full else 6
    print(f"seeds {first} to {first + count - 1}")
    requests = generations = 0
    for seed in range(first, first + count):
        life = GroupLife(seed, reference, ours)
        for _ in range(STEPS_COUNT):
            life.step()
            if life.by_chance:
                break
        life.close()
        requests += len(life.asked)
        generations += life.generation
    print(f"{requests} requests, {generations} generations")
    assert given or generations > count, "no group ever came together"
