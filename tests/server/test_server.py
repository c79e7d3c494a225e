"""The server's turns and clock: limits, idle peers, deadlines, relaxed syncs, the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from logwire.messages import APIS, module_name, schema
from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, fetch, produce


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


def test_the_end_answers_who_waits_and_takes_no_more_requests(bench: ServerBench) -> None:
    """A parked fetch hears of nothing, a produce of its sync; then nobody holds up the stop."""
    bench.run(bench.create("d"))

    async def scenario() -> None:
        consumer, producer = await bench.connect(), await bench.connect()
        await consumer.send(consumer.frame(1, 12, fetch("r", 0, max_wait_ms=60_000)))
        await bench.until(lambda: bench.server.broker.counters.fetches_parked == 1)
        await producer.send(producer.frame(0, 11, produce("d")))
        await bench.until(lambda: bench.server.broker.routes["d"][0].log.end_offset == 1)
        bench.server.stop_accepting()
        await producer.send(producer.frame(0, 11, produce("d")))
        row = (await consumer.answer(1, 12))["responses"][0]["partitions"][0]
        assert row["error_code"] == 0
        assert not row["records"]
        await producer.answer(0, 11)
        await bench.until(lambda: not bench.server.busy())
        assert bench.server.broker.routes["d"][0].log.end_offset == 1

    bench.run(scenario())


def test_nothing_begins_after_the_end(tmp_path: Path) -> None:
    """A commit, a timer and a tick were on their way: a sync begun now would hold its segments."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("d"))

    async def scenario() -> None:
        client = await bench.connect()
        await client.send(client.frame(0, 11, produce("d")))
        await bench.until(lambda: bench.server.broker.routes["d"][0].log.end_offset == 1)

    bench.run(scenario())
    bench.server.close()
    log = bench.server.broker.routes["d"][0].log
    bench.server.broker.mark_dirty(bench.server.broker.routes["d"][0])
    bench.server._begin_commit()
    bench.server._expire_waits()
    bench.server._tick()
    assert not log.active.holds
    bench.server.close = lambda: None  # type: ignore[method-assign]
    bench.close()


def test_no_request_has_to_import_anything(bench: ServerBench) -> None:
    """A refusal by a server without a descriptor left met a schema that it had not read yet."""
    assert schema.cache_info().currsize == len(APIS)
    assert all(module_name(api) in sys.modules for api in APIS.values())


def test_who_was_served_last_as_well_is_alone(tmp_path: Path) -> None:
    """The turn of others ends once for all of them, when each was served."""
    bench = ServerBench(tmp_path, {})

    async def scenario() -> None:
        clients = [await bench.connect() for _ in range(3)]
        await bench.until(lambda: len(bench.server.connections) == len(clients))
        served = list(bench.server.connections.values())
        server = bench.server
        server.begin_turn(served[0])
        await bench.until(lambda: not server._turn_scheduled)
        server.begin_turn(served[0])
        assert server.alone
        assert not server._turn_scheduled
        for connection in served[1:]:
            server.begin_turn(connection)
            assert not server.alone
            assert server._turn_scheduled
        await bench.until(lambda: not server._turn_scheduled)

    bench.run(scenario())
    bench.close()
