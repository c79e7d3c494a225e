"""DeleteTopics and CreatePartitions."""

from random import Random

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import NO_ID, ControlBench


@pytest.fixture
def bench() -> ControlBench:
    """A broker with topics `a` (3 partitions) and `b` (1)."""
    bench = ControlBench()
    bench.create("a", 3)
    bench.create("b", 1)
    bench.sync()
    return bench


def delete(bench: ControlBench, *topics: tuple[str | None, bytes]) -> list[tuple[object, int]]:
    """Name and code of each row of a version 6 answer."""
    request = {"topics": [{"name": name, "topic_id": topic_id} for name, topic_id in topics]}
    rows = bench.call(20, 6, request)["responses"]
    return [(row["name"], row["error_code"]) for row in rows]


def test_a_deleted_topic_is_gone_at_once_and_stays_gone(bench: ControlBench) -> None:
    """The answer waits for the disk; routes, partitions and image forget it before."""
    assert delete(bench, ("a", NO_ID)) == [("a", errors.NONE)]
    assert bench.context.after_sync
    assert list(bench.broker.image.topics_by_name) == ["b"]
    assert "a" not in bench.broker.routes
    assert len(bench.broker.partitions) == 1
    bench.sync()
    bench.restart(clean=False)
    assert list(bench.broker.image.topics_by_name) == ["b"]


def test_a_recreated_topic_never_shows_old_records(bench: ControlBench) -> None:
    """Same name, another id, another directory."""
    bench.append("a", [1, 2, 3])
    old_id = bench.topic_id("a")
    delete(bench, ("a", NO_ID))
    bench.create("a", 3)
    assert bench.topic_id("a") != old_id
    assert bench.partition("a").log.end_offset == 0
    bench.append("a", [7])
    bench.restart(clean=False)
    assert bench.partition("a").log.end_offset == 1


def test_deletion_by_id_hits_that_topic_only(bench: ControlBench) -> None:
    """An id of the past is unknown, whatever its name holds now."""
    old_id = bench.topic_id("a")
    assert delete(bench, (None, old_id)) == [("a", errors.NONE)]
    bench.create("a")
    assert delete(bench, (None, old_id)) == [(None, errors.UNKNOWN_TOPIC_ID)]
    assert "a" in bench.broker.image.topics_by_name


def test_topics_named_twice_or_not_at_all_are_refused(bench: ControlBench) -> None:
    """As ControllerApis does, in one row each."""
    a_id = bench.topic_id("a")
    refused = errors.INVALID_REQUEST
    assert delete(bench, (None, NO_ID)) == [(None, refused)]
    assert delete(bench, ("a", a_id)) == [("a", refused)]
    assert delete(bench, ("a", NO_ID), ("a", NO_ID)) == [("a", refused)]
    assert delete(bench, (None, a_id), (None, a_id)) == [(None, refused)]
    assert delete(bench, ("a", NO_ID), (None, a_id)) == [("a", refused)]
    assert delete(bench, ("nope", NO_ID)) == [("nope", errors.UNKNOWN_TOPIC_OR_PARTITION)]
    assert sorted(bench.broker.image.topics_by_name) == ["a", "b"]


@pytest.mark.parametrize("version", [1, 3, 5])
def test_older_versions_delete_by_name(bench: ControlBench, version: int) -> None:
    """The list is called topic_names there."""
    rows = bench.call(20, version, {"topic_names": ["a", "nope"]})["responses"]
    assert [(row["name"], row["error_code"]) for row in rows] == [("a", 0), ("nope", 3)]


@pytest.mark.parametrize(("version", "code"), [(1, 42), (3, 73), (6, 73)])
def test_deletion_can_be_switched_off(version: int, code: int) -> None:
    """delete.topic.enable=false; before version 3 the code did not exist."""
    bench = ControlBench({"delete.topic.enable": "false"})
    bench.create("a")
    request = {"topic_names": ["a"], "topics": [{"name": "a", "topic_id": NO_ID}]}
    (row,) = bench.call(20, version, request)["responses"]
    assert (row["name"], row["error_code"]) == ("a", code)
    assert "a" in bench.broker.image.topics_by_name


def grow(
    bench: ControlBench, name: str, count: int, assignments: list[list[int]] | None = None
) -> Message:
    """The row of a CreatePartitions request for one topic."""
    rows = None if assignments is None else [{"broker_ids": ids} for ids in assignments]
    topic = {"name": name, "count": count, "assignments": rows}
    row: Message = bench.call(37, 3, {"topics": [topic]})["results"][0]
    return row


def test_a_topic_grows_and_keeps_its_records(bench: ControlBench) -> None:
    """New partitions are served at once and after a kill."""
    bench.append("a", [1, 2])
    assert grow(bench, "a", 5)["error_code"] == errors.NONE
    assert bench.context.after_sync
    assert bench.append("a", [1], index=4) == 0
    bench.restart(clean=False)
    assert sorted(bench.broker.image.topics_by_name["a"].partitions) == [0, 1, 2, 3, 4]
    assert bench.partition("a").log.end_offset == 2


# Codes and sentences as Apache Kafka 4.3.1 answered the same requests.
@pytest.mark.parametrize(
    ("name", "count", "assignments", "code", "sentence"),
    [
        ("a", 3, None, 37, "Topic already has 3 partition(s)."),
        ("a", 2, None, 37, "currently has 3 partition(s); 2 would not be an increase."),
        ("a", 0, None, 37, "currently has 3 partition(s); 0 would not be an increase."),
        ("nope", 2, None, 3, ""),
        ("a", 5, [[1]], 39, "Attempted to add 2 additional partition(s), but only 1 assign"),
        ("a", 4, [[9]], 39, "includes broker 9, but no such broker is registered."),
        ("a", 4, [[]], 39, "includes an empty replica list."),
        ("a", 20_000, None, 44, "would exceed logserver.partitions.max"),
    ],
)
def test_a_refused_growth_changes_nothing(
    bench: ControlBench,
    name: str,
    count: int,
    assignments: list[list[int]] | None,
    code: int,
    sentence: str,
) -> None:
    """Shrinking, unknown topics and wrong assignments."""
    row = grow(bench, name, count, assignments)
    assert row["error_code"] == code
    assert sentence in row["error_message"]
    assert len(bench.broker.image.topics_by_name["a"].partitions) == 3


def test_growth_can_be_validated_alone_and_is_refused_for_doubles(bench: ControlBench) -> None:
    """validate_only writes nothing; a name twice is refused once."""
    topic = {"name": "a", "count": 5, "assignments": None}
    answer = bench.call(37, 3, {"topics": [topic], "validate_only": True})
    assert answer["results"][0]["error_code"] == errors.NONE
    answer = bench.call(37, 3, {"topics": [topic, topic]})
    assert [row["error_code"] for row in answer["results"]] == [errors.INVALID_REQUEST]
    assert len(bench.broker.image.topics_by_name["a"].partitions) == 3


@pytest.mark.simulation
def test_a_kill_between_the_steps_of_a_deletion_is_mended_at_the_next_start() -> None:
    """A power cut with nothing synced since: deleted wholly or kept with its records."""
    random = Random(31)
    outcomes = set()
    for _ in range(60):
        bench = ControlBench()
        bench.create("a", 2)
        bench.append("a", [1, 2, 3])
        bench.sync()
        delete(bench, ("a", NO_ID))
        cut = bench.power_cut(random)
        kept = "a" in cut.broker.image.topics_by_name
        outcomes.add(kept)
        if kept:
            assert cut.partition("a").log.end_offset == 3
    assert outcomes == {True, False}
