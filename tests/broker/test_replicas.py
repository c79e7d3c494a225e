"""Elections, reassignments and moves between directories, where nothing can move."""

import errno
from typing import Any

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench

PREFERRED, UNCLEAN = 0, 1


@pytest.fixture
def bench() -> ControlBench:
    """A broker with one topic, `a`, of two partitions."""
    bench = ControlBench()
    bench.create("a", 2)
    bench.sync()
    return bench


def elect(bench: ControlBench, kind: int, topics: list[Message] | None) -> Message:
    """The answer to an election of that kind."""
    return bench.call(43, 2, {"election_type": kind, "topic_partitions": topics})


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_leader_is_elected_already(bench: ControlBench, version: int) -> None:
    """ELECTION_NOT_NEEDED, or which topic or partition there is not."""
    topics = [{"topic": "a", "partitions": [1, 9]}, {"topic": "b", "partitions": [0]}]
    answer = bench.call(43, version, {"topic_partitions": topics})
    rows = [
        row for topic in answer["replica_election_results"] for row in topic["partition_result"]
    ]
    assert [row["error_code"] for row in rows] == [
        errors.ELECTION_NOT_NEEDED,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert [row["error_message"] for row in rows][1:] == [
        "No such partition as a-9",
        "No such topic as b",
    ]


def test_an_election_of_all_partitions_names_none(bench: ControlBench) -> None:
    """As Kafka: what needs no election is left out when everything was asked for."""
    for kind in (PREFERRED, UNCLEAN):
        answer = elect(bench, kind, None)
        assert answer["error_code"] == errors.NONE
        assert answer["replica_election_results"] == [{"topic": "a", "partition_result": []}]


def test_an_unknown_kind_of_election_is_refused(bench: ControlBench) -> None:
    """At the top and for each partition."""
    answer = elect(bench, 7, [{"topic": "a", "partitions": [0]}])
    (row,) = answer["replica_election_results"][0]["partition_result"]
    assert (answer["error_code"], row["error_code"]) == (errors.INVALID_REQUEST,) * 2
    assert row["error_message"] == "Unknown election type 7"
    assert elect(bench, 7, None)["replica_election_results"] == []


def reassign(bench: ControlBench, name: str, *wanted: Any) -> list[tuple[int, str | None]]:
    """Code and sentence of each (partition, replicas)."""
    partitions = [{"partition_index": index, "replicas": replicas} for index, replicas in wanted]
    request = {"topics": [{"name": name, "partitions": partitions}]}
    answer = bench.call(45, 1, request)
    assert answer["error_code"] == errors.NONE
    (topic,) = answer["responses"]
    return [(row["error_code"], row["error_message"]) for row in topic["partitions"]]


def test_a_partition_may_be_asked_to_be_where_it_is(bench: ControlBench) -> None:
    """Anything else names a broker that there is not, or a move that nobody began."""
    assert reassign(bench, "a", (0, [1]), (1, None)) == [
        (errors.NONE, None),
        (errors.NO_REASSIGNMENT_IN_PROGRESS, None),
    ]
    start = "The manual partition assignment includes"
    assert reassign(bench, "a", (0, [1, 2]), (1, []), (1, [1, 1])) == [
        (39, f"{start} broker 2, but no such broker is registered."),
        (39, f"{start} an empty replica list."),
        (39, f"{start} the broker 1 more than once."),
    ]
    assert reassign(bench, "a", (9, None)) == [(3, "Unable to find partition a:9.")]
    assert reassign(bench, "b", (0, [1])) == [(3, "Unable to find a topic named b.")]


def test_a_name_that_is_none_is_not_repeated_whole(bench: ControlBench) -> None:
    """32 KB of it for each of 100,000 partitions would be an answer of gigabytes."""
    name = "x" * 32_000
    (answer,) = elect(bench, PREFERRED, [{"topic": name, "partitions": [0]}])[
        "replica_election_results"
    ]
    (row,) = answer["partition_result"]
    assert row["error_message"] == f"No such topic as {name[:249]}"
    ((_, sentence),) = reassign(bench, name, (0, [1]))
    assert sentence == f"Unable to find a topic named {name[:249]}."


def test_no_reassignment_is_under_way(bench: ControlBench) -> None:
    """Neither of all partitions nor of named ones."""
    for topics in (None, [], [{"name": "a", "partition_indexes": [0, 9]}]):
        answer = bench.call(46, 0, {"topics": topics})
        assert (answer["error_code"], answer["topics"]) == (errors.NONE, [])


def move(bench: ControlBench, path: str, name: str, *indexes: int) -> list[int]:
    """The code for each partition that is asked to move to that directory."""
    topics = [{"name": name, "partitions": list(indexes)}]
    answer = bench.call(34, 2, {"dirs": [{"path": path, "topics": topics}]})
    (topic,) = answer["results"]
    return [row["error_code"] for row in topic["partitions"]]


def test_a_partition_may_be_asked_to_be_in_the_directory_that_holds_it(
    bench: ControlBench,
) -> None:
    """The path is the one that DescribeLogDirs tells."""
    (result,) = bench.call(35, 4, {"topics": None})["results"]
    assert move(bench, result["log_dir"], "a", 0, 9) == [errors.NONE, 3]
    assert move(bench, result["log_dir"], "b", 0) == [errors.UNKNOWN_TOPIC_OR_PARTITION]
    assert move(bench, "/elsewhere", "a", 0) == [errors.LOG_DIR_NOT_FOUND]
    bench.broker.fence(OSError(errno.EIO, "sick"))
    assert move(bench, result["log_dir"], "a", 0) == [errors.KAFKA_STORAGE_ERROR]
