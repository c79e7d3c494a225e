"""Apache Kafka 4.3.1 writes, `logserver import` takes over, every record is the same.

One broker, started once, with what makes a log awkward: all codecs, several segments, a compacted
topic whose cleaner has run, records that were deleted, a topic that was, an idempotent producer,
both kinds of consumer groups, a transaction.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from logserver.testing import Broker
from perf.servers import Kafka
from tests.compat.conftest import CODECS, PEER
from tests.compat.records import Records

PARTITIONS = {"plain": 3, "keyed": 1, "trimmed": 1, "empty": 2}
GROUPS = {"old": "classic", "new": "consumer"}
COMMITTED = 77
TRIMMED = 1500
ROUNDS = 4
SEGMENT = {"segment.bytes": "1048576"}
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "100",
    **SEGMENT,
}
CLEANS_AT_ONCE = {"log.cleaner.backoff.ms": "50", "log.initial.task.delay.ms": "100"}

Row = tuple[int | None, bytes | None, bytes | None, Any, tuple[int, int]]


class Written(NamedTuple):
    """What Kafka gave to consumers, of all topics but the compacted, and the directory it left."""

    path: Path
    rows: dict[str, dict[int, list[Row]]]
    topic_ids: dict[str, uuid.UUID]


def read(bootstrap: str, topic: str, partition: int) -> list[Row]:
    """Every record of a partition with all that it has."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True}
    )
    place = TopicPartition(topic, partition)
    low, high = consumer.get_watermark_offsets(place)
    consumer.assign([TopicPartition(topic, partition, low)])
    rows: list[Row] = []
    while low < high:
        message = consumer.poll(10)
        assert message is not None, f"{topic}-{partition} ends at {rows[-1:]}, not at {high}"
        if message.error():
            break
        rows.append(
            (
                message.offset(),
                message.key(),
                message.value(),
                message.headers(),
                message.timestamp(),
            )
        )
    consumer.close()
    return rows


