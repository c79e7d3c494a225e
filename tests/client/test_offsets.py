"""Leaders are asked, asked again when they move, and believed when they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.client.cluster import Cluster
from logserver.client.connection import LIST_OFFSETS
from logserver.client.failure import ClientError
from logserver.client.offsets import BEGINNING, END, list_offsets
from logwire import errors
from tests.client.scripted_broker import ScriptedBroker


def test_each_partition_has_its_own_question() -> None:
    """Ends, beginnings and times in one request per leader."""
    with ScriptedBroker(partitions=3) as broker:
        broker.append(b"a", b"b", partition=0)
        broker.append(b"a", b"b", partition=2)
        cluster = Cluster(broker.bootstrap)
        found = list_offsets(cluster, "t", {0: END, 1: BEGINNING, 2: 1001}, timeout_ms=5000)
        assert {index: place.offset for index, place in found.items()} == {0: 2, 1: 0, 2: 1}
        assert [key for key, _ in broker.requests].count(LIST_OFFSETS) == 1
        cluster.close()


def test_a_moved_leader_is_asked_again() -> None:
    """Only for the partitions that are still open."""
    with ScriptedBroker(partitions=2) as broker:
        turns = [errors.NOT_LEADER_OR_FOLLOWER]

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            made = broker._answer_2(request)
            if turns:
                made["topics"][0]["partitions"][1]["error_code"] = turns.pop()
            return made

        broker.answers[LIST_OFFSETS] = answer
        cluster = Cluster(broker.bootstrap)
        assert set(list_offsets(cluster, "t", {0: END, 1: END}, timeout_ms=5000)) == {0, 1}
        asked = [request for key, request in broker.requests if key == LIST_OFFSETS]
        assert len(asked[1]["topics"][0]["partitions"]) == 1
        cluster.close()


def test_a_cut_connection_is_replaced() -> None:
    """A server that closed an idle connection is asked over another."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        assert list_offsets(cluster, "t", {0: END}, timeout_ms=5000)[0].offset == 0
        broker.cut()
        assert list_offsets(cluster, "t", {0: END}, timeout_ms=5000)[0].offset == 0
        cluster.close()


def test_a_lasting_failure_is_raised_with_its_reason() -> None:
    """A final refusal at once, a retriable one when time is up."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        for code in (errors.TOPIC_AUTHORIZATION_FAILED, errors.LEADER_NOT_AVAILABLE):
            row = {"partition_index": 0, "error_code": code}
            answer = {"topics": [{"name": "t", "partitions": [row]}]}
            broker.answers[LIST_OFFSETS] = lambda _, answer=answer: answer  # type: ignore[misc]
            with pytest.raises(ClientError, match=errors.ERRORS[code].name):
                list_offsets(cluster, "t", {0: END}, timeout_ms=150)
        cluster.close()


def test_a_partition_that_does_not_exist_is_told() -> None:
    """Before anybody is asked."""
    with ScriptedBroker() as broker:
        cluster = Cluster(broker.bootstrap)
        with pytest.raises(ClientError, match="cannot list offsets of t-5: UNKNOWN_TOPIC"):
            list_offsets(cluster, "t", {5: END}, timeout_ms=5000)
        cluster.close()
