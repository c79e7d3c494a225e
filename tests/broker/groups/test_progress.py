"""How a group gets on: lag, speed and the word for it, from a series of looks."""

from __future__ import annotations

import math

import pytest

from logserver.broker.groups.progress import (
    CURRENT,
    DRAINING,
    NO_TIME_MS,
    SLOW,
    STALLED,
    Look,
    Progress,
    Totals,
)

WINDOW_MS = 60_000
EVERY_MS = 5000
TOPIC_ID = bytes(16)


def played(steps: list[tuple[int, int]], start_offset: int = 0) -> Progress:
    """Looks at (committed offset, end offset), five seconds apart."""
    first, *others = (Look(number * EVERY_MS, *offsets) for number, offsets in enumerate(steps, 1))
    progress = Progress(TOPIC_ID, first, start_offset)
    for look in others:
        progress.take(look, start_offset, WINDOW_MS)
    return progress


def test_who_has_read_everything_is_current_at_once() -> None:
    """There is no lag in time either, and nothing to drain."""
    progress = played([(10, 10)])
    assert (progress.lag_count, progress.lag_ms(10**12)) == (0, 0)
    assert progress.status(WINDOW_MS) == CURRENT


def test_nothing_is_said_of_speed_before_a_window_is_over() -> None:
    """Two looks at a rising log say nothing; thirteen do."""
    steps = [(0, 100 + number) for number in range(13)]
    early = played(steps[:12])
    assert (early.status(WINDOW_MS), early.rates(WINDOW_MS)) == (None, None)
    assert early.drain_ms(WINDOW_MS) is None
    assert played(steps).status(WINDOW_MS) == STALLED


def test_who_reads_more_than_comes_is_draining() -> None:
    """And is done when the lag divided by the difference of the rates is over."""
    progress = played([(number * 200, 10_000 + number * 100) for number in range(40)])
    assert progress.status(WINDOW_MS) == DRAINING
    assert progress.rates(WINDOW_MS) == pytest.approx((40, 20))
    assert progress.drain_ms(WINDOW_MS) == pytest.approx(progress.lag_count / 20 * 1000)


def test_who_reads_less_than_comes_is_slow() -> None:
    """It moves, and will never be done."""
    progress = played([(number * 10, 1000 + number * 100) for number in range(40)])
    assert (progress.status(WINDOW_MS), progress.drain_ms(WINDOW_MS)) == (SLOW, math.inf)


def test_who_reads_exactly_what_comes_from_far_behind_is_slow() -> None:
    """The lag stays what it is."""
    progress = played([(number * 10, 1000 + number * 10) for number in range(40)])
    assert progress.status(WINDOW_MS) == SLOW


def test_who_does_not_move_for_a_window_is_stalled() -> None:
    """Whether records come or not; the first commit ends it."""
    assert played([(10, 20)] * 20).status(WINDOW_MS) == STALLED
    assert played([(10, 20 + number) for number in range(20)]).status(WINDOW_MS) == STALLED
    assert played([(10, 20)] * 20 + [(15, 20)]).status(WINDOW_MS) == DRAINING


def test_a_partition_that_was_idle_is_not_stalled_at_its_first_record() -> None:
    """What counts is how long something has waited, not how long nothing was committed."""
    idle = [(10, 10)] * 700
    assert played([*idle, *[(10, 11)] * 2]).status(WINDOW_MS) == CURRENT
    assert played([*idle, *[(10, 11)] * 30]).status(WINDOW_MS) == STALLED


