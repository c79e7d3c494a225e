"""The way of one member from what it owns to what it is meant to own, each case a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from logserver.broker.groups.consumer_member import (
    STABLE,
    UNKNOWN_STATE,
    UNRELEASED_PARTITIONS,
    UNREVOKED_PARTITIONS,
    Member,
)
from logserver.broker.groups.reconciliation import Goal, reconcile, require_known_state
from logwire import errors
from logwire.errors import Refusal

A, B = b"a" * 16, b"b" * 16


class Case(NamedTuple):
    """A member in epoch 5 before, the goal (epoch 6 unless said), and the member after."""

    state: int
    assigned: set[int]
    revoking: set[int]
    target: set[int]
    owned: set[int] | None
    taken: set[int]
    expected: tuple[int, int, set[int], set[int]]  # epoch, state, assigned, revoking


CASES = {
    "nothing to give up: it takes all that is free": Case(
        STABLE, {1}, set(), {1, 2, 3}, None, set(), (6, STABLE, {1, 2, 3}, set())
    ),
    "it must give up first, and stays in its epoch": Case(
        STABLE, {1, 2}, set(), {2, 3}, None, set(), (5, UNREVOKED_PARTITIONS, {2}, {1})
    ),
    "it says that it still reads it": Case(
        UNREVOKED_PARTITIONS, {2}, {1}, {2, 3}, {1, 2}, set(), (5, UNREVOKED_PARTITIONS, {2}, {1})
    ),
    "it says nothing, so it may still read it": Case(
        UNREVOKED_PARTITIONS, {2}, {1}, {2, 3}, None, set(), (5, UNREVOKED_PARTITIONS, {2}, {1})
    ),
    "it has given up, and takes what is new": Case(
        UNREVOKED_PARTITIONS, {2}, {1}, {2, 3}, {2}, set(), (6, STABLE, {2, 3}, set())
    ),
    "it has given up, and what is new is another's": Case(
        UNREVOKED_PARTITIONS, {2}, {1}, {2, 3}, {2}, {3}, (6, UNRELEASED_PARTITIONS, {2}, set())
    ),
    "some of it is free": Case(
        STABLE, set(), set(), {1, 2}, None, {2}, (6, UNRELEASED_PARTITIONS, {1}, set())
    ),
    "what it waited for was released": Case(
        UNRELEASED_PARTITIONS, {1}, set(), {1, 2}, None, set(), (6, STABLE, {1, 2}, set())
    ),
    "what it waited for is not its own any more": Case(
        UNRELEASED_PARTITIONS, {1}, set(), {1}, None, {2}, (6, STABLE, {1}, set())
    ),
    "it did not read what it shall give up": Case(
        STABLE, {1, 2}, set(), {2, 3}, {2}, set(), (6, STABLE, {2, 3}, set())
    ),
    "it gets back what it was giving up": Case(
        UNREVOKED_PARTITIONS, {2}, {1}, {1, 2}, {2}, {1}, (6, STABLE, {1, 2}, set())
    ),
    "a second thing to give up while it confirms the first": Case(
        UNREVOKED_PARTITIONS, {2, 3}, {1}, {3}, {2, 3}, set(), (5, UNREVOKED_PARTITIONS, {3}, {2})
    ),
}


def owned_by(partitions: set[int], epoch: int = 5) -> Any:
    """Partitions of topic A."""
    return {A: dict.fromkeys(partitions, epoch)} if partitions else {}


def goal(case: Case, *, epoch: int = 6, resubscribed: bool = False) -> Goal:
    """The goal of a case; who else owns what is in `taken`, but for what the member gives up."""
    owned = None if case.owned is None else [{"topic_id": A, "partitions": sorted(case.owned)}]
    target = {A: frozenset(case.target)} if case.target else {}
    free = case.revoking

    def is_free(topic_id: bytes, partition: int) -> bool:
        return topic_id == A and (partition in free or partition not in case.taken)

    return Goal(epoch, target, {A}, resubscribed, is_free, owned)


@pytest.mark.parametrize("name", CASES)
def test_a_member_goes_one_step(name: str) -> None:
    """The name of the case says it."""
    case = CASES[name]
    member = Member("m", 5, 4, case.state, owned_by(case.assigned), owned_by(case.revoking))
    after = reconcile(member, goal(case))
    epoch, state, assigned, revoking = case.expected
    assert (after.member_epoch, after.state) == (epoch, state)
    assert set(after.assigned.get(A, ())) == assigned
    assert set(after.revoking.get(A, ())) == revoking
    if after is not member:
        assert after.previous_epoch == 5
    gained = assigned - case.assigned
    assert all(after.assigned[A][partition] == 6 for partition in gained), "at the target's epoch"
    kept = assigned & case.assigned
    assert all(after.assigned[A][partition] == 5 for partition in kept), "since it was assigned"


def test_a_member_that_is_there_stays_the_same() -> None:
    """The very object: nothing is to be written."""
    member = Member("m", 6, 5, STABLE, owned_by({1}))
    case = Case(STABLE, {1}, set(), {1}, None, set(), (6, STABLE, {1}, set()))
    assert reconcile(member, goal(case)) is member


def test_who_unsubscribes_gives_up_at_once_though_there_is_no_new_target() -> None:
    """The assignment may be an interval away; the topic is not the member's business now."""
    member = Member("m", 6, 5, STABLE, {A: {1: 5}, B: {2: 5}})
    case = Case(STABLE, {1}, set(), {1}, None, set(), (6, STABLE, {1}, set()))
    after = reconcile(member, goal(case, resubscribed=True))
    assert (after.state, after.member_epoch) == (UNREVOKED_PARTITIONS, 6)
    assert (after.assigned, after.revoking) == ({A: {1: 5}}, {B: {2: 5}})
    owned = [{"topic_id": A, "partitions": [1]}]
    given_up = reconcile(member, goal(case, resubscribed=True)._replace(owned=owned))
    assert (given_up.state, given_up.assigned, given_up.revoking) == (STABLE, {A: {1: 5}}, {})


def test_a_target_that_is_not_subscribed_to_any_more_is_not_taken() -> None:
    """The target is of an older subscription."""
    member = Member("m", 5, 4, STABLE)
    case = Case(STABLE, set(), set(), {1}, None, set(), (6, STABLE, set(), set()))
    after = reconcile(member, goal(case)._replace(topic_ids=set()))
    assert (after.member_epoch, after.assigned) == (6, {})


def test_a_member_in_a_state_from_the_future_has_to_begin_anew() -> None:
    """It is fenced until it owns nothing."""
    member = Member("m", 5, 4, UNKNOWN_STATE, owned_by({1}))
    case = Case(UNKNOWN_STATE, {1}, set(), {1}, None, set(), (6, STABLE, {1}, set()))
    for owned in (None, [{"topic_id": A, "partitions": [1]}]):
        with pytest.raises(Refusal) as refused:
            require_known_state(member, owned)
        assert refused.value.code == errors.FENCED_MEMBER_EPOCH
    require_known_state(member, [])
    after = reconcile(member, goal(case)._replace(owned=[]))
    assert (after.member_epoch, after.state) == (6, STABLE)
