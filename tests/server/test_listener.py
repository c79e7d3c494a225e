"""Listeners: real ports, and no spinning when descriptors run out."""

from __future__ import annotations

import errno
import resource
import socket
from pathlib import Path

import pytest

from logserver.server.listener import Listener
from tests.server.server_bench import ServerBench


def test_port_zero_picks_one(tmp_path: Path) -> None:
    """And says which."""
    bench = ServerBench(tmp_path)
    assert bench.server.listeners[0].port > 0
    bench.close()


def test_a_port_in_use_is_an_error_of_the_caller(tmp_path: Path) -> None:
    """The command line makes a sentence of it; the socket is not leaked."""
    bench = ServerBench(tmp_path)
    port = bench.server.listeners[0].port
    with pytest.raises(OSError, match="in use") as error:
        Listener(bench.server, "B", "127.0.0.1", port)
    assert error.value.errno == errno.EADDRINUSE
    bench.close()


CONGESTION = (socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_peer_on_the_same_host_is_not_paced(tmp_path: Path, address: str) -> None:
    """Whatever the host's default is."""
    bench = ServerBench(tmp_path)
    listener = Listener(bench.server, "B", address, 0)
    listener.start()

    async def scenario() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        await bench.loop.sock_connect(sock, ("127.0.0.1", listener.port))
        await bench.until(lambda: bench.server.connections)
        (connection,) = bench.server.connections.values()
        assert connection.sock.getsockopt(*CONGESTION).rstrip(b"\0") == b"reno"
        sock.close()

    bench.run(scenario())
    listener.close()
    bench.close()


def test_peers_elsewhere_keep_the_hosts_congestion_control(tmp_path: Path) -> None:
    """Whoever runs it has chosen it for their network."""
    bench = ServerBench(tmp_path)
    listener = Listener(bench.server, "B", "0.0.0.0", 0)
    with socket.socket() as default:
        assert listener.sock.getsockopt(*CONGESTION) == default.getsockopt(*CONGESTION)
    listener.close()
    bench.close()


def test_without_descriptors_accepting_pauses_and_resumes(tmp_path: Path) -> None:
    """The peer waits in the backlog; the loop does not spin on it."""
    bench = ServerBench(tmp_path)
    listener = bench.server.listeners[0]
    real = listener.sock
    calls = []

    class Exhausted:
        """A listening socket of a process that has no descriptor left, for a while."""

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            calls.append(1)
            if len(calls) <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    listener.sock = Exhausted()  # type: ignore[assignment]

    async def scenario() -> None:
        client = await bench.connect()
        await client.ask(18, 0, {})

    bench.run(scenario())
    assert len(calls) <= 5, "accept was tried again and again"
    bench.close()


def test_the_last_descriptors_are_kept_for_the_log(tmp_path: Path) -> None:
    """Peers that take all descriptors would make a roll fail, and with it the log."""
    bench = ServerBench(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert limit // 2 < bench.server.descriptors_max < limit

    async def scenario() -> None:
        first = await bench.connect()
        await first.ask(18, 0, {})
        bench.server.descriptors_max = 0  # whichever number the next one gets
        assert await (await bench.connect()).closed()
        assert bench.server.counters.closed["limit"] == 1
        await first.ask(18, 0, {})

    bench.run(scenario())
    bench.close()


def test_an_error_of_the_new_connection_is_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """accept(2) hands on errors of the network; the next connection is served."""
    bench = ServerBench(tmp_path)
    listener = bench.server.listeners[0]
    real = listener.sock
    errors = [OSError(errno.EPROTO, "Protocol error")]

    class Unlucky:
        """A listening socket whose first connection has an error already."""

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            if errors:
                raise errors.pop()
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    listener.sock = Unlucky()  # type: ignore[assignment]

    async def scenario() -> None:
        await (await bench.connect()).ask(18, 0, {})

    bench.run(scenario())
    assert not bench.server.counters.bugs
    bench.close()
