"""OffsetDelete: an administrator takes back commits."""

from __future__ import annotations

from logwire import errors
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench


def delete(bench: OffsetsBench, offsets: dict[str, list[int]], group_id: str = GROUP) -> object:
    """The top-level code, or the codes of all partitions."""
    topics = [
        {"name": name, "partitions": [{"partition_index": index} for index in indexes]}
        for name, indexes in offsets.items()
    ]
    answer = bench.call(47, 0, {"group_id": group_id, "topics": topics})
    if answer["error_code"]:
        return answer["error_code"]
    return [row["error_code"] for topic in answer["topics"] for row in topic["partitions"]]


def test_deleted_offsets_stay_deleted() -> None:
    """After a kill as well; others of the group are not touched."""
    bench = OffsetsBench()
    bench.commit({0: 5, 1: 6, 2: 7})
    assert delete(bench, {TOPIC: [0, 1]}) == [0, 0]
    assert bench.context.after_sync
    assert bench.fetch_all() == {TOPIC: {2: 7}}
    bench.restart(clean=False)
    assert bench.fetch_all() == {TOPIC: {2: 7}}


def test_an_offset_that_is_not_there_is_deleted_with_success() -> None:
    """Nothing is written for it."""
    bench = OffsetsBench()
    bench.commit({0: 5})
    end_offset = bench.coordinator.partition.log.end_offset
    assert delete(bench, {TOPIC: [1]}) == [0]
    assert bench.coordinator.partition.log.end_offset == end_offset


def test_unknown_topics_partitions_and_groups_are_refused() -> None:
    """Partitions one by one, the group at the top."""
    bench = OffsetsBench()
    unknown = errors.UNKNOWN_TOPIC_OR_PARTITION
    assert delete(bench, {TOPIC: [0]}) == errors.GROUP_ID_NOT_FOUND
    assert delete(bench, {TOPIC: [0]}, group_id="") == errors.INVALID_GROUP_ID
    bench.commit({0: 5})
    assert delete(bench, {TOPIC: [0, 9], "missing": [0]}) == [0, unknown, unknown]
    assert bench.fetch_all() == {}
