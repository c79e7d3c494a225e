"""A histogram that costs two additions: fixed bounds, plain integers, no locks.

One loop writes it; the statistics page copies `words()`. The bounds are part of the page's
layout (logserver.statistics.layout), so both sides agree on what each word means. Buckets are
not cumulative here: Prometheus wants them cumulative, and the reader adds them up.
"""

import itertools
from bisect import bisect_left

DURATION_BOUNDS_NS = tuple(
    round(seconds * 1e9)
    for seconds in (
        *(50e-6, 100e-6, 200e-6, 500e-6),
        *(1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3),
        *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    )
)
"""One, two, five: from a sync on good flash (50 us) to a disk about to be given up (5 s)."""


class Histogram:
    """Counts per bucket, the last one for everything above, and the sum of all values.

    `observe(value)` takes the unit of the bounds; `words()` is what the page keeps:
    len(bounds) + 1 counts, then the sum.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...] = DURATION_BOUNDS_NS) -> None:
        assert all(a < b for a, b in itertools.pairwise(bounds)), "bounds must grow"
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        """Count one value; a value equal to a bound belongs to that bound (Prometheus' `le`)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def words(self) -> list[int]:
        """Shape: one count per bound, the count above the last bound, the sum."""
        return [*self.counts, self.total]
