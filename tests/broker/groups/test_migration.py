"""A group that changes its kind while it works, both ways, with classic and new members."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_state import PREPARING, STABLE
from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.consumer_step import Step
from logserver.broker.groups.migration import protocol_version, release, upgrade
from logwire import errors
from logwire.errors import Refusal
from logwire.messages.consumer_protocol import decode_assignment, encode_assignment
from tests.broker.groups.consumer_bench import (
    GROUP,
    Asked,
    Client,
    ConsumerBench,
    is_classic,
    settle,
)


def part(**topics: list[int]) -> bytes:
    """An assignment as a leader writes it."""
    rows = [{"topic": name, "partitions": numbers} for name, numbers in topics.items()]
    return encode_assignment({"assigned_partitions": rows, "user_data": None})


def assigned(group: ClassicGroup, member_id: str) -> dict[str, list[int]]:
    """What a classic group has for a member, by topic."""
    fields = decode_assignment(group.roster[member_id].assignment)[1]
    return {row["topic"]: row["partitions"] for row in fields["assigned_partitions"]}


class Classic(ConsumerBench):
    """The bench, beginning with a classic group of two members that read `a`."""

    def __init__(self, parts: tuple[bytes, bytes] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.topic_id = self.cluster.create("a", 4)
        self.groups[GROUP] = ClassicGroup(GROUP)
        self.ids = [self.classic_join("", "a")["member_id"] for _ in range(2)]
        joins = [self.classic_join(member_id, "a") for member_id in self.ids]
        self.pass_time(6_000)
        assert [join.code for join in joins] == [0, 0]
        first, second = parts or (part(a=[0, 1]), part(a=[2, 3]))
        leader, other = self.ids
        waiting = self.sync(other, 1)
        self.sync(leader, 1, assignments={leader: first, other: second})
        assert waiting.code == errors.NONE

    def upgrade(self) -> None:
        """The classic group gives way to a consumer group, as for a first member's heartbeat."""
        classic = is_classic(self.groups[GROUP])
        made = ConsumerGroup(GROUP, self.cluster)
        step = Step(made, self.now)
        upgrade(step, classic)
        step.add(release(classic))
        step.replace(made)
        self.perform(made.finish(step))


def test_members_of_a_classic_group_keep_what_they_have() -> None:
    """The group is stable at once, at its generation; they can go on as they are."""
    bench = Classic()
    bench.upgrade()
    assert (bench.state.epoch, bench.state.assignment_epoch) == (1, 1)
    assert bench.group.state_name == "Stable"
    for member_id, expected in zip(bench.ids, ({0, 1}, {2, 3}), strict=True):
        member = bench.state.members[member_id]
        assert (member.member_epoch, member.client_id) == (1, "classic")
        assert {t: set(p) for t, p in member.assigned.items()} == {bench.topic_id: expected}
        assert bench.classic_beat(member_id, 1) == errors.NONE
    of_member = ["MemberMetadata", "TargetAssignmentMember", "CurrentMemberAssignment"]
    assert bench.names()[-9:] == [
        "-GroupMetadata",
        *of_member,
        *of_member,
        "Metadata",
        "TargetAssignmentMetadata",
    ]


def test_a_new_member_gets_its_share_from_classic_ones() -> None:
    """They are told by their heartbeats, give up, and nobody reads anything twice."""
    bench = Classic()
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    for member_id in bench.ids:
        code = bench.classic_beat(member_id, 1)
        assert code == errors.REBALANCE_IN_PROGRESS
    for member_id in bench.ids:
        owned = [sorted(p) for p in bench.state.members[member_id].assigned.values()]
        generation = bench.classic_join(member_id, "a", owned={"a": owned[0]})["generation_id"]
        told = decode_assignment(bench.sync(member_id, generation)["assignment"])[1]
        kept = [row["partitions"] for row in told["assigned_partitions"]]
        generation = bench.classic_join(member_id, "a", owned={"a": kept[0]})["generation_id"]
        assert generation == 2
        bench.sync(member_id, 2)
    client.beat()
    assert client.count == 1
    assert bench.group.state_name == "Stable"


def test_the_last_new_member_leaves_a_classic_group_behind() -> None:
    """It rebalances, because somebody left; its members just join again."""
    bench = Classic()
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    client.leave()
    group = is_classic(bench.groups[GROUP])
    assert (group.state, group.generation, list(group.roster.members)) == (PREPARING, 2, bench.ids)
    joins = [bench.classic_join(member_id, "a") for member_id in bench.ids]
    assert [join["generation_id"] for join in joins] == [3, 3]


def test_a_session_that_ends_may_be_the_last_of_its_protocol() -> None:
    """Time does it as well as a request; then the classic group has the timers."""
    bench = Classic()
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    for _ in range(9):
        bench.pass_time(5_000)
        for member_id in bench.ids:
            if isinstance(bench.groups[GROUP], ClassicGroup):
                break
            epoch = bench.state.members[member_id].member_epoch
            bench.classic_join(member_id, "a", owned={})
            epoch = bench.state.members[member_id].member_epoch
            bench.sync(member_id, epoch)
    group = is_classic(bench.groups[GROUP])
    assert list(group.roster.members) == bench.ids
    bench.pass_time(60_000)
    assert group.empty


