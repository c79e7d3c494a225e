"""report.json: what every suite said the last time, as it is committed.

    suite -> date, server (commit), versions, total, passed, skipped, known {kind: count},
             failed {test: message}, unexpected [test]

docs/compatibility.md is written from it; a suite that was not run keeps its last entry.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conformance import cache
from tests.conformance.cache import ROOT
from tests.conformance.known import Verdict
from tests.conformance.outcome import Outcome

REPORT = Path(__file__).parent / "report.json"
MESSAGE_CHARACTERS_MAX = 200

Entry = dict[str, Any]


def read() -> dict[str, Entry]:
    """The committed report; empty when there is none."""
    return dict(json.loads(REPORT.read_text())) if REPORT.exists() else {}


def entry(verdict: Verdict, versions: dict[str, str]) -> Entry:
    """One suite's part of the report."""
    counts = [len(verdict.passed), len(verdict.skipped), len(verdict.known), len(verdict.failed)]
    failed = {test: text[:MESSAGE_CHARACTERS_MAX] for test, text in sorted(verdict.failed.items())}
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "server": commit(),
        "versions": versions,
        "total": sum(counts),
        "passed": len(verdict.passed),
        "skipped": len(verdict.skipped),
        "known": dict(sorted(Counter(one.kind for one in verdict.known.values()).items())),
        "failed": failed,
        "unexpected": sorted(verdict.unexpected),
    }


def remember(name: str, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Keep these outcomes in the cache beside earlier ones of other tests; all of them.

    So a long suite can be run in parts.
    """
    path = cache.folder(name) / "outcomes.json"
    with (path.parent / "outcomes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept.update((outcome.test, outcome) for outcome in outcomes)
        path.write_text(json.dumps(kept, indent=1))
    return [Outcome(*fields) for fields in kept.values()]


def forget(name: str) -> None:
    """Begin anew: a whole run leaves no outcome of an earlier one."""
    (cache.folder(name) / "outcomes.json").unlink(missing_ok=True)


def write(entries: dict[str, Entry]) -> None:
    """Put these suites' entries into the report and keep the others'."""
    merged = dict(sorted({**read(), **entries}.items()))
    REPORT.write_text(json.dumps(merged, indent=2) + "\n")


def commit() -> str:
    """The commit of the server under test."""
    words = ["git", "rev-parse", "--short=9", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip()
