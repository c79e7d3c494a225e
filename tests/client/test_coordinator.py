"""Asking a coordinator that moves, loads, hangs up, or is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logserver.client.cluster import Cluster
from logserver.client.connection import CONSUMER_GROUP_HEARTBEAT, FIND_COORDINATOR
from logserver.client.coordinator import GroupCoordinator
from logserver.client.failure import ClientError
from logwire.messages import APIS, Message
from tests.client.scripted_broker import ScriptedBroker
from tests.client.scripted_group import FIND, HEARTBEAT, ScriptedGroup

LOADING, NOT_AVAILABLE, MOVED = 14, 15, 16
JOIN: Message = {"group_id": "g", "member_id": "m", "member_epoch": 0, "topic_partitions": []}


@pytest.fixture
def group() -> Iterator[ScriptedGroup]:
    with ScriptedBroker() as broker:
        yield ScriptedGroup(broker)


def ask(group: ScriptedGroup, message: Any = JOIN, timeout_ms: int = 10_000) -> Message:
    """One heartbeat by way of a coordinator of its own."""
    cluster = Cluster(group.broker.bootstrap)
    coordinator = GroupCoordinator(cluster, "g", timeout_ms=timeout_ms)
    try:
        return coordinator.request(
            CONSUMER_GROUP_HEARTBEAT,
            message,
            lambda answer: [answer["error_code"]],
            what="be a member of group g",
        )
    finally:
        cluster.close()


def found(group: ScriptedGroup) -> int:
    """How often the coordinator was asked for."""
    return sum(key == FIND_COORDINATOR for key, _ in group.broker.requests)


def test_the_coordinator_is_found_once_and_asked(group: ScriptedGroup) -> None:
    """The answer is given as it came."""
    assert ask(group)["member_epoch"] == 1
    assert found(group) == 1


@pytest.mark.parametrize("code", [MOVED, NOT_AVAILABLE])
def test_a_coordinator_that_has_moved_is_found_again(group: ScriptedGroup, code: int) -> None:
    """And asked the same."""
    group.script(HEARTBEAT, code)
    assert ask(group)["member_epoch"] == 1
    assert found(group) == 2


def test_a_coordinator_that_is_loading_is_asked_again(group: ScriptedGroup) -> None:
    """It is where it was."""
    group.script(HEARTBEAT, LOADING, LOADING)
    assert ask(group)["member_epoch"] == 1
    assert found(group) == 1


def test_a_coordinator_that_hangs_up_is_asked_again(group: ScriptedGroup) -> None:
    """Perhaps it has acted on the question: whoever asks must expect that."""
    group.script(HEARTBEAT, None)
    assert ask(group)["member_epoch"] == 2
    assert len(group.heartbeats) == 2


def test_finding_the_coordinator_is_repeated_while_there_is_none(group: ScriptedGroup) -> None:
    """Right after a server's start, for one."""
    group.script(FIND, NOT_AVAILABLE, NOT_AVAILABLE)
    assert ask(group)["member_epoch"] == 1
    assert found(group) == 3


def test_when_time_is_up_the_last_reason_is_told(group: ScriptedGroup) -> None:
    """With the code, for programs."""
    group.script(HEARTBEAT, *[MOVED] * 20)
    with pytest.raises(ClientError, match="cannot be a member of group g: NOT_COORD") as caught:
        ask(group, timeout_ms=300)
    assert caught.value.code == MOVED


def test_a_group_id_that_is_refused_is_told_at_once(group: ScriptedGroup) -> None:
    """INVALID_GROUP_ID does not pass."""
    group.script(FIND, 24)
    with pytest.raises(ClientError, match="find the coordinator of group g: INVALID_GROUP_ID"):
        ask(group)
    assert found(group) == 1


def test_other_codes_are_the_callers_to_read(group: ScriptedGroup) -> None:
    """They are in the answer."""
    group.script(HEARTBEAT, 110)
    assert ask(group)["error_code"] == 110


def test_a_function_makes_the_message_anew_for_each_attempt(group: ScriptedGroup) -> None:
    """It is told the version, and may say more the second time."""
    versions = []

    def message(version: int) -> Message:
        versions.append(version)
        return JOIN

    group.script(HEARTBEAT, None)
    ask(group, message)
    assert versions == [APIS[HEARTBEAT].max_version] * 2


def test_a_server_that_finds_one_coordinator_at_a_time_is_understood(group: ScriptedGroup) -> None:
    """FindCoordinator up to version 3 answers at the top."""
    rows = [
        {"api_key": api.key, "min_version": api.min_version, "max_version": api.max_version}
        for api in APIS.values()
    ]
    for row in rows:
        if row["api_key"] == FIND:
            row["max_version"] = 3
    group.broker.answers[18] = lambda _: {"error_code": 0, "api_keys": rows}
    assert ask(group)["member_epoch"] == 1


def test_without_a_server_there_is_no_connection() -> None:
    """The failure of the last attempt."""
    with ScriptedBroker() as broker:
        group = ScriptedGroup(broker)
    with pytest.raises(ClientError, match="cannot connect") as caught:
        ask(group, timeout_ms=250)
    assert caught.value.kind == "connect"
