"""JoinGroup: newcomers, members that come again, static members, full groups."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.broker.groups.classic_join import NEW_MEMBER_JOIN_TIMEOUT_MS
from logwire import errors
from tests.broker.groups.classic_bench import BOTH, RANGE, GroupBench


@pytest.mark.parametrize("version", range(10))
def test_every_version_brings_a_new_member_into_the_group(version: int) -> None:
    """From version 4 on it is given an id first and asked to come again (KIP-394)."""
    bench = GroupBench()
    request = bench.join(version=version)
    if version >= 4:
        assert request.code == errors.MEMBER_ID_REQUIRED
        assert request["member_id"] in bench.group.roster.pending
        request = bench.join(request["member_id"], version=version)
    bench.settle()
    assert (request.code, request["generation_id"]) == (errors.NONE, 1)
    assert request["leader"] == request["member_id"]
    assert bench.group.roster.pending == set()


def test_a_client_that_retries_is_one_member_not_many() -> None:
    """Before KIP-394 each retry of a join without an id was one more member."""
    bench = GroupBench()
    member_id = str(bench.join()["member_id"])
    requests = [bench.join(member_id) for _ in range(3)]
    bench.settle()
    assert [request.code for request in requests] == [
        errors.REBALANCE_IN_PROGRESS,
        errors.REBALANCE_IN_PROGRESS,
        errors.NONE,
    ]
    assert len(bench.group.roster) == 1


def test_a_rebalance_waits_for_a_pending_member_but_not_for_ever() -> None:
    """For as long as its session would last."""
    bench = GroupBench()
    ids = bench.stable(1, session_ms=300_000)
    bench.join(session_ms=10_000)
    again = bench.join(ids[0], session_ms=300_000)
    bench.pass_time(9_999)
    assert again.waits
    bench.pass_time(1)
    assert again["generation_id"] == 2
    assert bench.group.roster.pending == set()


def test_a_pending_member_that_leaves_is_not_waited_for() -> None:
    """LeaveGroup with the id that it was given."""
    bench = GroupBench()
    ids = bench.stable(1)
    pending = bench.join()["member_id"]
    again = bench.join(ids[0])
    assert again.waits
    assert bench.leave(pending)["members"][0]["error_code"] == errors.NONE
    assert again["generation_id"] == 2


def test_a_pending_member_cannot_become_a_static_one() -> None:
    """Static members are never asked to come again; Kafka fails at it with this code."""
    bench = GroupBench()
    pending = bench.join()["member_id"]
    assert bench.join(pending, instance="i").code == errors.UNKNOWN_SERVER_ERROR
    assert pending in bench.group.roster.pending


def test_members_must_speak_a_common_protocol_of_the_group_s_type() -> None:
    """One that all know; an empty group asks only that there is one."""
    bench = GroupBench()
    assert bench.join(type="").code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.join(protocols={}).code == errors.INCONSISTENT_GROUP_PROTOCOL
    bench.stable(1, protocols=BOTH)
    other = bench.join(protocols={"other": b""})
    assert (other.code, other["member_id"]) == (errors.INCONSISTENT_GROUP_PROTOCOL, "")
    assert bench.join(type="connect").code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.join(protocols=RANGE).code == errors.MEMBER_ID_REQUIRED
    assert bench.group.state == "Stable"


def test_an_unknown_member_is_told_to_begin_anew() -> None:
    """In every state; a group that nobody is in knows no ids."""
    bench = GroupBench()
    stranger = bench.join("stranger")
    assert (stranger.code, stranger["member_id"]) == (errors.UNKNOWN_MEMBER_ID, "stranger")
    assert stranger["protocol_name"] is None
    bench.stable(1)
    assert bench.join("stranger").code == errors.UNKNOWN_MEMBER_ID
    assert bench.join("stranger", instance="i").code == errors.UNKNOWN_MEMBER_ID


def test_a_follower_that_asks_again_hears_what_it_missed() -> None:
    """With the same protocols nothing has changed, whether the group is stable or about to be."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    assert bench.join(ids[1])["generation_id"] == 1
    leader = bench.join(ids[0])
    assert [row["member_id"] for row in leader["members"]] == ids
    bench.sync_all(ids)
    follower = bench.join(ids[1])
    assert (follower["generation_id"], follower["members"]) == (1, [])
    assert bench.group.state == "Stable"


@pytest.mark.parametrize("protocols", [BOTH, {"range": b"new"}])
def test_a_member_that_has_changed_begins_a_rebalance(protocols: dict[str, bytes]) -> None:
    """Other protocols or other metadata: the assignment was made from the old ones."""
    bench = GroupBench()
    ids = bench.stable(2)
    request = bench.join(ids[1], protocols=protocols)
    assert request.waits
    assert bench.group.state == "PreparingRebalance"
    bench.join(ids[0])
    assert request["generation_id"] == 2


