"""Hostile and lost bytes on the Kafka port: they cost the peer its connection and nothing else.

The first frames of `protocol/vectors/refusals.json` were sent to Apache Kafka 4.3.1, which
answered, hung up or waited; this server does the same, except where the row says `ours`. Then the
peers that no vector can be: slow ones, silent ones, those that never read.
"""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess
from tools.raw_kafka import RawConnection, framed, header, produce_frame, wait_for_verdict
from tools.refusal_cases import Step, batch, record

ROOT = Path(__file__).resolve().parent.parent.parent
FRAMES = json.loads((ROOT / "protocol/vectors/refusals.json").read_text())["frames"]
SILENCE_S = 0.3  # nothing came for this long: it waits
PATIENCE_S = 10.0  # a busy disk takes its time for the sync before an answer
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all hostile peers; it is still there after the last one."""
    with ServerProcess(tmp_path_factory.mktemp("hostile") / "data") as server:
        with RawConnection(server.kafka_address) as connection:
            assert connection.create_topic("frames", {}) == 0
        yield server
        assert_serves(server)
        assert server.stop() == 0


def assert_serves(server: ServerProcess) -> None:
    """A well-behaved client finds everything in order."""
    with RawConnection(server.kafka_address) as connection:
        assert connection.metadata_code("frames", auto_create=False) in (0, 3)
        assert connection.call(18, 0, b"").unpack("h") == (0,)


def metric(server: ServerProcess, name: str) -> float:
    """The value of one line of /metrics, labels included in the name."""
    host, port = server.http_address
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"{name} is not in /metrics"
    return float(found.group(1))


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process, from /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found.group(1)) * 1024


def outcome(connection: RawConnection, expected: str) -> str:
    """What the server did: answered, closed, or waits; patient unless waiting is expected."""
    try:
        answer = wait_for_verdict(connection, SILENCE_S if expected == "waits" else PATIENCE_S)
    except TimeoutError:
        return "waits"
    return "closed" if answer is None else "answered"


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row["name"])
def test_a_first_frame_ends_as_it_does_with_kafka(
    shared: ServerProcess, row: dict[str, Any]
) -> None:
    """Answered, closed or waited for, as recorded."""
    expected = row.get("ours", row)["outcome"]
    with RawConnection(shared.kafka_address) as connection:
        connection.send(bytes.fromhex(row["data"]))
        assert outcome(connection, expected) == expected
    assert_serves(shared)


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row["name"])
def test_bytes_that_dribble_in_end_the_same_way(shared: ServerProcess, row: dict[str, Any]) -> None:
    """One byte at a time: the verdict does not depend on how the network cuts."""
    expected = row.get("ours", row)["outcome"]
    with RawConnection(shared.kafka_address) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for byte in bytes.fromhex(row["data"]):
                connection.send(bytes([byte]))
        except ConnectionError:
            pass  # closed before the last byte: the verdict came early
        assert outcome(connection, expected) == expected
    assert_serves(shared)


def test_an_unknown_version_of_api_versions_is_answered_with_the_known_ones(
    shared: ServerProcess,
) -> None:
    """UNSUPPORTED_VERSION in a version 0 body, with ApiVersions' own range: KIP-511."""
    with RawConnection(shared.kafka_address) as connection:
        connection.send(framed(header(18, 99) + b"\0"))
        body = connection.receive_frame()
        code, count = struct.unpack_from(">hi", body, 4)
        rows = [struct.unpack_from(">hhh", body, 10 + 6 * number) for number in range(count)]
        assert code == 35
        assert 18 in [key for key, _, _ in rows]
        connection.send(framed(header(18, 0)))
        assert connection.receive_frame()[4:6] == b"\0\0"


def test_promised_gigabytes_allocate_nothing(shared: ServerProcess) -> None:
    """Allocation follows the bytes that came: a hundred frames of 100 MB with ten bytes each."""
    before = anonymous_bytes(shared.pid)
    connections = [RawConnection(shared.kafka_address) for _ in range(100)]
    for connection in connections:
        connection.send(struct.pack(">i", 104_000_000) + header(0, 8)[:10])
    assert_serves(shared)
    assert anonymous_bytes(shared.pid) - before < 10 * MEGABYTE
    for connection in connections:
        connection.socket.close()


