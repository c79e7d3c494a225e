"""logserver.moving.importing: a whole directory, or a refusal and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from logserver.broker.broker import Broker
from logserver.config import load
from logserver.moving.importing import Report, import_kafka
from logserver.storage.directory import LogDirectory
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from logserver.storage.verify import verify_directory
from tests.moving.kafka_bench import (
    CLUSTER_ID,
    NOW_MS,
    KafkaBench,
    batch,
    topic_id,
    with_attributes,
)


@pytest.fixture
def bench(tmp_path: Path) -> KafkaBench:
    """A broker with a topic of two partitions, and what Kafka keeps for itself."""
    bench = KafkaBench(tmp_path / "kafka", node_id=5)
    bench.topic("t", 2, retention_ms="-1", compression_type="zstd", min_insync_replicas="2")
    bench.topic("__consumer_offsets", 1, cleanup_policy="compact")
    bench.topic("__transaction_state", 1)
    bench.records.append(("ProducerIdsRecord", 0, {"broker_id": 5, "next_producer_id": 2500}))
    bench.metadata()
    bench.partition("t", 0, {0: [batch(0, 3)], 3: [batch(3)]})
    bench.partition("t", 1, {0: [batch(0, 2)]})
    bench.partition("__consumer_offsets", 0, {0: []})
    bench.partition("__transaction_state", 0, {0: []})
    return bench


def run(bench: KafkaBench, target: Path, *more: str, **options: Any) -> Report:
    """Import into `target`."""
    return import_kafka(
        RealFiles(),
        [str(bench.path), *more],
        str(target),
        now_ms=NOW_MS,
        random=Random(1),
        progress=lambda *_: None,
        **options,
    )


def open_broker(target: Path) -> Broker:
    """The broker on what was imported, as `serve` opens it."""
    config = load({"log.dir": str(target), "node.id": "5"})
    directory = LogDirectory.open(RealFiles(), config, now_ms=NOW_MS)
    return Broker.open(config, directory, Random(1), NOW_MS)


def test_a_broker_opens_what_was_imported(bench: KafkaBench, tmp_path: Path) -> None:
    """Clean, without reading a batch: topics with their ids, configuration, offsets, cluster id."""
    run(bench, tmp_path / "new")
    broker = open_broker(tmp_path / "new")
    assert broker.directory.clean
    assert broker.cluster_id == CLUSTER_ID
    ends = {name: one.log.end_offset for name, one in broker.partitions_by_name.items()}
    assert ends == {("t", 0): 4, ("t", 1): 2, ("__consumer_offsets", 0): 0}
    assert broker.image.topics_by_name["t"].topic_id == topic_id("t")
    configs = {"retention.ms": "-1", "min.insync.replicas": "2"}
    assert broker.image.topic_configs("t") == configs
    assert broker.image.next_producer_id == 3000
    broker.directory.close(clean=True)


def test_verify_finds_nothing_in_it(bench: KafkaBench, tmp_path: Path) -> None:
    """Digests, indexes, snapshots, marks: all as our own server writes them."""
    run(bench, tmp_path / "new")
    assert list(verify_directory(RealFiles(), str(tmp_path / "new"))) == []


def test_the_report_tells_what_came_and_what_did_not(bench: KafkaBench, tmp_path: Path) -> None:
    """Counts by topic, and a note for a setting that means nothing here."""
    report = run(bench, tmp_path / "new")
    counts = {topic.name: (topic.partition_count, topic.record_count) for topic in report.topics}
    assert counts == {"t": (2, 6), "__consumer_offsets": (1, 0)}
    assert report.node_id == 5
    assert report.linked_bytes == len(batch(0, 3))
    assert any("compression.type=zstd is left out" in note for note in report.notes)


def test_kafkas_directory_is_only_read(bench: KafkaBench, tmp_path: Path) -> None:
    """Not a byte of it changes, not a name."""
    before = {path: path.read_bytes() for path in bench.path.rglob("*") if path.is_file()}
    run(bench, tmp_path / "new")
    broker = open_broker(tmp_path / "new")
    for partition in broker.partitions.values():
        partition.log.append(memoryview(bytearray(batch(0))), 0, NOW_MS, NOW_MS)
    broker.directory.close(clean=True)
    after = {path: path.read_bytes() for path in bench.path.rglob("*") if path.is_file()}
    assert after == before


def test_nothing_is_shared_when_everything_is_copied(bench: KafkaBench, tmp_path: Path) -> None:
    """`--copy`."""
    report = run(bench, tmp_path / "new", links=False)
    assert report.linked_bytes == 0
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "new").rglob("*.log"))


def test_all_transactional_topics_are_named_and_nothing_is_left(
    bench: KafkaBench, tmp_path: Path
) -> None:
    """One refusal for both, with the words that leave them out; then it goes."""
    for name in ("pay", "book"):
        bench.partition(name, 0, {0: [with_attributes(batch(0), 0x10)]})
        bench.topic(name, 1)
    bench.metadata(base_offset=100)
    with pytest.raises(StorageError, match="--exclude book --exclude pay") as caught:
        run(bench, tmp_path / "new")
    assert caught.value.kind is Kind.FORMAT
    assert not (tmp_path / "new").exists()
    report = run(bench, tmp_path / "new", exclude=["pay", "book"])
    assert "pay" not in {topic.name for topic in report.topics}


def test_a_target_with_something_in_it_is_refused(bench: KafkaBench, tmp_path: Path) -> None:
    """An empty directory is taken, and emptied again when the import fails."""
    target = tmp_path / "new"
    target.mkdir()
    (target / "precious").touch()
    with pytest.raises(StorageError, match="not an empty directory"):
        run(bench, target)
    (target / "precious").unlink()
    spoilt = bench.path / "t-0" / f"{0:020d}.log"
    spoilt.write_bytes(bytes(100))
    with pytest.raises(StorageError):
        run(bench, target)
    assert list(target.iterdir()) == []


def test_a_missing_partition_is_refused(bench: KafkaBench, tmp_path: Path) -> None:
    """A broker of a larger cluster has some; a second directory of log.dirs may have the rest."""
    other = KafkaBench(tmp_path / "second", node_id=5)
    (bench.path / "t-1").rename(other.path / "t-1")
    with pytest.raises(StorageError, match="t has 2 partitions, but 1 is not here"):
        run(bench, tmp_path / "new")
    report = run(bench, tmp_path / "new", str(other.path))
    assert ("t", 2) in {(topic.name, topic.partition_count) for topic in report.topics}


def test_directories_of_two_brokers_are_refused(bench: KafkaBench, tmp_path: Path) -> None:
    """Their logs are replicas of each other."""
    other = KafkaBench(tmp_path / "second", node_id=6)
    with pytest.raises(StorageError, match="belong to different brokers"):
        run(bench, tmp_path / "new", str(other.path))


def test_without_metadata_records_are_kept_for_ever(tmp_path: Path) -> None:
    """Nobody knows how long they were to be kept, and the default would delete them at once."""
    bench = KafkaBench(tmp_path / "kafka", node_id=5)
    bench.partition("t", 0, {0: [batch(0, 3)]}, named=False)
    bench.partition("__consumer_offsets", 0, {0: []})
    report = run(bench, tmp_path / "new")
    configs = {topic.name: topic.configs for topic in report.topics}
    assert configs["t"] == {"retention.ms": "-1", "retention.bytes": "-1"}
    assert configs["__consumer_offsets"] == {"cleanup.policy": "compact"}
    assert any("no __cluster_metadata-0" in note for note in report.notes)
    broker = open_broker(tmp_path / "new")
    assert broker.partitions_by_name["t", 0].log.end_offset == 3
    broker.directory.close()


def test_what_the_cluster_has_deleted_is_left_out(bench: KafkaBench, tmp_path: Path) -> None:
    """A directory whose topic is gone, or another one by now."""
    bench.partition("gone", 0, {0: [batch(0)]})
    report = run(bench, tmp_path / "new")
    assert "gone" not in {topic.name for topic in report.topics}
    assert any("gone-0 belongs to no topic" in note for note in report.notes)


def test_an_unfinished_import_is_not_served(bench: KafkaBench, tmp_path: Path) -> None:
    """A kill before the last step leaves partitions and no topic: they are not deleted for that."""
    run(bench, tmp_path / "new")
    metadata = tmp_path / "new" / "__cluster_metadata-0"
    for path in metadata.iterdir():
        path.unlink()
    metadata.rmdir()
    (tmp_path / "new" / ".logserver_cleanshutdown").unlink()
    (tmp_path / "new" / "durable-mark").unlink()
    with pytest.raises(StorageError, match="has partition directories"):
        open_broker(tmp_path / "new")


def test_a_topic_that_is_not_there_cannot_be_left_out(bench: KafkaBench, tmp_path: Path) -> None:
    """A misspelt name would import what was to be left out."""
    with pytest.raises(StorageError, match="there is no topic tt"):
        run(bench, tmp_path / "new", exclude=["tt"])
