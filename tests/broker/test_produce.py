"""Produce as a client sees it: what is answered when, and what stands in the log."""

from __future__ import annotations

import pytest

from logwire import errors
from logwire.batch import decode_batch
from tests.broker.data_bench import DataBench, batch


@pytest.fixture
def bench() -> DataBench:
    """A broker with a durable topic `d` and a relaxed topic `r`."""
    bench = DataBench()
    bench.durable("d", 2)
    bench.relaxed("r", 2)
    return bench


def test_acks_all_on_a_durable_topic_waits_for_the_group_commit(bench: DataBench) -> None:
    """The answer leaves when the sync that covers the batch has ended, not before."""
    reply = bench.send("d", batch(3))
    assert reply.answer is None
    bench.sync()
    assert bench.sent(reply) == (0, 0)
    assert bench.partition("d").high_watermark == 3


def test_acks_one_on_a_durable_topic_is_answered_from_the_page_cache(bench: DataBench) -> None:
    """The promise of acks=1 is the page cache; consumers still see durable records only."""
    assert bench.sent(bench.send("d", batch(3), acks=1)) == (0, 0)
    assert bench.partition("d").high_watermark == 0
    bench.sync()
    assert bench.partition("d").high_watermark == 3


def test_acks_all_on_a_relaxed_topic_is_answered_at_once(bench: DataBench) -> None:
    """Nobody waits for a relaxed sync."""
    assert bench.sent(bench.send("r", batch(2))) == (0, 0)
    assert bench.sent(bench.send("r", batch(2))) == (0, 2)
    assert bench.partition("r").high_watermark == 4


def test_acks_zero_is_not_answered(bench: DataBench) -> None:
    """The batch is there all the same."""
    assert bench.send("r", batch(2), acks=0).answer is None
    assert bench.peer.answers == []
    assert bench.partition("r").log.end_offset == 2


def test_a_refused_acks_zero_request_closes_the_connection(bench: DataBench) -> None:
    """There is no other way to say that the records were lost; Kafka does the same."""
    bench.send("nowhere", batch(), acks=0)
    assert bench.peer.refused


def test_answers_of_one_group_commit_come_in_order(bench: DataBench) -> None:
    """Pipelined requests share one sync."""
    replies = [bench.send("d", batch()) for _ in range(5)]
    bench.sync()
    assert [bench.sent(reply) for reply in replies] == [(0, n) for n in range(5)]
    assert bench.broker.counters.syncs == 2 + 1  # two for the topics of the fixture


def test_what_arrives_during_a_sync_waits_for_the_next(bench: DataBench) -> None:
    """A sync covers what was appended before it began and nothing else."""
    first = bench.send("d", batch())
    task = bench.broker.commit.begin()
    assert task is not None
    second = bench.send("d", batch())
    assert bench.broker.commit.begin() is None, "one in flight"
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert first.answer is not None
    assert second.answer is None
    assert bench.partition("d").high_watermark == 1
    bench.sync()
    assert bench.sent(second) == (0, 1)


def test_a_failed_sync_fences_and_says_so_to_everybody_who_waits(bench: DataBench) -> None:
    """No answer of success after a failed sync, now or later."""
    first = bench.send("d", batch())
    task = bench.broker.commit.begin()
    assert task is not None
    second = bench.send("d", batch())
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    assert bench.sent(first) == (errors.KAFKA_STORAGE_ERROR, -1)
    assert bench.sent(second) == (errors.KAFKA_STORAGE_ERROR, -1)
    third = bench.send("d", batch())
    assert bench.sent(third) == (errors.KAFKA_STORAGE_ERROR, -1)
    assert bench.broker.commit.begin() is None
    assert bench.partition("d").high_watermark == 0


def test_a_full_disk_refuses_before_the_write_and_resumes(bench: DataBench) -> None:
    """Reads go on; the log has not changed."""
    bench.broker.disk_filled()
    assert bench.sent(bench.send("r", batch())) == (errors.KAFKA_STORAGE_ERROR, -1)
    assert bench.partition("r").log.end_offset == 0
    bench.broker.check_disk()
    assert bench.sent(bench.send("r", batch())) == (0, 0)


def test_a_repeated_batch_is_success_with_its_first_offset(bench: DataBench) -> None:
    """Idempotence: a retry after a lost answer appends nothing."""
    fields = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
    assert bench.sent(bench.send("r", batch(3, **fields))) == (0, 0)
    assert bench.sent(bench.send("r", batch(3, **fields))) == (0, 0)
    assert bench.partition("r").log.end_offset == 3
    assert bench.broker.counters.duplicate_batches == 1


def test_a_repeated_batch_waits_for_the_sync_of_the_first(bench: DataBench) -> None:
    """The answer to the copy promises as much as the answer to the original."""
    fields = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
    first = bench.send("d", batch(3, **fields))
    task = bench.broker.commit.begin()
    assert task is not None
    copy = bench.send("d", batch(3, **fields))
    assert copy.answer is None
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    bench.sync()
    assert bench.sent(first) == bench.sent(copy) == (0, 0)


