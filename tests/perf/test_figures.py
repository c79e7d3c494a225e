"""What counts, how it is compared and what it is called."""

import pytest

from perf.figures import TARGETS, compare, verdict, void_reasons

QUIET = {"steal_percent": 0.0, "foreign_cpu_percent": 1.0}


def test_the_ratio_is_the_median_of_the_pairs_not_the_ratio_of_medians() -> None:
    """Pairs share their machine's weather: 10/1, 2/2, 30/3 is 10, 1, 10."""
    found = compare([10, 2, 30], [1, 2, 3])
    assert (found.ratio, found.low, found.high, found.pairs) == (10, 1, 10, 3)
    assert (found.ours, found.theirs) == (10, 2)


def test_figures_of_different_scenarios_are_compared_with_the_others_median() -> None:
    """Our durable rate against their relaxed one: there are no pairs."""
    found = compare([30, 33, 36], [1, 10, 11, 12], paired=False)
    assert found.theirs == 10.5
    assert found.ratio == pytest.approx(33 / 10.5)


@pytest.mark.parametrize(
    ("value", "higher", "expected"),
    [
        (6.0, True, "goal"),
        (5.99, True, "floor"),
        (4.0, True, "floor"),
        (3.99, True, "MISS"),
        (4.0, False, "goal"),
        (4.01, False, "floor"),
        (6.0, False, "floor"),
        (6.01, False, "MISS"),
    ],
)
def test_a_verdict_includes_its_bound(value: float, higher: bool, expected: str) -> None:
    """Floor 4 and goal 6, or the other way round where less is better."""
    floor, goal = (4, 6) if higher else (6, 4)
    assert verdict(value, floor, goal, higher_is_better=higher) == expected


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"steal_percent": 2.1}, "steal"),
        ({"foreign_cpu_percent": 40.0}, "other processes"),
        ({"rate_percent": 98.9}, "rate"),
    ],
)
def test_a_disturbed_run_is_void_and_says_why(change: dict[str, float], word: str) -> None:
    """Steal, foreign load and a rate that was not reached."""
    (reason,) = void_reasons(QUIET | change, 0.0)
    assert word in reason


def test_a_quiet_run_counts_and_a_busy_start_does_not() -> None:
    """Nothing to object to, or the load before the first request."""
    assert void_reasons(QUIET | {"rate_percent": 99.5}, 5.0) == []
    (reason,) = void_reasons(QUIET, 60.0)
    assert "before the start" in reason


def test_no_goal_is_easier_than_its_floor() -> None:
    """A table with a floor above the goal would call everything met."""
    for target in TARGETS:
        if target.higher_is_better:
            assert target.goal >= target.floor
        else:
            assert target.goal <= target.floor
