"""DescribeLogDirs and DescribeProducers."""

import pytest

from logwire import errors
from tests.broker.control_bench import ControlBench


@pytest.fixture
def bench() -> ControlBench:
    """A broker with topics `a` (2 partitions, some records) and `b`."""
    bench = ControlBench()
    bench.create("a", 2)
    bench.create("b", 1)
    bench.append("a", [1, 2, 3], index=1)
    bench.sync()
    bench.broker.check_disk()
    return bench


@pytest.mark.parametrize("version", range(1, 6))
def test_sizes_are_those_of_the_batches(bench: ControlBench, version: int) -> None:
    """Null asks for all topics; the free space is the file system's."""
    (result,) = bench.call(35, version, {"topics": None})["results"]
    sizes = {
        (topic["name"], row["partition_index"]): row["partition_size"]
        for topic in result["topics"]
        for row in topic["partitions"]
    }
    size_bytes = bench.partition("a", 1).log.size_bytes
    assert size_bytes > 0
    assert sizes == {("a", 0): 0, ("a", 1): size_bytes, ("b", 0): 0}
    assert (result["error_code"], result["log_dir"]) == (errors.NONE, "/data")
    assert result["usable_bytes"] == (bench.broker.free_bytes if version >= 4 else -1)


def test_only_what_is_asked_for_and_there_is_told(bench: ControlBench) -> None:
    """Unknown topics and partitions have no row, as in Kafka."""
    topics = [{"topic": "a", "partitions": [1, 1, 7]}, {"topic": "nope", "partitions": [0]}]
    (result,) = bench.call(35, 4, {"topics": topics})["results"]
    assert [
        (topic["name"], [row["partition_index"] for row in topic["partitions"]])
        for topic in result["topics"]
    ] == [("a", [1])]


def test_a_fenced_directory_says_so(bench: ControlBench) -> None:
    """Tools show a failed disk by this code."""
    bench.broker.fence(OSError("sick"))
    (result,) = bench.call(35, 4, {"topics": None})["results"]
    assert result["error_code"] == errors.KAFKA_STORAGE_ERROR


def test_producers_of_a_partition_are_listed(bench: ControlBench) -> None:
    """What idempotence remembers of each."""
    bench.append("a", [5, 6], index=1, producer_id=77)
    topics = [{"name": "a", "partition_indexes": [0, 1, 9]}]
    rows = bench.call(61, 0, {"topics": topics})["topics"][0]["partitions"]
    assert [(row["partition_index"], row["error_code"]) for row in rows] == [
        (0, errors.NONE),
        (1, errors.NONE),
        (9, errors.UNKNOWN_TOPIC_OR_PARTITION),
    ]
    assert rows[0]["active_producers"] == []
    (producer,) = rows[1]["active_producers"]
    assert (producer["producer_id"], producer["producer_epoch"]) == (77, 0)
    assert (producer["last_sequence"], producer["last_timestamp"]) == (1, 6)
    assert producer["current_txn_start_offset"] == -1
