"""Residency: what is in the page cache, and how a cold range gets there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.server.residency import RESIDENT_MS, WINDOW_BYTES, Residency
from logserver.storage.file_slice import FileSlice
from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, fetch, fill


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with 9 MB in a relaxed topic."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("r", flush_messages=RELAXED))

    async def scenario() -> None:
        await fill(await bench.connect(), 9, 1_000_000)

    bench.run(scenario())
    yield bench
    bench.close()


def piece_of(bench: ServerBench, offset: int = 0) -> FileSlice:
    """A slice of one batch, held like a sealed segment's: not known to be hot."""
    partition = bench.server.broker.routes["r"][0]
    piece = partition.log.read(offset, 1 << 20, partition.high_watermark)
    assert piece is not None
    piece.hot = False
    return piece


def chill(bench: ServerBench) -> None:
    """Write back and drop the topic's pages."""
    file = bench.server.broker.routes["r"][0].log.active.file
    file.datasync()
    file.dontneed(0, 0)


def test_what_was_just_written_is_there(bench: ServerBench) -> None:
    """And one question answers for the slices behind it."""
    residency = Residency(bench.server.reader)
    first, second = piece_of(bench), piece_of(bench, 1)
    assert residency.holds(first, 0)
    chill(bench)
    assert residency.holds(second, RESIDENT_MS - 1), "believed for a while"
    assert second.position + second.size_bytes < WINDOW_BYTES
    for piece in (first, second):
        piece.release()


def test_a_cold_slice_is_brought_in_by_the_helper(bench: ServerBench) -> None:
    """The segment is held until then, whatever becomes of the slice."""
    chill(bench)
    residency = Residency(bench.server.reader)
    piece = piece_of(bench, 8)
    if residency.holds(piece, 0):
        pytest.fail("the file system of this directory does not drop its pages")
    segment = piece.segment
    done = asyncio.Event()
    residency.bring(piece, done.set)
    piece.release()
    assert segment.holds == 1
    bench.run(asyncio.wait_for(done.wait(), 5))
    assert segment.holds == 0
    again = piece_of(bench, 8)
    assert residency.holds(again, 0)
    again.release()


def test_a_cold_replay_arrives_whole(bench: ServerBench) -> None:
    """Through the socket, with the loop free meanwhile."""
    bench.server.broker.routes["r"][0].log.active.hot_from_position = 1 << 40
    chill(bench)

    async def scenario() -> None:
        client = await bench.connect()
        row = (await client.ask(1, 12, fetch("r", 0)))["responses"][0]["partitions"][0]
        assert len(row["records"]) > 9_000_000

    bench.run(scenario())


def test_where_the_kernel_cannot_say_residency_is_assumed(bench: ServerBench) -> None:
    """Better a wait inside sendfile than no fetch."""
    piece = piece_of(bench)

    class Silent:
        def resident_bytes(self, position: int, size_bytes: int) -> int | None:
            return None

    piece.segment.file, real = Silent(), piece.segment.file  # type: ignore[assignment]
    assert Residency(bench.server.reader).holds(piece, 0)
    piece.segment.file = real
    piece.release()
