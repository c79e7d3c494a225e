"""What arrives is checked before it is handed out, and what fails is asked for again."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.client import ClientError, Consumer
from logserver.client.connection import FETCH, METADATA
from logwire import errors
from logwire.batch import stamp
from tests.client.scripted_broker import ScriptedBroker


def consumer(broker: ScriptedBroker, **options: Any) -> Consumer:
    """A consumer of everything the broker has."""
    settings = {"start": "beginning", "stop_at_end": True, "max_wait_ms": 1, **options}
    return Consumer(broker.bootstrap, "t", **settings)


def failing_once(broker: ScriptedBroker, code: int) -> None:
    """The next Fetch has an error in each partition's row, later ones are good."""
    turns = [code]

    def fetch(request: dict[str, Any]) -> dict[str, Any]:
        answer = broker._answer_1(request)
        if turns:
            for row in answer["responses"][0]["partitions"]:
                row.update(error_code=turns[0], records=b"")
            turns.pop()
        return answer

    broker.answers[FETCH] = fetch


@pytest.mark.parametrize("position", [17, 20, 30, 61, 70])
def test_a_damaged_batch_is_told_and_not_handed_out(position: int) -> None:
    """What came before it is; the failure stays until a seek behind the damage."""
    with ScriptedBroker() as broker:
        for value in (b"one", b"two", b"three"):
            broker.append(value)
        broker.batches[0][1][position] ^= 1
        with consumer(broker) as reader:
            assert [record.value for record in reader.poll(records_max=1)] == [b"one"]
            with pytest.raises(ClientError, match=r"t-0 .*batch at offset 1: ") as caught:
                reader.poll()
            assert caught.value.kind == "corrupt"
            with pytest.raises(ClientError):
                reader.poll()
            reader.seek(2)
            assert [record.value for record in reader] == [b"three"]


def test_a_batch_that_cannot_be_decoded_is_told() -> None:
    """A right checksum over compressed nonsense."""
    with ScriptedBroker() as broker:
        broker.append(b"one" * 100, codec=4)
        batch = broker.batches[0][0]
        batch[61:] = bytes(len(batch) - 61)
        batch[17:21] = __import__("logwire.checksum").checksum.crc32c(batch[21:]).to_bytes(4, "big")
        with consumer(broker) as reader, pytest.raises(ClientError, match="at offset 0: zstd"):
            list(reader)


def test_gaps_and_control_batches_are_passed_over() -> None:
    """Compaction leaves gaps, transactions leave control batches; positions go on behind them."""
    with ScriptedBroker() as broker:
        broker.append(b"one")
        broker.append(b"\0\0\0\0", control=True)
        broker.append(b"two")
        stamp(broker.batches[0][2], 50, 0)
        broker.append(b"\0\0\0\0", control=True)
        with consumer(broker) as reader:
            assert [(record.offset, record.value) for record in reader] == [
                (0, b"one"),
                (50, b"two"),
            ]
            assert reader.is_finished
            assert reader.positions() == {("t", 0): 52}


@pytest.mark.parametrize(
    "code",
    [
        errors.NOT_LEADER_OR_FOLLOWER,
        errors.FENCED_LEADER_EPOCH,
        errors.KAFKA_STORAGE_ERROR,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.LEADER_NOT_AVAILABLE,
    ],
)
def test_a_retriable_error_is_asked_again_after_new_metadata(code: int) -> None:
    """The leader may have moved."""
    with ScriptedBroker() as broker:
        broker.append(b"one", b"two")
        with consumer(broker) as reader:
            failing_once(broker, code)
            asked = [key for key, _ in broker.requests].count(METADATA)
            assert [record.value for record in reader] == [b"one", b"two"]
            assert [key for key, _ in broker.requests].count(METADATA) > asked


def test_any_other_error_is_raised() -> None:
    """With the server's code."""
    with ScriptedBroker() as broker:
        broker.append(b"one")
        with consumer(broker) as reader:
            failing_once(broker, errors.TOPIC_AUTHORIZATION_FAILED)
            with pytest.raises(ClientError, match="TOPIC_AUTHORIZATION_FAILED") as caught:
                list(reader)
            assert caught.value.code == errors.TOPIC_AUTHORIZATION_FAILED


