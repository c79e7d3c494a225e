"""Start and stop of the real process: signals, exit codes, what is left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.server_process import ServerProcess


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_clean(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0 and a directory that the next start believes."""
    with ServerProcess(tmp_path / "data") as server:
        assert server.process is not None
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
    assert (tmp_path / "data" / ".logserver_cleanshutdown").exists()


def test_after_a_kill_the_next_start_is_unclean_and_serves(tmp_path: Path) -> None:
    """The clean marker is gone from the moment of the start."""
    with ServerProcess(tmp_path / "data") as server:
        server.kill()
        assert not (tmp_path / "data" / ".logserver_cleanshutdown").exists()
        server.start()
        assert server.stop() == 0
