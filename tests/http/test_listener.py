"""logserver.http.listener: real sockets, good peers and bad ones."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from logserver.http.listener import HttpConnection, HttpListener
from logserver.http.request import Request
from logserver.http.response import Response, text
from logserver.http.routes import Route

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PIECES = [b"a" * 1000, b"", b"b" * 1000]
BIG = b"x" * 65536


async def _hello(request: Request) -> Response:
    return text(200, f"hello {request.query}")


async def _stream(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece
            await asyncio.sleep(0)

    return Response(200, "text/plain", body())


async def _flood(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield BIG

    return Response(200, "text/plain", body())


async def _broken(_: Request) -> Response:
    raise RuntimeError("planted")


async def _torn(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("planted")

    return Response(200, "text/plain", body())


ROUTES = {
    "/torn": Route(("GET",), _torn, "fails half way"),
    "/hello": Route(("GET",), _hello, "greets"),
    "/stream": Route(("GET",), _stream, "streams"),
    "/flood": Route(("GET",), _flood, "64 MB"),
    "/broken": Route(("GET",), _broken, "fails"),
}


def run(
    scenario: Callable[[HttpListener, Callable[[], Awaitable[Pair]]], Awaitable[None]],
    **limits: Any,
) -> HttpListener:
    """Start a listener on a free port, run the scenario, stop it."""

    async def main() -> HttpListener:
        listener = HttpListener(ROUTES, **limits)
        host, port = await listener.start("127.0.0.1", 0)
        writers: list[asyncio.StreamWriter] = []

        async def connect() -> Pair:
            reader, writer = await asyncio.open_connection(host, port)
            writers.append(writer)
            return reader, writer

        try:
            async with asyncio.timeout(20):
                await scenario(listener, connect)
        finally:
            for writer in writers:
                writer.close()
            await listener.stop()
        return listener

    return asyncio.run(main())


async def answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """One response with Content-Length: status line and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
    return head.split("\r\n")[0], await reader.readexactly(length)


def test_requests_of_one_connection_are_answered_in_order() -> None:
    """Pipelined, with the connection kept."""

    async def scenario(listener: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        for turn in range(20):
            writer.write(b"GET /hello?%d HTTP/1.1\r\nHost: a\r\n\r\n" % turn)
        for turn in range(20):
            assert await answer(reader) == ("HTTP/1.1 200 OK", b"hello %d\n" % turn)
        assert listener.statistics() == {"http_requests": 20, "http_refused": 0}

    run(scenario)


def test_a_request_may_arrive_byte_by_byte() -> None:
    """Slow but within the deadline."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        for byte in b"GET /hello?x HTTP/1.1\r\nHost: a\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await answer(reader))[1] == b"hello x\n"

    run(scenario)


def test_a_stream_is_sent_in_chunks() -> None:
    """Empty pieces do not end it."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head, _sep, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert body == b"3e8\r\n" + PIECES[0] + b"\r\n3e8\r\n" + PIECES[2] + b"\r\n0\r\n\r\n"

    run(scenario)


def test_http_1_0_gets_the_stream_up_to_the_close() -> None:
    """It knows no chunks."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        assert (await reader.read()).partition(b"\r\n\r\n")[2] == b"".join(PIECES)

    run(scenario)


def test_head_gets_no_body() -> None:
    """Only the fields, and the connection goes on."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write(b"GET /hello?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert (await answer(reader))[1] == b"hello 1\n"

    run(scenario)


def test_a_failing_page_is_500_and_the_listener_lives(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the trace, the peer does not."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        status, body = await answer(reader)
        assert status.startswith("HTTP/1.1 500")
        assert b"planted" not in body
        writer.write(b"GET /hello?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await answer(reader))[1] == b"hello 1\n"

    run(scenario)
    assert "planted" in caplog.text


def test_foreign_bytes_are_refused_and_the_connection_closes() -> None:
    """A TLS hello, a Kafka frame, a Redis command."""

    async def scenario(listener: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        for hello in (b"\x16\x03\x01\x02\x00\x01", b"\x00\x00\x00\x20\x00\x12", b"*1\r\n\r\n\r\n"):
            reader, writer = await connect()
            writer.write(hello)
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
        assert listener.refused == 3

    run(scenario)


def test_an_endless_head_is_cut_off() -> None:
    """Memory follows the limit, not the peer."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /hello HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
        try:
            assert b"431" in await reader.read()
        except ConnectionError:
            return

    run(scenario)


def test_a_peer_that_never_finishes_its_head_is_closed() -> None:
    """Slow-loris holds a place for the deadline, no longer."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /hello HTTP/1.1\r\n")
        await _until_closed(reader)

    run(scenario, head_seconds=0.05)


def test_an_idle_connection_is_closed() -> None:
    """Before its first request and after its last."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        silent, _writer = await connect()
        reader, writer = await connect()
        writer.write(b"GET /hello?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await answer(reader))[1] == b"hello 1\n"
        await _until_closed(silent)
        await _until_closed(reader)

    run(scenario, idle_seconds=0.05)


def test_a_peer_that_does_not_read_is_closed_and_costs_no_memory() -> None:
    """64 MB wait for it in no buffer."""

    async def scenario(listener: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        _reader, writer = await connect()
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        while not listener.connections:
            await asyncio.sleep(0)
        (connection,) = listener.connections
        transport = connection._transport
        assert transport is not None
        while listener.connections:
            assert transport.get_write_buffer_size() < 1 << 20
            await asyncio.sleep(0)

    run(scenario, answer_seconds=0.2)


def test_one_connection_too_many_gets_503() -> None:
    """The others are not disturbed, and a place that is given back is used again."""

    async def scenario(listener: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        kept = [await connect() for _ in range(2)]
        while len(listener.connections) < 2:
            await asyncio.sleep(0)
        reader, _writer = await connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        kept[0][1].close()
        while len(listener.connections) > 1:
            await asyncio.sleep(0)
        reader, writer = await connect()
        writer.write(b"GET /hello?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await answer(reader))[1] == b"hello 1\n"

    run(scenario, connections_max=2)


def test_a_half_closed_peer_still_gets_its_answer() -> None:
    """`printf ... | nc` closes its side after the request."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"0\r\n\r\n")

    run(scenario)


def test_a_page_that_fails_half_way_closes_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The peer must not take the half for the whole."""

    async def scenario(_: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /torn HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        with contextlib.suppress(ConnectionError):
            received = await reader.read()
        assert not received.endswith(b"0\r\n\r\n")

    run(scenario)
    assert "half way" in caplog.text


def test_peers_that_leave_in_the_middle_leave_no_garbage() -> None:
    """While serving nobody collects circles: each would stay for ever."""

    async def scenario(listener: HttpListener, connect: Callable[[], Awaitable[Pair]]) -> None:
        loop = asyncio.get_running_loop()
        gc.collect()
        gc.disable()
        for _ in range(20):
            with socket.create_connection(listener.address) as peer:
                peer.setblocking(False)
                await loop.sock_sendall(peer, b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
                await loop.sock_recv(peer, 1000)
            while listener.connections:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not [one for one in gc.get_objects() if isinstance(one, HttpConnection)]

    try:
        run(scenario)
    finally:
        gc.enable()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    try:
        assert await reader.read() == b""
    except ConnectionError:
        return