def test_the_leader_of_a_stable_group_may_always_begin_a_rebalance() -> None:
    """It has seen new partitions, which are in nobody's metadata."""
    bench = GroupBench()
    ids = bench.stable(2)
    assert bench.join(ids[0]).waits
    assert bench.group.state == "PreparingRebalance"


def test_a_new_member_is_held_only_so_long_without_an_answer() -> None:
    """It has no id to send heartbeats with: nobody may be behind a join that waits for ever."""
    bench = GroupBench()
    ids = bench.stable(1, session_ms=1_000_000, rebalance_ms=1_000_000)
    newcomer = bench.come(session_ms=20_000, rebalance_ms=1_000_000)[1]
    bench.pass_time(NEW_MEMBER_JOIN_TIMEOUT_MS - 1)
    assert newcomer.waits
    bench.pass_time(1)
    assert (newcomer.code, newcomer["member_id"]) == (errors.UNKNOWN_MEMBER_ID, "")
    assert list(bench.group.roster.members) == ids


def test_a_full_group_turns_newcomers_away() -> None:
    """Members may come again; with one gone there is room."""
    bench = GroupBench(size_max=2)
    ids = bench.stable(2)
    assert bench.join().code == errors.GROUP_MAX_SIZE_REACHED
    assert bench.join(ids[1]).code == errors.NONE
    bench.leave(ids[0])
    assert bench.join().code == errors.MEMBER_ID_REQUIRED


def test_the_last_to_join_again_are_too_many_for_a_group_made_smaller() -> None:
    """And nobody waits for them."""
    bench = GroupBench()
    ids = bench.stable(3)
    bench.group.limits = bench.group.limits._replace(size_max=2)
    first, second = bench.join(ids[0]), bench.join(ids[1])
    assert bench.join(ids[2]).code == errors.GROUP_MAX_SIZE_REACHED
    assert first["generation_id"] == second["generation_id"] == 2
    assert len(first["members"]) == 2


def test_metadata_and_pending_members_are_bounded() -> None:
    """Nobody fills the memory with joins: neither with large ones nor with many."""
    bench = GroupBench(metadata_bytes_max=2_000, pending_count_max=3)
    heavy = {"range": bytes(2_000)}
    many = {f"p{number}": b"" for number in range(20)}
    for protocols in (heavy, many):
        assert bench.join(protocols=protocols).code == errors.GROUP_MAX_SIZE_REACHED
    codes = [bench.join().code for _ in range(4)]
    assert codes == [errors.MEMBER_ID_REQUIRED] * 3 + [errors.GROUP_MAX_SIZE_REACHED]
    bench.pass_time(10_000)
    assert bench.group.roster.pending == set()


def test_a_member_that_comes_again_too_heavy_stays_what_it_was() -> None:
    """The generation goes on with it; only a rebalance does without who cannot come to it."""
    bench = GroupBench(metadata_bytes_max=2_000)
    heavy = {"range": bytes(2_000)}
    ids = bench.stable(2)
    assert bench.join(ids[1], protocols=heavy).code == errors.GROUP_MAX_SIZE_REACHED
    assert (bench.group.state, list(bench.group.roster.members)) == ("Stable", ids)
    assert bench.beat(ids[1]) == errors.NONE
    waiting = bench.join(ids[0])
    assert bench.join(ids[1], protocols=heavy).code == errors.GROUP_MAX_SIZE_REACHED
    assert (waiting["generation_id"], list(bench.group.roster.members)) == (2, ids[:1])


def test_a_leader_that_comes_again_too_heavy_still_has_its_time_to_assign() -> None:
    """And when that is over, the others begin anew without it."""
    bench = GroupBench(metadata_bytes_max=2_000)
    ids = [bench.come(session_ms=300_000)[0] for _ in range(2)]
    bench.settle()
    waiting = bench.sync(ids[1])
    heavy = bench.join(ids[0], protocols={"range": bytes(2_000)})
    assert heavy.code == errors.GROUP_MAX_SIZE_REACHED
    bench.pass_time(60_000)
    assert waiting.code == errors.REBALANCE_IN_PROGRESS
    assert list(bench.group.roster.members) == ids[1:]


# Static members


def static_group(bench: GroupBench, **fields: Any) -> tuple[str, str]:
    """A stable group of the static members `i` (leads) and `j`; their member ids."""
    requests = [bench.join(instance=name, **fields) for name in "ij"]
    bench.settle()
    leader, follower = (str(request["member_id"]) for request in requests)
    bench.sync_all([leader, follower])
    return leader, follower


