"""Run foreign programs: niced, in a process group of their own, with a deadline."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NICENESS = 10  # a suite is never in a hurry; whoever else uses the machine may be


class Finished(NamedTuple):
    """How a program ended: exit code (None: the deadline passed) and all it wrote."""

    code: int | None
    output: str

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with success."""
        return self.code == 0

    def tail(self, size: int = 2000) -> str:
        """The last of what it wrote, and how it ended."""
        ended = "ran out of time" if self.code is None else f"exit code {self.code}"
        return f"{self.output[-size:]}\n({ended})"


def run(
    words: Sequence[str],
    *,
    timeout_s: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    standard_input: str | None = None,
) -> Finished:
    """Run a program to its end or its deadline; at the deadline its whole group is killed."""
    process = subprocess.Popen(
        ["nice", "-n", str(NICENESS), *words],
        stdin=subprocess.DEVNULL if standard_input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        cwd=folder,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(standard_input, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return Finished(None, output)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return Finished(process.returncode, output)


def must(
    words: Sequence[str],
    *,
    timeout_s: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program that has to succeed (an installation); its output. Raises RuntimeError."""
    done = run(words, timeout_s=timeout_s, folder=folder, environment=environment)
    if not done.ok:
        raise RuntimeError(f"{' '.join(words)}\n{done.tail()}")
    return done.output
