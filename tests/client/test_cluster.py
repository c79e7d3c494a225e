"""The cluster knows leaders, opens connections when they are needed, and says what is missing."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest

from logserver.client.cluster import Cluster, backoff_ms, closing_on_error
from logserver.client.connection import METADATA
from logserver.client.failure import ClientError
from logwire import errors
from tests.client.scripted_broker import ScriptedBroker


def test_a_topic_is_asked_for_once() -> None:
    """Leaders are kept until somebody has a reason to doubt them."""
    with ScriptedBroker(partitions=3) as broker:
        cluster = Cluster(broker.bootstrap)
        assert cluster.topic("t").leaders == {0: 7, 1: 7, 2: 7}
        assert cluster.topic("t").name == "t"
        assert cluster.leader("t", 2) == 7
        assert cluster.leader("t", 3) == cluster.leader("other", 0) == -1
        assert [key for key, _ in broker.requests].count(METADATA) == 1
        assert cluster.brokers[7].port == broker.port
        cluster.close()


def test_a_missing_topic_is_refused_at_once() -> None:
    """Unless it may come into being by being asked for."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        with pytest.raises(ClientError, match=r"cannot use topic u: UNKNOWN_TOPIC_OR_PARTITION"):
            cluster.topic("u")
        with pytest.raises(ClientError, match="no leader after"):
            cluster.topic("u", create=True, timeout_ms=150)
        cluster.close()


def test_a_topic_under_creation_is_waited_for() -> None:
    """LEADER_NOT_AVAILABLE first, then a leader that is -1, then the topic."""
    with ScriptedBroker() as broker:
        turns = iter([errors.LEADER_NOT_AVAILABLE, -1, 0])

        def metadata(request: dict[str, Any]) -> dict[str, Any]:
            answer = broker._answer_3(request)
            turn = next(turns) if request["topics"] else 0
            if turn == -1:
                answer["topics"][0]["partitions"][0]["leader_id"] = -1
            elif turn:
                answer["topics"] = [{"name": "t", "error_code": turn, "partitions": []}]
            return answer

        broker.answers[METADATA] = metadata
        cluster = Cluster(broker.bootstrap)
        assert cluster.topic("t", create=True).leaders == {0: 7}
        cluster.close()


def test_the_next_bootstrap_server_is_tried() -> None:
    """The first that answers will do."""
    with ScriptedBroker() as dead, ScriptedBroker() as alive:
        dead.close()
        cluster = Cluster(f"{dead.bootstrap},{alive.bootstrap}")
        assert cluster.refresh(["t"]) == {}
        cluster.close()


def test_a_connection_that_an_idle_server_closed_is_opened_again() -> None:
    """Control requests are repeated once; a server that closes each time is told."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        cluster.refresh([])
        broker.cut()
        cluster.refresh([])
        broker.answers[METADATA] = lambda _: None
        with pytest.raises(ClientError, match="closed the connection"):
            cluster.refresh([])
        cluster.close()


def test_data_connections_are_kept_and_dropped() -> None:
    """One per broker, a new one after a drop, none for an unknown broker."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        cluster.refresh([])
        first = cluster.data(7)
        assert cluster.data(7) is first
        cluster.drop(7)
        assert not first.is_open
        assert cluster.data(7) is not first
        with pytest.raises(ClientError, match="broker 8 is not in the cluster"):
            cluster.data(8)
        cluster.close()


def test_closing_ends_a_pause() -> None:
    """Somebody who waits for a leader is told that the client is closed."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        told: list[str] = []

        def ask() -> None:
            try:
                told.extend(f"attempt {number}" for number in cluster.attempts(60_000))
            except ClientError as error:
                told.append(error.kind)

        thread = Thread(target=ask)
        thread.start()
        cluster.close()
        thread.join(10)
        assert told[-1] == "closed"
        assert broker.port


def test_pauses_grow_to_a_second() -> None:
    """Kafka's retry.backoff.ms and retry.backoff.max.ms."""
    assert [backoff_ms(attempt) for attempt in (1, 2, 3, 4, 5, 50)] == [
        100,
        200,
        400,
        800,
        1000,
        1000,
    ]
    assert backoff_ms(1, 5) == 5


def test_a_failing_constructor_leaves_no_connection() -> None:
    """The cluster is closed when the body raises."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        control = cluster.control()
        with pytest.raises(ZeroDivisionError), closing_on_error(cluster):
            raise ZeroDivisionError
        assert not control.is_open
