"""CreateTopics: what is created, and Kafka's codes for what is not."""

import errno
from random import Random
from typing import Any

import pytest

from logserver.broker.create_topics import new_topic_id
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import MemoryFiles
from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import NO_ID, ControlBench, new_topic

FACTORS = (("b", 3), ("c", 4))


@pytest.fixture
def bench() -> ControlBench:
    """A broker with one topic, `a`, of three partitions."""
    bench = ControlBench()
    bench.create("a", 3)
    bench.sync()
    return bench


def create(bench: ControlBench, *topics: Message, validate_only: bool = False) -> list[Message]:
    """The rows of a CreateTopics request."""
    request = {"topics": list(topics), "timeout_ms": 1000, "validate_only": validate_only}
    rows: list[Message] = bench.call(19, 7, request)["topics"]
    return rows


def test_a_topic_is_created_with_its_partitions_and_served(bench: ControlBench) -> None:
    """The answer names id, partitions, and every effective configuration."""
    row = bench.create("b", 2, retention_ms="5")
    assert row["error_code"] == errors.NONE
    assert row["topic_id"] == bench.topic_id("b") != NO_ID
    assert (row["num_partitions"], row["replication_factor"]) == (2, 1)
    configs = {config["name"]: config for config in row["configs"]}
    assert (configs["retention.ms"]["value"], configs["retention.ms"]["config_source"]) == ("5", 1)
    assert configs["flush.messages"]["value"] == "1"
    assert bench.append("b", [1, 2, 3], index=1) == 0
    assert bench.partition("b").config.retention_ms == 5


def test_defaults_of_the_broker_stand_for_minus_one() -> None:
    """num.partitions, and a replication factor of one."""
    bench = ControlBench({"num.partitions": "4"})
    rows = create(bench, {**new_topic("b", -1), "replication_factor": -1})
    assert (rows[0]["num_partitions"], rows[0]["replication_factor"]) == (4, 1)


def test_a_larger_factor_is_accepted_where_the_property_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Up to logserver.replication.factor.max; one replica is kept, shown, and warned of."""
    bench = ControlBench({"logserver.replication.factor.max": "3"})
    three, four = ({**new_topic(name), "replication_factor": factor} for name, factor in FACTORS)
    rows = create(bench, three, four)
    assert [row["error_code"] for row in rows] == [errors.NONE, errors.INVALID_REPLICATION_FACTOR]
    assert rows[0]["replication_factor"] == 1
    (topic,) = bench.call(3, 12, {"topics": [{"name": "b", "topic_id": NO_ID}]})["topics"]
    assert topic["partitions"][0]["replica_nodes"] == [1]
    assert "b: 3 replicas were asked for, 1 is kept" in caplog.text


def test_other_brokers_may_be_named_where_the_property_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As many as the property allows, each once; one replica is kept, here."""
    bench = ControlBench({"logserver.replication.factor.max": "3"})
    rows = create(bench, assigned("b", (0, [0, 1]), (1, [2])), assigned("c", (0, [1, 1])))
    assert [row["error_code"] for row in rows] == [errors.NONE, errors.INVALID_REPLICA_ASSIGNMENT]
    assert [
        part.replicas for part in bench.broker.image.topics_by_name["b"].partitions.values()
    ] == [
        [1],
        [1],
    ]
    assert "b: other brokers were named, one replica is kept here" in caplog.text
    for ids in ([0, 1, 2, 3], [4], [-1], []):
        (row,) = create(bench, assigned("d", (0, ids)))
        assert row["error_code"] == errors.INVALID_REPLICA_ASSIGNMENT


def test_validation_alone_creates_nothing(bench: ControlBench) -> None:
    """The answer is that of a creation, nothing is written."""
    end_offset = bench.broker.metadata_log.log.end_offset
    rows = create(bench, new_topic("b", 2), new_topic("a"), validate_only=True)
    assert [row["error_code"] for row in rows] == [errors.NONE, errors.TOPIC_ALREADY_EXISTS]
    assert bench.broker.metadata_log.log.end_offset == end_offset
    assert not bench.context.after_sync
    assert "b" not in bench.broker.image.topics_by_name


