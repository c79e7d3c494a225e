"""Latencies: exact percentiles of one run, and HDR histograms that merge runs.

A run keeps every latency in an array and sorts it when the clock has stopped: percentiles are
exact and cost the run nothing. Percentiles of several runs must never be averaged; runs are merged
as histograms first. The histogram is HdrHistogram's: values below 2048 are exact, above that each
doubling is cut into 1024 parts, so a bucket is never wider than 0.1 % of its value. It writes the
`.hgrm` text that HdrHistogram's plotter reads.

A percentile needs samples above it: one that stands on fewer than 100 is not reported.
Source: HdrHistogram (bucket layout, percentile distribution format).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

SUB_BUCKET_BITS = 11
EXACT_BELOW = 1 << SUB_BUCKET_BITS
SAMPLES_ABOVE_MIN = 100
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The smallest value with at least `percent` of the samples at or below it (nearest rank)."""
    assert ordered, "no samples"
    rank = ceil(len(ordered) * percent / 100 - 1e-9)
    return ordered[max(0, rank - 1)]


def summary_us(latencies_ns: Iterable[int]) -> dict[str, float]:
    """P50 to P999 and the maximum in microseconds; percentiles without enough samples left out."""
    ordered = sorted(latencies_ns)
    out = {
        f"{name}_us": percentile(ordered, percent) / 1e3
        for name, percent in PERCENTILES.items()
        if round(len(ordered) * (100 - percent) / 100) >= SAMPLES_ABOVE_MIN or percent <= 50
    }
    return out | {"max_us": ordered[-1] / 1e3}


def bucket(value: int) -> int:
    """The lowest value that shares a bucket with `value`."""
    shift = max(0, value.bit_length() - SUB_BUCKET_BITS)
    return value >> shift << shift


def bucket_top(low: int) -> int:
    """The highest value in the bucket that starts at `low`."""
    return low + (1 << max(0, low.bit_length() - SUB_BUCKET_BITS)) - 1


class Histogram:
    """Counts of latencies in ns by bucket."""

    def __init__(self) -> None:
        """Empty."""
        self.counts: Counter[int] = Counter()
        self.maximum = 0

    def add(self, latencies_ns: Iterable[int]) -> None:
        """Merge samples into the histogram."""
        for value, count in Counter(latencies_ns).items():
            self.counts[bucket(value)] += count
            self.maximum = max(self.maximum, value)

    def percentile(self, percent: float) -> int:
        """Nearest rank, the top of the bucket, never above the maximum."""
        rank = max(1, ceil(self.total() * percent / 100 - 1e-9))
        seen = 0
        for low in sorted(self.counts):
            seen += self.counts[low]
            if seen >= rank:
                return min(bucket_top(low), self.maximum)
        raise AssertionError("no samples")

    def total(self) -> int:
        """The number of samples."""
        return sum(self.counts.values())

    def hgrm(self) -> str:
        """HdrHistogram's percentile distribution, values in microseconds."""
        lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} 1/(1-Percentile)", ""]
        total = self.total()
        for percent in distribution_steps(total):
            value = self.percentile(percent)
            seen = sum(count for low, count in self.counts.items() if low <= value)
            inverse = f"{100 / (100 - percent):>14.2f}" if percent < 100 else f"{'inf':>14}"
            lines.append(f"{value / 1e3:>12.3f} {percent / 100:>14.10f} {seen:>10} {inverse}")
        mean = sum(low * count for low, count in self.counts.items()) / total
        lines.append(f"#[Mean    = {mean / 1e3:12.3f}, TotalCount = {total:12}]")
        lines.append(f"#[Max     = {self.maximum / 1e3:12.3f}, Unit       = microseconds]")
        return "\n".join(lines) + "\n"


def distribution_steps(total: int) -> list[float]:
    """Percents at which the distribution is written: four steps per halving of the rest."""
    steps, rest = [], 100.0
    while rest / 100 * total >= 1 and rest > 1e-5:
        steps += [100 - rest * (1 - part / 8) for part in range(4)]
        rest /= 2
    return [*steps, 100.0]
