"""logserver.statistics.histogram: each value lands in the bucket Prometheus would choose."""

import pytest

from logserver.statistics.histogram import DURATION_BOUNDS_NS, Histogram


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (10**18, 2)]
)
def test_a_value_counts_in_the_first_bucket_that_holds_it(value: int, bucket: int) -> None:
    """A value equal to a bound belongs to that bound."""
    histogram = Histogram((10, 20))
    histogram.observe(value)
    assert histogram.counts.index(1) == bucket
    assert histogram.words() == [*histogram.counts, value]


def test_bounds_must_grow() -> None:
    """Buckets out of order would count wrongly for ever."""
    with pytest.raises(AssertionError):
        Histogram((20, 10))


def test_durations_reach_from_flash_to_a_dying_disk() -> None:
    """50 us to 5 s."""
    assert (DURATION_BOUNDS_NS[0], DURATION_BOUNDS_NS[-1]) == (50_000, 5_000_000_000)