def fill(bootstrap: str) -> None:
    """Write what is to be imported."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = {"plain": (3, SEGMENT), "keyed": (1, COMPACTED), "trimmed": (1, SEGMENT)}
    wanted |= {"empty": (2, {"max.message.bytes": "2000000"}), "gone": (1, {})}
    created = admin.create_topics(
        [NewTopic(name, count, 1, config=config) for name, (count, config) in wanted.items()]
    )
    for future in created.values():
        future.result()
    random = Random(1)
    for number in range(ROUNDS * len(CODECS)):
        codec = CODECS[number % len(CODECS)]
        options = {"compression.type": codec, "enable.idempotence": number % 2 == 0}
        producer = Producer({"bootstrap.servers": bootstrap, **options})
        for record in Records():
            produce: dict[str, Any] = {
                "headers": list(record.headers),
                "timestamp": record.timestamp_ms,
            }
            producer.produce("plain", record.value, record.key, partition=number % 3, **produce)
            producer.produce("trimmed", record.value, record.key, **produce)
        for key in range(300):
            producer.produce("keyed", random.randbytes(512), b"k%d" % (key % 70), timestamp=1)
        producer.flush()
    for future in admin.delete_records([TopicPartition("trimmed", 0, TRIMMED)]).values():
        future.result()
    admin.delete_topics(["gone"])["gone"].result()
    for group, protocol in GROUPS.items():
        member = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol}
        consumer = Consumer(member)
        consumer.commit(offsets=[TopicPartition("plain", 1, COMMITTED)], asynchronous=False)
        consumer.close()


def describe_ids(bootstrap: str) -> dict[str, uuid.UUID]:
    """Topic ids, as clients see them."""
    from confluent_kafka import TopicCollection

    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.describe_topics(TopicCollection(list(PARTITIONS)))
    ids = {name: future.result().topic_id for name, future in found.items()}
    bits = (1 << 64) - 1
    return {
        name: uuid.UUID(
            int=(one.get_most_significant_bits() & bits) << 64
            | one.get_least_significant_bits() & bits
        )
        for name, one in ids.items()
    }


def run_import(source: Path, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, as an operator runs it."""
    command = [sys.executable, "-m", "logserver.cli", "import", str(source)]
    command += ["--data-dir", str(target), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, kafka_jars: str) -> Iterator[Kafka]:
    """A broker that has not been written to."""
    settings = {**CLEANS_AT_ONCE, "offsets.topic.num.partitions": "5"}
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), PEER / "libs", settings)
    kafka.prepare()
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="module")
def written(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Filled, read back, tried while it runs, stopped."""
    bootstrap = f"{kafka.address[0]}:{kafka.address[1]}"
    fill(bootstrap)
    wait_for_the_cleaner(kafka.data)
    refused = run_import(kafka.data, tmp_path_factory.mktemp("early") / "new")
    assert refused.returncode == 75, refused.stderr
    assert "a Kafka broker is running" in refused.stderr
    ids = describe_ids(bootstrap)
    rows = {
        topic: {index: read(bootstrap, topic, index) for index in range(count)}
        for topic, count in PARTITIONS.items()
        if topic != "keyed"  # its cleaner may go on: read when it is switched off
    }
    kafka.stop()
    return Written(kafka.data, rows, ids)


def wait_for_the_cleaner(data: Path) -> None:
    """Until it has written down how far it has cleaned the compacted topic."""
    program = f"until grep -q '^keyed 0 ' {data}/cleaner-offset-checkpoint; do sleep 0.1; done"
    waited = subprocess.run(["timeout", "60", "sh", "-c", program], check=False)
    assert waited.returncode == 0, "Kafka's cleaner did not run"


class Ours(NamedTuple):
    """Our server on what was imported, and the compacted topic as it came."""

    broker: Broker
    keyed: list[Row]


@pytest.fixture(scope="module")
def imported(
    written: Written, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Written, Ours]]:
    """Our server on what was imported; it compacts nothing."""
    target = tmp_path_factory.mktemp("imported") / "data"
    done = run_import(written.path, target, "--json")
    assert done.returncode == 0, done.stderr
    with Broker(target, {"log.cleaner.enable": False}) as broker:
        yield written, Ours(broker, read(broker.bootstrap, "keyed", 0))


def test_every_record_is_the_same(imported: tuple[Written, Ours]) -> None:
    """Offset, key, value, headers, timestamp, in all partitions."""
    written, (broker, _) = imported
    for topic, partitions in written.rows.items():
        for index, rows in partitions.items():
            assert read(broker.bootstrap, topic, index) == rows, f"{topic}-{index}"
    counts = {topic: sum(map(len, rows.values())) for topic, rows in written.rows.items()}
    assert counts["plain"] == ROUNDS * len(CODECS) * 100
    assert counts["trimmed"] == counts["plain"] - TRIMMED
    assert counts["empty"] == 0


def test_topics_keep_their_ids_and_configurations(imported: tuple[Written, Ours]) -> None:
    """Clients that know a topic by its id go on."""
    written, (broker, _) = imported
    assert describe_ids(broker.bootstrap) == written.topic_ids
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, "keyed")
    entries = admin.describe_configs([resource])[resource].result()
    assert {key: entries[key].value for key in COMPACTED} == COMPACTED
    assert "gone" not in admin.list_topics().topics


def test_groups_go_on_where_they_were(imported: tuple[Written, Ours]) -> None:
    """Committed offsets of classic and consumer groups."""
    _, (broker, _) = imported
    for group in GROUPS:
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
        (found,) = consumer.committed([TopicPartition("plain", 1)], timeout=20)
        assert found.offset == COMMITTED
        consumer.close()


def test_writing_goes_on_behind_the_last_record(imported: tuple[Written, Ours]) -> None:
    """At the next offset, and a compacted topic is one that can be written to."""
    _, (broker, keyed) = imported
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    told: list[int | None] = []
    producer.produce("keyed", b"new", b"k1", on_delivery=lambda _, m: told.append(m.offset()))
    assert producer.flush(20) == 0
    assert told == [(keyed[-1][0] or 0) + 1]


def test_verify_and_dump_log_segments_find_nothing(
    imported: tuple[Written, Ours], java: Callable[..., str]
) -> None:
    """Ours checks everything; Kafka's checks the segments of a topic, deep."""
    _, (broker, _) = imported
    words = [sys.executable, "-m", "logserver.cli", "verify", str(broker.data_dir)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    files = sorted(str(path) for path in (broker.data_dir / "plain-0").glob("*.log"))
    told = java(
        "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", ",".join(files)
    )
    assert "isvalid: false" not in told
    assert "Exception" not in told


def test_kafka_starts_again_on_its_own_directory(
    kafka: Kafka, imported: tuple[Written, Ours]
) -> None:
    """It was only read: the compacted topic is the same, too. A transaction is refused by name."""
    written, (_, keyed) = imported
    # The records are years old: nothing may go while we look.
    kafka.extra |= {"log.cleaner.enable": "false", "log.retention.ms": "-1"}
    kafka.prepare()
    kafka.start()
    bootstrap = f"{kafka.address[0]}:{kafka.address[1]}"
    assert read(bootstrap, "plain", 0) == written.rows["plain"][0]
    assert read(bootstrap, "keyed", 0) == keyed
    assert 70 <= len(keyed) < ROUNDS * len(CODECS) * 300
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "t"})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce("paid", b"1")
    producer.commit_transaction(60)
    kafka.stop()
    target = written.path.parent / "refused"
    refused = run_import(written.path, target)
    assert refused.returncode == 65, refused.stderr
    assert "--exclude paid" in refused.stderr
    assert not target.exists()
    done = run_import(written.path, target, "--exclude", "paid")
    assert done.returncode == 0, done.stderr
