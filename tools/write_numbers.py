"""Write the newest comparison with Apache Kafka into the pages that show figures.

    python tools/write_numbers.py            README.md and docs/performance.md
    python tools/write_numbers.py --check    exits 1 and names the pages that are out of date

The source is the newest `perf/results/*-kafka.json` that git knows or would take (results of
uncommitted code are ignored by git, and so here). What stands between two markers in a page is
replaced, nothing else:

    <!-- numbers -->
    ...
    <!-- /numbers -->

No figure is typed by hand: tests/tools checks that both pages say what the newest result says.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from perf.figures import LIMITS, TARGETS  # noqa: E402 - run by path, perf lies beside
from perf.pairs import Pair, Result  # noqa: E402
from perf.report import Report, number, table  # noqa: E402

PATTERN = "perf/results/*-kafka.json"
BEGIN, END = "<!-- numbers -->", "<!-- /numbers -->"
COLUMNS = 100
OURS, THEIRS = "logserver", "kafka"
NOTHING_YET = """\
No comparison of this version is committed yet. `perf/run.sh --against kafka` makes one and leaves
its report under `perf/results/`.
"""
HEAD = ("relaxed on both sides unless it says durable", "Apache Kafka", "Logserver", "ratio")


def newest_result(root: Path) -> Path | None:
    """The comparison with the youngest date in its header, None when there is none."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", PATTERN]
    if (root / ".git").exists():
        told = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
        names = [root / line for line in told.stdout.splitlines()]
    else:
        names = list(root.glob(PATTERN))
    found = [(header_of(name)["date"], name) for name in names if name.is_file()]
    return max(found)[1] if found else None


def header_of(path: Path) -> dict[str, Any]:
    """The header of a result: date, commit, machine."""
    header: dict[str, Any] = json.loads(path.read_text())["header"]
    return header


def load(path: Path) -> Report:
    """A result as perf wrote it, without its latency logs."""
    document = json.loads(path.read_text())
    report = Report(document["header"], OURS, THEIRS)
    for name, scenario in document["scenarios"].items():
        pairs = []
        for row in scenario["pairs"]:
            figures = {side: values for side, values in row.items() if side != "void"}
            pairs.append(Pair(figures, row["void"]))
        report.results[name] = Result(name, scenario["title"], pairs, {})
    report.lifetimes = document["lifetime"]
    return report


def introduction(report: Report, path: Path, above: str) -> str:
    """Where, when and on what was measured; `above` leads from the page to the root."""
    header = report.header
    versions = header.get("versions")
    peer = versions.get(THEIRS, "Apache Kafka") if isinstance(versions, dict) else "Apache Kafka"
    sentence = (
        f"Measured {str(header['date'])[:10]} at commit `{header['commit']}` against {peer}, on "
        f"{header['cpu_count']} cores ({header['cpu']}) with {header['memory_gb']} GB, "
        f"Linux {header['kernel']}, {str(header['file_system']).split()[0]}, "
        f"Python {header['python']}."
    )
    page = f"{above}perf/results/{path.stem}.md"
    return f"{textwrap.fill(sentence, COLUMNS)}\n[The whole report]({page}).\n"


def warnings(report: Report) -> str:
    """Names what proves nothing: scenarios in which no pair was undisturbed."""
    void = [one.scenario for one in report.results.values() if all(pair.void for pair in one.pairs)]
    text = f"No undisturbed pair: {', '.join(void)}."
    return f"\n{textwrap.fill(text, COLUMNS, break_on_hyphens=False)}\n" if void else ""


def short_table(report: Report) -> str:
    """What a reader of the README wants: both sides and the ratio; then what is absolute."""
    rows = []
    for target in TARGETS:
        ratio = report.ratio(target)
        if ratio:
            theirs, ours = number(ratio.theirs), number(ratio.ours)
            rows.append([
                indented(target.title), f"{theirs} {target.unit}", f"{ours} {target.unit}",
                f"**{ratio.ratio:.2f}x**",
            ])  # fmt: skip
    own, other = report.absolute(OURS), report.absolute(THEIRS)
    for limit in LIMITS:
        if limit.key in own:
            peer = f"{number(other[limit.key])} {limit.unit}" if limit.key in other else "-"
            mine = f"{number(own[limit.key])} {limit.unit}"
            rows.append([indented(limit.title), peer, mine, ""])
    return table(HEAD, rows)


def indented(title: str) -> str:
    """A row that continues the one above is marked so, since Markdown drops leading blanks."""
    return f"&ensp;{title.strip()}" if title.startswith("  ") else title


def readme_part(report: Report, path: Path) -> str:
    """Between the markers of README.md."""
    return f"{introduction(report, path, '')}\n{short_table(report)}{warnings(report)}"


def performance_part(report: Report, path: Path) -> str:
    """Between the markers of docs/performance.md: with ranges, floors, goals and verdicts."""
    parts = [introduction(report, path, "../"), report.summary(), report.limits()]
    return "\n".join(part for part in parts if part) + warnings(report)


PAGES = {"README.md": readme_part, "docs/performance.md": performance_part}


def between_markers(page: str, part: str) -> str:
    """The page with `part` between its markers. Raises ValueError when it has no such pair."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs {BEGIN} and, below it, {END}")
    return f"{before}{BEGIN}\n{part}{END}{after}"


def written_pages(root: Path) -> dict[str, str]:
    """Each page with the figures of the newest result."""
    newest = newest_result(root)
    report = load(newest) if newest else None
    return {
        name: between_markers(
            (root / name).read_text(), part(report, newest) if report and newest else NOTHING_YET
        )
        for name, part in PAGES.items()
    }


def stale_pages(root: Path) -> list[str]:
    """Pages whose figures are not those of the newest result."""
    return [name for name, text in written_pages(root).items() if (root / name).read_text() != text]


def main(words: Sequence[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    if words not in ([], ["--check"]):
        print("usage: python tools/write_numbers.py [--check]", file=sys.stderr)
        return 2
    stale = stale_pages(ROOT)
    if words:
        for name in stale:
            print(f"{name} is out of date: run python tools/write_numbers.py", file=sys.stderr)
        return 1 if stale else 0
    for name, text in written_pages(ROOT).items():
        (ROOT / name).write_text(text)
    print("written: " + (", ".join(stale) or "nothing, both pages were up to date"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
