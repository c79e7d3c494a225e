"""A bench for the server: a real loop, real sockets on loopback, a real directory.

The server runs in this process, on a loop that the test drives: `run(coroutine)` lets it turn until
the coroutine has what it waits for. Clients are plain sockets of the same loop.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from logserver.broker.broker import Broker
from logserver.config import load
from logserver.server.listener import Listener
from logserver.server.server import Server
from logserver.storage.directory import LogDirectory
from logserver.storage.files import RealFiles
from logwire.frame import request_header, response_header_is_flexible
from logwire.messages import Message, decode_response, encode_request

WAIT_S = 5


class Client:
    """One raw connection to the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.correlation_id = 0

    async def send(self, data: bytes | bytearray) -> None:
        """Send bytes as they are."""
        await self.loop.sock_sendall(self.sock, data)

    def frame(self, api_key: int, version: int, message: Message) -> bytes:
        """A request frame with the next correlation id."""
        self.correlation_id += 1
        body = request_header(api_key, version, self.correlation_id, "bench")
        body += encode_request(api_key, version, message)
        return len(body).to_bytes(4, "big") + body

    async def receive(self, size_bytes: int) -> bytes:
        """Exactly that many bytes; EOFError when the server closed before."""
        data = b""
        while len(data) < size_bytes:
            got = await asyncio.wait_for(
                self.loop.sock_recv(self.sock, size_bytes - len(data)), WAIT_S
            )
            if not got:
                raise EOFError(data)
            data += got
        return data

    async def answer(self, api_key: int, version: int) -> Message:
        """The next answer, decoded; its correlation id is under `correlation_id`."""
        size_bytes = int.from_bytes(await self.receive(4), "big")
        frame = await self.receive(size_bytes)
        start = 5 if response_header_is_flexible(api_key, version) else 4
        message = decode_response(api_key, version, memoryview(frame)[start:])
        return {**message, "correlation_id": int.from_bytes(frame[:4], "big")}

    async def ask(self, api_key: int, version: int, message: Message) -> Message:
        """One request, its answer."""
        await self.send(self.frame(api_key, version, message))
        return await self.answer(api_key, version)

    async def closed(self) -> bool:
        """Wait until the server closes; False when it sends instead."""
        try:
            return not await asyncio.wait_for(self.loop.sock_recv(self.sock, 1), WAIT_S)
        except ConnectionResetError:
            return True


class ServerBench:
    """A server on a directory; `close` ends it. Keys of `given` are configuration."""

    def __init__(self, path: Path, given: dict[str, str] | None = None) -> None:
        self.config = load({"log.dirs": str(path), "listeners": "A://127.0.0.1:0", **(given or {})})
        self.loop = uvloop.new_event_loop()
        self.directory = LogDirectory.open(RealFiles(), self.config, now_ms=0)
        broker = Broker.open(self.config, self.directory, Random(1), 0)
        self.server = Server(self.config, broker, self.loop)
        self.server.listeners.append(Listener(self.server, "A", "127.0.0.1", 0))
        self.server.start()
        self.clients: list[socket.socket] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Let the loop turn until the coroutine is done."""
        return self.loop.run_until_complete(coroutine)

    async def connect(self, *, receive_buffer_bytes: int = 0) -> Client:
        """A new connection."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.clients.append(sock)
        await self.loop.sock_connect(sock, ("127.0.0.1", self.server.listeners[0].port))
        return Client(self.loop, sock)

    async def create(self, name: str, **configs: str) -> None:
        """A topic of one partition; configs with underscores for dots."""
        client = await self.connect()
        entries = [{"name": key.replace("_", "."), "value": v} for key, v in configs.items()]
        topic = {"name": name, "num_partitions": 1, "replication_factor": 1, "assignments": []}
        response = await client.ask(19, 7, {"topics": [{**topic, "configs": entries}]})
        assert response["topics"][0]["error_code"] == 0
        client.sock.close()

    async def until(self, condition: Any) -> None:
        """Wait until the server's state is so."""
        deadline = self.loop.time() + WAIT_S
        while not condition():
            assert self.loop.time() < deadline, "it never came to that"
            turned = asyncio.Event()
            self.loop.call_later(0.001, turned.set)
            await turned.wait()

    def close(self) -> None:
        """End the server, clean."""
        for sock in self.clients:
            sock.close()
        self.server.close()
        self.directory.close(clean=True)
        self.loop.close()
        gc.unfreeze()
        gc.enable()
