"""From one generation to the next: delays, timeouts, elections, assignments."""

from __future__ import annotations

from logwire import errors
from tests.broker.groups.classic_bench import BOTH, RANGE, GroupBench


def test_an_empty_group_waits_for_more_members_before_its_first_generation() -> None:
    """Three seconds by default; all who came in them are in it."""
    bench = GroupBench()
    first = bench.come()[1]
    bench.pass_time(2_999)
    second = bench.come()[1]
    assert first.waits
    assert second.waits
    bench.settle()
    assert first["generation_id"] == second["generation_id"] == 1
    assert bench.group.state == "CompletingRebalance"


def test_each_turn_with_a_newcomer_is_followed_by_another_up_to_the_rebalance_timeout() -> None:
    """The delay is 3 s and the timeout 10 s: 3 + 3 + 3 + 1 s, as Kafka counts it."""
    bench = GroupBench()
    ends_ms = []
    first = bench.come(rebalance_ms=10_000)[1]
    for second in range(1, 20):
        bench.pass_time(1_000)
        if first.waits:
            bench.come(rebalance_ms=10_000)
            ends_ms.append(second * 1_000)
    assert ends_ms[-1] == 9_000
    assert bench.group.state == "CompletingRebalance"


def test_without_a_newcomer_the_delay_is_not_extended() -> None:
    """A pending member that comes back late is not a reason either: it did not join in time."""
    bench = GroupBench()
    first = bench.come()[1]
    bench.join()
    bench.pass_time(3_000)
    assert first["generation_id"] == 1


def test_with_no_delay_the_first_member_is_served_at_once() -> None:
    """`group.initial.rebalance.delay.ms` of 0: as soon as the clock is looked at."""
    bench = GroupBench(initial_rebalance_delay_ms=0)
    first = bench.come()[1]
    bench.pass_time(0)
    assert first["generation_id"] == 1


def test_a_newcomer_makes_everybody_join_again() -> None:
    """Heartbeats say so; the generation begins with the last join."""
    bench = GroupBench()
    ids = bench.stable(2)
    third, joined = bench.come()
    assert [bench.beat(name, 1) for name in ids] == [errors.REBALANCE_IN_PROGRESS] * 2
    again = [bench.join(name) for name in ids]
    assert {request["generation_id"] for request in (joined, *again)} == {2}
    assert [row["member_id"] for row in again[0]["members"]] == [*ids, third]
    assert joined["leader"] == ids[0]


def test_who_does_not_join_in_time_is_out_and_the_others_go_on() -> None:
    """The time is that of the most patient member."""
    bench = GroupBench()
    ids = bench.stable(3, session_ms=600_000, rebalance_ms=20_000)
    patient = bench.come(session_ms=600_000, rebalance_ms=30_000)[1]
    again = bench.join(ids[1], session_ms=600_000, rebalance_ms=20_000)
    bench.pass_time(29_999)
    assert again.waits
    bench.pass_time(1)
    assert again["leader"] == patient["leader"] == ids[1]
    assert len(again["members"]) == 2
    assert bench.beat(ids[0]) == errors.UNKNOWN_MEMBER_ID


def test_static_members_that_do_not_join_in_time_keep_their_part() -> None:
    """They may be restarting; only the end of their session puts them out (KIP-345)."""
    bench = GroupBench()
    static = bench.join(instance="i", session_ms=600_000, rebalance_ms=20_000)
    dynamic = bench.come(session_ms=600_000, rebalance_ms=20_000)[0]
    bench.settle()
    bench.sync_all([static["member_id"], dynamic])
    again = bench.join(dynamic, protocols=BOTH, session_ms=600_000, rebalance_ms=20_000)
    bench.pass_time(20_000)
    assert [row["group_instance_id"] for row in again["members"]] == ["i", None]
    assert again["leader"] == dynamic


def test_a_rebalance_that_no_static_member_joins_waits_for_their_sessions() -> None:
    """Nobody can lead; it ends with the last session, and the group is empty."""
    bench = GroupBench()
    for name in "ij":
        bench.join(instance=name, session_ms=100_000, rebalance_ms=10_000)
    bench.settle()
    ids = list(bench.group.roster.members)
    bench.sync_all(ids)
    bench.leave(bench.come(rebalance_ms=10_000)[0])
    assert bench.group.state == "PreparingRebalance"
    bench.pass_time(50_000)
    assert (bench.group.state, bench.group.generation) == ("PreparingRebalance", 1)
    bench.pass_time(60_000)
    assert (bench.group.state, bench.group.generation) == ("Empty", 2)
    assert bench.wake_ms is None


