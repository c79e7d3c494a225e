"""The metadata log: changes are atomic, durable before they are told, and replayed as they were."""

from random import Random

import pytest

from logserver.broker.metadata_log import METADATA_VERSION, REPLAY_BYTES
from logserver.storage.simulated_files import MemoryFiles
from logwire.batch import decode_batch
from logwire.messages import decode_record
from tests.broker.control_bench import ControlBench, new_topic


def image_of(bench: ControlBench) -> object:
    """Everything the image says, to be compared."""
    image = bench.broker.image
    return (
        {
            (topic.name, topic_id): {
                index: (p.leader, p.leader_epoch, p.partition_epoch, p.replicas)
                for index, p in topic.partitions.items()
            }
            for topic_id, topic in image.topics.items()
        },
        image.configs,
        image.features,
        image.next_producer_id,
    )


def test_an_empty_log_begins_with_the_metadata_version() -> None:
    """Kafka's logs begin with it too: it says how the rest is to be read."""
    bench = ControlBench()
    log = bench.broker.metadata_log.log
    piece = log.read(0, 1, log.end_offset)
    assert piece is not None
    record = next(iter(decode_batch(memoryview(piece.read()))))
    piece.release()
    assert record.value is not None
    name, version, fields = decode_record(record.value)
    assert (name, version, fields["feature_level"]) == ("FeatureLevelRecord", 0, METADATA_VERSION)


def test_a_feature_that_was_switched_off_stays_so_after_a_restart() -> None:
    """Only what nobody ever decided on is begun at its first level."""
    bench = ControlBench()
    assert bench.broker.image.features["group.version"] == 1
    level = {"name": "group.version", "feature_level": 0}
    bench.broker.metadata_log.append([("FeatureLevelRecord", 0, level)], 0)
    bench.restart(clean=True)
    assert "group.version" not in bench.broker.image.features


def test_a_restart_replays_to_the_same_image() -> None:
    """Topics, growth, configs, removals and producer ids, clean stop or kill."""
    bench = ControlBench()
    bench.create("a", 3, retention_ms="5")
    bench.create("b.c", 1)
    bench.delete("b.c")
    bench.create("d", 2)
    bench.call(37, 3, {"topics": [{"name": "d", "count": 4, "assignments": None}]})
    bench.call(22, 4, {"transactional_id": None})
    before = image_of(bench)
    bench.restart(clean=False)
    assert image_of(bench) == before
    bench.restart(clean=True)
    assert image_of(bench) == before
    assert sorted(bench.broker.partitions) == sorted(
        (topic.topic_id, index)
        for topic in bench.broker.image.topics.values()
        for index in topic.partitions
    )


def test_a_log_larger_than_one_read_is_replayed_whole() -> None:
    """The replay goes piece by piece."""
    bench = ControlBench({"logserver.partitions.max": "100000"})
    log = bench.broker.metadata_log.log
    config = {
        "resource_type": 4,
        "resource_name": "",
        "name": "log.retention.ms",
        "value": "7" * 1000,
    }
    while log.size_bytes < 2.5 * REPLAY_BYTES:
        bench.broker.metadata_log.append([("ConfigRecord", 0, config)] * 300, bench.now_ms)
    undo = {**config, "value": "7"}
    bench.broker.metadata_log.append([("ConfigRecord", 0, undo)], bench.now_ms)
    bench.restart()
    assert bench.broker.image.configs == {(4, ""): {"log.retention.ms": "7"}}


def test_an_answer_waits_until_its_change_is_durable() -> None:
    """after_sync holds it back; the sync covers the metadata log."""
    bench = ControlBench()
    bench.sync()
    assert not bench.broker.metadata_log.unsynced
    bench.create("a")
    assert bench.context.after_sync
    assert bench.broker.metadata_log.unsynced
    bench.sync()
    assert not bench.broker.metadata_log.unsynced


@pytest.mark.simulation
def test_a_power_cut_leaves_each_creation_and_removal_wholly_or_not_at_all() -> None:
    """At any moment: an acknowledged change is there, any other is complete or absent."""
    random = Random(20_261_122)
    for step in range(40):
        bench = ControlBench()
        bench.create("kept", 2, retention_ms="7")
        bench.append("kept", [5, 6])
        bench.sync()
        kept_id = bench.topic_id("kept")
        bench.create("new", 3, segment_ms="9")
        if step % 2:
            bench.delete("kept")
            bench.create("kept", 1)
        for _ in range(5):
            cut = bench.power_cut(random)
            image = cut.broker.image
            new = image.topics_by_name.get("new")
            assert new is None or sorted(new.partitions) == [0, 1, 2]
            assert image.topic_configs("new") == ({} if new is None else {"segment.ms": "9"})
            kept = image.topics_by_name.get("kept")
            if kept is not None and kept.topic_id == kept_id:
                assert sorted(kept.partitions) == [0, 1]
                assert image.topic_configs("kept") == {"retention.ms": "7"}
                assert cut.partition("kept").log.end_offset == 2, "an acknowledged batch is gone"
            else:
                assert step % 2, "nobody deleted the topic"
                assert kept is None or cut.partition("kept").log.end_offset == 0


def test_a_full_disk_refuses_the_change_and_leaves_the_image() -> None:
    """Nothing is applied that is not written."""
    files = MemoryFiles()
    bench = ControlBench(files=files)
    bench.create("a")
    bench.sync()
    files.capacity_bytes = files.used_bytes()
    row = bench.create("b" * 200, 50)
    assert row["error_code"] == 56
    assert "No space left" in row["error_message"]
    files.capacity_bytes = None
    assert list(bench.broker.image.topics_by_name) == ["a"]
    assert bench.create("c")["error_code"] == 0
    bench.restart()
    assert list(bench.broker.image.topics_by_name) == ["a", "c"]


def test_requests_of_many_topics_are_one_batch() -> None:
    """All topics of a request appear together."""
    bench = ControlBench()
    log = bench.broker.metadata_log.log
    before, end_offset = log.size_bytes, log.end_offset
    bench.call(19, 7, {"topics": [new_topic(name) for name in "xyz"]})
    piece = log.read(end_offset, 1 << 20, log.end_offset)
    assert piece is not None
    assert len(list(decode_batch(memoryview(piece.read())))) == 6
    assert piece.position == before
    piece.release()
