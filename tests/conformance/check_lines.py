"""Programs of ours in other languages: a line "PASS name" or "FAIL name: why" for each check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conformance.outcome import Outcome
from tests.conformance.process import run

LINE = re.compile(r"^(PASS|FAIL) ([\w-]+)(?:: (.*))?$", re.MULTILINE)


def run_program(
    program: str,
    words: Sequence[str],
    timeout_s: float,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """Run a program to its end; the outcomes `program.check`.

    A program that ends otherwise than its lines say has failed as a whole.
    """
    done = run(words, timeout_s=timeout_s, environment=environment, log=log)
    outcomes = [
        Outcome(f"{program}.{name}", "passed" if word == "PASS" else "failed", why)
        for word, name, why in LINE.findall(done.output)
    ]
    if not outcomes or (not done.ok and all(one.status == "passed" for one in outcomes)):
        outcomes.append(Outcome(f"{program}.<run>", "failed", done.tail(300)))
    return outcomes
