"""Start and stop of the real process: signals, exit codes, what is left behind."""

from __future__ import annotations

import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_process import ServerProcess
from tools.raw_kafka import RawConnection, framed, header
from tools.refusal_cases import Step, batch, record


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


def fetch_body(topic: str, max_wait_ms: int) -> bytes:
    """A Fetch of version 4 for everything of partition 0."""
    limit = 1 << 28
    body = struct.pack(">iiiib", -1, max_wait_ms, 1, limit, 0) + struct.pack(">i", 1)
    body += struct.pack(">h", len(topic)) + topic.encode()
    return body + struct.pack(">iiqi", 1, 0, 0, limit)


@pytest.mark.parametrize("drain_ms", [300, 8000])
def test_a_peer_that_does_not_read_cannot_hold_up_the_stop(
    start_server: Callable[..., ServerProcess], drain_ms: int
) -> None:
    """The drain has its time; a second signal ends it at once. The directory is clean."""
    server = start_server({"logserver.drain.ms": str(drain_ms)})
    with RawConnection(server.kafka_address) as connection:
        assert connection.create_topic("t", {}) == 0
        for _ in range(40):
            assert connection.produce("t", Step(batch(records=record(0, b"x" * 900_000))))
        connection.send(framed(header(1, 4) + fetch_body("t", 0)))
        connection.socket.recv(1)
        began = time.monotonic()
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        if drain_ms > 1000:
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(0.3)
            server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 4
    assert (server.data_dir / ".logserver_cleanshutdown").exists()
