"""The connection: frames however they arrive, answers in order, and peers that do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logserver.broker import dispatch
from logserver.server import connection as connection_module
from logserver.server.connection import FRAMES_PER_TURN
from logserver.server.reply import OUT_BYTES_MAX
from logserver.server.residency import Residency
from logserver.storage.file_slice import FileSlice
from logwire.batch import encode_batch, iterate_batches
from logwire.messages import Message
from tests.server.server_bench import Client, ServerBench

RELAXED = str(2**63 - 1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server with a relaxed topic `r` and a durable topic `d`."""
    bench = ServerBench(tmp_path)
    bench.run(bench.create("r", flush_messages=RELAXED))
    bench.run(bench.create("d"))
    yield bench
    bench.close()


def batch(size_bytes: int) -> bytes:
    """One batch of one record."""
    return bytes(encode_batch([(None, b"v" * size_bytes, (), 1_700_000_000_000)]))


def produce(name: str, size_bytes: int = 100, acks: int = -1) -> Message:
    """A Produce request of one batch."""
    partition = {"index": 0, "records": batch(size_bytes)}
    topic = {"name": name, "partition_data": [partition]}
    return {"transactional_id": None, "acks": acks, "timeout_ms": 1000, "topic_data": [topic]}


def fetch(name: str, offset: int, **fields: int) -> Message:
    """A Fetch request of one partition."""
    partition = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": 1 << 24}
    return {
        "max_wait_ms": 0,
        "min_bytes": 1,
        "max_bytes": 1 << 24,
        "session_id": 0,
        "session_epoch": -1,
        "topics": [{"topic": name, "partitions": [partition]}],
        "forgotten_topics_data": [],
        **fields,
    }


def base_offset(response: Message) -> int:
    """The base offset of a produce answer."""
    row = response["responses"][0]["partition_responses"][0]
    assert row["error_code"] == 0
    offset: int = row["base_offset"]
    return offset


@pytest.mark.parametrize("size_bytes", [100, 5_000, 900_000])
def test_a_frame_may_arrive_in_any_pieces(bench: ServerBench, size_bytes: int) -> None:
    """Byte by byte at its beginning, then in halves, and together with the next one."""

    async def scenario() -> None:
        client = await bench.connect()
        frame = client.frame(0, 11, produce("r", size_bytes))
        for position in range(20):
            await client.send(frame[position : position + 1])
        middle = len(frame) // 2
        await client.send(frame[20:middle])
        following = client.frame(0, 11, produce("r", size_bytes))
        await client.send(frame[middle:] + following[:30])
        assert base_offset(await client.answer(0, 11)) == 0
        await client.send(following[30:])
        assert base_offset(await client.answer(0, 11)) == 1
        row = (await client.ask(1, 12, fetch("r", 0)))["responses"][0]["partitions"][0]
        found = list(iterate_batches(memoryview(row["records"])))
        assert len(found) == 2
        assert bytes(row["records"])[61:].count(b"v" * size_bytes) == 2

    bench.run(scenario())
    assert bench.server.buffers.held_bytes == 0, "nothing is kept"


def test_a_stream_of_large_frames_is_received_whole(bench: ServerBench) -> None:
    """Frames larger and smaller than the arena, several in one stream."""

    async def scenario() -> None:
        client = await bench.connect()
        sizes = [1_000_000, 10, 700_000, 1_040_000, 3, 999_999]
        stream = b"".join(client.frame(0, 11, produce("r", size)) for size in sizes)
        sending = asyncio.ensure_future(client.send(stream))
        offsets = [base_offset(await client.answer(0, 11)) for _ in sizes]
        await sending
        assert offsets == list(range(len(sizes)))

    bench.run(scenario())


def test_pipelined_requests_are_answered_in_order(bench: ServerBench) -> None:
    """Also when a later one could be answered first: durable, then relaxed, then metadata."""

    async def scenario() -> None:
        client = await bench.connect()
        stream = client.frame(0, 11, produce("d"))
        stream += client.frame(0, 11, produce("r"))
        stream += client.frame(3, 12, {"topics": [{"name": "r"}]})
        await client.send(stream)
        correlation_ids = [
            (await client.answer(api_key, version))["correlation_id"]
            for api_key, version in ((0, 11), (0, 11), (3, 12))
        ]
        assert correlation_ids == [1, 2, 3]

    bench.run(scenario())


