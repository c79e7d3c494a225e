"""The server's turns and clock: limits, idle peers, deadlines, relaxed syncs, the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, produce


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with room for three connections, two of one host."""
    given = {"max.connections": "3", "connections.max.idle.ms": "60000"}
    bench = ServerBench(tmp_path, given)
    bench.run(bench.create("r", flush_messages=RELAXED))
    yield bench
    bench.close()


def test_a_connection_above_the_limit_is_closed_at_once(bench: ServerBench) -> None:
    """Those that are there go on; one that leaves makes room."""

    async def scenario() -> None:
        await bench.until(lambda: not bench.server.connections)
        clients = [await bench.connect() for _ in range(3)]
        await bench.until(lambda: len(bench.server.connections) == 3)
        assert await (await bench.connect()).closed()
        assert bench.server.counters.closed["limit"] == 1
        await clients[0].ask(0, 11, produce("r"))
        clients[1].sock.close()
        await bench.until(lambda: len(bench.server.connections) == 2)
        await (await bench.connect()).ask(0, 11, produce("r"))

    bench.run(scenario())


def test_connections_of_one_host_are_limited(tmp_path: Path) -> None:
    """`max.connections.per.ip`."""
    bench = ServerBench(tmp_path, {"max.connections.per.ip": "1"})

    async def scenario() -> None:
        client = await bench.connect()
        await client.ask(18, 0, {})
        assert await (await bench.connect()).closed()

    bench.run(scenario())
    bench.close()


def test_an_idle_connection_is_closed(bench: ServerBench) -> None:
    """After `connections.max.idle.ms` without a byte either way."""

    async def scenario() -> None:
        idle, busy = await bench.connect(), await bench.connect()
        await bench.until(lambda: len(bench.server.connections) == 2)
        later = bench.server.uptime_ms() + 61_000
        for connection in bench.server.connections.values():
            if connection.sock.getpeername()[1] == busy.sock.getsockname()[1]:
                connection.active_ms = later
        bench.server._close_overdue(later)
        assert await idle.closed()
        assert bench.server.counters.closed["idle"] == 1
        await busy.ask(0, 11, produce("r"))

    bench.run(scenario())


def test_a_frame_that_is_not_completed_in_time_closes(bench: ServerBench) -> None:
    """`frame.deadline.ms` from its first byte, however busy the peer is with drops of it."""

    async def scenario() -> None:
        slow = await bench.connect()
        await slow.send(b"\0\0\1\0\0")
        await bench.until(lambda: any(c.frame_since_ms for c in bench.server.connections.values()))
        bench.server._close_overdue(
            bench.server.uptime_ms() + bench.server.config.frame_deadline_ms + 1
        )
        assert await slow.closed()
        assert bench.server.counters.closed["slow"] == 1

    bench.run(scenario())


def test_a_relaxed_topic_is_synced_in_the_background(tmp_path: Path) -> None:
    """After `flush.ms`, by the server's own tick."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("q", flush_messages=RELAXED, flush_ms="1"))

    async def scenario() -> None:
        client = await bench.connect()
        await client.ask(0, 11, produce("q"))
        log = bench.server.broker.routes["q"][0].log
        await bench.until(lambda: log.durable_offset == 1)

    bench.run(scenario())
    bench.close()


def test_the_end_finishes_what_was_submitted(tmp_path: Path) -> None:
    """A clean stop right after a produce leaves a clean directory."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("q", flush_messages=RELAXED, segment_bytes="1048576"))

    async def scenario() -> None:
        client = await bench.connect()
        for _ in range(5):
            await client.ask(0, 11, produce("q", 500_000))

    bench.run(scenario())
    bench.close()
    again = ServerBench(tmp_path)
    assert again.directory.clean
    assert again.server.broker.routes["q"][0].log.end_offset == 5
    again.close()
