"""Write docs/compatibility.md from what the conformance suites said and from the table of APIs.

    python tools/write_compatibility.py            writes the page
    python tools/write_compatibility.py --check    exits 1 when the page is out of date

Nobody claims compatibility by hand here: the counts come from `tests/conformance/report.json`, the
reasons from each suite's `known.toml`, results of suites that are run by hand from
`tests/conformance/by_hand.toml`, the versions from the table that ApiVersions answers from.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from logserver.broker.authorization import AUTHORIZATION
from logwire.messages import APIS

ROOT = Path(__file__).resolve().parent.parent
SUITES = ROOT / "tests/conformance"
PAGE = ROOT / "docs/compatibility.md"

INTRO = """\
# Compatibility

Other people's tests, run unmodified against this server. This page is written by
`tools/write_compatibility.py` from `tests/conformance/report.json`, which `make conformance`
writes; [how the suites run](../tests/conformance/README.md) has the rules.

A suite is green when nothing outside its `known.toml` fails and nothing in it passes. A test may
stand there only if it fails in the same way against Apache Kafka 4.3.1 that was set up the same way
(one broker, seen from outside), if it needs transactions, share groups or security, which this
server does not have yet, or if it meets a difference that [decisions](decisions.md) explains.
"""

KINDS = {
    "as-kafka": "Apache Kafka 4.3.1 fails them as well, set up the same way",
    "transactions": "need transactions, which come later",
    "shares": "need share groups, which come later",
    "security": "need TLS, SASL, ACLs or quotas, which come later",
    "deliberate": "differ on purpose, see [decisions](decisions.md)",
}


def page() -> str:
    """The whole page."""
    report: dict[str, dict[str, Any]] = json.loads((SUITES / "report.json").read_text())
    parts = [INTRO, "## Suites\n", suites_table(report)]
    parts.append("## Known failures\n")
    for name, entry in report.items():
        parts += known_failures(name, entry)
    parts += ["## Not run\n", not_run(), "## By hand\n", *by_hand()]
    parts += ["## APIs\n", APIS_INTRO, apis_table()]
    return "\n".join(parts)


def suites_table(report: dict[str, dict[str, Any]]) -> str:
    """One row a suite."""
    rows = []
    for name, entry in report.items():
        versions = ", ".join(f"{what} {version}" for what, version in entry["versions"].items())
        known = sum(entry["known"].values())
        failed = len(entry["failed"]) + len(entry["unexpected"])
        counts = (entry["passed"], known, failed, entry["skipped"], entry["total"])
        when = f"{entry['date']}, `{entry['server']}`"
        rows.append((f"`{name}`", versions, *(str(count) for count in counts), when))
    columns = ("suite", "with", "passed", "known", "failed", "declined", "total", "when")
    return table(columns, rows) + '\n"Declined": the test itself found nothing to do here.\n'


def known_failures(name: str, entry: dict[str, Any]) -> list[str]:
    """A suite's known failures, by kind and reason."""
    known = tomllib.loads((SUITES / name / "known.toml").read_text())
    if not any(known.values()):
        return []
    parts = [f"### {name}\n"]
    for kind, meaning in KINDS.items():
        if kind not in known:
            continue
        count = entry["known"].get(kind, 0)
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        for test, why in known[kind].items():
            reasons[why].append(f"`{test}`")
        rows = [(why, ", ".join(tests)) for why, tests in reasons.items()]
        parts += [f"{count} tests: {meaning}.\n", table(("why", "tests"), rows)]
    return parts


def not_run() -> str:
    """Test classes that are not even started."""
    classes = tomllib.loads((SUITES / "kafka_java/classes.toml").read_text())["not-run"]
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for name, why in classes.items():
        reasons[why].append(f"`{name}`")
    text = "Classes of Apache Kafka's own tests that are not started, and what they need:\n\n"
    return text + table(("needs", "classes"), [(why, ", ".join(n)) for why, n in reasons.items()])


def by_hand() -> Iterable[str]:
    """Suites that no package registry carries: run by hand from their repositories."""
    yield "Suites that only a public repository has are run by hand; what they said:\n"
    entries = tomllib.loads((SUITES / "by_hand.toml").read_text())
    rows = [
        (
            name,
            entry["version"],
            str(entry["passed"]),
            str(entry.get("failed", 0)),
            str(entry.get("skipped", 0)),
            str(entry["date"]),
        )
        for name, entry in entries.items()
    ]
    yield table(("suite", "version", "passed", "known", "declined", "when"), rows)
    for name, entry in entries.items():
        if entry.get("known"):
            yield f"### {name}\n"
            yield table(("test", "why"), [(f"`{t}`", why) for t, why in entry["known"].items()])


APIS_INTRO = """\
What ApiVersions answers. Produce is advertised from version 0 and served from 3, as Apache Kafka
does, because old librdkafka takes "Produce 0 is offered" as the sign that it may compress.
"""


def apis_table() -> str:
    """Every API that is served, with its versions."""
    served = [APIS[key] for key in sorted(AUTHORIZATION)]
    rows = [(str(api.key), api.name, f"{api.advertised_min}-{api.max_version}") for api in served]
    return table(("key", "API", "versions"), rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a pipe inside a cell is escaped."""
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (columns, *rows)
    ]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(lines) + "\n"


def stale() -> bool:
    """Whether the committed page says something else than the report."""
    return not PAGE.exists() or PAGE.read_text() != page()


def main(words: Sequence[str]) -> int:
    """Write or check; the exit code."""
    if not stale():
        return 0
    if "--check" in words:
        print("docs/compatibility.md is out of date: run python tools/write_compatibility.py")
        return 1
    PAGE.write_text(page())
    print("wrote docs/compatibility.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
