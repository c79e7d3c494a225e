"""The machine of a classic group: living, leaving, dying; what outlives a restart; its size."""

from __future__ import annotations

from logwire import errors
from tests.broker.groups.classic_bench import SESSION_MS, GroupBench


def test_a_member_that_lives_stays_and_the_others_hear_nothing() -> None:
    """Heartbeats renew the session; the machine is woken no more often than sessions last."""
    bench = GroupBench()
    ids = bench.stable(3)
    wakes_count = bench.wakes_count
    for _ in range(100):
        bench.pass_time(1_000)
        assert [bench.beat(name) for name in ids] == [errors.NONE] * 3
    assert (bench.group.state, bench.group.generation) == ("Stable", 1)
    assert bench.wakes_count - wakes_count <= 100_000 // SESSION_MS * 3 + 3


def test_a_heartbeat_of_nobody_or_of_another_time_is_refused() -> None:
    """Unknown, fenced, stale: in this order."""
    bench = GroupBench()
    assert bench.beat("m") == errors.UNKNOWN_MEMBER_ID
    ids = bench.stable(1)
    assert bench.beat("m") == errors.UNKNOWN_MEMBER_ID
    assert bench.beat(ids[0], generation=0) == errors.ILLEGAL_GENERATION
    assert bench.beat(ids[0], instance="i") == errors.UNKNOWN_MEMBER_ID
    pending = str(bench.join()["member_id"])
    assert bench.beat(pending) == errors.UNKNOWN_MEMBER_ID