def test_random_frames_never_end_the_process(shared: ServerProcess) -> None:
    """Seeded noise behind honest headers of every API, and honest frames with flipped bytes."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(300):
        if number % 2:
            data = bytearray(produce_frame("frames", Step(batch(count=3))))
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(4, len(data))] = chance.randrange(256)
        else:
            key, version = chance.choice([*range(76), 999]), chance.randrange(20)
            data = bytearray(framed(header(key, version) + chance.randbytes(chance.randint(0, 60))))
        with RawConnection(shared.kafka_address) as connection:
            connection.send(bytes(data))
    assert_serves(shared)


def test_a_breach_is_counted(shared: ServerProcess) -> None:
    """`logserver_connections_closed_total{reason="protocol"}` grows with each breach."""
    name = 'logserver_connections_closed_total{reason="protocol"}'
    before = metric(shared, name)
    with RawConnection(shared.kafka_address) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert outcome(connection, "closed") == "closed"
    for _ in range(100):  # the statistics page is copied every 250 ms; each look takes some ms
        if metric(shared, name) > before:
            return
        with RawConnection(shared.kafka_address) as connection, pytest.raises(TimeoutError):
            wait_for_verdict(connection, 0.05)
    pytest.fail("the breach was never counted")


def test_a_peer_that_breaches_after_good_requests_gets_the_good_answers(
    shared: ServerProcess,
) -> None:
    """Pipelined: three good requests and noise; three answers in order, then the end."""
    good = [framed(header(18, 0, correlation_id=number)) for number in range(3)]
    with RawConnection(shared.kafka_address) as connection:
        connection.send(b"".join(good) + b"\xff\xff\xff\xff")
        for number in range(3):
            assert connection.receive_frame()[:4] == struct.pack(">i", number)
        assert outcome(connection, "closed") == "closed"


def test_a_slow_frame_loses_its_connection_in_time(
    start_server: Callable[..., ServerProcess],
) -> None:
    """A frame that has begun must be complete before its deadline; idle peers have longer."""
    server = start_server({"logserver.frame.deadline.ms": "300"})
    with RawConnection(server.kafka_address) as slow, RawConnection(server.kafka_address) as idle:
        slow.send(produce_frame("frames", Step(batch()))[:20])
        assert wait_for_verdict(slow, 10) is None
        assert idle.call(18, 0, b"").unpack("h") == (0,)


def test_an_idle_connection_is_closed(start_server: Callable[..., ServerProcess]) -> None:
    """`connections.max.idle.ms`, as Kafka's."""
    server = start_server({"connections.max.idle.ms": "300"})
    with RawConnection(server.kafka_address) as idle:
        assert wait_for_verdict(idle, 10) is None


def test_too_many_connections_are_turned_away(start_server: Callable[..., ServerProcess]) -> None:
    """`max.connections`: the next one is closed, the others work on."""
    server = start_server({"max.connections": "3"})
    with (
        RawConnection(server.kafka_address) as first,
        RawConnection(server.kafka_address) as second,
        RawConnection(server.kafka_address) as third,
    ):
        for connection in (first, second, third):
            assert connection.call(18, 0, b"").unpack("h") == (0,)
        with RawConnection(server.kafka_address) as fourth:
            assert wait_for_verdict(fourth, 10) is None
        assert first.call(18, 0, b"").unpack("h") == (0,)


def test_a_consumer_that_never_reads_costs_no_memory(
    start_server: Callable[..., ServerProcess],
) -> None:
    """Twenty peers ask for 40 MB each and read nothing: file ranges wait, not bytes."""
    server = start_server()
    with RawConnection(server.kafka_address) as connection:
        assert connection.create_topic("wide", {}) == 0
        large = Step(batch(records=record(0, b"x" * 900_000)))
        for _ in range(40):
            assert connection.produce("wide", large).error_code == 0
    before = anonymous_bytes(server.pid)
    peers = [RawConnection(server.kafka_address) for _ in range(20)]
    body = struct.pack(">iiiib", -1, 100, 1, 50 * MEGABYTE, 0)
    body += struct.pack(">i", 1) + b"\0\4wide" + struct.pack(">iiqi", 1, 0, 0, 50 * MEGABYTE)
    for peer in peers:
        peer.send(framed(header(1, 4) + body) * 3)
    assert_serves(server)
    assert anonymous_bytes(server.pid) - before < 10 * MEGABYTE
    assert len(peers[0].receive_frame()) > 30 * MEGABYTE
    for peer in peers:
        peer.socket.close()
    assert server.stop() == 0
