"""Which figures count, how two sides are compared, and what is called met.

A ratio is ours divided by theirs, taken pair by pair, and the median over the valid pairs is the
figure; its range is told with it. A pair is void when somebody else used the machine, when the
hypervisor took CPU away, or when a fixed rate was not reached: then it says nothing.
Floors are required, goals are aimed at; both are the project's own (docs/performance.md).
"""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

STEAL_PERCENT_MAX = 2.0
FOREIGN_PERCENT_MAX = 15.0
START_BUSY_PERCENT_MAX = 30.0
RATE_PERCENT_MIN = 99.0

Figures = dict[str, float]


class Target(NamedTuple):
    """One row of the summary: a ratio, its floor and its goal."""

    scenario: str
    key: str
    title: str
    unit: str
    floor: float
    goal: float
    higher_is_better: bool = True
    their_scenario: str | None = None  # when the other side's figure is of another scenario


class Limit(NamedTuple):
    """One row of the summary: an absolute figure of ours.

    `key` is a figure of the server's life, or "scenario figure".
    """

    key: str
    title: str
    unit: str
    floor: float
    goal: float


def less(scenario: str, key: str, title: str, unit: str, floor: float, goal: float) -> Target:
    """A target where less is better."""
    return Target(scenario, key, title, unit, floor, goal, higher_is_better=False)


RATE, P50, P99, CPU = "requests_per_s", "p50_us", "p99_us", "server_cpu_us_per_request"
TARGETS = [
    Target("produce-1k", RATE, "1 KB, one record a request", "req/s", 4, 6),
    less("produce-1k", P99, "  P99", "us", 0.3, 0.15),
    less("produce-1k", CPU, "  server CPU a request", "us", 0.25, 0.18),
    Target("produce-16k", "mb_per_s", "16 KB batches", "MB/s", 3.2, 5),
    less("produce-16k", P99, "  P99", "us", 0.3, 0.15),
    Target("produce-64k", "mb_per_s", "64 KB batches", "MB/s", 3, 4),
    Target("produce-1m", "mb_per_s", "1 MB batches", "MB/s", 2.5, 3.5),
    Target("fetch-64k", "mb_per_s", "fetch from page cache, 64 KB", "MB/s", 1.2, 2),
    Target("fetch-1m", "mb_per_s", "fetch from page cache, 1 MB", "MB/s", 1.0, 1.5),
    Target("wide-16", RATE, "16 connections, 1 KB, 1 in flight each", "req/s", 2, 4),
    less("end-to-end-half", P50, "end to end, half of Kafka's maximum, P50", "us", 0.5, 0.25),
    less("end-to-end-half", P99, "  P99", "us", 0.5, 0.2),
    less("end-to-end-10k", P50, "end to end, 10,000 a second, P50", "us", 0.5, 0.25),
    less("end-to-end-10k", P99, "  P99", "us", 0.5, 0.2),
    Target("durable-1", RATE, "durable, 1 KB, 1 in flight", "req/s", 1.5, 1.8),
    Target("durable-8", RATE, "durable, 1 KB, 8 in flight", "req/s", 5, 7),
    less("durable-8", P99, "  P99", "us", 0.25, 0.12),
    Target("durable-64", RATE, "durable, 1 KB, 64 in flight", "req/s", 14, 20),
    Target("durable-64", RATE, "  against Kafka's relaxed rate", "req/s", 3, 4,
           their_scenario="produce-1k"),
    Target("group-throughput", "mb_per_s", "16 partitions to a group of 4 Java consumers", "MB/s",
           1.5, 1.5),
    less("group-latency", P99, "  4,000 records of 1 KB a second, P99", "us", 0.5, 0.5),
]  # fmt: skip
LIMITS = [
    Limit("anonymous_mb", "anonymous memory after 10 GB in and out", "MB", 100, 60),
    Limit("growth_mb", "  its growth over the last half", "MB", 1, 1),
    Limit("ready_empty_s", "ready after start, empty", "s", 0.5, 0.2),
    Limit("ready_clean_s", "  clean, 10 GB", "s", 0.7, 0.4),
    Limit("ready_killed_s", "  kill -9, 10 GB, under 20 MB/s of durable produce", "s", 2, 1),
    Limit("join-classic p50_us", "100 members join a classic group", "us", 1e6, 1e6),
    Limit("join-consumer p50_us", "100 members join a KIP-848 group", "us", 5e5, 5e5),
    Limit("compaction s_per_gb", "compaction, for each GB of log", "s", 5, 5),
    Limit("compaction p99_times", "  others' P99 meanwhile, against before", "x", 1.5, 1.5),
    Limit("groups-1000 anonymous_mb", "anonymous memory with 1,000 groups of 4 members", "MB", 100,
          100),
    Limit("commits-10k p99_of_limit", "10,000 commits a second: P99 of what is allowed (10 ms, or "
          "three syncs)", "x", 1, 1),
]  # fmt: skip


class Ratio(NamedTuple):
    """Medians of both sides, the median of the pairs' ratios, and the range of those."""

    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    pairs: int


def compare(ours: Sequence[float], theirs: Sequence[float], *, paired: bool = True) -> Ratio:
    """Compare runs of both sides; element i of both is pair i unless `paired` is False."""
    middle_ours, middle_theirs = median(ours), median(theirs)
    if paired:
        each = [one / other for one, other in zip(ours, theirs, strict=True)]
    else:
        each = [one / middle_theirs for one in ours]
    return Ratio(middle_ours, middle_theirs, median(each), min(each), max(each), len(each))


def verdict(value: float, floor: float, goal: float, *, higher_is_better: bool) -> str:
    """`goal` when the goal is met, `floor` when only the floor is, else `MISS`."""
    sign = 1 if higher_is_better else -1
    if sign * value >= sign * goal:
        return "goal"
    return "floor" if sign * value >= sign * floor else "MISS"


def void_reasons(figures: Figures, start_busy_percent: float) -> list[str]:
    """Why a run must not count; empty when it may."""
    reasons = []
    if figures["steal_percent"] > STEAL_PERCENT_MAX:
        reasons.append(f"steal {figures['steal_percent']:.1f} %")
    if figures["foreign_cpu_percent"] > FOREIGN_PERCENT_MAX:
        reasons.append(f"other processes used {figures['foreign_cpu_percent']:.0f} % of a CPU")
    if start_busy_percent > START_BUSY_PERCENT_MAX:
        reasons.append(f"{start_busy_percent:.0f} % of a CPU busy before the start")
    if figures.get("rate_percent", 100.0) < RATE_PERCENT_MIN:
        reasons.append(f"{figures['rate_percent']:.1f} % of the rate reached")
    return reasons
