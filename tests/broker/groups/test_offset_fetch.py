"""OffsetFetch: every version, groups and topics that do not exist, and what is not durable yet."""

from __future__ import annotations

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench


def row(index: int, offset: int, **fields: object) -> Message:
    """A partition of an answer that carries everything."""
    expected = {
        "partition_index": index,
        "committed_offset": offset,
        "committed_leader_epoch": 0 if offset >= 0 else -1,
        "metadata": "",
        "error_code": 0,
    }
    return {**expected, **fields}


def named(name: str, rows: list[Message]) -> Message:
    """A topic of an answer before version 10, with the default that decoding adds."""
    return {"name": name, "topic_id": bytes(16), "partitions": rows}


def by_id(topic_id: bytes, rows: list[Message]) -> Message:
    """A topic of an answer from version 10 on."""
    return {"name": "", "topic_id": topic_id, "partitions": rows}


@pytest.mark.parametrize("version", range(1, 8))
def test_a_single_group_is_answered_at_the_top(version: int) -> None:
    """Versions 1 to 7 name one group."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    topics = [{"name": TOPIC, "partition_indexes": [0, 1]}]
    answer = bench.call(9, version, {"group_id": GROUP, "topics": topics})
    offsets = [row["committed_offset"] for row in answer["topics"][0]["partitions"]]
    assert offsets == [5, -1]
    assert answer.get("error_code", 0) == 0


@pytest.mark.parametrize("version", [8, 9])
def test_many_groups_are_answered_side_by_side(version: int) -> None:
    """A group that does not exist has no offsets, which is no error."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    topics = [{"name": TOPIC, "partition_indexes": [0]}]
    groups = [{"group_id": name, "topics": topics} for name in (GROUP, "nobody")]
    answer = bench.call(9, version, {"groups": groups, "require_stable": True})
    assert answer["groups"] == [
        {
            "group_id": name,
            "topics": [named(TOPIC, [row(0, offset)])],
            "error_code": 0,
        }
        for name, offset in ((GROUP, 5), ("nobody", -1))
    ]


def test_version_10_asks_by_topic_id() -> None:
    """An unknown id is told so, row by row, behind all that are known."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    ids = [bench.topic_id(TOPIC), b"x" * 16]
    topics = [{"topic_id": topic_id, "partition_indexes": [0]} for topic_id in reversed(ids)]
    answer = bench.call(9, 10, {"groups": [{"group_id": GROUP, "topics": topics}]})
    assert answer["groups"][0]["topics"] == [
        by_id(ids[0], [row(0, 5)]),
        by_id(ids[1], [row(0, -1, error_code=errors.UNKNOWN_TOPIC_ID)]),
    ]


@pytest.mark.parametrize("version", [2, 7, 8, 9])
def test_null_topics_mean_all_of_them(version: int) -> None:
    """Only partitions with an offset are listed."""
    bench = OffsetsBench()
    bench.create("other")
    bench.commit({0: 5, 2: 6})
    bench.commit({0: 7}, topic="other")
    wanted = {"group_id": GROUP, "topics": None}
    answer = bench.call(9, version, wanted if version < 8 else {"groups": [wanted]})
    topics = answer["topics"] if version < 8 else answer["groups"][0]["topics"]
    assert {
        topic["name"]: [
            (row["partition_index"], row["committed_offset"]) for row in topic["partitions"]
        ]
        for topic in topics
    } == {TOPIC: [(0, 5), (2, 6)], "other": [(0, 7)]}


def test_all_topics_by_id_are_those_that_exist() -> None:
    """What was committed for a topic without an id today cannot be named."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    offsets = bench.coordinator.offsets
    committed = offsets.get(GROUP, TOPIC, 0)
    assert committed is not None
    offsets.put(GROUP, "gone", 0, committed)
    answer = bench.call(9, 10, {"groups": [{"group_id": GROUP, "topics": None}]})
    assert answer["groups"][0]["topics"] == [by_id(bench.topic_id(TOPIC), [row(0, 5)])]


def test_an_offset_of_a_deleted_topic_is_not_told_by_the_new_id() -> None:
    """The name is the same, the records are not."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    offsets = bench.coordinator.offsets
    committed = offsets.get(GROUP, TOPIC, 0)
    assert committed is not None
    offsets.put(GROUP, TOPIC, 0, committed._replace(topic_id=b"y" * 16))
    topics = [{"topic_id": bench.topic_id(TOPIC), "partition_indexes": [0]}]
    answer = bench.call(9, 10, {"groups": [{"group_id": GROUP, "topics": topics}]})
    assert answer["groups"][0]["topics"][0]["partitions"] == [row(0, -1)]


def test_an_offset_that_is_not_durable_is_told_after_the_sync() -> None:
    """Else a power cut would make a consumer skip what nobody processed."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    assert bench.fetch(0) == [5]
    assert bench.context.after_sync
    bench.sync()
    assert bench.fetch(0) == [5]
    assert not bench.context.after_sync


@pytest.mark.parametrize("version", [1, 2, 7, 8, 10])
def test_a_missing_coordinator_is_told_where_the_version_has_room(version: int) -> None:
    """Version 1 has it on every partition, then the group has it."""
    bench = OffsetsBench()
    bench.delete("__consumer_offsets")
    topic = {"name": TOPIC, "topic_id": b"x" * 16, "partition_indexes": [0, 1]}
    wanted = {"group_id": GROUP, "topics": [topic]}
    answer = bench.call(9, version, wanted if version < 8 else {"groups": [wanted]})
    code = errors.NOT_COORDINATOR
    if version == 1:
        rows = answer["topics"][0]["partitions"]
        assert [row["error_code"] for row in rows] == [code, code]
    else:
        place = answer if version < 8 else answer["groups"][0]
        assert (place["error_code"], place["topics"]) == (code, [])


def test_a_group_that_is_named_again_and_again_is_answered_once() -> None:
    """Else a request of some kilobytes would ask for gigabytes."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    wanted = {"group_id": GROUP, "topics": None}
    answer = bench.call(9, 8, {"groups": [wanted] * 1000})
    assert len(answer["groups"]) == 1