def test_a_cut_connection_costs_nothing() -> None:
    """What it carried is asked for again."""
    with ScriptedBroker() as broker:
        for index in range(30):
            broker.append(b"%d" % index)
        with consumer(broker, partition_max_bytes=250, prefetch_bytes=1) as reader:
            seen = []
            for record in reader:
                seen.append(record.value)
                if len(seen) % 10 == 0:
                    broker.cut()
        assert seen == [b"%d" % index for index in range(30)]


def test_a_silent_broker_is_left_and_asked_again() -> None:
    """After the request's timeout."""
    with ScriptedBroker() as broker:
        broker.append(b"one")
        with consumer(broker, request_timeout_ms=100) as reader:
            turns = [True]
            broker.answers[FETCH] = lambda request: (
                {} if turns and turns.pop() else broker._answer_1(request)
            )
            assert [record.value for record in reader] == [b"one"]


class Doubled(ScriptedBroker):
    """Answers the first Fetch twice."""

    is_done = False

    def _answer(self, frame: memoryview) -> bytes | None:
        answer = super()._answer(frame)
        if answer and not self.is_done and int.from_bytes(frame[:2], "big") == FETCH:
            self.is_done = True
            return answer * 2
        return answer


def test_an_answer_that_nobody_asked_for_breaks_the_connection() -> None:
    """It would be taken for that of the next request."""
    with Doubled() as broker:
        broker.append(b"one")
        with consumer(broker, stop_at_end=False) as reader:
            connection = reader._data.data(7)
            assert [record.value for record in reader.poll()] == [b"one"]
            broker.append(b"two")
            assert [record.value for record in reader.poll()] == [b"two"]
            assert not connection.is_open


def test_waiting_for_one_partition_does_not_spin_for_another() -> None:
    """One that is to be asked again waits until its leader has answered for the others."""
    with (
        ScriptedBroker(partitions=2) as broker,
        consumer(broker, stop_at_end=False, request_timeout_ms=400) as reader,
    ):
        turns = [{}, errors.NOT_LEADER_OR_FOLLOWER]

        def fetch(request: dict[str, Any]) -> dict[str, Any]:
            turn = turns.pop()
            if not turn:
                return {}  # no answer: the leader waits for records
            answer = broker._answer_1(request)
            answer["responses"][0]["partitions"][0]["error_code"] = turn
            return answer

        broker.answers[FETCH] = fetch
        asks = 0
        ask = reader._fetcher.ask

        def counted() -> None:
            nonlocal asks
            asks += 1
            ask()

        reader._fetcher.ask = counted  # type: ignore[method-assign]
        assert reader.poll(timeout_ms=300) == []
        assert asks < 20


def test_a_refusal_of_the_whole_fetch_does_not_spin() -> None:
    """A pause, then again; an error when it lasts."""
    with ScriptedBroker() as broker:
        broker.append(b"one")
        broker.answers[FETCH] = lambda _: {
            "error_code": errors.UNKNOWN_SERVER_ERROR,
            "responses": [],
        }
        with consumer(broker, retry_timeout_ms=250) as reader:
            with pytest.raises(ClientError, match="cannot fetch: UNKNOWN_SERVER_ERROR"):
                list(reader)
            assert 2 <= reader.statistics()["requests_count"] <= 10


def test_no_more_is_asked_than_may_be_held() -> None:
    """One answer ahead, then nothing until the caller has taken what there is."""
    with ScriptedBroker() as broker:
        for _ in range(100):
            broker.append(bytes(1000))
        with consumer(broker, partition_max_bytes=5000, prefetch_bytes=8000) as reader:
            first = reader.poll(records_max=1)
            assert len(first) == 1
            assert reader.statistics()["buffered_bytes"] <= 8000 + 5000
            assert reader.statistics()["requests_count"] <= 4
            assert len(first) + sum(1 for _ in reader) == 100


def test_partitions_take_turns_at_the_front() -> None:
    """The server fills answers in the order of the request: nobody starves."""
    with ScriptedBroker(partitions=3) as broker:
        with consumer(broker, stop_at_end=False) as reader:
            while reader.statistics()["requests_count"] < 4:
                reader.poll(timeout_ms=20)
        order = [
            [part["partition"] for part in request["topics"][0]["partitions"]]
            for key, request in broker.requests
            if key == FETCH
        ]
        assert {parts[0] for parts in order} == {0, 1, 2}
