"""Whatever happens to requests, a partition's log is what was sent, once and in order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from logserver.client.connection import PRODUCE
from logserver.client.failure import ClientError
from logserver.client.producer import Producer
from logwire import errors
from tests.client.scripted_broker import Fault, ScriptedBroker


def producer(broker: ScriptedBroker, **options: Any) -> Producer:
    """A producer without patience: small batches, short pauses."""
    settings = {"linger_ms": 0, "batch_size_bytes": 300, "retry_backoff_ms": 1, **options}
    return Producer(broker.bootstrap, **settings)


def values(count: int) -> list[bytes]:
    """Distinct values, in order."""
    return [b"value-%06d" % index for index in range(count)]


@pytest.mark.parametrize(
    "fault",
    [
        "lost",
        "dropped",
        errors.NOT_LEADER_OR_FOLLOWER,
        errors.NOT_ENOUGH_REPLICAS,
        errors.KAFKA_STORAGE_ERROR,
        errors.REQUEST_TIMED_OUT,
        errors.UNKNOWN_TOPIC_OR_PARTITION,
        errors.UNKNOWN_PRODUCER_ID,
    ],
)
@pytest.mark.parametrize("position", [0, 1, 4])
def test_one_fault_neither_loses_nor_doubles_nor_reorders(fault: Fault, position: int) -> None:
    """Five requests in flight, one of them meets the fault."""
    sent = values(60)
    with ScriptedBroker(["ok"] * position + [fault]) as broker, producer(broker) as client:
        deliveries = [client.send("t", value) for value in sent]
        offsets = [delivery.result(10_000).offset for delivery in deliveries]
        assert broker.values() == sent
        assert offsets == list(range(60))
        assert client.statistics()["retries_count"] > 0


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_faults_leaves_the_log_as_it_was_sent(seed: int) -> None:
    """Random faults on most requests, two partitions; the seed is the test's parameter."""
    rng = random.Random(seed)
    kinds: list[Fault] = ["lost", "dropped", errors.NOT_LEADER_OR_FOLLOWER, "ok", "ok"]
    faults = [rng.choice(kinds) for _ in range(40)]
    sent = values(150)
    with ScriptedBroker(faults, partitions=2) as broker, producer(broker) as client:
        deliveries = [
            client.send("t", value, partition=index % 2) for index, value in enumerate(sent)
        ]
        client.flush(20_000)
        for index in range(2):
            assert broker.values(index) == sent[index::2], f"seed {seed}"
        for index, delivery in enumerate(deliveries):
            assert delivery.result().offset == index // 2


def test_a_batch_that_fails_for_good_takes_no_other_with_it() -> None:
    """Later ones go out under a fresh producer id; the gap is where the failed one was."""
    faults: list[Fault] = ["ok", errors.MESSAGE_TOO_LARGE]
    with ScriptedBroker(faults) as broker, producer(broker) as client:
        deliveries = [client.send("t", value) for value in values(60)]
        client.flush(10_000)
        failed = [index for index, one in enumerate(deliveries) if one.error is not None]
        assert 0 < len(failed) < 20
        with pytest.raises(ClientError, match="smaller batch_size_bytes") as caught:
            deliveries[failed[0]].result()
        assert (caught.value.kind, caught.value.code) == ("too_large", errors.MESSAGE_TOO_LARGE)
        kept = [value for index, value in enumerate(values(60)) if index not in failed]
        assert broker.values() == kept
        assert len({producer_id for _, producer_id in broker.producers}) == 2


def test_a_retry_goes_alone_so_that_the_server_still_knows_its_first_attempt() -> None:
    """Appended without an answer, then refused again and again while others could overtake it."""
    refusals: list[Fault] = [errors.NOT_ENOUGH_REPLICAS, "ok"] * 6
    sent = values(100)
    with ScriptedBroker(["lost", *refusals]) as broker, producer(broker) as client:
        deliveries = [client.send("t", value) for value in sent]
        assert [one.result(10_000).offset for one in deliveries] == list(range(100))
        assert broker.values() == sent


def test_a_fenced_producer_is_told_and_the_partition_goes_on() -> None:
    """Somebody else has the producer id; the next batch goes out under a fresh one."""
    faults: list[Fault] = ["ok", errors.INVALID_PRODUCER_EPOCH]
    with ScriptedBroker(faults) as broker, producer(broker) as client:
        client.send("t", b"one").result(10_000)
        with pytest.raises(ClientError, match="INVALID_PRODUCER_EPOCH"):
            client.send("t", b"two").result(10_000)
        client.send("t", b"three").result(10_000)
        assert broker.values() == [b"one", b"three"]