def test_log_append_time_is_stamped_by_the_broker(bench: DataBench) -> None:
    """Attributes and max timestamp are rewritten and the CRC still holds."""
    bench.relaxed("stamped", message_timestamp_type="LogAppendTime")
    reply = bench.send("stamped", batch(2))
    response = bench.read(0, 11, reply)
    row = response["responses"][0]["partition_responses"][0]
    assert row["log_append_time_ms"] == bench.now_ms
    piece = bench.partition("stamped").log.read(0, 1 << 20, 2)
    assert piece is not None
    records = list(decode_batch(memoryview(piece.read())))
    piece.release()
    assert [record.timestamp_ms for record in records] == [bench.now_ms] * 2


def test_a_transactional_id_is_never_taken_as_plain(bench: DataBench) -> None:
    """Clients treat the code as fatal (design: until transactions exist)."""
    reply = bench.send("r", batch(), transactional_id="tx")
    assert bench.sent(reply)[0] == errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert bench.partition("r").log.end_offset == 0


def test_partitions_of_one_request_are_answered_one_by_one(bench: DataBench) -> None:
    """A bad one does not spoil the good ones."""
    topic_data = [
        {
            "name": "r",
            "partition_data": [
                {"index": 0, "records": batch()},
                {"index": 9, "records": batch()},
                {"index": 1, "records": batch()[:-1]},
            ],
        }
    ]
    response = bench.read(0, 11, bench.send("r", None, topic_data=topic_data))
    rows = response["responses"][0]["partition_responses"]
    assert [(row["index"], row["error_code"]) for row in rows] == [
        (0, 0),
        (9, errors.UNKNOWN_TOPIC_OR_PARTITION),
        (1, errors.INVALID_RECORD),
    ]


def test_a_topic_is_found_by_its_id_from_version_13_on(bench: DataBench) -> None:
    """An unknown id is UNKNOWN_TOPIC_ID, which makes clients refresh their metadata."""
    for topic_id, code in ((bench.topic_id("r"), 0), (b"x" * 16, errors.UNKNOWN_TOPIC_ID)):
        partition = {"index": 0, "records": batch()}
        reply = bench.ask(
            0,
            13,
            {
                "transactional_id": None,
                "acks": 1,
                "timeout_ms": 1000,
                "topic_data": [{"topic_id": topic_id, "partition_data": [partition]}],
            },
        )
        (row,) = bench.read(0, 13, reply)["responses"][0]["partition_responses"]
        assert row["error_code"] == code


def test_a_repeated_shape_is_served_like_the_first(bench: DataBench) -> None:
    """From the third request on nothing but the batch is decoded; sizes may change."""
    sizes = [20, 20, 20, 5000, 70_000, 20, 1]
    replies = [bench.send("r", batch(1, size)) for size in sizes]
    assert bench.peer.repeat is not None
    assert [bench.sent(reply) for reply in replies] == [(0, n) for n in range(len(sizes))]


def test_a_repeated_shape_hears_refusals_and_deletes(bench: DataBench) -> None:
    """The partition is looked up every time."""
    for _ in range(3):
        bench.send("r", batch())
    assert bench.peer.repeat is not None
    assert bench.sent(bench.send("r", batch()[:-1] + b"x"))[0] == errors.CORRUPT_MESSAGE
    assert bench.sent(bench.send("r", batch())) == (0, 3)
    bench.delete("r")
    assert bench.sent(bench.send("r", batch()))[0] == errors.UNKNOWN_TOPIC_OR_PARTITION


def test_a_repeated_shape_waits_for_its_sync(bench: DataBench) -> None:
    """acks=all on a durable topic, and the same after a failure."""
    replies = [bench.send("d", batch()) for _ in range(4)]
    assert bench.peer.repeat is not None
    assert all(reply.answer is None for reply in replies)
    task = bench.broker.commit.begin()
    assert task is not None
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    assert [bench.sent(reply) for reply in replies] == [(errors.KAFKA_STORAGE_ERROR, -1)] * 4


def test_a_refused_partition_keeps_its_code_when_the_sync_fails(bench: DataBench) -> None:
    """Only what was appended becomes a storage error."""
    partitions = [{"index": 0, "records": batch()}, {"index": 1, "records": batch()[:-1]}]
    reply = bench.send("d", None, topic_data=[{"name": "d", "partition_data": partitions}])
    task = bench.broker.commit.begin()
    assert task is not None
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    rows = bench.read(0, 11, reply)["responses"][0]["partition_responses"]
    assert [row["error_code"] for row in rows] == [
        errors.KAFKA_STORAGE_ERROR,
        errors.INVALID_RECORD,
    ]


def test_a_batch_larger_than_a_segment_is_refused(bench: DataBench) -> None:
    """It would fit nowhere, whatever max.message.bytes says."""
    bench.relaxed("small", segment_bytes="1048576", max_message_bytes="4000000")
    code, _ = bench.sent(bench.send("small", batch(1, 2_000_000)))
    assert code == errors.RECORD_LIST_TOO_LARGE
