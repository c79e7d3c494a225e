"""Replies: places in the order of answers, filled from outside, or never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.broker.peer import Part
from logserver.server.reply import SLICE_BYTES, memory_bytes, release_parts
from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, fill


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with some records in a relaxed topic."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("r", flush_messages=RELAXED))

    async def scenario() -> None:
        await fill(await bench.connect(), 2, 100)

    bench.run(scenario())
    yield bench
    bench.close()


def test_what_waits_is_counted_in_bytes_of_memory() -> None:
    """File ranges cost a small object each, whatever they send."""
    assert memory_bytes(b"12345") == 5
    assert memory_bytes([b"12345", b"67"]) == 7


def test_an_answer_for_a_peer_that_has_gone_is_released(bench: ServerBench) -> None:
    """Its slices hold segments."""

    async def scenario() -> None:
        await bench.connect()
        await bench.until(lambda: len(bench.server.connections) == 2)
        connection = list(bench.server.connections.values())[-1]
        early, late = connection.reserve(), connection.reserve()
        log = bench.server.broker.routes["r"][0].log
        pieces = [log.read(0, 1 << 20, 2), log.read(0, 1 << 20, 2)]
        answers: list[list[Part]] = [[b"head", piece] for piece in pieces if piece is not None]
        assert memory_bytes(answers[0]) == 4 + SLICE_BYTES
        early.complete(b"first")
        late.complete(answers[0])
        connection.close("peer")
        assert late.closed
        early.complete(answers[1])
        assert log.active.holds == 0

    bench.run(scenario())


def test_releasing_bytes_is_nothing() -> None:
    """Only slices hold something."""
    release_parts(b"bytes")
    release_parts([b"bytes"])
