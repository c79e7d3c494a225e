"""A prompt peer that is alone is waited for awake; nobody else waits for it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logserver.server import connection as connection_module
from logserver.server.connection import LINGER_TURNS, Connection
from logserver.server.helper import Helper
from logserver.server.server import NEVER_MS
from tests.server.server_bench import ServerBench
from tests.server.test_connection import produce


class CountingConnection(Connection):
    """How often the loop had to call it."""

    wakes_count = 0
    is_called = False

    def on_readable(self) -> None:
        """Count."""
        CountingConnection.wakes_count += 1
        CountingConnection.is_called = True
        super().on_readable()
        CountingConnection.is_called = False


ASKED_COUNT = 40


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerBench]:
    """A server for which every peer is prompt."""
    bench = ServerBench(tmp_path)
    monkeypatch.setattr(CountingConnection, "wakes_count", 0)
    monkeypatch.setattr(connection_module, "LINGER_NS", 1_000_000_000)
    bench.server.prompt_ns = NEVER_MS
    bench.server.listeners[0].connection_type = CountingConnection
    yield bench
    bench.close()


def ask_in_a_thread(bench: ServerBench, stop: Callable[[], bool] | None = None) -> int:
    """Ask for versions, one request after the other, as another process does; how often."""
    with socket.create_connection(("127.0.0.1", bench.server.listeners[0].port)) as sock:
        count = 0
        while count < ASKED_COUNT if stop is None else not stop():
            sock.sendall(struct.pack(">ihhihb", 11, 18, 0, count, 1, ord("c")))
            answer = sock.recv(4096)
            assert struct.unpack_from(">i", answer, 4)[0] == count
            count += 1
        return count


def test_a_prompt_peer_is_waited_for_without_the_loop(patient: ServerBench) -> None:
    """Forty requests, one after the other, and the loop saw the first two, and every 16th."""
    asking = asyncio.wait_for(asyncio.to_thread(ask_in_a_thread, patient), 30)
    assert patient.run(asking) == ASKED_COUNT
    assert patient.server.prompt
    assert CountingConnection.wakes_count <= 2 + 2 * ASKED_COUNT // LINGER_TURNS


def test_who_lingers_with_one_peer_serves_the_others(patient: ServerBench) -> None:
    """One connection never pauses; a second one is accepted and answered."""

    async def scenario() -> None:
        done = threading.Event()
        first = asyncio.create_task(asyncio.to_thread(ask_in_a_thread, patient, done.is_set))
        try:
            second = await asyncio.wait_for(asyncio.to_thread(ask_in_a_thread, patient), 30)
            assert second == ASKED_COUNT
        finally:
            done.set()
        assert await first

    patient.run(scenario())


class NotingHelper(Helper):
    """Where its jobs came from: `in_turn` is True for those that a connection's own turn began."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, "commit")
        self.in_turn: list[bool] = []

    def submit(self, run: Callable[[], Any], finish: Callable[[Any], None]) -> None:
        """Note it."""
        self.in_turn.append(CountingConnection.is_called)
        super().submit(run, finish)


def test_who_waits_for_a_sync_is_not_waited_for(patient: ServerBench) -> None:
    """The commit of a peer that is alone begins in its turn, and the loop sleeps until it ends."""

    async def scenario() -> None:
        server = patient.server
        await patient.create("t")
        client = await patient.connect()
        await client.ask(0, 11, produce("t"))
        server.commit_helper.close()
        server.commit_helper = helper = NotingHelper(server.loop)
        for _ in range(3):
            await client.ask(0, 11, produce("t"))
            assert server.alone
            assert not server.prompt
        assert helper.in_turn == [True] * 3

    patient.run(scenario())


def test_a_commit_of_several_begins_when_each_was_read(patient: ServerBench) -> None:
    """Whoever else has sent something meanwhile shares it."""

    async def scenario() -> None:
        server = patient.server
        await patient.create("t")
        clients = [await patient.connect() for _ in range(3)]
        for client in clients:
            await client.ask(0, 11, produce("t"))
        server.commit_helper.close()
        server.commit_helper = helper = NotingHelper(server.loop)
        for client in clients:
            await client.ask(0, 11, produce("t"))
        assert helper.in_turn == [False] * 3

    patient.run(scenario())