def test_a_static_member_that_comes_back_as_a_classic_one_may_be_the_last() -> None:
    """Everybody keeps what is meant to be its own, and no rebalance is needed."""
    bench = ConsumerBench()
    topic_id = bench.cluster.create("a", 2)
    client = Client(bench, "new", "a", instance="i")
    client.beat()
    other = bench.classic_join("", "a", instance="j")["member_id"]
    client.beat()
    client.beat()
    bench.classic_join(other, "a", instance="j", owned={})
    bench.sync(other, 3, instance="j")
    assert bench.group.state_name == "Stable"
    joined = bench.classic_join("", "a", instance="i")
    group = is_classic(bench.groups[GROUP])
    assert (group.state, group.generation, joined["generation_id"]) == (STABLE, 3, 3)
    member_id = joined["member_id"]
    both = assigned(group, member_id)["a"] + assigned(group, other)["a"]
    assert sorted(both) == [0, 1]
    assert client.owned == {topic_id: set(assigned(group, member_id)["a"])}
    synced = bench.sync(member_id, 3, instance="i")
    assert decode_assignment(synced["assignment"])[1]["assigned_partitions"]


def test_the_policy_says_which_ways_are_open() -> None:
    """Where there is no way back the group stays a consumer group of classic members."""
    bench = Classic(upgrades=False)
    with pytest.raises(Refusal, match="online upgrade is disabled") as refused:
        bench.upgrade()
    assert refused.value.code == errors.GROUP_ID_NOT_FOUND
    bench = Classic(downgrades=False)
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    client.leave()
    assert list(bench.state.members) == bench.ids


def test_a_group_too_large_for_the_other_kind_stays_what_it_is() -> None:
    """Each kind has its own limit."""
    bench = Classic(size_max=1)
    with pytest.raises(Refusal, match="exceeds the consumer group maximum size"):
        bench.upgrade()
    bench = Classic(classic_size_max=1)
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    client.leave()
    assert list(bench.state.members) == bench.ids


def test_groups_of_other_protocols_stay_classic() -> None:
    """Connect, custom assignors with data of their own, bytes that are no subscription."""
    bench = ConsumerBench()
    connect = bench.groups[GROUP] = ClassicGroup(GROUP)
    member_id = bench.classic_join("", protocol_type="connect")["member_id"]
    bench.classic_join(member_id, protocol_type="connect")
    with pytest.raises(Refusal, match="consumer embedded protocol"):
        upgrade(Step(ConsumerBench().group, bench.now), connect)
    custom = encode_assignment({"assigned_partitions": [], "user_data": b"x"})
    with pytest.raises(Refusal, match="custom assignor"):
        Classic((custom, b"")).upgrade()
    with pytest.raises(Refusal, match="malformed"):
        Classic((b"\0\1", b"")).upgrade()


def test_a_member_that_was_refused_nothing_leaves_the_classic_group_alone() -> None:
    """Looking at it changes nothing: who waits in it still waits."""
    bench = Classic(upgrades=False)
    before = list(bench.records)
    rejoin = bench.classic_join(bench.ids[0], "a")
    with pytest.raises(Refusal):
        bench.upgrade()
    assert rejoin.answer is None
    assert bench.records == before


def test_who_waits_in_a_classic_group_is_told_to_join_again() -> None:
    """In a consumer group nobody waits for anybody."""
    bench = Classic()
    rejoin: Asked = bench.classic_join(bench.ids[0], "a")
    bench.upgrade()
    assert rejoin.code == errors.REBALANCE_IN_PROGRESS


def test_a_partition_that_a_leader_gave_twice_has_one_owner_afterwards() -> None:
    """The second member finds out when it joins again."""
    bench = Classic((part(a=[0, 1]), part(a=[1, 2, 3])))
    bench.upgrade()
    second = bench.state.members[bench.ids[1]]
    assert {t: set(p) for t, p in second.assigned.items()} == {bench.topic_id: {2, 3}}


def test_topics_that_do_not_exist_any_more_are_left_out() -> None:
    """On the way there and on the way back."""
    bench = Classic((part(a=[0], gone=[1]), part(gone=[2])))
    bench.upgrade()
    assert bench.state.members[bench.ids[1]].assigned == {}
    client = Client(bench, "new", "a")
    client.beat()
    bench.cluster.delete("a")
    client.leave()
    group = is_classic(bench.groups[GROUP])
    assert assigned(group, bench.ids[0]) == {}


def test_what_classic_members_still_read_is_not_given_away_by_a_quick_return() -> None:
    """Back to classic and forth again before any of them has joined: nothing is free."""
    bench = Classic()
    bench.upgrade()
    client = Client(bench, "new", "a")
    client.beat()
    client.leave()
    group = is_classic(bench.groups[GROUP])
    parts = [assigned(group, member_id)["a"] for member_id in bench.ids]
    assert parts == [[0, 1], [2, 3]]
    bench.upgrade()
    again = Client(bench, "newer", "a")
    again.beat()
    assert again.count == 0


def test_assignments_are_written_in_the_version_of_their_member() -> None:
    """As far as there is one."""
    versions = [b"\0\1rest", b"\0\x63", b"\xff\xff", b"", b"\0"]
    assert [protocol_version(data) for data in versions] == [1, 3, 0, 0, 0]


def test_a_group_may_go_there_and_back_again() -> None:
    """The log of all of it loads as what it is at the end (the bench looks after each step)."""
    bench = Classic()
    for turn in range(3):
        bench.upgrade()
        client = Client(bench, f"new{turn}", "a")
        client.beat()
        client.leave()
        generation = is_classic(bench.groups[GROUP]).generation
        joins = [bench.classic_join(member_id, "a") for member_id in bench.ids]
        leader = joins[0]["leader"]
        assert joins[0]["generation_id"] == generation + 1
        parts = {member_id: part(a=[number]) for number, member_id in enumerate(bench.ids)}
        bench.sync(leader, generation + 1, assignments=parts)
    bench.upgrade()
    settle(bench, [])
