"""logserver.testing.nursery: one process that forks servers, and leaves none behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from logserver.testing import Broker, BrokerDied
from logserver.testing.broker import Nursery
from tests.server_process import ROOT


def test_servers_come_from_one_process(tmp_path: Path) -> None:
    """Both have the nursery for a parent."""
    with Broker(tmp_path / "a") as one, Broker(tmp_path / "b") as two:
        parents = set()
        for broker in (one, two):
            stat = Path(f"/proc/{broker.pid}/stat").read_text()
            parents.add(int(stat.rpartition(")")[2].split()[1]))
    assert len(parents) == 1
    assert parents != {os.getpid()}


def test_the_exit_code_of_a_server_is_told() -> None:
    """Also when it is a signal; a start that fails is one, too."""
    nursery = Nursery()
    reading, writing = os.pipe()
    order = {"do": "start", "settings": {"node.id": "x"}, "jumped_ms": 0}
    pid = nursery.ask(order, (writing, writing))["pid"]
    assert nursery.ask({"do": "wait", "pid": pid})["code"] != 0
    os.close(reading)
    os.close(writing)
    nursery.close()


def test_a_nursery_that_died_says_so_and_is_started_anew() -> None:
    """The tests that come later have their brokers all the same."""
    nursery = Nursery()
    with pytest.raises(BrokerDied, match="starts brokers has ended"):
        nursery.ask({"do": "wait", "pid": os.getpid()})  # no child of its own
    with pytest.raises(BrokerDied, match="starts brokers has ended"):
        nursery.ask({"do": "wait", "pid": os.getpid()})
    nursery.close()


def test_files_beside_the_tests_are_no_modules_of_the_server(tmp_path: Path) -> None:
    """A project may have an ipaddress.py of its own where its tests are run."""
    (tmp_path / "ipaddress.py").write_text("raise ValueError('not this one')")
    program = (
        "import sys; from logserver.testing import Broker\n"
        "with Broker(sys.argv[1]) as broker: print(broker.port)"
    )
    words = [sys.executable, "-P", "-c", program, str(tmp_path / "data")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left_when_the_test_process_is_killed(tmp_path: Path) -> None:
    """Neither the nursery nor its servers: they watch the channel."""
    program = (
        "import signal, sys; from logserver.testing import Broker\n"
        "broker = Broker(sys.argv[1]).start(); print(broker.pid, flush=True); signal.pause()"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "data")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        server = os.pidfd_open(pid)
        process.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([server], [], [], 15)
    os.close(server)
    assert ended
