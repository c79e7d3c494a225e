"""Percentiles are exact where they claim to be, and merged histograms stay within 0.1 %."""

import random

import pytest

from perf.histogram import (
    EXACT_BELOW,
    Histogram,
    bucket,
    bucket_top,
    distribution_steps,
    percentile,
    summary_us,
)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    """Of 1 to 100, the 99th percentile is 99: at least 99 % lie at or below it."""
    assert percentile(range(1, 101), percent) == expected


def test_one_sample_is_every_percentile() -> None:
    """No interpolation, no index beyond the end."""
    assert percentile([7], 0) == percentile([7], 50) == percentile([7], 99.9) == 7


def test_a_percentile_without_enough_samples_above_it_is_not_told() -> None:
    """P99.9 of 99,000 samples stands on 99 of them; of 100,000 on 100."""
    assert "p999_us" not in summary_us(range(99_000))
    assert "p999_us" in summary_us(range(100_000))
    assert set(summary_us(range(500))) == {"p50_us", "max_us"}


def test_small_values_have_buckets_of_their_own() -> None:
    """Below 2048 ns nothing is rounded."""
    assert [bucket(value) for value in range(EXACT_BELOW)] == list(range(EXACT_BELOW))


def test_a_bucket_is_never_wider_than_a_thousandth() -> None:
    """Top and bottom of every bucket differ by less than 0.1 % and enclose the value."""
    chance = random.Random(1)
    for _ in range(10_000):
        value = chance.randrange(1, 1 << chance.randrange(1, 45))
        low = bucket(value)
        assert low <= value <= bucket_top(low)
        assert bucket_top(low) - low <= low / 1000
        assert bucket(bucket_top(low)) == low
        assert bucket(bucket_top(low) + 1) == bucket_top(low) + 1


def test_merged_runs_have_the_percentiles_of_all_samples_together() -> None:
    """Merging two runs is the histogram of both, not the mean of their percentiles."""
    chance = random.Random(2)
    runs = [[int(chance.expovariate(1e-5)) + 1 for _ in range(5000)] for _ in range(2)]
    merged = Histogram()
    for run in runs:
        merged.add(run)
    ordered = sorted(runs[0] + runs[1])
    for percent in (50, 90, 99, 99.9, 100):
        exact = percentile(ordered, percent)
        assert exact <= merged.percentile(percent) <= exact * 1.001 + 1
    assert merged.maximum == ordered[-1]


def test_the_distribution_log_ends_at_the_maximum_with_every_sample() -> None:
    """HdrHistogram's plotter needs rising percentiles and the total."""
    histogram = Histogram()
    histogram.add([1_000_000, 2_000_000, 3_000_000])
    lines = histogram.hgrm().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    last = lines[-3].split()
    assert last == ["3000.000", "1.0000000000", "3", "inf"]
    assert lines[-1].startswith("#[Max     =     3000.000")


def test_distribution_steps_rise_to_a_hundred() -> None:
    """More samples give finer steps, always in order."""
    few, many = distribution_steps(10), distribution_steps(1_000_000)
    assert few == sorted(few)
    assert many == sorted(many)
    assert few[-1] == many[-1] == 100
    assert len(many) > len(few)
