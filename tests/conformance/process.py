"""Run foreign programs: niced, in a process group of their own, with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
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
    log: Path | None = None,
) -> Finished:
    """Run a program to its end or its deadline; its whole group is killed then.

    `log` is where its output goes as it comes; it can be watched there, and stays.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = log or Path(directory) / "output"
        with path.open("wb") as output:
            process = subprocess.Popen(
                ["nice", "-n", str(NICENESS), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        code: int | None = None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Whatever it left behind, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Finished(code, path.read_text(errors="backslashreplace"))


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