def test_a_parked_fetch_is_woken_through_its_socket(bench: ServerBench) -> None:
    """By the append of another connection."""

    async def scenario() -> None:
        consumer, producer = await bench.connect(), await bench.connect()
        await consumer.send(consumer.frame(1, 12, fetch("d", 0, max_wait_ms=30_000)))
        await bench.until(lambda: bench.server.broker.counters.fetches_parked == 1)
        await producer.ask(0, 11, produce("d"))
        row = (await consumer.answer(1, 12))["responses"][0]["partitions"][0]
        assert len(row["records"]) == len(batch(100))

    bench.run(scenario())


def test_what_was_synced_is_told_before_the_next_connection_is_read(bench: ServerBench) -> None:
    """The helper's eventfd may come after a hundred others: here it never comes."""
    helper = bench.server.commit_helper

    async def scenario() -> None:
        producer, other = await bench.connect(), await bench.connect()
        await other.ask(18, 0, {})
        bench.loop.remove_reader(helper._eventfd)
        await producer.send(producer.frame(0, 11, produce("d")))
        await bench.until(lambda: helper.done)
        await other.ask(18, 0, {})
        assert base_offset(await producer.answer(0, 11)) == 0

    bench.run(scenario())


def test_a_connection_that_ends_with_a_sync_is_not_read(bench: ServerBench) -> None:
    """What the group commit tells may close the one whose turn it was."""
    server = bench.server

    async def scenario() -> None:
        client = await bench.connect()
        await client.ask(18, 0, {})
        await bench.until(lambda: len(server.connections) == 1)
        (connection,) = server.connections.values()
        bench.loop.remove_reader(server.commit_helper._eventfd)
        server.commit_helper.submit(lambda: None, lambda _: connection.close("error"))
        await bench.until(lambda: server.commit_helper.done)
        asked = server.broker.counters.requests[18]
        await client.send(client.frame(18, 0, {}))
        assert await client.closed()
        assert server.broker.counters.requests[18] == asked

    bench.run(scenario())
    assert server.counters.bugs == 0


def test_a_fetch_that_waits_in_vain_is_answered_in_time(bench: ServerBench) -> None:
    """`max_wait_ms` by the loop's own timer; a shorter wait does not wait for a longer one."""

    async def scenario() -> None:
        patient, hasty = await bench.connect(), await bench.connect()
        await patient.send(patient.frame(1, 12, fetch("r", 0, max_wait_ms=60_000)))
        await bench.until(lambda: bench.server.broker.counters.fetches_parked == 1)
        response = await hasty.ask(1, 12, fetch("r", 0, max_wait_ms=20))
        assert not response["responses"][0]["partitions"][0]["records"]
        assert bench.server.broker.counters.fetches_parked == 1

    bench.run(scenario())


async def fill(client: Client, count: int, size_bytes: int) -> None:
    """Produce that many batches."""
    for _ in range(count):
        await client.ask(0, 11, produce("r", size_bytes))


def test_a_peer_that_does_not_read_is_not_read(bench: ServerBench) -> None:
    """Its answers wait in the socket and as file ranges; its requests wait in its socket."""

    async def scenario() -> None:
        client = await bench.connect()
        await fill(client, 8, 1_000_000)
        greedy = await bench.connect(receive_buffer_bytes=4096)
        frames = b"".join(greedy.frame(1, 12, fetch("r", n % 8)) for n in range(5000))
        sending = asyncio.ensure_future(greedy.send(frames))
        (connection,) = [
            c
            for c in bench.server.connections.values()
            if c.sock.getpeername()[1] == greedy.sock.getsockname()[1]
        ]
        await bench.until(lambda: len(connection.out) > 0)
        held = len(connection.out)
        await fill(client, 3, 100)
        assert len(connection.out) <= held
        sending.cancel()
        assert bench.server.broker.routes["r"][0].log.active.holds > 0
        greedy.sock.close()
        await bench.until(lambda: connection.closed)
        assert sum(s.holds for s in bench.server.broker.routes["r"][0].log.segments) == 0

    bench.run(scenario())


def test_every_byte_of_a_slow_reader_is_right_while_the_topic_is_recreated(
    bench: ServerBench,
) -> None:
    """A queued descriptor that was closed and reused would send another file's bytes."""

    async def scenario() -> None:
        client = await bench.connect()
        await fill(client, 4, 1_000_000)
        expected = bytes(
            (await client.ask(1, 12, fetch("r", 0)))["responses"][0]["partitions"][0]["records"]
        )
        slow = await bench.connect(receive_buffer_bytes=4096)
        await slow.send(slow.frame(1, 12, fetch("r", 0)))
        await bench.until(lambda: bench.server.broker.routes["r"][0].log.active.holds > 0)
        for _ in range(3):
            await client.ask(20, 6, {"topics": [{"name": "r", "topic_id": bytes(16)}]})
            await bench.create("r", flush_messages=RELAXED, file_delete_delay_ms="0")
            await fill(client, 2, 500_000)
        answer = await slow.answer(1, 12)
        assert bytes(answer["responses"][0]["partitions"][0]["records"]) == expected

    bench.run(scenario())


