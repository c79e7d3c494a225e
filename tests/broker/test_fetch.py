"""Fetch as a client sees it: what is read, how long it waits, what wakes it."""

from __future__ import annotations

import pytest

from logserver.broker import fetch
from logserver.broker.fetch import ANSWERED_COUNT_MAX, WAIT_MS_MAX
from logserver.storage.lookup import Lookup
from logserver.storage.segment import CorruptSegmentError
from logwire import errors
from logwire.batch import iterate_batches
from tests.broker.data_bench import DataBench, batch

END = bytes(0)


@pytest.fixture
def bench() -> DataBench:
    """A broker with a durable topic `d` and a relaxed topic `r` of three partitions."""
    bench = DataBench()
    bench.durable("d")
    bench.relaxed("r", 3)
    return bench


def offsets(records: memoryview | bytes | None) -> list[int]:
    """The base offsets of the batches in a partition's part of an answer."""
    assert records is not None
    return [header.base_offset for _, header in iterate_batches(memoryview(records))]


def test_a_fetch_gives_whole_batches_from_the_one_that_holds_the_offset(bench: DataBench) -> None:
    """Offset 4 lies inside the second batch: it comes whole, and so does the third."""
    for _ in range(3):
        bench.send("r", batch(3))
    row = bench.fetched(bench.poll(("r", 0, 4)))["r", 0]
    assert offsets(row["records"]) == [3, 6]
    assert (row["high_watermark"], row["last_stable_offset"], row["log_start_offset"]) == (9, 9, 0)


def test_nobody_sees_a_record_that_a_power_cut_could_take_back(bench: DataBench) -> None:
    """The high watermark of a durable topic is its durable offset."""
    bench.send("d", batch())
    reply = bench.poll(("d", 0, 0))
    assert reply.answer is None
    bench.sync()
    bench.turn()
    assert offsets(bench.fetched(reply)["d", 0]["records"]) == [0]


def test_a_fetch_at_the_end_waits_and_an_append_wakes_it(bench: DataBench) -> None:
    """Parked on the partition, answered at the end of the turn that appended."""
    reply = bench.poll(("r", 0, 0))
    assert reply.answer is None
    assert bench.broker.counters.fetches_parked == 1
    bench.send("r", batch())
    bench.turn()
    assert offsets(bench.fetched(reply)["r", 0]["records"]) == [0]
    assert bench.broker.counters.fetches_parked == 0
    assert not bench.partition("r").parked


def test_an_append_elsewhere_does_not_wake(bench: DataBench) -> None:
    """Waiting is by partition."""
    reply = bench.poll(("r", 0, 0))
    bench.send("r", batch(), index=1)
    bench.turn()
    assert reply.answer is None


def test_a_fetch_of_many_partitions_is_answered_once_and_leaves_no_trace(bench: DataBench) -> None:
    """Whichever partition wakes it, it is gone from all of them."""
    reply = bench.poll(("r", 0, 0), ("r", 1, 0), ("r", 2, 0))
    bench.send("r", batch(), index=1)
    bench.send("r", batch(), index=2)
    bench.turn()
    rows = bench.fetched(reply)
    assert offsets(rows["r", 1]["records"]) == offsets(rows["r", 2]["records"]) == [0]
    assert not any(bench.partition("r", index).parked for index in range(3))


def test_after_max_wait_the_answer_is_what_there_is(bench: DataBench) -> None:
    """Nothing, and the high watermark."""
    reply = bench.poll(("r", 0, 0), max_wait_ms=500)
    bench.broker.waits.expire(bench.broker, bench.now_ms + 499)
    assert reply.answer is None
    bench.broker.waits.expire(bench.broker, bench.now_ms + 500)
    row = bench.fetched(reply)["r", 0]
    assert (row["error_code"], row["high_watermark"], bytes(row["records"] or b"")) == (0, 0, END)


