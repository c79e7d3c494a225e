"""Classic members of a consumer group: JoinGroup to LeaveGroup, answered from its state."""

from __future__ import annotations

from typing import Any

import pytest

from logwire import errors
from logwire.messages.consumer_protocol import decode_assignment
from tests.broker.groups.consumer_bench import Asked, Client, ConsumerBench


@pytest.fixture
def bench() -> ConsumerBench:
    """A consumer group that reads `a`, four partitions, with one member `new`."""
    made = ConsumerBench()
    made.cluster.create("a", 4)
    Client(made, "new", "a").beat()
    return made


def come(bench: ConsumerBench, **fields: Any) -> Asked:
    """A classic member joins as clients do: asks for an id, joins with it."""
    member_id = bench.classic_join("", "a", **fields)["member_id"]
    return bench.classic_join(member_id, "a", **fields)


def told(asked: Asked) -> dict[str, list[int]]:
    """What a SyncGroup said, by topic."""
    assignment = decode_assignment(asked["assignment"])[1]
    return {row["topic"]: row["partitions"] for row in assignment["assigned_partitions"]}


def give_up(bench: ConsumerBench) -> None:
    """The member `new` gives up what it must, and says so."""
    client = Client(bench, "new", "a")
    member = bench.state.members["new"]
    client.epoch = member.member_epoch
    client.owned = {t: set(p) for t, p in member.assigned.items()}
    client.beat()
    client.beat()


def test_a_new_member_has_to_come_twice(bench: ConsumerBench) -> None:
    """With the id that it was given (KIP-394); old versions and static members need not."""
    asked = bench.classic_join("", "a")
    assert asked.code == errors.MEMBER_ID_REQUIRED
    assert set(bench.state.members) == {"new"}
    assert bench.classic_join("", "a", version=3).code == errors.NONE
    assert bench.classic_join("", "a", instance="i").code == errors.NONE


def test_a_classic_member_joins_syncs_and_reads_what_is_free(bench: ConsumerBench) -> None:
    """At first nothing; its heartbeat says when there is more."""
    joined = come(bench)
    member_id, generation = joined["member_id"], joined["generation_id"]
    assert (joined.code, generation, joined["protocol_name"]) == (errors.NONE, 3, "range")
    assert (joined["leader"], joined["members"]) == ("", [])
    assert told(bench.sync(member_id, generation)) == {}
    assert bench.classic_beat(member_id, generation) == errors.NONE
    give_up(bench)
    assert bench.classic_beat(member_id, generation) == errors.REBALANCE_IN_PROGRESS
    joined = bench.classic_join(member_id, "a", owned={"a": []})
    assert joined["generation_id"] == 3
    (numbers,) = told(bench.sync(member_id, 3)).values()
    assert len(numbers) == 2
    assert bench.classic_beat(member_id, 3) == errors.NONE


def test_a_classic_member_gives_up_by_joining_without(bench: ConsumerBench) -> None:
    """A cooperative one says what it owns; it is told in the sync before."""
    first = come(bench)["member_id"]
    give_up(bench)
    bench.classic_join(first, "a", owned={"a": []})
    owned = told(bench.sync(first, 3))
    second = Client(bench, "newer", "a")
    second.beat()
    assert bench.classic_beat(first, 3) == errors.REBALANCE_IN_PROGRESS
    joined = bench.classic_join(first, "a", owned=owned)
    assert joined["generation_id"] == 3, "it has to give up first, in its generation"
    fewer = told(bench.sync(first, 3))
    assert len(fewer["a"]) == 1
    assert bench.classic_beat(first, 3) == errors.REBALANCE_IN_PROGRESS
    assert bench.classic_join(first, "a", owned=fewer)["generation_id"] == 4
    give_up(bench)
    second.beat()
    assert second.count == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"protocol_type": "connect"}, errors.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocols": {}}, errors.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocols": {"range": b""}}, errors.UNKNOWN_SERVER_ERROR),
    ],
)
def test_who_speaks_something_else_cannot_join(
    bench: ConsumerBench, fields: dict[str, Any], code: int
) -> None:
    """Another kind of group, no protocol, or metadata that cannot be read."""
    before = len(bench.records)
    assert bench.classic_join("x", "a", **fields).code == code
    assert len(bench.records) == before


def test_classic_members_must_have_a_protocol_in_common(bench: ConsumerBench) -> None:
    """The group may have to be a classic one again."""
    come(bench, protocols={"range": b"\0\0\0\0\0\0\xff\xff\xff\xff"})
    other = {"sticky": b"\0\0\0\0\0\0\xff\xff\xff\xff"}
    assert bench.classic_join("x", protocols=other).code == errors.INCONSISTENT_GROUP_PROTOCOL