def test_a_static_member_needs_no_second_request() -> None:
    """Its instance id makes a retry the same member."""
    bench = GroupBench()
    first = bench.join(instance="i")
    second = bench.join(instance="i")
    assert first.code == errors.FENCED_INSTANCE_ID
    bench.settle()
    assert (second.code, len(bench.group.roster)) == (errors.NONE, 1)


def test_a_static_follower_comes_back_without_a_rebalance() -> None:
    """A new member id, the same part, and nobody else hears of it (KIP-345)."""
    bench = GroupBench()
    leader, follower = static_group(bench)
    back = bench.join(instance="j", host="/elsewhere")
    assert (back.code, back["generation_id"], back["leader"]) == (errors.NONE, 1, leader)
    assert (back["members"], back["skip_assignment"]) == ([], False)
    new = str(back["member_id"])
    assert new != follower
    assert bench.sync(new, instance="j")["assignment"] == follower.encode()
    assert bench.beat(leader, instance="i") == errors.NONE
    assert bench.beat(follower, instance="j") == errors.FENCED_INSTANCE_ID
    assert bench.group.roster[new].client_host == "/elsewhere"
    assert bench.reloaded().group.roster.static_member_id("j") == new


def test_a_static_leader_comes_back_and_is_told_not_to_assign() -> None:
    """It sees the members, for its own bookkeeping, and skips the assignment (KIP-814)."""
    bench = GroupBench()
    leader, _ = static_group(bench)
    back = bench.join(instance="i")
    assert back["leader"] == back["member_id"] != leader
    assert back["skip_assignment"]
    assert len(back["members"]) == 2
    assert bench.group.state == "Stable"


def test_a_static_leader_of_an_older_version_takes_itself_for_a_follower() -> None:
    """It is told that its former self leads: there is no field to forbid it to assign."""
    bench = GroupBench()
    leader, _ = static_group(bench)
    back = bench.join(instance="i", version=8)
    assert (back["leader"], back["members"]) == (leader, [])
    assert bench.group.roster.leader_id == back["member_id"]
    assert bench.sync(back["member_id"], instance="i")["assignment"] == leader.encode()


def test_a_static_member_that_changes_the_protocol_begins_a_rebalance() -> None:
    """The assignment was made for the protocol that would not be chosen any more."""
    bench = GroupBench()
    bench.join(instance="i", protocols=BOTH)
    bench.join(instance="j", protocols=BOTH)
    bench.settle()
    bench.sync_all(list(bench.group.roster.members))
    back = bench.join(instance="j", protocols={"sticky": b"s"})
    assert back.waits
    assert bench.group.state == "PreparingRebalance"


def test_a_static_member_that_comes_back_before_the_assignment_begins_a_rebalance() -> None:
    """The leader is assigning to its old id."""
    bench = GroupBench()
    requests = [bench.join(instance=name) for name in "ij"]
    bench.settle()
    waiting = bench.sync(requests[1]["member_id"], instance="j")
    back = bench.join(instance="j")
    assert waiting.code == errors.FENCED_INSTANCE_ID
    assert back.waits
    leader = bench.join(requests[0]["member_id"], instance="i")
    assert back["generation_id"] == leader["generation_id"] == 2


def test_a_static_member_that_comes_back_during_a_rebalance_joins_it() -> None:
    """Its former self, which waits in the same rebalance, is fenced."""
    bench = GroupBench()
    leader, follower = static_group(bench)
    waiting = bench.join(follower, instance="j", protocols=BOTH)
    back = bench.join(instance="j", protocols=BOTH)
    assert (waiting.code, waiting["member_id"]) == (errors.FENCED_INSTANCE_ID, follower)
    last = bench.join(leader, instance="i", protocols=BOTH)
    assert back["generation_id"] == last["generation_id"] == 2


def test_a_fenced_member_cannot_join_again() -> None:
    """Two processes with one instance id: the newer one wins, the older one learns it."""
    bench = GroupBench()
    _, follower = static_group(bench)
    bench.join(instance="j")
    fenced = bench.join(follower, instance="j")
    assert (fenced.code, fenced["protocol_name"]) == (errors.FENCED_INSTANCE_ID, None)


def test_a_static_member_that_came_back_still_owes_its_sync() -> None:
    """Under its new id; if it never comes it is put out like everybody."""
    bench = GroupBench()
    requests = [bench.join(instance=name, session_ms=300_000, rebalance_ms=20_000) for name in "ij"]
    bench.settle()
    bench.sync(requests[0]["member_id"], {}, instance="i")
    back = bench.join(instance="j", session_ms=300_000, rebalance_ms=20_000)
    assert (bench.group.state, back.code) == ("Stable", errors.NONE)
    bench.pass_time(20_000)
    assert back["member_id"] not in bench.group.roster
    assert bench.group.state == "PreparingRebalance"
