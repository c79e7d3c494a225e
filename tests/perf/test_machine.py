"""Reading the machine's counters."""

from __future__ import annotations

import subprocess
import sys

from perf.machine import TICK_S, cpu_s, tree

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "while __import__('time').process_time() < 0.4: pass"])
print("ended", flush=True)
sys.stdin.read()
"""


def test_what_an_ended_child_used_still_counts() -> None:
    """A cleaner that ends while it is measured must not take its seconds along."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ended\n"
        assert tree(parent.pid) == [parent.pid]
        # The kernel cuts each of the two counters of ended children down to a whole tick.
        assert cpu_s([parent.pid]) >= 0.4 - 2 * TICK_S
        parent.kill()
