"""known.toml: the tests of a suite that may fail, each with the reason why.

A table per kind of reason, `test id = why` in it; an id may be a glob (`Class.*`):

    as-kafka      fails in the same way against Apache Kafka 4.3.1 that was set up the same way
    transactions  needs transactions, which this server does not have yet
    shares        needs share groups, likewise
    security      needs TLS, SASL, ACLs or quotas, likewise
    deliberate    a difference that docs/decisions.md explains

There is no kind for bugs. A suite is green when no other test fails and none of these passes: an
entry that passes has to go, so the file never hides more than it says.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.conformance.outcome import Outcome

KINDS = ("as-kafka", "transactions", "shares", "security", "deliberate")


class Reason(NamedTuple):
    """Why a test may fail: the kind, and a sentence."""

    kind: str
    why: str


class Known(NamedTuple):
    """The entries of one known.toml, ids and globs apart."""

    exact: dict[str, Reason]
    globs: dict[str, Reason]

    def entry(self, test: str) -> str:
        """The id or glob that covers a test, or ''. The longest glob that fits counts."""
        if test in self.exact:
            return test
        fitting = (glob for glob in self.globs if fnmatchcase(test, escaped(glob)))
        return max(fitting, key=len, default="")

    def reason(self, test: str) -> Reason | None:
        """Why this test may fail; None when it may not."""
        entry = self.entry(test)
        return self.exact.get(entry) or self.globs.get(entry)


class Verdict(NamedTuple):
    """A suite's result: which tests did what, and what must not be."""

    passed: list[str]
    skipped: list[str]
    known: dict[str, Reason]
    failed: dict[str, str]
    unexpected: list[str]

    @property
    def green(self) -> bool:
        """Nothing outside known.toml failed and nothing in it passed; and something ran."""
        return not self.failed and not self.unexpected and bool(self.passed)


def escaped(glob: str) -> str:
    """A glob in which only the star is special: test ids are full of square brackets."""
    return glob.replace("[", "[[]")


def parse(text: str) -> Known:
    """Read the text of a known.toml; raises ValueError for an unknown kind or an empty reason."""
    exact: dict[str, Reason] = {}
    globs: dict[str, Reason] = {}
    for kind, entries in tomllib.loads(text).items():
        if kind not in KINDS:
            raise ValueError(f"unknown kind of reason {kind!r}: choose from {', '.join(KINDS)}")
        for test, why in entries.items():
            if not isinstance(why, str) or not why.strip():
                raise ValueError(f"{test}: an entry needs a reason")
            if test in exact or test in globs:
                raise ValueError(f"{test} stands twice")
            (globs if "*" in test else exact)[test] = Reason(kind, why)
    return Known(exact, globs)


def load(folder: Path) -> Known:
    """The known.toml of a suite's folder."""
    return parse((folder / "known.toml").read_text())


def judge(outcomes: Iterable[Outcome], known: Known) -> Verdict:
    """Hold a suite's outcomes against its known.toml.

    A glob covers whole classes, in which a test may pass by luck (one that only asks the client):
    it is unexpected when all pass that it covers.
    """
    verdict = Verdict([], [], {}, {}, [])
    covering: dict[str, set[str]] = {}
    for outcome in outcomes:
        reason = known.reason(outcome.test)
        covering.setdefault(known.entry(outcome.test), set()).add(outcome.status)
        if outcome.status == "skipped":
            verdict.skipped.append(outcome.test)
        elif outcome.status == "failed" and reason is None:
            verdict.failed[outcome.test] = outcome.message
        elif outcome.status == "failed" and reason is not None:
            verdict.known[outcome.test] = reason
        else:
            verdict.passed.append(outcome.test)
            if outcome.test in known.exact:
                verdict.unexpected.append(outcome.test)
    verdict.unexpected.extend(
        glob for glob in known.globs if covering.get(glob, set()) == {"passed"}
    )
    return verdict
