"""The gate: format, lint, types, import walls, tests. One command, the same here and in CI.

    python tools/check.py [--fast] [pytest arguments]

Every step runs even when one before it failed, so that one run tells everything. A skipped test
fails the gate unless `tests/skips.txt` lists it with its reason. `--fast` leaves out the tests
marked simulation, crash and compat. The last line is pytest's own closing line.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STEPS = (
    ("format", ["ruff", "format", "--check", "."]),
    ("lint", ["ruff", "check", "."]),
    ("types", ["mypy"]),
    ("walls", ["importlinter.cli"]),
)
PLAIN = "not simulation and not crash and not compat"


class Tests(NamedTuple):
    """What the tests said: counts, skips that nobody allowed."""

    passed: int
    failed: int
    skipped: int
    unlisted: list[str]
    ok: bool


def run_step(name: str, command: list[str]) -> bool:
    """Run one tool; its output is shown only when it fails."""
    started_s = time.monotonic()
    if name == "walls":
        words = [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c()",
        ]
    else:
        words = [sys.executable, "-m", *command]
    result = subprocess.run(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    ok = result.returncode == 0
    print(f"{name:8} {'ok' if ok else 'FAILED'}  {time.monotonic() - started_s:.1f} s", flush=True)
    if not ok:
        print(result.stdout, flush=True)
    return ok


def listed_skips() -> list[tuple[str, str]]:
    """(prefix of a test's name, reason) pairs of tests/skips.txt; a line without a reason fails."""
    pairs = []
    for line in (ROOT / "tests/skips.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            prefix, reason = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            pairs.append((prefix, reason))
    return pairs


def read_report(path: Path, code: int, listed: list[tuple[str, str]]) -> Tests:
    """Count the cases of pytest's XML report and find the skips that nobody allowed."""
    allowed = tuple(prefix for prefix, _ in listed)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    unlisted = []
    for case in ET.parse(path).iter("testcase") if path.exists() else ():
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        skip = case.find("skipped")
        if skip is not None and skip.get("type") != "pytest.xfail":
            counts["skipped"] += 1
            if not name.startswith(allowed):
                unlisted.append(f"{name}: {skip.get('message')}")
        elif case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        else:
            counts["passed"] += 1
    ok = code == 0 and not unlisted and counts["passed"] > 0 and not counts["failed"]
    return Tests(**counts, unlisted=unlisted, ok=ok)


def is_closing_line(line: str) -> bool:
    """Whether this is pytest's last line: counts and the time they took."""
    return bool(re.match(r"[= ]*(\d+ [a-z]+|no tests ran)(, \d+ [a-z]+)* in [0-9.]+s", line))


def run_tests(arguments: list[str]) -> tuple[Tests, str]:
    """Run pytest, passing its output through as it comes; the result and its closing line."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", "--durations=10", f"--junitxml={report}"]
        process = subprocess.Popen(
            [*words, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        closing_line = "pytest ended without its closing line"
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if is_closing_line(line):
                closing_line = line.strip()
        return read_report(report, process.wait(), listed_skips()), closing_line


def main() -> int:
    """Run the gate; 0 when everything holds."""
    arguments = sys.argv[1:]
    if "--fast" in arguments:
        arguments.remove("--fast")
        arguments += ["-m", PLAIN]
    results = {name: run_step(name, command) for name, command in STEPS}
    tests, closing_line = run_tests(arguments)
    for skip in tests.unlisted:
        print(f"skipped, but not listed in tests/skips.txt: {skip}")
    results["tests"] = tests.ok
    failed = [name for name, ok in results.items() if not ok]
    print(f"\ngate: {'FAILED: ' + ', '.join(failed) if failed else 'every step holds'}")
    print(f"tests: {tests.passed} passed, {tests.failed} failed, {tests.skipped} skipped")
    print(closing_line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
