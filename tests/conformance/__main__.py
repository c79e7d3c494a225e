"""Run other people's tests against our server.

    python -m tests.conformance                       every suite, and write report.json
    python -m tests.conformance kafka_java            one suite, and its entry of the report
    python -m tests.conformance kafka_java --only 'TopicCommandTest.*'       some tests; no report
    python -m tests.conformance kafka_java --smoke    what runs on every push; no report
    python -m tests.conformance kafka_java --kafka    against Apache Kafka; no report
    python -m tests.conformance kafka_java --only 'P*' --part    a part of a long suite: the entry
                                                      of the report is made of all parts so far

What failed outside known.toml is tried once more by itself: these suites are written for a quiet
machine. The exit code is 0 when every suite is green.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import report
from tests.conformance.known import Verdict, judge, load
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.suites import SUITES, Suite

AGAIN_MAX = 20  # more failures than that are no bad luck


def outcomes_of(
    suite: Suite, selection: Selection, *, kafka: bool, again: bool
) -> Iterator[Outcome]:
    """A suite's outcomes as they come, told on the terminal; failures tried once more."""
    known = load(Path(str(suite.__file__)).parent)
    failed: list[Outcome] = []
    for outcome in suite.run_suite(selection, kafka=kafka) if kafka else suite.run_suite(selection):
        mark = "known " if known.reason(outcome.test) else ""
        print(f"{mark}{outcome.status:8} {outcome.test}  {outcome.message[:160]}", flush=True)
        if outcome.status == "failed" and not mark and again:
            failed.append(outcome)
        else:
            yield outcome
    for outcome in failed:
        second = [outcome]
        if len(failed) <= AGAIN_MAX:
            second = [
                one for one in suite.run_suite(Selection(outcome.test)) if one.test == outcome.test
            ] or second
        print(f"again    {second[0].status:8} {outcome.test}", flush=True)
        yield second[0]


def tell(name: str, verdict: Verdict) -> None:
    """The last lines about a suite."""
    for test, message in verdict.failed.items():
        print(f"FAILED      {test}: {message.splitlines()[0] if message else ''}"[:240])
    for test in verdict.unexpected:
        print(f"UNEXPECTED  {test} passes: take it out of known.toml")
    counts = f"{len(verdict.passed)} passed, {len(verdict.known)} known"
    counts += f", {len(verdict.skipped)} skipped, {len(verdict.failed)} failed"
    counts += f", {len(verdict.unexpected)} unexpected"
    print(f"{name}: {'green' if verdict.green else 'RED'}: {counts}", flush=True)


def main(words: list[str]) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--only", default="*", help="a glob of test ids")
    parser.add_argument("--smoke", action="store_true", help="the quick part of each suite")
    parser.add_argument("--part", action="store_true", help="add to what earlier parts said")
    parser.add_argument("--once", action="store_true", help="do not try failures once more")
    parser.add_argument("--kafka", action="store_true", help="against Apache Kafka (kafka_java)")
    options = parser.parse_args(words)
    whole = options.only == "*" and not options.smoke and not options.kafka
    green = True
    for name in options.suites or SUITES:
        suite = SUITES[name]
        known = load(Path(str(suite.__file__)).parent)
        if whole:
            report.forget(name)
        selection = Selection(options.only, options.smoke)
        outcomes = list(outcomes_of(suite, selection, kafka=options.kafka, again=not options.once))
        if whole or options.part:
            outcomes = report.remember(name, outcomes)
        verdict = judge(outcomes, known)
        tell(name, verdict)
        green = green and verdict.green
        if whole or options.part:
            report.write({name: report.entry(verdict, suite.versions())})
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