def test_a_wait_of_days_is_answered_after_a_minute(bench: DataBench) -> None:
    """A parked request of a client that has gone away must not live for ever."""
    reply = bench.poll(("r", 0, 0), max_wait_ms=2**31 - 1)
    bench.broker.waits.expire(bench.broker, bench.now_ms + WAIT_MS_MAX)
    assert reply.answer is not None


def test_min_bytes_are_waited_for(bench: DataBench) -> None:
    """An append that is too small leaves the fetch parked, with nothing held meanwhile."""
    size_bytes = len(batch())
    reply = bench.poll(("r", 0, 0), min_bytes=2 * size_bytes)
    bench.send("r", batch())
    bench.turn()
    assert reply.answer is None
    assert bench.partition("r").log.active.holds == 0
    bench.send("r", batch())
    bench.turn()
    assert offsets(bench.fetched(reply)["r", 0]["records"]) == [0, 1]


def test_a_batch_larger_than_every_limit_is_given_whole_but_only_one(bench: DataBench) -> None:
    """KIP-74: no consumer can be stuck; the limit holds for what follows."""
    for index in (0, 1):
        bench.send("r", batch(1, 5000), index=index)
    rows = bench.fetched(bench.poll(("r", 0, 0), ("r", 1, 0), max_bytes=100))
    assert offsets(rows["r", 0]["records"]) == [0]
    assert bytes(rows["r", 1]["records"] or b"") == END


def test_the_limit_of_a_partition_ends_at_a_batch(bench: DataBench) -> None:
    """Whole batches within partition_max_bytes, at least one."""
    for _ in range(4):
        bench.send("r", batch(1, 2000))
    limit = len(batch(1, 2000)) * 2 + 10
    row = bench.fetched(bench.poll(("r", 0, 0), partition_max_bytes=limit))["r", 0]
    assert offsets(row["records"]) == [0, 1]


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_log_is_out_of_range(bench: DataBench, offset: int) -> None:
    """Below the start or beyond the end; the client resets its position."""
    bench.send("r", batch(3))
    row = bench.fetched(bench.poll(("r", 0, offset)))["r", 0]
    assert row["error_code"] == errors.OFFSET_OUT_OF_RANGE


def test_unknown_topics_and_partitions_are_said_to_be_unknown(bench: DataBench) -> None:
    """At once: an error does not wait."""
    rows = bench.fetched(bench.poll(("nowhere", 0, 0), ("r", 9, 0)))
    assert {row["error_code"] for row in rows.values()} == {errors.UNKNOWN_TOPIC_OR_PARTITION}


def test_an_older_leader_epoch_is_fenced_and_a_newer_one_unknown(bench: DataBench) -> None:
    """KIP-320: the client refreshes its metadata, or waits for us to catch up."""
    bench.restart(clean=False)
    epoch = bench.partition("r").log.leader_epoch
    assert epoch > 0
    for asked, code in (
        (epoch - 1, errors.FENCED_LEADER_EPOCH),
        (epoch + 1, errors.UNKNOWN_LEADER_EPOCH),
    ):
        row = bench.fetched(bench.poll(("r", 0, 0), leader_epoch=asked))["r", 0]
        assert row["error_code"] == code


def test_deleting_a_topic_answers_who_waits_on_it(bench: DataBench) -> None:
    """Not after max_wait: now."""
    reply = bench.poll(("r", 0, 0))
    bench.delete("r")
    bench.turn()
    assert bench.fetched(reply)["r", 0]["error_code"] == errors.UNKNOWN_TOPIC_OR_PARTITION


def test_a_peer_that_has_gone_is_forgotten_by_the_next_wake(bench: DataBench) -> None:
    """Nothing is read for it."""
    bench.poll(("r", 0, 0))
    bench.peer.closed = True
    bench.send("r", batch())
    bench.turn()
    assert not bench.partition("r").parked
    assert bench.partition("r").log.active.holds == 0


