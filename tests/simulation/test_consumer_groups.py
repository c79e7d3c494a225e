"""Consumer groups beside a model of their members; and planted bugs that must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from logserver.broker.groups import (
    consumer_classic,
    consumer_group,
    consumer_heartbeat,
    reconciliation,
)
from logserver.broker.groups.consumer_member import assignment_fields
from logserver.broker.groups.consumer_state import ConsumerState
from logserver.broker.groups.consumer_step import Step
from logserver.broker.groups.deadlines import Deadlines
from logwire.messages import Message
from tests.seeds import draw, is_found, played, wanted
from tests.simulation.consumer_run import ConsumerRun

pytestmark = pytest.mark.simulation

EVENTS_COUNT = 120


def play(seed: int) -> ConsumerRun:
    """One life; every other one with classic consumers and changes of kind."""
    run = ConsumerRun(seed, migrates=seed % 2 == 1)
    run.run(EVENTS_COUNT)
    return run


def test_consumer_groups_keep_their_promises(full: bool) -> None:
    """After every event; `consumer_run` has the promises."""
    groups = epochs = records = 0
    for run in played(play, wanted(full, short=100, long=10_000)):
        groups += 1
        records += len(run.bench.records)
        epochs += len(run.bench.notes)
    print(f"{groups} groups, {epochs} epochs, {records} records")


def test_the_same_seed_plays_the_same_life() -> None:
    """A failing seed can be looked at."""
    (seed,) = draw()
    assert play(seed).bench.records == play(seed).bench.records


def given_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions are given before their owner has let go."""
    real = Step.approach

    def approach(self: Step, member: Any, **said: Any) -> Any:
        with monkeypatch.context() as planted:
            planted.setattr(ConsumerState, "owner", lambda *_: None)
            return real(self, member, **said)

    monkeypatch.setattr(Step, "approach", approach)


def silence_is_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revocation counts as confirmed whatever the member says it owns."""
    monkeypatch.setattr(reconciliation, "_still_owns", lambda _owned, _partitions: False)


def forgotten_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members go and no epoch begins: what they had is nobody's."""

    def fence(step: Step, members: Iterable[Any], _reason: str) -> None:
        for member in members:
            step.erase_member(member.member_id)

    for module in (consumer_classic, consumer_group, consumer_heartbeat):
        monkeypatch.setattr(module, "fence", fence)


def unwritten_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is changed and the log is not told."""

    def write(self: Step, member: Any) -> None:
        key: Message = {"group_id": self.group.group_id, "member_id": member.member_id}
        self.state.apply("ConsumerGroupCurrentMemberAssignment", key, assignment_fields(member))

    monkeypatch.setattr(Step, "write_assignment", write)


def impatient_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat does not put the session off."""
    real = Deadlines.set

    def set_once(self: Deadlines, name: str, due_ms: int) -> None:
        if name not in self:
            real(self, name, due_ms)

    monkeypatch.setattr(Deadlines, "set", set_once)


BUGS = (
    given_at_once,
    silence_is_consent,
    forgotten_epoch,
    unwritten_assignment,
    impatient_sessions,
)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 40 seeds."""
    bug(monkeypatch)
    assert is_found(play, range(40))
