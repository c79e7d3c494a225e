"""A connection says in one sentence what is wrong with the other side."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from logserver.client.connection import (
    METADATA,
    PRODUCE,
    Address,
    Connection,
    parse_bootstrap,
)
from logserver.client.failure import ClientError
from logwire.errors import UNSUPPORTED_VERSION
from logwire.frame import response_frame
from logwire.messages import encode_response
from tests.client.scripted_broker import ScriptedBroker


@contextmanager
def peer(talk: Callable[[socket.socket], None]) -> Iterator[Address]:
    """A listener whose every connection is handed to `talk` in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    talk(connection)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    yield Address(*listener.getsockname())
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def versions_answer(version: int, correlation_id: int, error_code: int = 0) -> bytes:
    """An ApiVersions answer that offers Metadata and Produce."""
    rows = [
        {"api_key": 18, "min_version": 0, "max_version": 3},
        {"api_key": METADATA, "min_version": 0, "max_version": 5},
        {"api_key": PRODUCE, "min_version": 0, "max_version": 2},
    ]
    message = {"error_code": error_code, "api_keys": rows}
    return response_frame(18, version, correlation_id, encode_response(18, version, message))


def read_request(connection: socket.socket) -> bytes:
    """One frame without its size."""
    size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
    return connection.recv(size, socket.MSG_WAITALL)


def test_bootstrap_addresses_are_understood() -> None:
    """Lists, default port, IPv6 in brackets."""
    assert parse_bootstrap("a:1, b ,[::1]:3,[fe80::1]") == [
        Address("a", 1),
        Address("b", 9092),
        Address("::1", 3),
        Address("fe80::1", 9092),
    ]
    assert str(Address("::1", 3)) == "[::1]:3"


@pytest.mark.parametrize("word", ["", "a:", ":1", "a:0", "a:65536", "a:b", "a:1,,b:2"])
def test_bad_addresses_are_told(word: str) -> None:
    """With the offending word and the right form."""
    with pytest.raises(ClientError, match=r"is not a server address: write HOST:PORT") as caught:
        parse_bootstrap(word)
    assert caught.value.kind == "connect"


def test_nothing_listening_is_told_with_a_hint() -> None:
    """The most usual mistake of all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
    with pytest.raises(ClientError, match=r"cannot connect to .*refused.*logserver serve"):
        Connection(address)


def test_an_unknown_host_is_told() -> None:
    """RFC 2606 reserves .invalid."""
    with pytest.raises(ClientError, match="host name is unknown"):
        Connection(Address("nowhere.invalid", 9092))


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "speaks SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "speaks TLS"),
        (b"\xff\xff\xff\xff", "sent a frame of -1 bytes"),
        (b"\x7f\xff\xff\xff", "sent a frame of 2147483647 bytes"),
        (b"\x00\x00\x00\x03abc", "sent a frame of 3 bytes"),
        (b"\x00\x00\x00\x05\x00\x00\x00\x01\xff", "truncated|ApiVersions"),
    ],
)
def test_other_protocols_are_recognised(greeting: bytes, sentence: str) -> None:
    """By their first bytes, before anything is allocated."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(greeting)
        read_request(connection)
        connection.recv(1)

    with peer(talk) as address, pytest.raises(ClientError, match=sentence) as caught:
        Connection(address)
    assert caught.value.kind == "protocol"


def test_a_peer_that_hangs_up_is_told() -> None:
    """Before it has answered anything."""
    with peer(lambda _: None) as address, pytest.raises(ClientError) as caught:
        Connection(address)
    assert caught.value.kind == "closed"


def test_a_silent_peer_is_a_timeout() -> None:
    """And the connection is closed: a late answer must not meet a new question."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.recv(1)

    with peer(talk) as address, pytest.raises(ClientError, match="did not answer") as caught:
        Connection(address, request_timeout_ms=50)
    assert caught.value.kind == "timeout"


def test_answers_may_come_byte_by_byte() -> None:
    """And two in one read."""

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = read_request(connection)
        for byte in versions_answer(3, int.from_bytes(request[4:8], "big")):
            connection.sendall(bytes([byte]))
        first = read_request(connection)[4:8]
        second = read_request(connection)[4:8]
        body = encode_response(METADATA, 5, {"brokers": [], "topics": []})
        connection.sendall(
            b"".join(
                response_frame(METADATA, 5, int.from_bytes(i, "big"), body) for i in (first, second)
            )
        )
        connection.recv(1)

    with peer(talk) as address:
        connection = Connection(address)
        wanted = [connection.send_nowait(METADATA, 5, b"\0\0\0\0\0") for _ in range(2)]
        frames: list[tuple[int, memoryview]] = []
        while len(frames) < 2:
            assert connection.wait(time.monotonic() + 10)
            frames += connection.receive_nowait()
        assert [correlation_id for correlation_id, _ in frames] == wanted
        connection.close()


def test_a_server_without_a_common_version_is_told() -> None:
    """Produce 0 to 2 are message formats of before 2017."""

    def talk(connection: socket.socket) -> None:
        request = read_request(connection)
        connection.sendall(versions_answer(3, int.from_bytes(request[4:8], "big")))
        connection.recv(1)

    with peer(talk) as address:
        connection = Connection(address)
        assert connection.version(METADATA) == 5
        with pytest.raises(
            ClientError, match="offers versions 0 to 2; this client speaks Produce 3"
        ):
            connection.version(PRODUCE)
        with pytest.raises(ClientError, match="does not offer it"):
            connection.version(22)
        connection.close()


def test_an_old_server_is_asked_again_in_version_0() -> None:
    """KIP-511: error 35 in a version 0 body."""
    seen = []

    def talk(connection: socket.socket) -> None:
        for code in (UNSUPPORTED_VERSION, 0):
            request = read_request(connection)
            seen.append(int.from_bytes(request[2:4], "big"))
            connection.sendall(versions_answer(0, int.from_bytes(request[4:8], "big"), code))
        connection.recv(1)

    with peer(talk) as address:
        connection = Connection(address)
        assert connection.version(METADATA) == 5
        connection.close()
    assert seen == [3, 0]


def test_a_wrong_correlation_id_closes_the_connection() -> None:
    """An answer to somebody else's question is no answer."""
    with ScriptedBroker() as broker:
        connection = Connection(Address("127.0.0.1", broker.port))
        connection.send_nowait(METADATA, 9, b"\x01\x00\x00\x00\x00")
        with pytest.raises(ClientError, match="answered request"):
            connection.request(METADATA, {"topics": None})
        assert not connection.is_open


def test_large_requests_and_answers_pass() -> None:
    """Larger than the receive buffer and than what a socket takes at once."""
    with ScriptedBroker(topic="x" * 200, partitions=20_000) as broker:
        connection = Connection(Address("127.0.0.1", broker.port))
        names = [{"name": "x" * 200, "topic_id": bytes(16)}]
        names += [{"name": f"{i:0200}", "topic_id": bytes(16)} for i in range(20_000)]
        answer = connection.request(METADATA, {"topics": names})
        assert len(answer["topics"]) == 20_001
        assert len(answer["topics"][0]["partitions"]) == 20_000
        connection.close()


def test_a_frame_above_the_limit_is_refused() -> None:
    """The limit is the caller's."""
    with ScriptedBroker(partitions=5000) as broker:
        connection = Connection(Address("127.0.0.1", broker.port), frame_bytes_max=50_000)
        with pytest.raises(ClientError, match=r"limit 50000"):
            connection.request(METADATA, {"topics": None})
