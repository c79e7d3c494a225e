"""OffsetCommit: what is taken, what is refused, and when it is answered."""

from __future__ import annotations

import pytest

from logserver.broker.groups.offset_commit import is_too_long
from logserver.broker.groups.offset_store import CommittedOffset
from logwire import errors
from logwire.batch import decode_batch
from logwire.messages import Message, group_records
from tests.broker.control_bench import NOW_MS
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench, commit_topic

UNKNOWN = errors.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("version", range(2, 10))
def test_every_version_by_name_commits(version: int) -> None:
    """A consumer without a group's membership commits, and what it committed is there."""
    bench = OffsetsBench()
    assert bench.commit({0: 5, 3: 7}, version=version) == [0, 0]
    assert bench.fetch(0, 1, 3) == [5, -1, 7]


def test_version_10_commits_by_topic_id() -> None:
    """An id that no topic has is refused; the answer carries the ids."""
    bench = OffsetsBench()
    topics = [
        {"topic_id": topic_id, "partitions": commit_topic("", {0: 5, 9: 6})["partitions"]}
        for topic_id in (bench.topic_id(TOPIC), b"x" * 16)
    ]
    request = {"group_id": GROUP, "member_id": "", "topics": topics}
    answer = bench.call(8, 10, request)
    assert [
        (topic["topic_id"], [row["error_code"] for row in topic["partitions"]])
        for topic in answer["topics"]
    ] == [
        (bench.topic_id(TOPIC), [0, UNKNOWN]),
        (b"x" * 16, [errors.UNKNOWN_TOPIC_ID, errors.UNKNOWN_TOPIC_ID]),
    ]
    assert bench.fetch_all() == {TOPIC: {0: 5}}


def test_unknown_topics_and_partitions_are_refused_one_by_one() -> None:
    """The others are committed; a request of nothing but unknown ones asks for no group."""
    bench = OffsetsBench()
    assert bench.commit({0: 5, 4: 6}) == [0, UNKNOWN]
    assert bench.fetch_all() == {TOPIC: {0: 5}}
    stranger: Message = {"member_id": "m", "generation_id_or_member_epoch": 7}
    assert bench.commit({0: 1, 1: 2}, topic="missing", **stranger) == [UNKNOWN, UNKNOWN]


def test_the_answer_waits_until_the_commit_is_durable() -> None:
    """What is answered before the sync could be taken back by a power cut."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    assert bench.context.after_sync
    bench.sync()
    assert bench.commit({9: 5}) == [UNKNOWN]
    assert not bench.context.after_sync


@pytest.mark.parametrize(
    ("version", "generation", "code"),
    [
        (8, 0, errors.ILLEGAL_GENERATION),
        (9, 0, errors.GROUP_ID_NOT_FOUND),
        (9, -1, errors.NONE),
        (9, -2, errors.NONE),
    ],
)
def test_a_group_that_nobody_knows_takes_commits_without_a_generation(
    version: int, generation: int, code: int
) -> None:
    """A member of a generation that does not exist is refused, and leaves no group behind."""
    bench = OffsetsBench()
    fields: Message = {"generation_id_or_member_epoch": generation, "member_id": "m"}
    assert bench.commit({0: 5}, version=version, **fields) == [code]
    assert (GROUP in bench.coordinator.groups) == (not code)


def test_a_stranger_does_not_commit_into_a_group_of_offsets_only() -> None:
    """It claims a generation, but nobody ever joined."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    stranger: Message = {"member_id": "m", "generation_id_or_member_epoch": 3}
    assert bench.commit({0: 9}, **stranger) == [errors.UNKNOWN_MEMBER_ID]
    assert bench.fetch(0) == [5]


def test_too_long_a_text_is_refused_for_its_partition_alone() -> None:
    """Java counts UTF-16 units, so do we."""
    bench = OffsetsBench({"offset.metadata.max.bytes": "4"})
    topics = [commit_topic(TOPIC, {0: 5}, "abcde"), commit_topic(TOPIC, {1: 6}, "abcd")]
    topics += [commit_topic(TOPIC, {2: 7}, "\U0001f600\U0001f600")]
    topics += [commit_topic(TOPIC, {3: 8}, "\U0001f600\U0001f600\U0001f600")]
    request = {"group_id": GROUP, "member_id": "", "topics": topics}
    answer = bench.call(8, 9, request)
    codes = [topic["partitions"][0]["error_code"] for topic in answer["topics"]]
    large = errors.OFFSET_METADATA_TOO_LARGE
    assert codes == [large, 0, 0, large]
    assert bench.fetch_all() == {TOPIC: {1: 6, 2: 7}}
    assert is_too_long("\U0001f600", 1)
    assert not is_too_long("", 0)


