"""logserver.moving.kafka_metadata: the newest checkpoint, and what the log says after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from logserver.moving.kafka_metadata import KafkaMetadata, read_metadata
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from logwire.batch import encode_batch
from logwire.messages import encode_record
from logwire.primitives import write_uvarint
from tests.moving.kafka_bench import KafkaBench, topic_id


@pytest.fixture
def bench(tmp_path: Path) -> KafkaBench:
    """An empty broker."""
    return KafkaBench(tmp_path / "kafka")


def read(bench: KafkaBench) -> KafkaMetadata:
    """Its metadata."""
    return read_metadata(RealFiles(), str(bench.path / "__cluster_metadata-0"))


def test_topics_are_read_with_their_configuration(bench: KafkaBench) -> None:
    """From a log without any checkpoint."""
    bench.topic("t", 3, retention_ms="5", cleanup_policy="compact")
    bench.metadata()
    image = read(bench).image
    topic = image.topics_by_name["t"]
    assert (topic.topic_id, sorted(topic.partitions)) == (topic_id("t"), [0, 1, 2])
    assert image.topic_configs("t") == {"retention.ms": "5", "cleanup.policy": "compact"}


def test_the_log_goes_on_where_the_checkpoint_ends(bench: KafkaBench) -> None:
    """What the checkpoint has already said is not applied again."""
    bench.topic("old", 1)
    bench.metadata(checkpoint_offset=50)
    bench.topic("old", 1)
    bench.metadata(base_offset=40)  # two records of it lie before the checkpoint: 40 and 41
    bench.topic("new", 1)
    bench.records.append(("RemoveTopicRecord", 0, {"topic_id": topic_id("old")}))
    bench.metadata(base_offset=50)
    assert set(read(bench).image.topics_by_name) == {"new"}


def test_the_newest_checkpoint_counts(bench: KafkaBench) -> None:
    """Kafka keeps older ones for a while."""
    bench.topic("a", 1)
    bench.metadata(checkpoint_offset=10)
    bench.topic("b", 1)
    bench.metadata(checkpoint_offset=20)
    assert set(read(bench).image.topics_by_name) == {"b"}


def test_what_is_not_taken_over_is_counted(bench: KafkaBench) -> None:
    """Kinds that this server does not know are no reason to fail."""
    value = bytearray()
    for number in (1, 18, 0):  # frame version, AccessControlEntryRecord, version
        write_uvarint(value, number)
    kind = encode_record("FeatureLevelRecord", 0, {"name": "x.version", "feature_level": 1})
    records = [(None, data, (), 0) for data in (bytes(value) + b"anything", kind)]
    directory = bench.path / "__cluster_metadata-0"
    directory.mkdir()
    (directory / f"{0:020d}.log").write_bytes(encode_batch(records))
    found = read(bench)
    assert found.left_out == {"access control entries": 1}
    assert not found.image.topics


def test_a_newer_kind_of_a_wanted_record_is_refused(bench: KafkaBench) -> None:
    """A topic would be missing, or another one than it was."""
    value = bytearray()
    for number in (1, 2, 9):  # TopicRecord of version 9
        write_uvarint(value, number)
    directory = bench.path / "__cluster_metadata-0"
    directory.mkdir()
    (directory / f"{0:020d}.log").write_bytes(encode_batch([(None, bytes(value), (), 0)]))
    with pytest.raises(StorageError, match="record 2 version 9") as caught:
        read(bench)
    assert caught.value.kind is Kind.FORMAT


def test_damage_before_the_end_is_refused(bench: KafkaBench) -> None:
    """Topics would be missing, and with them their records. The end of the log may be torn."""
    bench.topic("a", 1)
    bench.metadata(checkpoint_offset=10)
    bench.topic("b", 1)
    bench.metadata(base_offset=10)
    bench.topic("c", 1)
    bench.metadata(base_offset=20)
    directory = bench.path / "__cluster_metadata-0"
    for name in (f"{10:020d}-0000000001.checkpoint", f"{10:020d}.log"):
        whole = (directory / name).read_bytes()
        (directory / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(StorageError, match=f"{name} is damaged at byte 0") as caught:
            read(bench)
        assert caught.value.kind is Kind.CORRUPT
        (directory / name).write_bytes(whole)
    last = directory / f"{20:020d}.log"
    last.write_bytes(last.read_bytes()[:-1])
    assert set(read(bench).image.topics_by_name) == {"a", "b"}
