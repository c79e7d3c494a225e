"""known.toml: the tests of a suite that may fail, each with the reason why.

A table per kind of reason, `test id = why` in it; an id may be a glob (`Class.test*`):

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

    def reason(self, test: str) -> Reason | None:
        """Why this test may fail; None when it may not. The longest glob that fits counts."""
        if test in self.exact:
            return self.exact[test]
        fitting = [glob for glob in self.globs if fnmatchcase(test, escaped(glob))]
        return self.globs[max(fitting, key=len)] if fitting else None


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
    """Hold a suite's outcomes against its known.toml."""
    verdict = Verdict([], [], {}, {}, [])
    for outcome in outcomes:
        reason = known.reason(outcome.test)
        if outcome.status == "skipped":
            verdict.skipped.append(outcome.test)
        elif outcome.status == "passed":
            verdict.passed.append(outcome.test)
            if reason is not None:
                verdict.unexpected.append(outcome.test)
        elif reason is None:
            verdict.failed[outcome.test] = outcome.message
        else:
            verdict.known[outcome.test] = reason
    return verdict