def test_a_session_answers_only_what_is_new(bench: DataBench) -> None:
    """KIP-227: a full answer first, then partitions with news only."""
    wanted = [("r", index, 0) for index in range(3)]
    reply = bench.poll(*wanted, session_epoch=0, max_wait_ms=0)
    response = bench.read(1, 12, reply)
    session_id = response["session_id"]
    assert session_id
    assert len(bench.fetched(reply)) == 3
    bench.send("r", batch(), index=2)
    news = bench.fetched(bench.poll(session_id=session_id, session_epoch=1, max_wait_ms=0))
    assert list(news) == [("r", 2)]
    advanced = [("r", 2, 1)]
    quiet = bench.poll(*advanced, session_id=session_id, session_epoch=2, max_wait_ms=0)
    assert bench.fetched(quiet) == {}


def test_a_session_of_a_wrong_epoch_or_id_is_refused(bench: DataBench) -> None:
    """The whole answer carries the code."""
    reply = bench.poll(("r", 0, 0), session_epoch=0, max_wait_ms=0)
    session_id = bench.read(1, 12, reply)["session_id"]
    for asked, epoch, code in (
        (session_id, 7, errors.INVALID_FETCH_SESSION_EPOCH),
        (session_id + 1, 1, errors.FETCH_SESSION_ID_NOT_FOUND),
    ):
        response = bench.read(1, 12, bench.poll(session_id=asked, session_epoch=epoch))
        assert (response["error_code"], response["responses"]) == (code, [])


def test_partitions_take_turns_under_a_small_limit(bench: DataBench) -> None:
    """In a session, who was served goes to the end."""
    for index in range(3):
        for _ in range(3):
            bench.send("r", batch(1, 500), index=index)
    one = len(batch(1, 500))
    reply = bench.poll(*[("r", index, 0) for index in range(3)], session_epoch=0, max_bytes=one)
    session_id = bench.read(1, 12, reply)["session_id"]
    served = [index for (_, index), row in bench.fetched(reply).items() if row["records"]]
    for epoch in (1, 2):
        reply = bench.poll(session_id=session_id, session_epoch=epoch, max_bytes=one)
        served += [index for (_, index), row in bench.fetched(reply).items() if row["records"]]
    assert sorted(served) == [0, 1, 2]


def test_a_client_that_goes_away_leaves_nothing_parked(bench: DataBench) -> None:
    """At once, not at the next append: clients may come and go a thousand times a second."""
    for _ in range(3):
        bench.poll(("r", 0, 0), ("r", 1, 0), max_wait_ms=60_000)
    bench.peer.close()
    assert bench.broker.counters.fetches_parked == 0
    assert not bench.partition("r", 0).parked
    assert not bench.partition("r", 1).parked


def test_answered_fetches_do_not_pile_up_until_their_deadlines(bench: DataBench) -> None:
    """A consumer at the tail that waits a minute and is woken a thousand times a second."""
    for offset in range(3000):
        reply = bench.poll(("r", 0, offset), max_wait_ms=60_000)
        bench.send("r", batch())
        bench.turn()
        assert reply.answer is not None
    waits = bench.broker.waits
    assert len(waits.deadlines) <= ANSWERED_COUNT_MAX + 2
    assert waits.waiting_count == 0
    patient = bench.poll(("r", 0, 3000), max_wait_ms=60_000)
    waits.expire(bench.broker, bench.now_ms + 60_000)
    assert patient.answer is not None


def test_the_wall_clock_does_not_decide_how_long_a_fetch_waits(bench: DataBench) -> None:
    """It is set back an hour while the fetch waits."""
    reply = bench.poll(("r", 0, 0), max_wait_ms=500)
    uptime_ms = bench.broker.uptime_ms
    bench.now_ms -= 3_600_000
    bench.broker.waits.expire(bench.broker, uptime_ms + 500)
    assert reply.answer is not None


def test_a_session_of_names_is_refused_to_a_request_of_ids(bench: DataBench) -> None:
    """A peer's mixture of versions is answered, and is no exception in the server."""
    first = bench.read(1, 12, bench.poll(("r", 0, 0), session_epoch=0, max_wait_ms=0))
    request = {
        "max_wait_ms": 0,
        "min_bytes": 1,
        "max_bytes": 1000,
        "session_id": first["session_id"],
        "session_epoch": 1,
        "topics": [],
        "forgotten_topics_data": [],
    }
    answer = bench.read(1, 13, bench.ask(1, 13, request))
    assert answer["error_code"] == errors.FETCH_SESSION_TOPIC_ID_ERROR


