"""Classic groups beside a model, through thousands of lives; and three planted bugs."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.broker.groups import classic_join, classic_rebalance
from logserver.broker.groups.classic_roster import Member
from logserver.broker.groups.classic_state import ClassicState
from logserver.broker.groups.deadlines import Deadlines
from tests.seeds import draw, is_found, played, wanted
from tests.simulation.classic_run import ClassicRun

pytestmark = pytest.mark.simulation

STEPS_COUNT = 150
ALWAYS = range(200)


def play(seed: int) -> ClassicRun:
    """One life of a group, and the quiet after it."""
    run = ClassicRun(seed)
    for _ in range(STEPS_COUNT):
        run.step()
    run.settle()
    return run


def test_groups_do_what_the_model_says(full: bool) -> None:
    """After every event, of clients that behave and of others."""
    groups = generations = requests = restarts = 0
    for run in played(play, wanted(full, short=200, long=10_000)):
        groups += 1
        generations += run.model.generation
        requests += len(run.requests)
        restarts += run.restarts_count
    print(f"{generations} generations, {requests} requests, {restarts} restarts")
    assert groups == 1 or generations > groups, (
        "the clients are too wild: no group ever came together"
    )


def test_the_same_seed_plays_the_same_life() -> None:
    """A failure can be looked at again."""
    (seed,) = draw()
    first, second = play(seed), play(seed)
    assert first.model.answers == second.model.answers


def test_a_planted_session_that_heartbeats_do_not_renew_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deadline that has been set once stays where it is."""
    set_anew = Deadlines.set

    def forgetful(self: Deadlines, name: str, due_ms: int) -> None:
        if name not in self:
            set_anew(self, name, due_ms)

    monkeypatch.setattr(Deadlines, "set", forgetful)
    assert is_found(play, ALWAYS)


def test_a_planted_static_member_that_is_not_fenced_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the process before it waits for is handed to the one that took its place."""
    take_over = classic_join._take_over

    def generous(group: ClassicState, event: Any, old_member_id: str) -> Member:
        member = group.roster[old_member_id]
        parked, member.parked_sync = member.parked_sync, None
        taken = take_over(group, event, old_member_id)
        taken.parked_sync = parked
        return taken

    monkeypatch.setattr(classic_join, "_take_over", generous)
    assert is_found(play, ALWAYS)


def test_a_planted_assignment_that_outlives_its_generation_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was not named keeps what it had: two members then work on the same."""

    def sticky(group: ClassicState, assignments: dict[str, bytes]) -> None:
        for member in group.roster:
            assignments.setdefault(member.member_id, member.assignment)
        assign(group, assignments)

    assign = classic_rebalance.assign
    monkeypatch.setattr(classic_rebalance, "assign", sticky)
    assert is_found(play, ALWAYS)
