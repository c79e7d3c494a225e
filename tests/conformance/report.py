"""report.json: what every suite said the last time, as it is committed.

    suite -> date, server (commit), versions, total, passed, skipped, known {kind: count},
             failed {test: message}, unexpected [test], seconds

docs/compatibility.md is written from it; a suite that was not run keeps its last entry.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance.cache import ROOT
from tests.conformance.known import Verdict

REPORT = Path(__file__).parent / "report.json"
MESSAGE_CHARACTERS_MAX = 200

Entry = dict[str, Any]


def read() -> dict[str, Entry]:
    """The committed report; empty when there is none."""
    return dict(json.loads(REPORT.read_text())) if REPORT.exists() else {}


def entry(verdict: Verdict, versions: dict[str, str], seconds: float) -> Entry:
    """One suite's part of the report."""
    counts = [len(verdict.passed), len(verdict.skipped), len(verdict.known), len(verdict.failed)]
    failed = {test: text[:MESSAGE_CHARACTERS_MAX] for test, text in sorted(verdict.failed.items())}
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "server": commit(),
        "versions": versions,
        "total": sum(counts) + len(verdict.unexpected),
        "passed": len(verdict.passed),
        "skipped": len(verdict.skipped),
        "known": dict(sorted(Counter(one.kind for one in verdict.known.values()).items())),
        "failed": failed,
        "unexpected": sorted(verdict.unexpected),
        "seconds": round(seconds),
    }


def write(entries: dict[str, Entry]) -> None:
    """Put these suites' entries into the report and keep the others'."""
    merged = dict(sorted({**read(), **entries}.items()))
    REPORT.write_text(json.dumps(merged, indent=2) + "\n")


def commit() -> str:
    """The commit of the server under test."""
    words = ["git", "rev-parse", "--short=9", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip()