def test_min_bytes_above_max_bytes_do_not_wait(bench: DataBench) -> None:
    """Nobody waits for more than the answer may hold."""
    bench.send("r", batch(1, 1000))
    reply = bench.poll(("r", 0, 0), min_bytes=100_000, max_bytes=500)
    assert offsets(bench.fetched(reply)["r", 0]["records"]) == [0]


def test_the_end_of_a_rolled_segment_is_answered_at_once(bench: DataBench) -> None:
    """However little it is: that segment will not grow."""
    for _ in range(3):
        bench.send("r", batch(1, 1000))
    bench.partition("r").log.roll(bench.now_ms)
    bench.send("r", batch(1, 1000))
    reply = bench.poll(("r", 0, 2), min_bytes=100_000)
    assert offsets(bench.fetched(reply)["r", 0]["records"]) == [2]


def test_a_partition_named_twice_is_asked_once(bench: DataBench) -> None:
    """The last one counts, as in Kafka: a small request must not ask for a thousand slices."""
    for _ in range(2):
        bench.send("r", batch())
    reply = bench.poll(("r", 0, 0), ("r", 0, 1))
    (topic,) = bench.read(1, 12, reply)["responses"]
    (row,) = topic["partitions"]
    assert offsets(row["records"]) == [1]


def test_a_partition_that_cannot_be_read_is_an_error_of_its_own(
    bench: DataBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad sectors cost that partition's answer; others are served and nothing stays held."""
    for index in range(3):
        bench.send("r", batch(), index=index)

    def bad_sector(_: object, *__: object) -> None:
        raise OSError(5, "Input/output error")

    def bad_index(_: object, *__: object) -> None:
        raise CorruptSegmentError("no batch at 0")

    lookups = [bench.partition("r", index).log.lookup for index in range(3)]
    for lookup in lookups:
        lookup.hints.clear()
    whole = Lookup.locate
    failures = {id(lookups[1]): bad_sector, id(lookups[2]): bad_index}
    monkeypatch.setattr(
        Lookup, "locate", lambda self, offset: failures.get(id(self), whole)(self, offset)
    )
    for _ in range(2):
        rows = bench.fetched(bench.poll(("r", 0, 0), ("r", 1, 0), ("r", 2, 0)))
        assert [rows["r", index]["error_code"] for index in range(3)] == [
            errors.NONE,
            errors.KAFKA_STORAGE_ERROR,
            errors.CORRUPT_MESSAGE,
        ]
    assert len(caplog.records) == 2, "said once a partition"
    assert all(not s.holds for i in range(3) for s in bench.partition("r", i).log.segments)


def test_a_bug_in_a_woken_fetch_costs_its_own_connection(
    bench: DataBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens in the turn of the producer, who is not to blame; the slice is given back."""
    reply = bench.poll(("r", 0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "fetch_response_parts", lambda *_: 1 // 0)
        bench.send("r", batch())
        bench.turn()
    assert reply.abandoned
    assert bench.broker.counters.fetches_parked == 0
    assert not bench.partition("r").log.active.holds


def test_what_all_parked_fetches_want_is_bounded(
    bench: DataBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past it a fetch is answered at once, and waits again when others have left."""
    monkeypatch.setattr(fetch, "PARKED_PARTITIONS_MAX", 4)
    first = bench.poll(("r", 0, 0), ("r", 1, 0), ("r", 2, 0))
    assert first.answer is None
    assert bench.poll(("r", 0, 0), ("r", 1, 0)).answer is not None
    bench.send("r", batch())
    bench.turn()
    assert first.answer is not None
    assert bench.broker.waits.wanted_count == 0
    assert bench.poll(("r", 1, 0), ("r", 2, 0)).answer is None
