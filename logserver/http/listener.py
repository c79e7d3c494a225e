"""The HTTP port on the server's loop: connections, limits, deadlines.

Requests of one connection are answered one after the other; while one is answered nothing more is
read from it, so a peer that pipelines or does not read can fill one socket buffer and no more.

Deadlines: the head of a request must be complete `HEAD_SECONDS` after its first byte (a slow-loris
peer holds one of few places), a connection may idle `IDLE_SECONDS`, a response must leave within
`ANSWER_SECONDS`. Past `CONNECTIONS_MAX` a newcomer gets 503 at once: the port serves one scraper
and a few probes, and must never cost the log its descriptors.
"""

import asyncio
import logging
from typing import cast

from logserver.http import response as responses
from logserver.http.request import HEAD_BYTES_MAX, Refused, Request, parse_request
from logserver.http.response import Response
from logserver.http.routes import Routes, dispatch

CONNECTIONS_MAX = 64
HEAD_SECONDS = 5.0
IDLE_SECONDS = 30.0
ANSWER_SECONDS = 30.0

log = logging.getLogger("logserver.http")


class HttpListener:
    """Listens for HTTP; `requests` and `refused` are plain counters for the statistics page."""

    def __init__(
        self,
        routes: Routes,
        *,
        connections_max: int = CONNECTIONS_MAX,
        head_seconds: float = HEAD_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.routes = routes
        self.connections_max = connections_max
        self.head_seconds = head_seconds
        self.idle_seconds = idle_seconds
        self.answer_seconds = answer_seconds
        self.connections: set[HttpConnection] = set()
        self.requests = 0
        self.refused = 0
        self.address: tuple[str, int] = ("", 0)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Bind and listen; return the address really bound. Raises OSError (port in use)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpConnection(self), host or None, port, backlog=64
        )
        bound = self._server.sockets[0].getsockname()
        self.address = (bound[0], bound[1])
        return self.address

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None

    def statistics(self) -> dict[str, int]:
        """For the statistics page."""
        return {"http_requests": self.requests, "http_refused": self.refused}


class HttpConnection(asyncio.Protocol):
    """One connection: bytes in, requests one at a time, responses out."""

    def __init__(self, listener: HttpListener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._at_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or answer 503 when there is none."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=65536)
        if len(self._listener.connections) >= self._listener.connections_max:
            self._refuse(Refused(503, "too many connections"))
            return
        self._listener.connections.add(self)
        self._set_deadline(self._listener.idle_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back and stop what is being answered."""
        del exc
        self._listener.connections.discard(self)
        self._clear_deadline()
        self._writable.set()
        self._transport = None
        if self._task is not None:
            self._task.cancel()
            # its traceback holds this connection: a circle, and nobody collects garbage here
            self._task = None

    def pause_writing(self) -> None:
        """The peer does not read: the answer waits."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writable.set()

    def eof_received(self) -> bool:
        """The peer sent its last request: answer what is under way, then close."""
        self._at_end = True
        return self._task is not None

    def data_received(self, data: bytes) -> None:
        """Collect bytes; a foreign protocol is refused at its first byte."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._buffer and self._task is None:
            self._set_deadline(self._listener.head_seconds)
        self._buffer += data
        if self._task is None:
            self._next_request()
        elif len(self._buffer) > HEAD_BYTES_MAX:
            self._transport.pause_reading()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def _next_request(self) -> None:
        try:
            request = parse_request(self._buffer)
        except Refused as refused:
            self._refuse(refused)
            return
        if request is None:
            if self._at_end and self._transport is not None:
                self._transport.close()
            return
        self._listener.requests += 1
        self._set_deadline(self._listener.answer_seconds)
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            response = await dispatch(self._listener.routes, request)
        except Exception:
            log.exception("a page failed", extra={"path": request.path})
            response = responses.text(500, "this page failed; the log says why")
        keep_alive = request.keep_alive and not self._at_end
        try:
            await self._send(request, response, keep_alive)
        except Exception:
            log.exception("a page failed half way", extra={"path": request.path})
            self.abort()
            return
        self._task = None
        transport = self._transport
        if transport is None:
            return
        if not keep_alive:
            transport.close()
            return
        transport.resume_reading()
        waiting = bool(self._buffer)
        self._set_deadline(self._listener.head_seconds if waiting else self._listener.idle_seconds)
        self._next_request()

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        chunked = request.chunked_ok
        self._write(responses.head(response, keep_alive=keep_alive, chunked=chunked))
        if request.method == "HEAD":
            return
        if isinstance(response.body, bytes):
            self._write(response.body)
            return
        async for piece in response.body:
            self._write(responses.chunk(piece) if chunked else piece)
            await self._writable.wait()
        if chunked:
            self._write(responses.LAST_CHUNK)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _refuse(self, refused: Refused) -> None:
        self._listener.refused += 1
        self._buffer.clear()
        answer = responses.text(refused.status, refused.reason)
        assert isinstance(answer.body, bytes)
        self._write(responses.head(answer, keep_alive=False, chunked=False) + answer.body)
        if self._transport is not None:
            self._transport.close()

    def _set_deadline(self, seconds: float) -> None:
        self._clear_deadline()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