def assigned(name: str, *replicas: tuple[int, list[int]], **fields: int) -> Message:
    """A topic with a manual assignment."""
    rows = [{"partition_index": index, "broker_ids": ids} for index, ids in replicas]
    topic = {**new_topic(name, -1), "replication_factor": -1, "assignments": rows}
    return {**topic, **fields}


# Codes and sentences as Apache Kafka 4.3.1 answered the same requests.
REFUSED: list[tuple[Message, int, str]] = [
    (new_topic("a"), errors.TOPIC_ALREADY_EXISTS, "Topic 'a' already exists."),
    (new_topic("b", 0), errors.INVALID_PARTITIONS, "invalid non-positive value."),
    (new_topic("b", -2), errors.INVALID_PARTITIONS, "invalid non-positive value."),
    (new_topic("b", 20_000), errors.POLICY_VIOLATION, "Excessively large number of partitions"),
    (
        {**new_topic("b"), "replication_factor": 2},
        errors.INVALID_REPLICATION_FACTOR,
        "Unable to replicate the partition 2 time(s)",
    ),
    (
        {**new_topic("b"), "replication_factor": 0},
        errors.INVALID_REPLICATION_FACTOR,
        "must be larger than 0, or -1",
    ),
    (new_topic("b", 1, {"x.y": "1"}), errors.INVALID_CONFIG, "Unknown topic config name: x.y"),
    (
        new_topic("b", 1, {"retention.ms": None, "segment.ms": None}),
        errors.INVALID_CONFIG,
        "Null value not supported for topic configs: retention.ms,segment.ms",
    ),
    (new_topic("b", 1, {"retention.ms": "-5"}), errors.INVALID_CONFIG, "Value must be at least -1"),
    (new_topic(""), errors.INVALID_TOPIC_EXCEPTION, "the empty string is not allowed"),
    (new_topic(".."), errors.INVALID_TOPIC_EXCEPTION, "'..' is not allowed"),
    (new_topic("a/b"), errors.INVALID_TOPIC_EXCEPTION, "other than ASCII alphanumerics"),
    (new_topic("z" * 250), errors.INVALID_TOPIC_EXCEPTION, "longer than the max allowed length"),
    (new_topic("__cluster_metadata"), errors.INVALID_REQUEST, "prohibited"),
    (assigned("b", (0, [1]), replication_factor=1), errors.INVALID_REQUEST, "replication factor"),
    (assigned("b", (0, [1]), num_partitions=1), errors.INVALID_REQUEST, "numPartitions was not"),
    (assigned("b", (0, [1]), (0, [1])), errors.INVALID_REPLICA_ASSIGNMENT, "Found multiple manual"),
    (assigned("b", (0, [1]), (2, [1])), errors.INVALID_REPLICA_ASSIGNMENT, "consecutive 0-based"),
    (assigned("b", (0, [7])), errors.INVALID_REPLICA_ASSIGNMENT, "includes broker 7, but no such"),
    (assigned("b", (0, [])), errors.INVALID_REPLICA_ASSIGNMENT, "an empty replica list"),
    (assigned("b", (0, [1, 1])), errors.INVALID_REPLICA_ASSIGNMENT, "broker 1 more than once"),
]


@pytest.mark.parametrize(("topic", "code", "sentence"), REFUSED)
def test_a_refusal_has_kafkas_code_and_changes_nothing(
    bench: ControlBench, topic: Message, code: int, sentence: str
) -> None:
    """The row says why; configs are empty, never null."""
    (row,) = create(bench, topic)
    assert row["error_code"] == code
    assert sentence in row["error_message"]
    assert (row["configs"], row["num_partitions"], row["topic_id"]) == ([], -1, NO_ID)
    assert list(bench.broker.image.topics_by_name) == ["a"]


def test_a_manual_assignment_may_name_this_broker(bench: ControlBench) -> None:
    """What a tool writes that lays out replicas itself."""
    (row,) = create(bench, assigned("b", (1, [1]), (0, [1])))
    assert (row["error_code"], row["num_partitions"]) == (errors.NONE, 2)


