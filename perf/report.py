"""The report: JSON with every run, one page of Markdown, percentile logs of the merged latencies.

Nothing in it names a place on the machine: results are committed.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from perf.figures import LIMITS, TARGETS, Figures, Ratio, Target, compare, verdict
from perf.histogram import SAMPLES_ABOVE_MIN, Histogram
from perf.pairs import Result

COLUMNS = [
    ("requests_per_s", "requests/s"), ("mb_per_s", "MB/s"),
    ("server_cpu_us_per_request", "CPU us/req"),
    ("server_cpu_s_per_gb", "CPU-s/GB"), ("server_cpu_percent", "server CPU %"),
    ("machine_cpu_percent", "machine CPU %"), ("generator_cpu_percent", "load CPU %"),
]  # fmt: skip


def number(value: float) -> str:
    """A figure with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


class Report:
    """Everything measured in one call."""

    def __init__(self, header: dict[str, object], ours: str, theirs: str | None) -> None:
        """`ours` and `theirs` are the names of the sides; `theirs` is None without a peer."""
        self.header = header
        self.ours = ours
        self.theirs = theirs
        self.results: dict[str, Result] = {}
        self.lifetimes: dict[str, Figures] = {}
        self.log_gb = 10

    def ratio(self, target: Target) -> Ratio | None:
        """The comparison of one target; None where a side has no such figure."""
        result = self.results.get(target.scenario)
        other = self.results.get(target.their_scenario or target.scenario)
        if not (result and other and self.theirs):
            return None
        ours = result.series(self.ours, target.key)
        theirs = other.series(self.theirs, target.key)
        paired = result is other and len(ours) == len(theirs)
        return compare(ours, theirs, paired=paired) if ours and theirs else None

    def verdicts(self) -> list[tuple[str, str]]:
        """Every judged row and its verdict; against Kafka only."""
        found = []
        for target in TARGETS if self.theirs == "kafka" else []:
            ratio = self.ratio(target)
            if ratio:
                better = target.higher_is_better
                found.append((
                    f"{target.scenario} {target.key}",
                    verdict(ratio.ratio, target.floor, target.goal, higher_is_better=better),
                ))  # fmt: skip
        own = self.absolute(self.ours)
        for limit in LIMITS:
            if limit.key in own:
                value = own[limit.key]
                word = verdict(value, limit.floor, limit.goal, higher_is_better=False)
                found.append((limit.key, word))
        return found

    def summary(self) -> str:
        """The table of ratios, floors and goals."""
        rows = []
        judged = self.theirs == "kafka"
        for target in TARGETS:
            ratio = self.ratio(target)
            if not ratio:
                continue
            better = target.higher_is_better
            word = verdict(ratio.ratio, target.floor, target.goal, higher_is_better=better)
            rows.append([
                target.title, f"{number(ratio.theirs)} {target.unit}",
                f"{number(ratio.ours)} {target.unit}",
                f"**{ratio.ratio:.2f}x** ({ratio.low:.2f} to {ratio.high:.2f}, {ratio.pairs})",
                *([f"{target.floor:g}x", f"{target.goal:g}x", word] if judged else []),
            ])  # fmt: skip
        words = ["floor", "goal", "verdict"] if judged else []
        head = ["figure", self.theirs or "", self.ours, "ratio (range, pairs)", *words]
        return table(head, rows) if rows else ""

    def absolute(self, side: str) -> Figures:
        """One side's figures by the keys of LIMITS: of its life, and medians of scenarios."""
        found = dict(self.lifetimes.get(side, {}))
        for limit in LIMITS:
            scenario, _, key = limit.key.partition(" ")
            if scenario in self.results:
                values = self.results[scenario].series(side, key)
                if values:
                    found[limit.key] = median(values)
        return found

    def limits(self) -> str:
        """The table of absolute figures."""
        own, other = self.absolute(self.ours), self.absolute(self.theirs or "")
        rows = []
        for limit in LIMITS:
            if limit.key not in own:
                continue
            word = verdict(own[limit.key], limit.floor, limit.goal, higher_is_better=False)
            peer = f"{number(other[limit.key])} {limit.unit}" if limit.key in other else "-"
            title = limit.title.replace("10 GB", f"{self.log_gb} GB")
            rows.append([
                title, peer, f"**{number(own[limit.key])} {limit.unit}**",
                f"{limit.floor:g}", f"{limit.goal:g}", word,
            ])  # fmt: skip
        head = ["figure", self.theirs or "-", self.ours, "floor", "goal", "verdict"]
        return table(head, rows) if rows else ""

    def details(self) -> str:
        """Medians of every scenario and side; percentiles of all valid runs merged."""
        rows = []
        for result in self.results.values():
            for side in result.valid()[0].figures:
                merged = result.histograms.get((side, "latency"))
                tail = [percentile_or_dash(merged, percent) for percent in (50, 99, 99.9)]
                tail.append(number(merged.maximum / 1e3) if merged else "-")
                cells = [cell(result, side, key) for key, _ in COLUMNS]
                rows.append([result.scenario, side, *cells[:2], *tail, *cells[2:]])
        names = [title for _, title in COLUMNS]
        latency = ["P50 us", "P99 us", "P99.9 us", "max us"]
        return table(["scenario", "side", *names[:2], *latency, *names[2:]], rows)

    def markdown(self) -> str:
        """One page."""
        against = f" against {self.theirs}" if self.theirs else ""
        voids = sum(bool(pair.void) for one in self.results.values() for pair in one.pairs)
        total = sum(len(one.pairs) for one in self.results.values())
        told = {key: value for key, value in self.header.items() if key != "settings"}
        told["pairs"] = f"{total} run, {voids} void (not counted)"
        unproven = [one.scenario for one in self.results.values() if all(p.void for p in one.pairs)]
        if unproven:
            told["no valid pair"] = f"**these figures prove nothing:** {', '.join(unproven)}"
        rows = [[key.replace("_", " "), flat(value)] for key, value in told.items()]
        parts = [
            f"# Measured: {self.ours}{against}\n", table(["run", ""], rows), self.summary(),
            self.limits(), self.details(), self.settings(),
        ]  # fmt: skip
        return "\n".join(part for part in parts if part)

    def settings(self) -> str:
        """The effective settings of all sides, of the broker and of both kinds of topic."""
        told = self.header.get("settings")
        if not isinstance(told, dict):
            return ""
        keys = sorted({(kind, key) for one in told.values() for kind in one for key in one[kind]})
        rows = [
            [f"{kind} {key}", *(flat(told[side].get(kind, {}).get(key, "")) for side in told)]
            for kind, key in keys
        ]
        return table(["effective setting", *told], rows)

    def as_json(self) -> str:
        """Every run."""
        results = {
            one.scenario: {
                "title": one.title,
                "pairs": [{"void": pair.void, **pair.figures} for pair in one.pairs],
            }
            for one in self.results.values()
        }
        document = {
            "header": self.header, "scenarios": results, "lifetime": self.lifetimes,
            "verdicts": dict(self.verdicts()),
        }  # fmt: skip
        return json.dumps(document, indent=1, default=str) + "\n"

    def write(self, directory: Path, name: str) -> Path:
        """Write `name`.json, `name`.md and the percentile logs; returns the page's path."""
        logs = directory / name
        logs.mkdir(parents=True, exist_ok=True)
        for result in self.results.values():
            for (side, kind), histogram in result.histograms.items():
                log = logs / f"{result.scenario}-{side}-{kind}.hgrm"
                log.write_text(histogram.hgrm())
        (directory / f"{name}.json").write_text(self.as_json())
        page = directory / f"{name}.md"
        page.write_text(self.markdown())
        return page


def percentile_or_dash(merged: Histogram | None, percent: float) -> str:
    """A percentile in us, or a dash where too few samples lie above it."""
    if not merged or merged.total() * (100 - percent) / 100 < SAMPLES_ABOVE_MIN:
        return "-"
    return number(merged.percentile(percent) / 1e3)


def cell(result: Result, side: str, key: str) -> str:
    """The median of a figure over the valid pairs."""
    values = result.series(side, key)
    return number(median(values)) if values else "-"


def flat(value: object) -> str:
    """A nested value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={flat(one)}" for key, one in value.items())
    return str(value)
