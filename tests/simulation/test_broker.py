"""Whole brokers through kills and power cuts; and three planted bugs that must be found."""

from __future__ import annotations

import pytest

from logserver.broker.broker import Broker
from logserver.broker.commit import CommitTask, GroupCommit
from logserver.broker.partition import Partition
from logserver.storage.producers import ACCEPTED, ProducerStates
from tests.seeds import draw, is_found, played, wanted
from tests.simulation.broker_run import BrokerRun

pytestmark = pytest.mark.simulation

LIVES_COUNT = 4
ALWAYS = range(60)


def play(seed: int) -> BrokerRun:
    """A chain of lives, and a last one that ends with a clean stop."""
    run = BrokerRun(seed)
    for _ in range(LIVES_COUNT):
        run.live_and_die(run.random.choice((30, 200, 200, 700)))
    run.disk.cut_at = -1
    run.live()
    for _ in range(30):
        run.step()
    run.stop()
    return run


def test_brokers_keep_their_promises_through_kills_and_power_cuts(full: bool) -> None:
    """Chains of lives; `broker_run` has the promises."""
    lives = lost = batches = 0
    for run in played(play, wanted(full, short=40, long=1000)):
        lives += run.lives_count
        lost += run.lost_count
        batches += run.serial
    print(f"{lives} lives, {lost} ended by a power cut, {batches} batches")


def test_the_same_seed_plays_the_same_lives() -> None:
    """A failure can be looked at again."""
    (seed,) = draw()
    first, second = play(seed), play(seed)
    assert first.disk.operations_count == second.disk.operations_count
    assert (first.serial, first.states) == (second.serial, second.states)


def test_a_planted_answer_before_the_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters are told when the group begins."""
    begin = GroupCommit.begin

    def hasty(self: GroupCommit) -> CommitTask | None:
        task = begin(self)
        if task is not None:
            waiters, task.waiters = task.waiters, []
            for waiter in waiters:
                waiter.synced()
        return task

    monkeypatch.setattr(GroupCommit, "begin", hasty)
    assert is_found(play, ALWAYS)


def test_a_planted_early_high_watermark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows the log end on durable topics too: consumers see what a power cut takes."""
    appended = Broker.appended

    def generous(self: Broker, partition: Partition, size_bytes: int, count: int) -> None:
        appended(self, partition, size_bytes, count)
        partition.high_watermark = partition.log.end_offset
        self.woken.append(partition)

    monkeypatch.setattr(Broker, "appended", generous)
    assert is_found(play, ALWAYS)


def test_a_planted_forgotten_duplicate_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that comes again is appended again."""

    def forgetful(_: ProducerStates, *__: int) -> tuple[int, int]:
        return ACCEPTED

    monkeypatch.setattr(ProducerStates, "check", forgetful)
    assert is_found(play, ALWAYS)
