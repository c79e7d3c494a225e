"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, PENDING = range(-1, -7, -1)
NOWHERE = (errors.NONE, -1, -1, -1)


@pytest.fixture
def bench() -> ControlBench:
    """A topic whose nine records have the timestamps 100 105 103 | 102 109 109 | 101 101 101."""
    bench = ControlBench()
    bench.create("a", 2)
    for timestamps_ms in ([100, 105, 103], [102, 109, 109], [101, 101, 101]):
        bench.append("a", timestamps_ms)
    bench.sync()
    return bench


def offsets(
    bench: ControlBench,
    *timestamps: int,
    version: int = 11,
    epoch: int = -1,
    index: int = 0,
    **top: int,
) -> list[tuple[int, int, int, int]]:
    """Code, timestamp, offset and epoch for each timestamp, one request each."""
    found = []
    for timestamp in timestamps:
        partition = {
            "partition_index": index,
            "current_leader_epoch": epoch,
            "timestamp": timestamp,
        }
        request = {"replica_id": -1, **top, "topics": [{"name": "a", "partitions": [partition]}]}
        (row,) = bench.call(2, version, request)["topics"][0]["partitions"]
        found.append((row["error_code"], row["timestamp"], row["offset"], row["leader_epoch"]))
    return found


def test_special_timestamps_have_the_meaning_kafka_gives_them(bench: ControlBench) -> None:
    """The largest timestamp is exact, with the first offset that has it; there are no tiers."""
    assert offsets(bench, LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL) == [
        (0, -1, 9, 0),
        (0, -1, 0, 0),
        (0, 109, 4, 0),
        (0, -1, 0, 0),
    ]
    assert offsets(bench, LATEST_TIERED, PENDING) == [NOWHERE, NOWHERE]


def test_a_timestamp_finds_the_first_record_that_is_as_young(bench: ControlBench) -> None:
    """By record, not by batch; nothing is younger than the youngest."""
    assert offsets(bench, 0, 100, 101, 104, 106, 109, 110) == [
        (0, 100, 0, 0),
        (0, 100, 0, 0),
        (0, 105, 1, 0),
        (0, 105, 1, 0),
        (0, 109, 4, 0),
        (0, 109, 4, 0),
        NOWHERE,
    ]


@pytest.mark.parametrize(
    ("timestamp", "since"),
    [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (PENDING, 11)],
)
def test_a_special_timestamp_is_unknown_before_its_version(
    bench: ControlBench, timestamp: int, since: int
) -> None:
    """UNSUPPORTED_VERSION for the partition; unknown ones in every version."""
    for version in range(1, 12):
        (row,) = offsets(bench, timestamp, version=version)
        assert (row[0] == errors.UNSUPPORTED_VERSION) == (version < since)
    assert offsets(bench, -7)[0][0] == errors.UNSUPPORTED_VERSION


def test_nothing_beyond_the_high_watermark_is_told(bench: ControlBench) -> None:
    """A record that a power cut may take back exists for the debugging replica only."""
    bench.append("a", [500])
    assert offsets(bench, LATEST, MAX_TIMESTAMP, 200) == [(0, -1, 9, 0), NOWHERE, NOWHERE]
    assert offsets(bench, LATEST, MAX_TIMESTAMP, replica_id=-2) == [(0, -1, 10, 0), (0, 500, 9, 0)]
    bench.sync()
    assert offsets(bench, LATEST, MAX_TIMESTAMP) == [(0, -1, 10, 0), (0, 500, 9, 0)]


def test_leader_epochs_of_the_past_and_future_are_refused(bench: ControlBench) -> None:
    """A kill begins a new epoch; clients that missed it are told."""
    bench.restart(clean=False)
    assert offsets(bench, LATEST) == [(0, -1, 9, 1)]
    assert offsets(bench, LATEST, epoch=0)[0][0] == errors.FENCED_LEADER_EPOCH
    assert offsets(bench, LATEST, epoch=1)[0][0] == errors.NONE
    assert offsets(bench, LATEST, epoch=2)[0][0] == errors.UNKNOWN_LEADER_EPOCH
    assert offsets(bench, EARLIEST, MAX_TIMESTAMP) == [(0, -1, 0, 0), (0, 109, 4, 0)]


def test_an_empty_partition_has_only_ends(bench: ControlBench) -> None:
    """Both are offset 0."""
    assert offsets(bench, LATEST, EARLIEST, MAX_TIMESTAMP, 0, index=1) == [
        (0, -1, 0, 0),
        (0, -1, 0, 0),
        NOWHERE,
        NOWHERE,
    ]