def test_null_text_is_kept_as_empty_text() -> None:
    """As Kafka's own answer to a later fetch has it."""
    bench = OffsetsBench()
    assert bench.commit({0: 5}, metadata=None) == [0]
    committed = bench.coordinator.offsets.get(GROUP, TOPIC, 0)
    topic_id = bench.topic_id(TOPIC)
    assert committed == CommittedOffset(5, 0, "", bench.now_ms, -1, topic_id)


def test_before_version_5_a_client_may_ask_for_a_retention_of_its_own() -> None:
    """It is kept as the time when the offset expires, in value version 1."""
    bench = OffsetsBench()
    bench.commit({0: 5}, version=4, retention_time_ms=60_000)
    committed = bench.coordinator.offsets.get(GROUP, TOPIC, 0)
    assert committed is not None
    assert committed.expire_ms == bench.now_ms + 60_000
    bench.restart(clean=False)
    kept = bench.coordinator.offsets.get(GROUP, TOPIC, 0)
    assert kept is not None
    assert (kept.offset, kept.expire_ms) == (5, committed.expire_ms)


def test_offsets_may_belong_to_the_empty_group_id() -> None:
    """Kafka keeps it for old consumers; nobody can join it."""
    bench = OffsetsBench()
    assert bench.commit({0: 5}, group_id="") == [0]
    assert bench.fetch(0, group_id="") == [5]


def test_without_an_offsets_topic_there_is_no_coordinator() -> None:
    """A client that has not asked FindCoordinator is sent to do so."""
    bench = OffsetsBench()
    bench.delete("__consumer_offsets")
    assert bench.commit({0: 5, 7: 1}) == [errors.NOT_COORDINATOR, UNKNOWN]


def test_the_record_is_the_one_that_kafka_writes() -> None:
    """Key type 1 and value version 4, with leader epoch and topic id."""
    bench = OffsetsBench()
    bench.commit({2: 5}, metadata="text")
    partition = bench.coordinator.partition
    piece = partition.log.read(0, 1 << 20, partition.log.end_offset)
    assert piece is not None
    batch = piece.read()
    piece.release()
    (record,) = decode_batch(batch)
    assert record.key is not None
    assert record.value is not None
    assert group_records.decode_key(record.key) == (
        "OffsetCommit",
        {"group": GROUP, "topic": TOPIC, "partition": 2},
    )
    version, fields = group_records.decode_value("OffsetCommit", record.value)
    assert version == 4
    assert fields == {
        "expire_timestamp": -1,
        "offset": 5,
        "leader_epoch": 0,
        "metadata": "text",
        "commit_timestamp": bench.now_ms,
        "topic_id": bench.topic_id(TOPIC),
    }
    assert record.timestamp_ms == bench.now_ms > NOW_MS


def test_offsets_that_are_new_are_refused_beyond_the_limit() -> None:
    """Those that are there move on, and what expires makes room."""
    bench = OffsetsBench({"logserver.offsets.memory.max.bytes": "5000"})
    groups = [f"group-{number}" for number in range(30)]
    codes = [bench.commit({0: 1}, group_id=group)[0] for group in groups]
    accepted = codes.count(0)
    assert 5 <= accepted <= 15
    assert set(codes) == {0, errors.INVALID_COMMIT_OFFSET_SIZE}
    known = groups[codes.index(0)]
    assert bench.commit({0: 2}, group_id=known) == [0]
    assert bench.commit({1: 2}, group_id=groups[-1]) == [errors.INVALID_COMMIT_OFFSET_SIZE]
    bench.delete(TOPIC)
    bench.create(TOPIC, 4)
    assert bench.commit({1: 2}, group_id=groups[-1]) == [0]
