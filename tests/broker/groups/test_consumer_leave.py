"""Members that go: what they had is free, or waits for them."""

from __future__ import annotations

import pytest

from logserver.broker.groups.consumer_member import LEAVE_STATIC_EPOCH
from tests.broker.groups.consumer_bench import SESSION_MS, Client, ConsumerBench, settle


@pytest.fixture
def bench() -> ConsumerBench:
    """A group that reads `a`, four partitions."""
    made = ConsumerBench()
    made.cluster.create("a", 4)
    return made


def test_what_a_member_had_is_free_when_it_goes(bench: ConsumerBench) -> None:
    """Its records are deleted, an epoch begins, the other gets all at its next heartbeats."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    settle(bench, [first, second])
    before = len(bench.records)
    first.leave()
    assert bench.names(before) == [
        "-CurrentMemberAssignment",
        "-TargetAssignmentMember",
        "-MemberMetadata",
        "Metadata",
    ]
    second.beat()
    assert second.count == 4


def test_the_last_member_leaves_an_empty_group(bench: ConsumerBench) -> None:
    """It stays, with its epoch, until its offsets have expired or somebody deletes it."""
    client = Client(bench, "m", "a")
    client.beat()
    client.leave()
    assert (bench.group.empty, bench.group.state_name, bench.group.gone) == (True, "Empty", False)
    client.beat()
    assert client.epoch == bench.state.epoch == 4


def test_the_partitions_of_a_static_member_wait_for_it_as_long_as_its_session(
    bench: ConsumerBench,
) -> None:
    """Then they are the others'."""
    first, second = Client(bench, "m1", "a", instance="i"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    settle(bench, [first, second])
    first.leave(LEAVE_STATIC_EPOCH)
    bench.pass_time(SESSION_MS - 1)
    second.beat()
    assert (second.count, set(bench.state.members)) == (2, {"m1", "m2"})
    bench.pass_time(1)
    second.beat()
    assert (second.count, set(bench.state.members)) == (4, {"m2"})


def test_a_static_member_that_leaves_for_a_while_owes_no_revocation(bench: ConsumerBench) -> None:
    """It was told to give up two partitions and stops instead: they are free."""
    first, second = Client(bench, "m1", "a", instance="i"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    bench.beat("m1", first.epoch, instance_id="i")
    assert bench.state.members["m1"].revoking
    first.leave(LEAVE_STATIC_EPOCH)
    second.beat()
    assert second.count == 2
    assert "m1" not in bench.group.deadlines.rebalances


def test_a_dynamic_member_that_leaves_for_a_while_is_gone(bench: ConsumerBench) -> None:
    """Nobody could come back in its name."""
    bench.join("m", "a")
    bench.beat("m", LEAVE_STATIC_EPOCH)
    assert bench.group.empty


def test_history_tells_who_went_and_why(bench: ConsumerBench) -> None:
    """For whoever wonders why there was a rebalance."""
    client = Client(bench, "m1", "a")
    client.beat()
    client.leave()
    assert [(note.reason, note.member_id) for note in bench.notes] == [
        ("a member joins", "m1"),
        ("a member leaves", "m1"),
    ]


def test_members_that_die_together_are_one_reason_to_rebalance(bench: ConsumerBench) -> None:
    """A fleet that is gone after a restart: one epoch, one line, one look at the topics."""
    clients = [Client(bench, f"m{number}", "a") for number in range(4)]
    for client in clients:
        client.beat()
    settle(bench, clients)
    epoch, before = bench.state.epoch, len(bench.notes)
    bench.pass_time(SESSION_MS - 1)
    clients[3].beat()
    bench.pass_time(1)
    assert list(bench.state.members) == ["m3"]
    assert bench.state.epoch == epoch + 1
    assert [(note.reason, note.member_id) for note in bench.notes[before:]] == [
        ("the session of a member has run out (3 members)", "m0"),
    ]
