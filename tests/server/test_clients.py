"""logserver.server.clients: who is there, what they called themselves, what they last did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.server.clients import describe_clients
from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, fetch, produce

SOFTWARE = {"client_software_name": "apache-kafka-java", "client_software_version": "4.3.1"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with a relaxed topic."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("r", flush_messages=RELAXED))
    yield bench
    bench.close()


def test_a_client_is_told_with_what_it_said_of_itself(bench: ServerBench) -> None:
    """Client id, software, address; nothing is made up for one that said nothing."""

    async def scenario() -> None:
        await bench.until(lambda: not bench.server.connections)
        silent, talker = await bench.connect(), await bench.connect()
        await talker.ask(18, 3, SOFTWARE)
        await bench.until(lambda: len(bench.server.connections) == 2)
        by_port = {one["port"]: one for one in describe_clients(bench.server)}
        told = by_port[talker.sock.getsockname()[1]]
        assert (told["client_id"], told["host"]) == ("bench", "127.0.0.1")
        assert (told["software"], told["software_version"]) == ("apache-kafka-java", "4.3.1")
        assert (told["last_request"], told["listener"]) == ("ApiVersions", "A")
        quiet = by_port[silent.sock.getsockname()[1]]
        assert (quiet["client_id"], quiet["software"], quiet["last_request"]) == ("", "", "")
        assert (quiet["produces_to"], quiet["fetches_from"]) == ("", {})

    bench.run(scenario())


def test_what_it_writes_and_reads_is_told_by_name(bench: ServerBench) -> None:
    """Also where it asks by topic id; a session tells its partitions, a single fetch its own."""

    async def scenario() -> None:
        client = await bench.connect()
        for _ in range(3):
            await client.ask(0, 11, produce("r"))
        (told,) = describe_clients(bench.server)
        assert told["produces_to"] == "r-0"
        await client.ask(1, 12, fetch("r", 0))
        (told,) = describe_clients(bench.server)
        assert told["fetches_from"] == {"r": [0]}

    bench.run(scenario())


def test_the_group_of_a_member_is_told(bench: ServerBench) -> None:
    """By the last request that names one; a refused one names it, too."""

    async def scenario() -> None:
        client = await bench.connect()
        beat = {"group_id": "billing", "generation_id": 1, "member_id": "m"}
        await client.ask(12, 3, beat)
        (told,) = describe_clients(bench.server)
        assert (told["group_id"], told["last_request"]) == ("billing", "Heartbeat")

    bench.run(scenario())


def test_who_has_left_is_not_told(bench: ServerBench) -> None:
    """Not even when the list was begun before."""

    async def scenario() -> None:
        await bench.until(lambda: not bench.server.connections)
        for _ in range(2):
            await bench.connect()
        await bench.until(lambda: len(bench.server.connections) == 2)
        documents = describe_clients(bench.server)
        next(documents)
        for connection in list(bench.server.connections.values()):
            connection.close("peer")
        assert list(documents) == []

    bench.run(scenario())