def test_a_partition_twice_is_refused_once(bench: ControlBench) -> None:
    """Kafka answers INVALID_REQUEST in one row."""
    partitions = [{"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]
    request = {"replica_id": -1, "topics": [{"name": "a", "partitions": partitions}]}
    rows = bench.call(2, 5, request)["topics"][0]["partitions"]
    assert [row["error_code"] for row in rows] == [errors.INVALID_REQUEST]


def epoch_end(bench: ControlBench, epoch: int, current: int = -1, name: str = "a") -> list[int]:
    """Code, epoch and end offset."""
    partition = {"partition": 0, "current_leader_epoch": current, "leader_epoch": epoch}
    request = {"replica_id": -1, "topics": [{"topic": name, "partitions": [partition]}]}
    (row,) = bench.call(23, 4, request)["topics"][0]["partitions"]
    return [row["error_code"], row["leader_epoch"], row["end_offset"]]


def test_an_epoch_ends_where_the_next_begins(bench: ControlBench) -> None:
    """An epoch that never was here has no end."""
    bench.restart(clean=False)
    bench.append("a", [1, 2])
    assert epoch_end(bench, 0) == [0, 0, 9]
    assert epoch_end(bench, 1) == [0, 1, 11]
    assert epoch_end(bench, 5) == [0, -1, -1]
    assert epoch_end(bench, 0, current=0)[0] == errors.FENCED_LEADER_EPOCH
    assert epoch_end(bench, 0, name="nope")[0] == errors.UNKNOWN_TOPIC_OR_PARTITION


def delete_before(bench: ControlBench, *offsets: int, name: str = "a", index: int = 0) -> Message:
    """The row of DeleteRecords; several offsets ask for the same partition."""
    partitions = [{"partition_index": index, "offset": offset} for offset in offsets]
    (row,) = bench.call(21, 2, {"topics": [{"name": name, "partitions": partitions}]})["topics"][0][
        "partitions"
    ]
    found: Message = row
    return found


def test_records_are_deleted_up_to_an_offset_for_good(bench: ControlBench) -> None:
    """-1 is the high watermark; a kill brings nothing back."""
    assert delete_before(bench, 4)["low_watermark"] == 4
    assert offsets(bench, EARLIEST, 0) == [(0, -1, 4, 0), (0, 109, 4, 0)]
    assert delete_before(bench, 2)["low_watermark"] == 4
    bench.restart(clean=False)
    assert bench.partition("a").log.log_start_offset == 4
    assert delete_before(bench, -1)["low_watermark"] == 9
    assert offsets(bench, EARLIEST, LATEST, MAX_TIMESTAMP) == [
        (0, -1, 9, 1),
        (0, -1, 9, 1),
        NOWHERE,
    ]


@pytest.mark.parametrize("offset", [-2, 10, 2**62])
def test_offsets_outside_the_log_are_refused(bench: ControlBench, offset: int) -> None:
    """Nothing is deleted."""
    row = delete_before(bench, offset)
    assert (row["error_code"], row["low_watermark"]) == (errors.OFFSET_OUT_OF_RANGE, -1)
    assert bench.partition("a").log.log_start_offset == 0


def test_records_that_are_not_durable_cannot_be_deleted(bench: ControlBench) -> None:
    """The high watermark is the limit."""
    bench.append("a", [1])
    assert delete_before(bench, 10)["error_code"] == errors.OFFSET_OUT_OF_RANGE
    assert delete_before(bench, -1)["low_watermark"] == 9


def test_a_topic_that_is_only_compacted_keeps_its_records(bench: ControlBench) -> None:
    """POLICY_VIOLATION, as Kafka."""
    bench.create("c", cleanup_policy="compact")
    assert delete_before(bench, -1, name="c")["error_code"] == errors.POLICY_VIOLATION


@pytest.mark.parametrize("policy", ["compact", "delete"])
def test_records_of_internal_topics_are_not_deleted(bench: ControlBench, policy: str) -> None:
    """They are what groups rely on."""
    bench.create("__consumer_offsets", cleanup_policy=policy)
    code = delete_before(bench, -1, name="__consumer_offsets")["error_code"]
    assert code == errors.INVALID_TOPIC_EXCEPTION


def test_of_several_offsets_for_one_partition_the_last_counts(bench: ControlBench) -> None:
    """One sync a partition, whatever the request says."""
    assert delete_before(bench, 7, 3)["low_watermark"] == 3


@pytest.mark.parametrize(("name", "index"), [("nope", 0), ("a", 9)])
def test_partitions_that_are_not_here_are_told_so(
    bench: ControlBench, name: str, index: int
) -> None:
    """Row by row."""
    row = delete_before(bench, 1, name=name, index=index)
    assert row["error_code"] == errors.UNKNOWN_TOPIC_OR_PARTITION


def test_a_partition_of_another_broker_is_not_answered_for(bench: ControlBench) -> None:
    """NOT_LEADER_OR_FOLLOWER: the owner is who the metadata log names."""
    bench.broker.image.topics_by_name["a"].partitions[0].leader = 2
    assert offsets(bench, LATEST)[0][0] == errors.NOT_LEADER_OR_FOLLOWER
