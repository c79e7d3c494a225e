"""Batches that wait for the key check: their order, their bounds, and who interrupts them.

The single steps of the server, a decompression and a slice, are called where the order of events is
the point; `check_keys` runs them until nothing is held.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from logserver.broker.key_check import HELD_OVERHEAD_BYTES, UNPACKED_MAX
from logwire import errors
from tests.broker.compacted_bench import (
    ZSTD,
    alter,
    batch,
    compacted_bench,
    keys,
    row_of,
)
from tests.broker.data_bench import DataBench
from tests.broker.fake_peer import FakePeer, FakeReply

SEED = 20_260_105


@pytest.fixture
def bench() -> DataBench:
    """Topics `c` and `d` are compacted, `r` is not."""
    return compacted_bench()


def test_what_comes_later_waits_behind_what_is_held(bench: DataBench) -> None:
    """From any connection, whatever the codec; another partition does not wait."""
    first = bench.send("c", batch(b"1", codec=ZSTD))
    mine, bench.peer = bench.peer, FakePeer()
    second = bench.send("c", batch(b"2"))
    other = bench.send("c", batch(b"x"), index=1)
    third = bench.send("c", batch(b"3"), acks=1)
    bench.peer = mine
    fourth = bench.send("c", batch(b"4"))
    assert bench.sent(other) == (0, 0)
    assert [reply.answer for reply in (first, second, third, fourth)] == [None] * 4
    bench.broker.key_checks.advance(bench.now_ms)
    assert second.answer is None, "walked, but not its turn"
    bench.check_keys()
    replies = (first, second, third, fourth)
    assert [bench.sent(reply) for reply in replies] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert keys(bench, "c") == [b"1", b"2", b"3", b"4"]


def test_acks_all_on_a_durable_topic_waits_for_the_sync_too(bench: DataBench) -> None:
    """First the check, then the group commit; acks=1 waits for the check only."""
    held = bench.send("d", batch(b"a", codec=ZSTD))
    quick = bench.send("d", batch(b"b", codec=ZSTD), acks=1)
    bench.sync()
    bench.check_keys()
    assert held.answer is None
    assert bench.sent(quick) == (0, 1)
    bench.sync()
    assert bench.sent(held) == (0, 0)
    assert bench.partition("d").high_watermark == 2


def test_a_peer_that_has_gone_away_changes_nothing(bench: DataBench) -> None:
    """What was received whole is appended, as without a check."""
    bench.send("c", batch(b"a", codec=ZSTD))
    bench.peer.close()
    bench.check_keys()
    assert keys(bench, "c") == [b"a"]
    assert bench.peer.held_bytes == 0


def test_two_outputs_exist_at_once_and_not_more(bench: DataBench) -> None:
    """A hundred bombs wait compressed; one is walked while the next is made."""
    for n in range(5):
        bench.send("c", batch(b"%d" % n, codec=ZSTD))
    checks = bench.broker.key_checks
    chores = checks.decompressions()
    assert len(chores) == UNPACKED_MAX == 2
    assert checks.decompressions() == []
    for run, finish in chores:
        finish(run())
    assert checks.decompressions() == [], "both wait to be walked"
    checks.advance(bench.now_ms)
    assert len(checks.decompressions()) == 2


def test_batches_wait_within_bounds(bench: DataBench) -> None:
    """Beyond queued.max.request.bytes: a code that producers try again after."""
    one = batch(b"k", codec=ZSTD)
    room_bytes = 3 * (len(one) + HELD_OVERHEAD_BYTES)
    bench.broker.config = replace(bench.broker.config, queued_max_request_bytes=room_bytes)
    held = [bench.send("c", one) for _ in range(3)]
    assert bench.peer.held_bytes == bench.broker.key_checks.held_bytes == room_bytes
    assert bench.sent(bench.send("c", one))[0] == errors.REQUEST_TIMED_OUT
    bench.check_keys()
    assert [bench.sent(reply) for reply in held] == [(0, 0), (0, 1), (0, 2)]
    assert bench.peer.held_bytes == bench.broker.key_checks.held_bytes == 0
    again = bench.send("c", one)
    bench.check_keys()
    assert bench.sent(again) == (0, 3)


def test_sequences_are_checked_in_the_order_of_the_appends(bench: DataBench) -> None:
    """A duplicate of a held batch is a duplicate, a gap behind one a gap."""
    producer: dict[str, Any] = {"producer_id": 7, "producer_epoch": 0, "codec": ZSTD}
    first = bench.send("c", batch(b"a", b"b", **producer, base_sequence=0))
    copy = bench.send("c", batch(b"a", b"b", **producer, base_sequence=0))
    second = bench.send("c", batch(b"c", **producer, base_sequence=2))
    gap = bench.send("c", batch(b"x", **producer, base_sequence=9))
    bench.check_keys()
    assert [bench.sent(reply) for reply in (first, copy, second)] == [(0, 0), (0, 0), (0, 2)]
    assert bench.sent(gap)[0] == errors.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert keys(bench, "c") == [b"a", b"b", b"c"]


def test_a_refused_batch_leaves_its_sequence_free(bench: DataBench) -> None:
    """The batch behind it has a gap before it; the producer sends both again."""
    producer: dict[str, Any] = {"producer_id": 7, "producer_epoch": 0, "codec": ZSTD}
    bench.send("c", batch(b"a", **producer, base_sequence=0))
    refused = bench.send("c", batch(None, **producer, base_sequence=1))
    behind = bench.send("c", batch(b"c", **producer, base_sequence=2))
    bench.check_keys()
    assert bench.sent(refused)[0] == errors.INVALID_RECORD
    assert bench.sent(behind)[0] == errors.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_log_append_time_is_the_time_of_the_append(bench: DataBench) -> None:
    """Not that of the request."""
    bench.relaxed("t", cleanup_policy="compact", message_timestamp_type="LogAppendTime")
    reply = bench.send("t", batch(b"a", codec=ZSTD))
    bench.now_ms += 70
    bench.check_keys()
    assert row_of(bench, reply)["log_append_time_ms"] == bench.now_ms
    assert keys(bench, "t") == [b"a"]


def test_a_deleted_topic_answers_everybody_at_once(bench: DataBench) -> None:
    """Who waits hears it now; what a helper has in hand comes back to nothing."""
    in_hand = bench.send("c", batch(b"a", codec=ZSTD))
    ((run, finish),) = bench.broker.key_checks.decompressions()
    waiting = [bench.send("c", batch(b"b", codec=ZSTD)), bench.send("c", batch(b"c"))]
    (deleted,) = bench.delete("c")
    assert deleted["error_code"] == 0
    for reply in (in_hand, *waiting):
        assert bench.sent(reply) == (errors.UNKNOWN_TOPIC_OR_PARTITION, -1)
    finish(run())
    checks = bench.broker.key_checks
    assert (checks.held_count, checks.held_bytes, checks.due) == (0, 0, False)
    bench.sync()
    bench.relaxed("c", 2, cleanup_policy="compact")
    for n in range(3):
        reply = bench.send("c", batch(b"new", codec=ZSTD))
        bench.check_keys()
        assert bench.sent(reply) == (0, n)


def test_a_deleted_topic_that_was_asked_for_by_id_is_an_unknown_id(bench: DataBench) -> None:
    """UNKNOWN_TOPIC_ID makes clients refresh their metadata."""
    partition = {"index": 0, "records": batch(b"a", codec=ZSTD)}
    topic = {"topic_id": bench.topic_id("c"), "partition_data": [partition]}
    request = {"transactional_id": None, "acks": 1, "timeout_ms": 1000, "topic_data": [topic]}
    reply = bench.ask(0, 13, request)
    bench.delete("c")
    (row,) = bench.read(0, 13, reply)["responses"][0]["partition_responses"]
    assert row["error_code"] == errors.UNKNOWN_TOPIC_ID


def test_a_fence_answers_everybody_who_waits(bench: DataBench) -> None:
    """KAFKA_STORAGE_ERROR, also for what was appended and not synced yet."""
    appended = bench.send("d", batch(b"a"))
    held = [bench.send("d", batch(b"b", codec=ZSTD)), bench.send("c", batch(b"c", codec=ZSTD))]
    task = bench.broker.commit.begin()
    assert task is not None
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    bench.check_keys()
    for reply in (appended, *held, bench.send("c", batch(b"d"))):
        assert bench.sent(reply) == (errors.KAFKA_STORAGE_ERROR, -1)


def test_a_fence_between_append_and_sync_answers_what_was_held(bench: DataBench) -> None:
    """It was appended after the check; its sync fails."""
    held = bench.send("d", batch(b"a", codec=ZSTD))
    bench.check_keys()
    task = bench.broker.commit.begin()
    assert task is not None
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    assert bench.sent(held) == (errors.KAFKA_STORAGE_ERROR, -1)


def test_a_full_disk_refuses_what_is_held(bench: DataBench) -> None:
    """Before the write; and takes the next when there is space again."""
    held = bench.send("c", batch(b"a", codec=ZSTD))
    bench.broker.disk_filled()
    bench.check_keys()
    assert bench.sent(held) == (errors.KAFKA_STORAGE_ERROR, -1)
    bench.broker.check_disk()
    assert bench.sent(bench.send("c", batch(b"a"))) == (0, 0)


def test_a_topic_that_is_compacted_no_more_drains_in_order(bench: DataBench) -> None:
    """Null keys get in again, behind what is held; then the queue is gone."""
    held = bench.send("c", batch(b"1", codec=ZSTD))
    alter(bench, "c", "delete")
    behind = bench.send("c", batch(None))
    assert behind.answer is None
    bench.check_keys()
    assert [bench.sent(reply) for reply in (held, behind)] == [(0, 0), (0, 1)]
    assert bench.partition("c").held is None
    assert bench.sent(bench.send("c", batch(None, codec=ZSTD))) == (0, 2)


def test_partitions_of_one_request_are_answered_together(bench: DataBench) -> None:
    """Held, appended at once and refused: one answer, rows in the order of the request."""
    topic_data = [
        {
            "name": "c",
            "partition_data": [
                {"index": 1, "records": batch(b"a", codec=ZSTD)},
                {"index": 0, "records": batch(b"a")},
                {"index": 9, "records": batch(b"a")},
            ],
        },
        {"name": "d", "partition_data": [{"index": 0, "records": batch(b"a", b"b")}]},
        {"name": "r", "partition_data": [{"index": 0, "records": batch(None, codec=ZSTD)}]},
        {"name": "c", "partition_data": [{"index": 1, "records": batch(None, codec=ZSTD)}]},
    ]
    reply = bench.send("c", None, topic_data=topic_data)
    assert bench.partition("c").log.end_offset == bench.partition("r").log.end_offset == 1
    bench.check_keys()
    assert reply.answer is None, "a durable partition took part"
    bench.sync()
    response = bench.read(0, 11, reply)
    assert [
        (topic["name"], row["index"], row["error_code"], row["base_offset"])
        for topic in response["responses"]
        for row in topic["partition_responses"]
    ] == [
        ("c", 1, errors.NONE, 0),
        ("c", 0, errors.NONE, 0),
        ("c", 9, errors.UNKNOWN_TOPIC_OR_PARTITION, -1),
        ("d", 0, errors.NONE, 0),
        ("r", 0, errors.NONE, 0),
        ("c", 1, errors.INVALID_RECORD, -1),
    ]


def test_answers_come_as_if_each_batch_had_been_appended_when_it_came(bench: DataBench) -> None:
    """A model: 400 requests of three peers to two partitions, helper and loop at random times."""
    random = Random(SEED)
    peers = [FakePeer() for _ in range(3)]
    checks = bench.broker.key_checks
    in_hand: list[Any] = []
    model: list[list[bytes | None]] = [[], []]
    asked: list[tuple[FakeReply, tuple[int, int]]] = []
    for number in range(400):
        bench.peer = random.choice(peers)
        index = random.randrange(2)
        wanted = [b"%d-%d" % (number, n) for n in range(random.choice([1, 3, 700]))]
        spoilt = random.random() < 0.2
        records = batch(*wanted, *[None] * spoilt, codec=random.choice([0, 0, 1, 3, 4]))
        expected = (errors.INVALID_RECORD, -1) if spoilt else (0, len(model[index]))
        if not spoilt:
            model[index] += wanted
        asked.append((bench.send("c", records, index=index), expected))
        while random.random() < 0.6:
            in_hand += checks.decompressions()
            if in_hand and random.random() < 0.7:
                run, finish = in_hand.pop(0)
                finish(run())
            if random.random() < 0.7:
                checks.advance(bench.now_ms)
    for run, finish in in_hand:
        finish(run())
    bench.check_keys()
    assert [bench.sent(reply) for reply, _ in asked] == [row for _, row in asked], f"seed {SEED}"
    assert [keys(bench, "c", index) for index in range(2)] == model
    assert (checks.held_bytes, [peer.held_bytes for peer in peers]) == (0, [0, 0, 0])
