"""SIGKILL before a server is ready, or before it has stopped (or not: a moment is chosen)."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]


def interrupt_stop(server: ServerProcess, moment: float) -> None:
    """SIGTERM, and SIGKILL within a tenth of a second: `moment` is 0 to 1."""
    assert server.process is not None
    os.kill(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(moment * 0.1)
    server.kill()


def interrupt_start(server: ServerProcess, after_s: float) -> None:
    """Start a server that does not run, and kill it after so long."""
    process = subprocess.Popen(
        server.command(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=ROOT,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
