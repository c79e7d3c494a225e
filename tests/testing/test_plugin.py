"""logserver.testing.plugin: what a stranger's test session sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server_process import ROOT

HEAD = 'pytest_plugins = ["logserver.testing.plugin"]\n'


def run_pytest(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a test module as a project of its own."""
    (directory / "test_it.py").write_text(HEAD + text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def test_a_test_takes_a_broker_by_its_name(tmp_path: Path) -> None:
    """Fresh for each test, with the settings that the module wants."""
    done = run_pytest(
        tmp_path,
        """
import pytest
from logserver.client import Admin

@pytest.fixture
def broker_settings():
    return {"num.partitions": 7}

@pytest.mark.parametrize("_", range(2))
def test_it(broker, _):
    with Admin(broker.bootstrap) as admin:
        assert admin.create_topic("t") == 7

def test_two(broker, start_broker):
    other = start_broker({"num.partitions": 2})
    with Admin(other.bootstrap) as admin:
        assert admin.create_topic("t") == 2
    assert other.port != broker.port
""",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_a_failed_test_shows_what_its_broker_said(tmp_path: Path) -> None:
    """The log of the server beside the output of the test."""
    done = run_pytest(
        tmp_path,
        """
def test_it(start_broker):
    start_broker({"zookeeper.connect": "nowhere"}, name="mine")
    assert False
""",
    )
    assert done.returncode == 1
    assert "Log of mine" in done.stdout
    assert "zookeeper.connect" in done.stdout


def test_the_fixtures_cost_a_session_without_brokers_next_to_nothing(tmp_path: Path) -> None:
    """The plugin is loaded wherever logserver is installed: it and its package import no server."""
    done = run_pytest(
        tmp_path,
        """
import sys

def test_it():
    assert not sys.modules.keys() & {"logwire", "uvloop", "asyncio", "click", "logserver.server"}
""",
    )
    assert done.returncode == 0, done.stdout