def test_parts_reach_those_who_asked_and_wait_for_those_who_have_not() -> None:
    """A follower may sync before or after the leader; who was not named gets nothing."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(3)]
    bench.settle()
    early = bench.sync(ids[1])
    assert early.waits
    assert bench.sync(ids[0], {ids[0]: b"a", ids[1]: b"b", "stranger": b"x"})["assignment"] == b"a"
    assert early["assignment"] == b"b"
    assert (early["protocol_type"], early["protocol_name"]) == ("consumer", "range")
    assert bench.group.state == "Stable"
    late = bench.sync(ids[2])
    assert (late.code, late["assignment"]) == (errors.NONE, b"")


def test_a_sync_that_is_not_of_this_generation_is_refused() -> None:
    """With the code that tells the client what to do."""
    bench = GroupBench()
    ids = bench.stable(2)
    assert bench.sync("stranger").code == errors.UNKNOWN_MEMBER_ID
    assert bench.sync(ids[0], generation=0).code == errors.ILLEGAL_GENERATION
    assert bench.sync(ids[0], type="connect").code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.sync(ids[0], name="sticky").code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.sync(ids[0], type=None, name=None).code == errors.NONE
    bench.join(ids[0])
    assert bench.sync(ids[1]).code == errors.REBALANCE_IN_PROGRESS
    bench.leave(*ids)
    assert bench.sync(ids[0]).code == errors.UNKNOWN_MEMBER_ID


def test_a_second_sync_takes_the_place_of_the_first() -> None:
    """The first connection is gone, or the client would not ask again; nobody is left waiting."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    first, second = bench.sync(ids[1]), bench.sync(ids[1])
    assert first.code == errors.REBALANCE_IN_PROGRESS
    bench.sync(ids[0], {ids[1]: b"part"})
    assert second["assignment"] == b"part"


def test_a_rebalance_during_a_sync_sends_everybody_back() -> None:
    """Nobody works on an assignment that is about to be made anew."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    waiting = bench.sync(ids[1])
    bench.come()
    assert waiting.code == errors.REBALANCE_IN_PROGRESS
    assert bench.group.state == "PreparingRebalance"


def test_who_never_syncs_is_put_out_after_the_rebalance_timeout() -> None:
    """It joined and lives, but does not take part: the others get what it has."""
    bench = GroupBench()
    ids = [bench.come(session_ms=300_000, rebalance_ms=20_000)[0] for _ in range(3)]
    bench.settle()
    bench.sync(ids[0], dict.fromkeys(ids, b"part"))
    bench.sync(ids[1])
    bench.pass_time(20_000)
    assert ids[2] not in bench.group.roster
    assert bench.group.state == "PreparingRebalance"
    assert bench.notes[-1].member_id == ids[2]


def test_the_time_to_sync_ends_with_the_last_sync() -> None:
    """Nothing happens after it."""
    bench = GroupBench()
    ids = bench.stable(2, session_ms=300_000, rebalance_ms=20_000)
    bench.pass_time(100_000)
    assert (bench.group.state, bench.group.generation) == ("Stable", 1)
    assert all(name in bench.group.roster for name in ids)


def test_an_assignment_that_is_too_large_is_not_taken() -> None:
    """Kafka's code for a record that does not fit the log; the group tries again."""
    bench = GroupBench(metadata_bytes_max=2_000)
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    waiting = bench.sync(ids[1])
    assert bench.sync(ids[0], {ids[1]: bytes(1_000)}).code == errors.UNKNOWN_SERVER_ERROR
    assert waiting.code == errors.UNKNOWN_SERVER_ERROR
    assert bench.group.state == "PreparingRebalance"
    assert bench.log == []


def test_every_rebalance_leaves_a_note_with_its_reason() -> None:
    """Who caused it, why, and in which generation; the client's own words if it gave any."""
    bench = GroupBench()
    ids = bench.stable(1, protocols=RANGE)
    bench.come(reason="scaled out")
    assert [(note.reason, note.generation) for note in bench.notes] == [
        ("a member joins", 0),
        ("a member joins: scaled out", 1),
    ]
    assert bench.notes[0].member_id == ids[0]
