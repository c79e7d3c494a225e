"""Batches for compacted topics through real sockets, the helper thread and the loop's slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.server import connection
from logserver.server.buffers import ARENA_BYTES
from logwire import errors
from logwire.messages import Message
from logwire.walk import SLICE_STEPS
from tests.broker.compacted_bench import ZSTD, around, batch
from tests.server.server_bench import Client, ServerBench

PRODUCE, VERSION = 0, 11
CODECS = [1, 2, 3, 4]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with a compacted topic `c`, durable."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("c", cleanup_policy="compact"))
    yield bench
    bench.close()


def request(records: bytes, acks: int = -1) -> Message:
    """Produce one batch to `c`."""
    topic = {"name": "c", "partition_data": [{"index": 0, "records": records}]}
    return {"transactional_id": None, "acks": acks, "timeout_ms": 1, "topic_data": [topic]}


async def answers(client: Client, count: int) -> list[tuple[int, int, int]]:
    """(correlation id, error code, base offset) of the next answers."""
    found = []
    for _ in range(count):
        answer = await client.answer(PRODUCE, VERSION)
        (row,) = answer["responses"][0]["partition_responses"]
        found.append((answer["correlation_id"], row["error_code"], row["base_offset"]))
    return found


def test_pipelined_batches_of_all_kinds_are_answered_in_order(bench: ServerBench) -> None:
    """Compressed, long and short ones, refused ones among them: as if none had waited."""
    batches = [batch(b"a", codec=codec) for codec in CODECS]
    batches += [batch(None, codec=codec) for codec in CODECS]
    batches += [batch(*[b"k"] * (2 * SLICE_STEPS)), batch(b"b"), batch(None), batch(b"c", codec=1)]

    async def run() -> list[tuple[int, int, int]]:
        client = await bench.connect()
        frames = [
            client.frame(PRODUCE, VERSION, request(records, acks=-1 if number % 3 else 1))
            for number, records in enumerate(batches)
        ]
        await client.send(b"".join(frames))
        return await answers(client, len(frames))

    refused = (errors.INVALID_RECORD, -1)
    taken = [(0, 0), (0, 1), (0, 2), (0, 3), *[refused] * 4]
    taken += [(0, 4), (0, 4 + 2 * SLICE_STEPS), refused, (0, 5 + 2 * SLICE_STEPS)]
    expected = [(number, *outcome) for number, outcome in enumerate(taken, 1)]
    assert bench.run(run()) == expected
    assert bench.server.broker.key_checks.held_count == 0
    assert [one.held_bytes for one in bench.server.connections.values()] == [0]


def test_a_refused_acks_zero_batch_closes_the_connection(bench: ServerBench) -> None:
    """After its check; what came before it is stored."""

    async def run() -> bool:
        client = await bench.connect()
        for key in (b"a", None):
            frame = client.frame(PRODUCE, VERSION, request(batch(key, codec=ZSTD), acks=0))
            await client.send(frame)
        return await client.closed()

    assert bench.run(run())
    assert bench.server.broker.routes["c"][0].log.end_offset == 1


def test_a_client_of_whom_much_is_held_is_not_read_until_it_is_less(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with acks=0, where no answer slows the client down; nothing is lost."""
    monkeypatch.setattr(connection, "HELD_BYTES_MAX", 20_000)
    count = 400
    held_bytes = []
    checks = bench.server.broker.key_checks

    async def run() -> None:
        client = await bench.connect()
        frame = client.frame(PRODUCE, VERSION, request(batch(*[b"k"] * 1500), acks=0))
        for _ in range(count):
            await client.send(frame)
            held_bytes.append(checks.held_bytes)
        log = bench.server.broker.routes["c"][0].log
        await bench.until(lambda: log.end_offset == count * 1500)

    bench.run(run())
    assert max(held_bytes) > 20_000, "it was never held back"
    assert max(held_bytes) < 20_000 + 1.2 * ARENA_BYTES, "one receive's worth may come on top"


def test_a_batch_that_grows_without_end_is_refused_and_the_connection_stays(
    bench: ServerBench,
) -> None:
    """20 MB of zeros in a few hundred bytes."""

    async def run() -> list[tuple[int, int, int]]:
        client = await bench.connect()
        for records in (around(bytes(20 << 20), 1, ZSTD), batch(b"k", codec=ZSTD)):
            await client.send(client.frame(PRODUCE, VERSION, request(records)))
        return await answers(client, 2)

    assert bench.run(run()) == [(1, errors.MESSAGE_TOO_LARGE, -1), (2, 0, 0)]


def test_a_stop_waits_for_what_is_held(bench: ServerBench) -> None:
    """It is checked, appended, synced and answered like everything else that was asked."""

    async def run() -> list[tuple[int, int, int]]:
        client = await bench.connect()
        frames = [
            client.frame(PRODUCE, VERSION, request(batch(b"k", codec=ZSTD))) for _ in range(5)
        ]
        await client.send(b"".join(frames))
        await bench.until(lambda: bench.server.broker.counters.requests[PRODUCE] == 5)
        bench.server.stop_accepting()
        await bench.until(lambda: not bench.server.busy())
        return await answers(client, 5)

    assert bench.run(run()) == [(number, 0, number - 1) for number in range(1, 6)]


def test_an_end_in_the_middle_of_a_check_is_a_clean_one(bench: ServerBench) -> None:
    """The fixture closes the server: its helper has work, nobody is answered, nothing breaks."""

    async def run() -> None:
        client = await bench.connect()
        long = batch(*[b"key-%d" % n for n in range(50_000)], codec=1)
        await client.send(client.frame(PRODUCE, VERSION, request(long) | {"acks": 1}) * 4)
        await bench.until(lambda: bench.server.broker.counters.requests[PRODUCE] == 4)

    bench.run(run())