def test_who_commits_now_and_then_is_current() -> None:
    """A lag that is read within the window is only the way that commits come in steps."""
    steps = [(number // 6 * 600, number * 100) for number in range(60)]
    found = {played(steps[:count]).status(WINDOW_MS) for count in range(20, 60)}
    assert found == {CURRENT}


def test_the_window_is_between_one_and_two_long() -> None:
    """However often is looked."""
    for count in range(13, 100):
        steps = [(number, number + 10_000) for number in range(count)]
        assert played(steps).rates(WINDOW_MS) == pytest.approx((0.2, 0.2))
        assert played(steps[:1] * 200 + steps).rates(WINDOW_MS) != (0, 0)


def test_an_offset_that_was_set_back_begins_anew() -> None:
    """A reset is no speed; a window later there is one again."""
    before = [(number * 100, 10_000) for number in range(20)]
    assert played([*before, (0, 10_000)]).status(WINDOW_MS) is None
    assert played([*before, *[(0, 10_000)] * 13]).status(WINDOW_MS) == STALLED


def test_what_retention_has_taken_is_not_waited_for() -> None:
    """Records that are still there count; the others are told apart."""
    progress = played([(5, 120)], start_offset=100)
    assert (progress.unread_offset, progress.lag_count, progress.removed_count) == (100, 20, 95)


def test_the_age_is_that_of_the_next_record() -> None:
    """Known once it was found; that of the record before while the next is sought."""
    progress = played([(5, 10)])
    assert progress.lag_ms(9000) is None
    progress.found(5, 1000)
    assert progress.lag_ms(9000) == 8000
    assert progress.lag_ms(500) == 0, "a producer's clock may be ahead"
    progress.take(Look(EVERY_MS, 7, 10), 0, WINDOW_MS)
    assert progress.lag_ms(9000) == 8000
    progress.take(Look(2 * EVERY_MS, 10, 10), 0, WINDOW_MS)
    progress.take(Look(3 * EVERY_MS, 10, 11), 0, WINDOW_MS)
    assert progress.lag_ms(9000) is None
    progress.found(10, NO_TIME_MS)
    assert progress.lag_ms(9000) is None


def test_records_that_retention_took_have_no_age() -> None:
    """Nothing is left to wait for, in the partition and in the group."""
    progress = played([(5, 10)])
    progress.found(5, 1000)
    progress.take(Look(EVERY_MS, 5, 10), 10, WINDOW_MS)
    totals = Totals()
    totals.add(progress, WINDOW_MS)
    assert (progress.lag_ms(9000), totals.lag_ms(9000)) == (0, 0)


def test_a_group_is_what_its_worst_partition_is() -> None:
    """Records add up, of ages and drains the longest counts."""
    draining = played([(number * 200, 10_000 + number * 100) for number in range(40)])
    draining.found(draining.unread_offset, 4000)
    stalled = played([(10, 20)] * 20)
    stalled.found(10, 3000)
    current = played([(10, 10)] * 20)
    totals = Totals()
    assert (totals.status, totals.drain_ms, totals.lag_ms(9000)) == (None, None, 0)
    totals.add(current, WINDOW_MS)
    assert (totals.status, totals.drain_ms) == (CURRENT, 0)
    totals.add(draining, WINDOW_MS)
    assert (totals.status, totals.lag_ms(9000)) == (DRAINING, 5000)
    assert totals.drain_ms == draining.drain_ms(WINDOW_MS)
    totals.add(stalled, WINDOW_MS)
    assert (totals.status, totals.drain_ms, totals.lag_ms(9000)) == (STALLED, math.inf, 6000)
    totals.add(played([(10, 20)]), WINDOW_MS)
    assert totals.status == STALLED
    assert (totals.partitions_count, totals.stalled_count, totals.slow_count) == (4, 1, 0)
    assert totals.lag_count == draining.lag_count + 20


def test_a_group_is_not_current_before_all_of_it_is_known_to_be() -> None:
    """In whatever order its partitions are looked at."""
    current, early = played([(10, 10)]), played([(10, 20)])
    for order in ([current, early], [early, current]):
        totals = Totals()
        for progress in order:
            totals.add(progress, WINDOW_MS)
        assert (totals.status, totals.drain_ms) == (None, None)
