"""What others ask a classic group: may this be committed, read, deleted; when does it expire."""

from __future__ import annotations

import pytest

from logwire import errors
from logwire.messages.consumer_protocol import encode_subscription
from tests.broker.groups.classic_bench import WALL_MS, GroupBench

SUBSCRIBED = {"range": encode_subscription({"topics": ["a"]})}


def commit(bench: GroupBench, member_id: str, generation: int, instance: str | None = None) -> int:
    """The code that a commit gets."""
    return bench.group.check_commit(member_id, instance, generation, 9, ())


def test_an_empty_group_takes_commits_that_claim_no_generation() -> None:
    """An administrator sets offsets; whoever claims to be a member is none."""
    bench = GroupBench()
    assert commit(bench, "", -1) == errors.NONE
    assert commit(bench, "m", -1) == errors.NONE
    assert commit(bench, "m", 0) == errors.UNKNOWN_MEMBER_ID


def test_a_stable_group_takes_commits_of_its_members_only() -> None:
    """In this order: fenced instance, unknown member, wrong generation."""
    bench = GroupBench()
    member_id = bench.stable(1)[0]
    assert commit(bench, member_id, 1) == errors.NONE
    assert commit(bench, member_id, 0) == errors.ILLEGAL_GENERATION
    assert commit(bench, member_id, -1) == errors.ILLEGAL_GENERATION
    assert commit(bench, "stranger", 1) == errors.UNKNOWN_MEMBER_ID
    assert commit(bench, "", -1) == errors.UNKNOWN_MEMBER_ID
    assert commit(bench, member_id, 1, "unknown instance") == errors.UNKNOWN_MEMBER_ID


def test_a_fenced_static_member_cannot_commit() -> None:
    """Its instance id belongs to a newer process."""
    bench = GroupBench()
    old = bench.join(instance="i")
    bench.settle()
    bench.sync_all([old["member_id"]])
    new = bench.join(instance="i")
    assert commit(bench, old["member_id"], 1, "i") == errors.FENCED_INSTANCE_ID
    assert commit(bench, new["member_id"], 1, "i") == errors.NONE


def test_commits_of_the_old_generation_are_taken_until_the_new_one_begins() -> None:
    """PREPARING takes them, COMPLETING tells the member of the new one to wait for its part."""
    bench = GroupBench()
    old = bench.stable(2)
    bench.join(old[0])
    assert bench.group.state == "PreparingRebalance"
    assert commit(bench, old[1], 1) == errors.NONE
    bench.join(old[1])
    assert bench.group.state == "CompletingRebalance"
    assert commit(bench, old[1], 2) == errors.REBALANCE_IN_PROGRESS
    assert commit(bench, old[1], 1) == errors.ILLEGAL_GENERATION


def test_an_unloaded_group_knows_nobody() -> None:
    """Clients look for the coordinator again."""
    bench = GroupBench()
    member_id = bench.stable(1)[0]
    bench.unload()
    assert commit(bench, member_id, 1) == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.group.check_fetch(None, -1) == errors.GROUP_ID_NOT_FOUND
    assert bench.group.check_offset_delete() == errors.GROUP_ID_NOT_FOUND


@pytest.mark.parametrize(("kind", "code"), [("consumer", 0), ("connect", errors.NON_EMPTY_GROUP)])
def test_offsets_of_members_that_do_not_say_what_they_read_stay(kind: str, code: int) -> None:
    """Consumers do say it; of an empty group everything may be deleted."""
    bench = GroupBench()
    assert bench.group.check_offset_delete() == errors.NONE
    bench.stable(1, type=kind)
    assert bench.group.check_offset_delete() == code


def test_offsets_of_a_group_that_nobody_joined_expire_by_their_commit() -> None:
    """There is no other time to count from."""
    assert GroupBench().group.expiry_start_ms(123) == 123


def test_offsets_of_an_empty_group_expire_since_it_is_empty() -> None:
    """However old the commit is; a record that does not say since when falls back to it."""
    bench = GroupBench()
    ids = bench.stable(1)
    bench.pass_time(5)
    bench.leave(*ids)
    assert bench.group.expiry_start_ms(123) == WALL_MS + bench.now.uptime_ms
    bench.group.state_since_ms = -1
    assert bench.group.expiry_start_ms(123) == 123


def test_offsets_of_a_group_with_members_expire_only_when_it_says_what_it_reads() -> None:
    """A consumer group that is stable does; nobody else, and not in a rebalance."""
    bench = GroupBench()
    ids = bench.stable(2, protocols=SUBSCRIBED)
    assert bench.group.expiry_start_ms(123) == 123
    bench.join(ids[0], protocols=SUBSCRIBED)
    assert bench.group.expiry_start_ms(123) is None
    strange = GroupBench()
    strange.stable(1)
    assert strange.group.expiry_start_ms(123) is None


def test_a_commit_is_as_good_as_a_heartbeat() -> None:
    """A client that polls slowly but commits stays in."""
    bench = GroupBench()
    ids = bench.stable(1)
    for _ in range(5):
        bench.pass_time(9_000)
        bench.perform(bench.group.committed(ids[0], bench.now))
    assert bench.group.state == "Stable"
    bench.perform(bench.group.committed("stranger", bench.now))
    bench.pass_time(10_000)
    assert bench.group.state == "Empty"