def test_the_policy_may_keep_classic_members_out(bench: ConsumerBench) -> None:
    """`disabled`: a group is of one kind. A full group is full for them as well."""
    settings = bench.cluster.group_settings
    bench.cluster.group_settings = settings._replace(upgrades=False, downgrades=False)
    assert bench.classic_join("x", "a").code == errors.INCONSISTENT_GROUP_PROTOCOL
    bench.cluster.group_settings = settings._replace(size_max=1)
    assert bench.classic_join("x", "a").code == errors.GROUP_MAX_SIZE_REACHED
    bench.cluster.group_settings = settings._replace(metadata_bytes_max=4_000)
    assert bench.classic_join("x", "a" * 4_000).code == errors.GROUP_MAX_SIZE_REACHED


def test_requests_of_strangers_and_of_other_generations_are_refused(bench: ConsumerBench) -> None:
    """Members of the other protocol are strangers here; instance ids are checked."""
    member_id = come(bench)["member_id"]
    static = bench.classic_join("", "a", instance="i")["member_id"]
    assert bench.classic_beat("x", 3) == errors.UNKNOWN_MEMBER_ID
    assert bench.classic_beat("new", 2) == errors.UNKNOWN_MEMBER_ID
    assert bench.classic_beat(member_id, 2) == errors.ILLEGAL_GENERATION
    assert bench.classic_beat(member_id, 3, "i") == errors.FENCED_INSTANCE_ID
    assert bench.classic_beat(static, 4, "j") == errors.UNKNOWN_MEMBER_ID
    assert bench.sync(member_id, 9).code == errors.ILLEGAL_GENERATION
    wrong = bench.sync(static, 4, instance="i", protocol_name="sticky")
    assert wrong.code == errors.INCONSISTENT_GROUP_PROTOCOL
    wrong = bench.sync(static, 4, instance="i", protocol_type="connect")
    assert wrong.code == errors.INCONSISTENT_GROUP_PROTOCOL


def test_a_static_classic_member_comes_back_under_a_new_id(bench: ConsumerBench) -> None:
    """And what it had is its own."""
    first = bench.classic_join("", "a", instance="i")["member_id"]
    target = bench.state.targets[first]
    second = bench.classic_join("", "a", instance="i")["member_id"]
    assert (bench.state.targets[second], bench.state.static_members) == (target, {"i": second})
    code = bench.classic_join(first, "a", instance="i").code
    assert code == errors.FENCED_INSTANCE_ID


def test_who_is_told_to_join_and_does_not_is_out(bench: ConsumerBench) -> None:
    """After its rebalance timeout, though its heartbeats go on."""
    member_id = come(bench, rebalance_ms=20_000)["member_id"]
    bench.sync(member_id, 3)
    Client(bench, "newer", "a").beat()
    for _ in range(4):
        assert bench.classic_beat(member_id, 3) == errors.REBALANCE_IN_PROGRESS
        bench.pass_time(5_000)
    assert member_id not in bench.state.members
    assert bench.notes[-1].reason == "a classic member did not join in time"


def test_who_joins_and_does_not_sync_is_out(bench: ConsumerBench) -> None:
    """After its rebalance timeout, or with its session, which is as long as it asked for."""
    member_id = come(bench, rebalance_ms=3_000, session_ms=7_000)["member_id"]
    bench.pass_time(3_000)
    assert member_id not in bench.state.members
    member_id = come(bench, rebalance_ms=30_000, session_ms=7_000)["member_id"]
    bench.pass_time(7_000)
    assert member_id not in bench.state.members


def test_a_sync_in_an_old_epoch_is_told_to_join_again(bench: ConsumerBench) -> None:
    """The assignment has moved on between the two requests."""
    joined = come(bench)
    Client(bench, "newer", "a").beat()
    code = bench.sync(joined["member_id"], joined["generation_id"]).code
    assert code == errors.REBALANCE_IN_PROGRESS


def test_leave_group_takes_members_of_both_protocols(bench: ConsumerBench) -> None:
    """An administrator names static ones by instance id alone."""
    come(bench)
    bench.classic_join("", "a", instance="i")
    codes = bench.leave(("", "i"), ("new", None), ("x", None), ("", "j"))
    unknown = errors.UNKNOWN_MEMBER_ID
    assert codes == [errors.NONE, errors.NONE, unknown, unknown]
