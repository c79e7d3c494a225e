"""Lag as the broker sees it: the arithmetic, the verdicts, and the looks."""

from __future__ import annotations

import pytest

from logserver.broker.groups import lag
from logserver.broker.groups.lag import (
    CURRENT,
    DRAINING,
    LOOK_MS,
    SLOW,
    STALLED,
    STALLED_MS,
    Lag,
    Watched,
)
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench


def played(steps: list[tuple[int, int]], every_ms: int = 5000) -> Lag:
    """What is said after looks at (committed offset, end offset)."""
    watched = Watched(*steps[0][:1], 0, steps[0][1], 0)
    for number, (offset, end_offset) in enumerate(steps[1:], 1):
        watched.look(offset, 0, end_offset, number * every_ms)
    return watched.lag(0)


def test_who_has_read_everything_is_current() -> None:
    """However long nothing came: there is no lag in time either."""
    found = played([(10, 10)] * 30)
    assert found[:6] == (10, 10, 0, 0, CURRENT, 0)


def test_who_reads_more_than_comes_is_draining() -> None:
    """In about as long as the rates say."""
    found = played([(number * 200, 10_000 + number * 100) for number in range(40)])
    assert found.verdict == DRAINING
    assert found.consumed_per_s == pytest.approx(40, rel=0.01)
    assert found.produced_per_s == pytest.approx(20, rel=0.01)
    assert found.drain_ms == pytest.approx(found.lag_count / 20 * 1000, rel=0.02)


def test_who_reads_less_than_comes_is_slow() -> None:
    """It moves, and will never be done."""
    found = played([(number * 10, 1000 + number * 100) for number in range(40)])
    assert (found.verdict, found.drain_ms) == (SLOW, None)


def test_who_does_not_move_is_stalled() -> None:
    """After a minute with something to read, and not before."""
    looks = STALLED_MS // 5000
    assert played([(10, 20)] * looks).verdict == SLOW
    assert played([(10, 20)] * (looks + 1)).verdict == STALLED
    assert played([(10, 20)] * (looks + 1) + [(11, 20)]).verdict == DRAINING


def test_the_minute_begins_with_the_first_record_that_waits() -> None:
    """A partition that was idle for an hour is not stalled at its first record."""
    assert played([(10, 10)] * 700 + [(10, 11)] * 2).verdict == SLOW


def test_what_retention_has_taken_is_not_waited_for() -> None:
    """Only records that are still there count."""
    watched = Watched(5, 100, 120, 0)
    assert (watched.next_offset, watched.lag_count) == (100, 20)


@pytest.fixture
def bench() -> OffsetsBench:
    """Thirty records of one second each in partition 0; five of them are read."""
    bench = OffsetsBench()
    for second in range(30):
        bench.append(TOPIC, [bench.now_ms + second * 1000])
    bench.sync()
    bench.now_ms += 60_000
    bench.commit({0: 5, 1: 0})
    return bench


def look(bench: OffsetsBench) -> None:
    """Let a look take place, header and all."""
    bench.pass_time(LOOK_MS)
    bench.run_chores()
    bench.sync()


def test_a_look_finds_the_age_of_the_next_record(bench: OffsetsBench) -> None:
    """Read from the batch's header; again when the group has moved."""
    look(bench)
    watch = bench.broker.coordinators.lag
    assert watch.looks_count == 1
    assert set(watch.watched) == {(GROUP, TOPIC, 0), (GROUP, TOPIC, 1)}
    first = watch.watched[GROUP, TOPIC, 0].lag(bench.now_ms)
    assert first[:5] == (5, 30, 25, 60_000 - 5000 + LOOK_MS, SLOW)
    assert watch.watched[GROUP, TOPIC, 1].lag(bench.now_ms)[:5] == (0, 0, 0, 0, CURRENT)
    bench.commit({0: 29})
    look(bench)
    second = watch.watched[GROUP, TOPIC, 0].lag(bench.now_ms)
    assert second[:5] == (29, 30, 1, 60_000 - 29_000 + 2 * LOOK_MS, DRAINING)


def test_groups_that_are_gone_are_not_watched(bench: OffsetsBench) -> None:
    """Neither are topics."""
    look(bench)
    bench.delete(TOPIC)
    look(bench)
    assert bench.broker.coordinators.lag.watched == {}


def test_a_look_at_many_offsets_is_cut_into_slices(
    bench: OffsetsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are served between two of them."""
    monkeypatch.setattr(lag, "SLICE_COUNT", 3)
    for number in range(5):
        bench.commit({0: 1, 1: 0}, group_id=f"group-{number}")
    bench.pass_time(LOOK_MS)
    watch = bench.broker.coordinators.lag
    assert (watch.looks_count, len(watch.watched)) == (0, 3)
    for _ in range(4):
        bench.pass_time(lag.PAUSE_MS)
    assert (watch.looks_count, len(watch.watched)) == (1, 12)


def test_a_record_without_a_time_has_no_age() -> None:
    """None is told, not zero."""
    watched = Watched(5, 0, 9, 0)
    assert watched.lag(1000).lag_ms is None
