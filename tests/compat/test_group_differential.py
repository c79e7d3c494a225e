"""Classic groups on Apache Kafka and on us: the same requests, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from perf.servers import Kafka, install_kafka
from tests.compat.group_differential import GroupLife
from tests.seeds import draw
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
    """Six lives, 200 in the long form."""
    reference, ours = servers
    warm_up(reference)
    warm_up(ours)
    seeds = draw(200 if full else 6)
    requests = generations = 0
    for seed in seeds:
        life = GroupLife(seed, reference, ours)
        for _ in range(STEPS_COUNT):
            life.step()
            if life.by_chance:
                break
        life.close()
        requests += len(life.asked)
        generations += life.generation
    print(f"{requests} requests, {generations} generations")
    assert len(seeds) == 1 or generations > len(seeds), "no group ever came together"
