"""Pairs of runs, interleaved A B, B A, A B ..., so that drift of the machine hits both sides.

Each scenario begins with one discarded run a side (JIT, allocators, files). While one side runs the
other stands still. Void pairs are run again, up to twice the wanted number, as long as the time
allowed for that lasts.
"""

import gc
import sys
import time
from typing import NamedTuple

from perf.control import control
from perf.figures import Figures, void_reasons
from perf.histogram import Histogram
from perf.machine import busy_percent
from perf.scenarios import Bench, Measured, Plan, Scenario
from perf.servers import Server

START_BUSY_PERCENT_GOOD = 15.0


class Side(NamedTuple):
    """One server, or one commit, in the comparison."""

    name: str
    server: Server


class Pair(NamedTuple):
    """One run of every side, and why it must not count (empty: it does)."""

    figures: dict[str, Figures]
    void: list[str]


class Result(NamedTuple):
    """A scenario's pairs and the merged latencies of the valid ones by side and kind."""

    scenario: str
    title: str
    pairs: list[Pair]
    histograms: dict[tuple[str, str], Histogram]

    def valid(self) -> list[Pair]:
        """The pairs that count; all of them when none is valid (the report says so)."""
        return [pair for pair in self.pairs if not pair.void] or self.pairs

    def series(self, side: str, key: str) -> list[float]:
        """One figure of one side over the valid pairs; runs without it, or that side, left out."""
        rows = [pair.figures[side] for pair in self.valid() if side in pair.figures]
        return [row[key] for row in rows if key in row]


def wait_until_quiet(seconds: float) -> float:
    """Wait a little for a quiet machine; returns how busy it was at last, in percent of a CPU."""
    deadline = time.monotonic() + seconds
    while (busy := busy_percent()) > START_BUSY_PERCENT_GOOD and time.monotonic() < deadline:
        pass
    return busy


def cannot_run(scenario: Scenario, sides: list[Side]) -> str:
    """Who does not serve what the scenario needs (an old commit has no groups); empty: all do."""
    for side in sides:
        with control(side.server.address) as link:
            if scenario.api not in link.api_versions():
                return f"{scenario.name}: {side.name} does not serve API {scenario.api}"
    return ""


def measure(side: Side, scenario: Scenario, bench: Bench, others: list[Side]) -> Measured:
    """One run of one side while the others stand still."""
    for other in others:
        other.server.freeze()
    gc.collect()
    gc.disable()
    try:
        return scenario.run(bench._replace(server=side.server))
    finally:
        gc.enable()
        for other in others:
            other.server.thaw()


def run_scenario(
    scenario: Scenario, sides: list[Side], plan: Plan, pairs: int, half_rate: float
) -> Result:
    """The discarded run, then pairs until `pairs` are valid or twice as many were run."""
    result = Result(scenario.name, scenario.title, [], {})
    if pairs > 1:
        short = Bench(sides[0].server, plan._replace(seconds=min(1.5, plan.seconds)), half_rate)
        for side in sides:
            measure(side, scenario, short, [other for other in sides if other is not side])
    bench = Bench(sides[0].server, plan, half_rate)
    runs: list[dict[str, Measured]] = []
    for number in range(pairs * 2 if pairs > 1 else 1):
        order = sides if number % 2 == 0 else sides[::-1]
        found: dict[str, Measured] = {}
        void = []
        for side in order:
            busy = wait_until_quiet(plan.quiet_wait_s)
            others = [other for other in sides if other is not side]
            found[side.name] = measure(side, scenario, bench, others)
            reasons = void_reasons(found[side.name].figures, busy)
            void += [f"{side.name}: {reason}" for reason in reasons]
        result.pairs.append(Pair({name: one.figures for name, one in found.items()}, void))
        runs.append(found)
        tell(scenario, number, sides, result.pairs[-1])
        enough = sum(not pair.void for pair in result.pairs) >= pairs
        if enough or (number + 1 >= pairs and time.monotonic() > plan.retry_until_s):
            break
    kept = result.valid()
    for pair, found in zip(result.pairs, runs, strict=True):
        if pair in kept:
            merge(result.histograms, found)
    return result


def merge(histograms: dict[tuple[str, str], Histogram], found: dict[str, Measured]) -> None:
    """Add the latencies of one pair."""
    for side, one in found.items():
        for kind, latencies in one.latencies.items():
            histograms.setdefault((side, kind), Histogram()).add(latencies)


def tell(scenario: Scenario, number: int, sides: list[Side], pair: Pair) -> None:
    """One line of progress."""
    parts = []
    for side in sides:
        row = pair.figures[side.name]
        late = row.get("p99_us", row["max_us"])
        parts.append(
            f"{side.name} {row['requests_per_s']:,.0f}/s {row['mb_per_s']:,.0f} MB/s "
            f"P50 {row['p50_us']:,.0f} P99 {late:,.0f} us CPU {row['server_cpu_percent']:.0f} %"
        )
    text = f"{scenario.name:>18} {number + 1}: " + " | ".join(parts)
    if pair.void:
        text += "  VOID: " + "; ".join(pair.void)
    print(text, file=sys.stderr, flush=True)