def test_a_log_that_lost_its_tail_is_written_on(caplog: pytest.LogCaptureFixture) -> None:
    """The sequence has a gap that nobody can fill: a warning, and a fresh producer id."""
    with ScriptedBroker() as broker, producer(broker) as client:
        for value in (b"one", b"two", b"three"):
            client.send("t", value).result(10_000)
        for known in broker.producers.values():
            known.pop()
        broker.batches[0].pop()
        assert client.send("t", b"four").result(10_000).offset == 2
        assert broker.values() == [b"one", b"two", b"four"]
    assert "t-0 does not know its producer's last batches" in caplog.text


def test_the_first_batch_under_a_new_id_goes_alone() -> None:
    """A leader that is just being elected refuses it and would take the second for the first."""
    with ScriptedBroker([errors.NOT_LEADER_OR_FOLLOWER]) as broker, producer(broker) as client:
        broker.accepts_any_first_sequence = True
        deliveries = [client.send("t", value) for value in values(40)]
        assert [one.result(10_000).offset for one in deliveries] == list(range(40))
        assert broker.values() == values(40)


def test_a_duplicate_counts_as_delivered() -> None:
    """The server has it already."""
    faults = [errors.DUPLICATE_SEQUENCE_NUMBER]
    with ScriptedBroker(faults) as broker, producer(broker) as client:
        assert client.send("t", b"one").result(10_000).offset == -1


def test_a_silent_server_is_left_and_asked_again() -> None:
    """After the request's timeout, over a new connection."""
    options = {"request_timeout_ms": 100}
    with ScriptedBroker(["silent"]) as broker, producer(broker, **options) as client:
        assert client.send("t", b"one").result(10_000).offset == 0
        assert broker.values() == [b"one"]


def test_what_is_not_delivered_in_time_fails_with_the_last_reason() -> None:
    """A server that always refuses, and one that is gone."""
    with ScriptedBroker() as broker, producer(broker, delivery_timeout_ms=300) as client:
        broker.answers[PRODUCE] = lambda _: None
        with pytest.raises(ClientError, match=r"not delivered in 0.3 s: .*closed") as caught:
            client.send("t", b"one").result(10_000)
        assert caught.value.kind == "timeout"
        broker.close()
        with pytest.raises(ClientError, match=r"not delivered in 0.3 s: .*cannot connect"):
            client.send("t", b"two").result(10_000)


def test_acks_0_and_1_keep_the_order_too() -> None:
    """acks=0 has no answer and no offset; nothing is numbered."""
    sent = values(60)
    for acks, offsets in ((0, [-1] * 60), (1, list(range(60)))):
        with ScriptedBroker() as broker:
            with producer(broker, acks=acks) as client:
                deliveries = [client.send("t", value) for value in sent]
                assert [one.result(10_000).offset for one in deliveries] == offsets
            # acks=0 leaves without waiting: the broker has it when it has read the connection
            broker.drain()
            assert broker.values() == sent
            assert not broker.producers


def test_many_partitions_share_requests() -> None:
    """One batch per partition and request."""
    with ScriptedBroker(partitions=50) as broker:
        with producer(broker, linger_ms=50) as client:
            for index in range(500):
                client.send("t", b"%d" % index, partition=index % 50)
        assert sum(len(broker.values(index)) for index in range(50)) == 500
        assert client.statistics()["requests_count"] < 100


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_sender_is_told_to_everybody() -> None:
    """No delivery waits for ever, and the next send says why."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with ScriptedBroker() as broker, producer(broker, linger_ms=60_000) as client:
        delivery = client.send("t", b"one")
        client._sender._take_ripe = fail  # type: ignore[method-assign, assignment]
        client._buffer.wake()
        with pytest.raises(ClientError, match="sender has failed: ZeroDivisionError"):
            delivery.result(10_000)
        with pytest.raises(ClientError, match="sender has failed"):
            client.send("t", b"two")
        with pytest.raises(ClientError, match="sender has failed"):
            client.flush()


def test_a_server_that_keeps_refusing_is_named_while_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, not at every retry; silence for two minutes would be taken for a hang."""
    faults = [errors.KAFKA_STORAGE_ERROR] * 6
    with ScriptedBroker(faults) as broker, producer(broker, retry_backoff_ms=1) as client:
        assert client.send("t", b"one").result(10_000).offset == 0
        assert broker.values() == [b"one"]
    told = [record.message for record in caplog.records if "still trying" in record.message]
    assert len(told) == 1
    assert "t-0" in told[0]
    assert "KAFKA_STORAGE_ERROR" in told[0]