def test_a_name_twice_in_one_request_is_refused_once(bench: ControlBench) -> None:
    """Neither is created; the others are."""
    rows = create(bench, new_topic("b"), new_topic("c"), new_topic("b"))
    found = {row["name"]: row["error_code"] for row in rows}
    assert found == {"b": errors.INVALID_REQUEST, "c": errors.NONE}
    assert len(rows) == 2


def test_names_that_metrics_cannot_tell_apart_are_refused(bench: ControlBench) -> None:
    """Against existing topics and within the request."""
    bench.create("x.y")
    rows = create(bench, new_topic("x_y"), new_topic("p_q"), new_topic("p.q"))
    assert [row["error_code"] for row in rows] == [errors.INVALID_TOPIC_EXCEPTION, 0, 17]
    assert rows[0]["error_message"] == "Topic 'x_y' collides with existing topic: x.y"


def test_the_limit_of_partitions_is_kept() -> None:
    """All topics together, in one request as well."""
    bench = ControlBench({"logserver.partitions.max": "5"})
    assert bench.create("a", 3)["error_code"] == errors.NONE
    row = bench.create("b", 3)
    assert row["error_code"] == errors.POLICY_VIOLATION
    assert "logserver.partitions.max (5)" in row["error_message"]
    rows = create(bench, new_topic("c", 2), new_topic("d", 1))
    assert [item["error_code"] for item in rows] == [errors.NONE, errors.POLICY_VIOLATION]


def test_a_directory_that_cannot_be_made_takes_the_topic_back() -> None:
    """The record is followed by its removal: nothing is half created, also after a restart."""
    files = FailingFiles(MemoryFiles(), kinds={"make_directory"}, error=errno.EMFILE)
    bench = ControlBench(files=files)
    bench.sync()
    files.fail_at = files.matching_count + 2
    row = bench.create("b", 3)
    assert row["error_code"] == errors.KAFKA_STORAGE_ERROR
    assert bench.broker.image.topics_by_name == {}
    assert bench.broker.partitions == {}
    bench.restart(clean=False)
    assert bench.broker.image.topics_by_name == {}
    assert bench.create("b", 3)["error_code"] == errors.NONE


def test_what_cannot_be_taken_back_either_is_an_answer_and_no_crash() -> None:
    """The metadata log fails too; the next start makes the partitions."""
    files = FailingFiles(MemoryFiles(), kinds={"make_directory", "pwrite"}, error=errno.ENOSPC)
    bench = ControlBench(files=files)
    bench.sync()
    files.for_good, files.fail_at = True, files.matching_count + 2
    row = bench.create("b", 3)
    assert row["error_code"] == errors.KAFKA_STORAGE_ERROR
    assert bench.partitions_served() == []
    files.fail_at = 0
    bench.restart(clean=False)
    assert bench.partitions_served() == [("b", 0), ("b", 1), ("b", 2)]


def test_many_partitions_are_made_side_by_side_or_not_at_all() -> None:
    """A failure half way takes all topics of the request back."""
    files = FailingFiles(MemoryFiles(), kinds={"make_directory"}, error=errno.EMFILE)
    bench = ControlBench(files=files)
    bench.sync()
    files.fail_at = files.matching_count + 5
    rows = create(bench, new_topic("b", 3), new_topic("c", 3))
    assert [row["error_code"] for row in rows] == [errors.KAFKA_STORAGE_ERROR] * 2
    assert bench.broker.image.topics_by_name == {}
    rows = create(bench, new_topic("b", 3), new_topic("c", 3))
    assert [row["error_code"] for row in rows] == [errors.NONE] * 2
    assert len(bench.partitions_served()) == 6


def test_topic_ids_are_random_uuids_that_command_lines_can_take(bench: ControlBench) -> None:
    """Version 4, and no text that begins with a dash."""
    random: Any = Random(4)
    bench.broker.random = random
    for _ in range(300):
        topic_id = new_topic_id(bench.broker)
        assert topic_id[6] >> 4 == 4
        assert topic_id[0] >> 2 != 62