def test_a_breach_closes_this_connection_and_no_other(bench: ServerBench) -> None:
    """And is counted."""

    async def scenario() -> None:
        good, bad = await bench.connect(), await bench.connect()
        await good.ask(0, 11, produce("r"))
        await bad.send(b"\xff\xff\xff\xff")
        assert await bad.closed()
        assert base_offset(await good.ask(0, 11, produce("r"))) == 1
        assert bench.server.counters.breaches == 1
        assert bench.server.counters.closed["protocol"] == 1

    bench.run(scenario())


def test_a_promised_length_allocates_nothing(bench: ServerBench) -> None:
    """A frame of 100 MB is announced; what arrived is ten bytes."""

    async def scenario() -> None:
        before = bench.server.buffers.held_bytes
        clients = [await bench.connect() for _ in range(20)]
        for client in clients:
            await client.send((100_000_000).to_bytes(4, "big") + b"\0\0\0\x0b\0\0")
        await bench.until(
            lambda: sum(bool(c.frame_since_ms) for c in bench.server.connections.values()) == 20
        )
        assert bench.server.buffers.held_bytes - before <= 20 * 4096

    bench.run(scenario())


def test_too_many_answers_that_wait_pause_the_reading(bench: ServerBench) -> None:
    """Five hundred parked fetches of one connection are enough; the rest stays in its socket."""

    async def scenario() -> None:
        client = await bench.connect()
        count = 50_000  # more than one turn can receive
        frame = client.frame(1, 12, fetch("r", 0, max_wait_ms=60_000))
        sending = asyncio.ensure_future(client.send(frame * count))
        parked = bench.server.broker.counters
        await bench.until(lambda: parked.fetches_parked >= bench.server.replies_max)
        other = await bench.connect()
        await other.ask(3, 12, {"topics": []})
        assert parked.fetches_parked < count
        sending.cancel()

    bench.run(scenario())


def served(bench: ServerBench, client: Client) -> connection_module.Connection:
    """The server's end of a client's connection."""
    (found,) = [
        c
        for c in bench.server.connections.values()
        if c.sock.getpeername()[1] == client.sock.getsockname()[1]
    ]
    return found


def test_answers_to_a_peer_that_asks_and_does_not_read_are_bounded(bench: ServerBench) -> None:
    """Ten bytes a request, two hundred an answer: one received buffer would become 40 MB."""

    async def scenario() -> None:
        client = await bench.connect(receive_buffer_bytes=4096)
        frames = b"".join(client.frame(18, 0, {}) for _ in range(30_000))
        sending = asyncio.ensure_future(client.send(frames))
        connection = served(bench, client)
        most = 0

        def settled() -> bool:
            nonlocal most
            most = max(most, sum(len(part) for part in connection.out if isinstance(part, bytes)))
            return most > 0 and connection._behind and connection._writing

        await bench.until(settled)
        assert most <= connection.out_bytes <= OUT_BYTES_MAX + 10_000
        for number in range(30_000):
            assert (await client.answer(18, 0))["correlation_id"] == number + 1
        await sending
        assert connection.out_bytes == 0

    bench.run(scenario())
    assert bench.server.buffers.held_bytes == 0, "nothing is kept"