def test_heartbeats_are_answered_while_the_assignment_is_made() -> None:
    """The members have the new generation and nothing else to do."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    assert bench.group.state == "CompletingRebalance"
    assert [bench.beat(name) for name in ids] == [errors.NONE] * 2


def test_a_member_that_dies_is_missed_after_its_session() -> None:
    """The others are told by their heartbeats to join without it."""
    bench = GroupBench()
    ids = bench.stable(3)
    for _ in range(2):
        bench.pass_time(SESSION_MS // 2)
        codes = [bench.beat(name, 1) for name in ids[:2]]
    assert codes == [errors.REBALANCE_IN_PROGRESS] * 2
    assert ids[2] not in bench.group.roster
    assert bench.notes[-1].member_id == ids[2]
    assert [bench.join(name).waits for name in ids[:2]] == [True, False]


def test_a_group_whose_members_all_die_is_empty_and_says_so_in_the_log() -> None:
    """Whoever loads it finds nobody."""
    bench = GroupBench()
    bench.stable(3)
    bench.pass_time(SESSION_MS)
    assert (bench.group.state, bench.group.generation) == ("Empty", 2)
    assert (bench.group.protocol_name, bench.wake_ms) == (None, None)
    record = bench.log[-1]
    assert record is not None
    assert (record["generation"], record["members"], record["protocol"]) == (2, [], None)


def test_a_member_that_waits_for_the_group_does_not_run_out() -> None:
    """Its session begins again with the answer."""
    bench = GroupBench()
    ids = bench.stable(2, session_ms=10_000, rebalance_ms=100_000)
    waiting = bench.join(ids[0], session_ms=10_000, rebalance_ms=100_000)
    for _ in range(5):
        bench.pass_time(9_000)
        bench.beat(ids[1])
    assert waiting.waits
    bench.join(ids[1], session_ms=10_000, rebalance_ms=100_000)
    assert waiting["generation_id"] == 2
    parked = bench.sync(ids[1])
    bench.pass_time(9_999)
    assert parked.waits
    assert bench.beat(ids[0]) == errors.NONE
    bench.pass_time(9_999)
    bench.sync(ids[0], {})
    bench.pass_time(9_999)
    assert bench.beat(ids[1]) == errors.NONE


def test_who_leaves_is_not_waited_for() -> None:
    """Its part is free at once; what it had parked is answered."""
    bench = GroupBench()
    ids = [bench.come()[0] for _ in range(2)]
    bench.settle()
    parked = bench.sync(ids[1])
    answer = bench.leave(ids[1])
    assert (answer.code, answer["members"][0]["error_code"]) == (errors.NONE, errors.NONE)
    assert parked.code == errors.UNKNOWN_MEMBER_ID
    assert bench.beat(ids[0], 1) == errors.REBALANCE_IN_PROGRESS
    assert bench.join(ids[0])["generation_id"] == 2


def test_a_join_that_waits_is_answered_when_its_member_is_removed() -> None:
    """It is told to begin anew, if it still wants to be in."""
    bench = GroupBench()
    member_id, waiting = bench.come()
    bench.leave(member_id)
    assert (waiting.code, waiting["member_id"]) == (errors.UNKNOWN_MEMBER_ID, "")
    bench.pass_time(3_000)
    assert (bench.group.state, bench.group.generation) == ("Empty", 1)


def test_many_leave_in_one_request_and_each_has_its_code() -> None:
    """One rebalance for all of them (KIP-345); strangers spoil nothing."""
    bench = GroupBench()
    requests = [bench.join(instance=name) for name in "ijk"]
    dynamic = bench.come()[0]
    bench.settle()
    static = str(requests[0]["member_id"])
    bench.sync_all([str(request["member_id"]) for request in requests] + [dynamic])
    answer = bench.leave(("", "i"), ("", "nobody"), "stranger", (static, "j"), dynamic, "")
    assert [row["error_code"] for row in answer["members"]] == [
        errors.NONE,
        errors.UNKNOWN_MEMBER_ID,
        errors.UNKNOWN_MEMBER_ID,
        errors.FENCED_INSTANCE_ID,
        errors.NONE,
        errors.UNKNOWN_MEMBER_ID,
    ]
    assert answer["members"][0]["group_instance_id"] == "i"
    assert len(bench.group.roster) == 2
    assert bench.notes[-1].reason == "2 members leave"


def test_a_request_in_which_nobody_can_leave_changes_nothing() -> None:
    """No rebalance, no record."""
    bench = GroupBench()
    bench.stable(1)
    log_count = len(bench.log)
    assert bench.leave("stranger", version=2).code == errors.UNKNOWN_MEMBER_ID
    assert (bench.group.state, len(bench.log)) == ("Stable", log_count)


def test_an_unloaded_group_sends_away_who_waits() -> None:
    """NOT_COORDINATOR: look for the one that has it now. Nothing is left to wake for."""
    bench = GroupBench()
    ids = bench.stable(2)
    waiting = bench.join(ids[0])
    bench.unload()
    assert waiting.code == errors.NOT_COORDINATOR
    assert bench.beat(ids[1]) == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.join().code == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.sync(ids[1]).code == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.leave(ids[1]).code == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.wake_ms is None


def test_members_of_a_loaded_group_go_on_as_if_nothing_had_happened() -> None:
    """Same generation, same part, a whole session to come back in."""
    bench = GroupBench()
    ids = bench.stable(2)
    again = bench.reloaded()
    again.pass_time(SESSION_MS - 1)
    assert [again.beat(name) for name in ids] == [errors.NONE] * 2
    assert again.sync(ids[1])["assignment"] == ids[1].encode()
    lost = bench.reloaded()
    lost.pass_time(SESSION_MS)
    assert lost.group.state == "Empty"


def test_a_generation_that_was_not_assigned_is_forgotten_by_a_restart() -> None:
    """Its members are told that it is not theirs, and join again."""
    bench = GroupBench()
    ids = bench.stable(2)
    bench.join(ids[0])
    bench.join(ids[1])
    assert bench.group.generation == 2
    again = bench.reloaded()
    assert again.beat(ids[0], 2) == errors.ILLEGAL_GENERATION
    assert again.beat(ids[0], 1) == errors.NONE


def test_ten_thousand_members_rebalance_in_a_few_steps_each() -> None:
    """A heartbeat touches its own member only, whatever the size: counted in sessions set."""
    bench = GroupBench(initial_rebalance_delay_ms=0)
    ids = [f"m{number}" for number in range(10_000)]
    bench.group.roster.pending.update(ids)
    requests = [bench.join(name) for name in ids]
    bench.pass_time(0)
    assert all(request["generation_id"] == 1 for request in requests)
    bench.sync_all(ids)
    assert bench.group.state == "Stable"
    looked_at = CountingRoster.of(bench)
    for name in ids[:100]:
        assert bench.beat(name) == errors.NONE
    assert looked_at.walks_count == 0
    again = bench.reloaded()
    again.pass_time(SESSION_MS)
    assert again.group.state == "Empty"


class CountingRoster(dict[str, object]):
    """The members of a group, counting how often somebody walks through all of them."""

    walks_count = 0

    @classmethod
    def of(cls, bench: GroupBench) -> CountingRoster:
        """Put one in the place of a group's members."""
        made = cls(bench.group.roster.members)
        bench.group.roster.members = made  # type: ignore[assignment]
        return made

    def values(self):  # type: ignore[no-untyped-def]
        self.walks_count += 1
        return super().values()
