"""The machine of a consumer group: its states, its deadlines, and what offsets ask of it."""

from __future__ import annotations

import pytest

from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.effects import Now, Unload, Wake
from logserver.broker.groups.offset_store import CommittedOffset
from logwire import errors
from tests.broker.groups.consumer_bench import (
    GROUP,
    REBALANCE_MS,
    SESSION_MS,
    Client,
    ConsumerBench,
    settle,
)


@pytest.fixture
def bench() -> ConsumerBench:
    """A group that reads `a`, four partitions."""
    made = ConsumerBench()
    made.cluster.create("a", 4)
    return made


def commits(*partitions: int, topic: str = "a") -> list[tuple[str, int, CommittedOffset]]:
    """Offset 1 for each of these."""
    offset = CommittedOffset(1, -1, "", 0, -1, bytes(16))
    return [(topic, partition, offset) for partition in partitions]


def test_the_state_tells_how_far_the_group_is(bench: ConsumerBench) -> None:
    """Empty, Assigning, Reconciling, Stable: Kafka's words."""
    states = [bench.group.state_name]
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    states.append(bench.group.state_name)
    second.beat()
    states.append(bench.group.state_name)
    settle(bench, [first, second])
    second.leave()
    states.append(bench.group.state_name)
    assert states == ["Empty", "Stable", "Reconciling", "Assigning"]


def test_a_silent_member_is_out_when_its_session_ends(bench: ConsumerBench) -> None:
    """Each heartbeat begins the session anew."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    settle(bench, [first, second])
    bench.pass_time(SESSION_MS - 1)
    second.beat()
    bench.pass_time(1)
    assert set(bench.state.members) == {"m2"}
    assert first.beat() == errors.UNKNOWN_MEMBER_ID


def test_who_does_not_give_up_in_time_is_out(bench: ConsumerBench) -> None:
    """Though it sends heartbeats: others wait for its partitions."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    first.obeys = False
    first.beat()
    told_ms = bench.now.uptime_ms
    while bench.now.uptime_ms < told_ms + REBALANCE_MS:
        assert "m1" in bench.state.members
        bench.pass_time(5000)
        first.beat()
        second.beat()
    assert first.code == errors.UNKNOWN_MEMBER_ID
    assert second.count == 4


def test_a_restart_begins_sessions_and_revocations_anew(bench: ConsumerBench) -> None:
    """Who lives has a whole session to show it; nothing else is asked."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    bench.beat("m1", first.epoch)
    loaded = bench.load()[GROUP]
    assert isinstance(loaded, ConsumerGroup)
    loaded.cluster = bench.cluster
    effects = loaded.resume(Now(7, 7))
    assert effects == [Wake(7 + SESSION_MS)]
    assert "m1" in loaded.deadlines.rebalances
    bench.groups[GROUP] = loaded
    settle(bench, [first, second])
    assert (first.count, second.count) == (2, 2)


def test_an_unloaded_group_wakes_nobody(bench: ConsumerBench) -> None:
    """Another coordinator looks after it."""
    bench.join("m", "a")
    assert bench.group.step(Unload(), bench.now) == [Wake(None)]


def test_a_wake_up_is_asked_for_only_when_it_changes(bench: ConsumerBench) -> None:
    """A heartbeat puts its session off and costs no timer."""
    bench.join("m", "a")
    bench.wake_ms = None
    bench.pass_time(100)
    bench.beat("m", 2)
    assert bench.wake_ms is None


def test_a_commit_needs_the_epoch_of_its_member(bench: ConsumerBench) -> None:
    """An older one is good for what has been the member's ever since."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    settle(bench, [first, second])
    (kept,) = first.owned.values()
    lost = {0, 1, 2, 3} - kept
    check = bench.group.check_commit
    assert check("m1", None, 3, 9, commits(0, 1)) == errors.NONE
    assert check("m1", None, 2, 9, commits(*kept)) == errors.NONE
    assert check("m1", None, 2, 9, commits(*kept, *lost)) == errors.STALE_MEMBER_EPOCH
    assert check("m1", None, 1, 9, commits(*kept)) == errors.STALE_MEMBER_EPOCH
    assert check("m1", None, 4, 9, commits(*kept)) == errors.STALE_MEMBER_EPOCH
    assert check("m1", None, 2, 9, commits(0, topic="gone")) == errors.STALE_MEMBER_EPOCH
    assert check("m1", None, 3, 8, commits(0)) == errors.UNSUPPORTED_VERSION
    assert check("m3", None, 3, 9, commits(0)) == errors.UNKNOWN_MEMBER_ID
    assert check("", None, -1, 9, commits(0)) == errors.UNKNOWN_MEMBER_ID


def test_a_member_commits_for_what_it_is_giving_up(bench: ConsumerBench) -> None:
    """It does so before it confirms, in the epoch it has."""
    first = Client(bench, "m1", "a")
    first.beat()
    bench.join("m2", "a")
    bench.beat("m1", first.epoch)
    assert bench.state.members["m1"].revoking
    assert bench.group.check_commit("m1", None, 2, 9, commits(0, 1, 2, 3)) == errors.NONE


def test_anybody_may_commit_from_outside_while_nobody_is_inside(bench: ConsumerBench) -> None:
    """A tool that resets offsets."""
    assert bench.group.check_commit("", None, -1, 9, commits(0)) == errors.NONE


def test_offsets_are_told_to_members_of_this_epoch_and_to_outsiders(bench: ConsumerBench) -> None:
    """Versions from 9 on tell who asks."""
    bench.join("m", "a")
    check = bench.group.check_fetch
    assert check(None, -1) == check("m", 2) == errors.NONE
    assert check("m", 1) == check("m", 3) == errors.STALE_MEMBER_EPOCH
    assert check("other", 2) == check(None, 2) == errors.UNKNOWN_MEMBER_ID


def test_what_others_ask_of_any_group_is_answered(bench: ConsumerBench) -> None:
    """Kind, topics, retention."""
    bench.join("m", "a")
    group = bench.group
    assert (group.kind, group.protocol_type, group.empty) == ("consumer", "consumer", False)
    assert group.subscribed("a")
    assert not group.subscribed("b")
    assert group.expiry_start_ms(5) == 5
    assert group.check_offset_delete() == errors.NONE
    assert group.committed("m", bench.now) == []


def test_tombstones_delete_all_of_a_group_and_change_nothing_yet(bench: ConsumerBench) -> None:
    """The coordinator drops the group once they are written."""
    bench.join("m", "a")
    tombstones = bench.group.tombstones()
    assert not bench.group.gone
    bench.records += tombstones
    assert bench.load() == {}