def test_answers_behind_one_that_waits_are_bounded(bench: ServerBench) -> None:
    """A parked fetch at the head holds back everything after it, for up to a minute."""

    async def scenario() -> None:
        client, producer = await bench.connect(), await bench.connect()
        await client.send(client.frame(1, 12, fetch("r", 0, max_wait_ms=60_000)))
        connection = served(bench, client)
        frames = b"".join(client.frame(18, 0, {}) for _ in range(30_000))
        sending = asyncio.ensure_future(client.send(frames))
        await bench.until(lambda: connection.out_bytes > OUT_BYTES_MAX // 2)
        assert connection.out_bytes <= OUT_BYTES_MAX + 10_000
        assert not connection.reading
        await producer.ask(0, 11, produce("r"))
        assert (await client.answer(1, 12))["correlation_id"] == 1
        for number in range(30_000):
            assert (await client.answer(18, 0))["correlation_id"] == number + 2
        await sending
        await client.ask(18, 0, {})

    bench.run(scenario())


def test_a_flood_of_small_requests_leaves_the_others_their_turn(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than FRAMES_PER_TURN of one connection in a row, and none is lost."""
    handled: list[object] = []
    handle = dispatch.handle

    def noting(broker: object, peer: object, *rest: object) -> object:
        handled.append(peer)
        return handle(broker, peer, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(connection_module, "handle", noting)

    async def scenario() -> None:
        flood, other = await bench.connect(), await bench.connect()
        count = 4 * FRAMES_PER_TURN
        frames = b"".join(flood.frame(0, 11, produce("r", 10, acks=0)) for _ in range(count))
        asking = asyncio.ensure_future(other.send(other.frame(18, 0, {})))
        await flood.send(frames)
        await asking
        await other.answer(18, 0)
        await bench.until(lambda: len(handled) == count + 1)
        assert bench.server.broker.routes["r"][0].log.end_offset == count

    bench.run(scenario())
    turns = "".join("o" if peer is not handled[0] else "f" for peer in handled)
    assert max(map(len, turns.split("o"))) <= 4 * FRAMES_PER_TURN


def test_a_bug_that_a_request_meets_costs_its_connection_only(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged with its traceback, counted; what the peer had sent is not looked at again."""
    handle = dispatch.handle

    def buggy(broker: object, peer: object, frame: memoryview, now_ms: int) -> object:
        if frame[1] == 18:
            raise KeyError("nobody expected this")
        return handle(broker, peer, frame, now_ms)  # type: ignore[arg-type]

    monkeypatch.setattr(connection_module, "handle", buggy)

    async def scenario() -> None:
        good, bad = await bench.connect(), await bench.connect()
        await bad.send(bad.frame(18, 0, {}) * 3)
        assert await bad.closed()
        assert base_offset(await good.ask(0, 11, produce("r"))) == 0

    bench.run(scenario())
    assert bench.server.counters.bugs == 1
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


def test_a_frame_does_not_stall_while_the_server_is_not_reading(bench: ServerBench) -> None:
    """The deadline of a frame is the peer's; a pause of ours is not held against it."""

    async def scenario() -> None:
        client = await bench.connect()
        frame = client.frame(0, 11, produce("r"))
        await client.send(frame[:50])
        connection = served(bench, client)
        await bench.until(lambda: connection.frame_since_ms)
        connection.stop_reading()
        overdue = bench.server.uptime_ms() + bench.server.config.frame_deadline_ms + 1
        bench.server._close_overdue(overdue)
        assert not connection.closed
        connection.frame_since_ms = 1
        connection.flush()
        assert connection.reading
        bench.server._close_overdue(bench.server.uptime_ms())
        await client.send(frame[50:])
        assert base_offset(await client.answer(0, 11)) == 0

    bench.run(scenario())


def test_a_cold_slice_does_not_spin_on_a_writable_socket(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a helper brings the pages, nobody asks whether the socket has room."""

    jobs: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    class NeverResident(Residency):
        """Knows of nothing that is in the page cache."""

        def holds(self, piece: FileSlice, uptime_ms: int) -> bool:
            return False

    class Idle:
        """A helper that has not come to it yet."""

        def submit(self, run: Callable[[], object], finish: Callable[[object], None]) -> None:
            jobs.append((run, finish))

    async def scenario() -> None:
        client, consumer = await bench.connect(), await bench.connect(receive_buffer_bytes=4096)
        await fill(client, 4, 1_000_000)
        with monkeypatch.context() as patch:
            cold = NeverResident(Idle())  # type: ignore[arg-type]
            patch.setattr(bench.server, "residency", cold)
            connection = served(bench, consumer)
            await consumer.send(consumer.frame(1, 12, fetch("r", 0)) * 2)
            await bench.until(lambda: connection._writing)
            (second,) = [part for part in list(connection.out)[1:] if hasattr(part, "hot")]
            second.hot = False
            reading = asyncio.ensure_future(consumer.answer(1, 12))
            await bench.until(lambda: jobs)
            assert not connection._writing
            await reading
        run, populated = jobs[0]
        populated(run())
        answer = await consumer.answer(1, 12)
        assert len(answer["responses"][0]["partitions"][0]["records"]) > 4_000_000

    bench.run(scenario())


def test_one_request_at_a_time_is_enough(tmp_path: Path) -> None:
    """`queued.max.requests` = 1: the second is handled when the first is answered."""
    bench = ServerBench(tmp_path, {"queued.max.requests": "1"})
    bench.run(bench.create("d"))

    async def scenario() -> None:
        client = await bench.connect()
        await client.send(b"".join(client.frame(0, 11, produce("d")) for _ in range(20)))
        for number in range(20):
            assert base_offset(await client.answer(0, 11)) == number

    bench.run(scenario())
    bench.close()
