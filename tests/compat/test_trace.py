"""strace as a witness: sync before answer, fetches by sendfile, segments not read.

`tools/trace_order.py` reads the trace; its own tests plant the mistakes that it must find.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_process import ServerProcess
from tools.raw_kafka import RawConnection, framed, header, produce_frame
from tools.refusal_cases import Step, batch, record
from tools.trace_order import STRACE, TRACED, judge

CONNECTIONS = 3
IN_FLIGHT = 4
ROUNDS = 40
FETCH_BYTES = 1_000_000

pytestmark = pytest.mark.usefixtures("only_ours")


def produce_pipelined(server: ServerProcess) -> int:
    """Batches of 1 to 8 KB on several connections, several in flight each; how many."""
    connections = [RawConnection(server.kafka_address) for _ in range(CONNECTIONS)]
    for number in range(ROUNDS):
        for connection in connections:
            for lane in range(IN_FLIGHT):
                value = bytes([number % 251]) * (1000 * (lane % 8 + 1))
                step = Step(batch(records=record(0, value)))
                connection.send(produce_frame("traced", step, number * IN_FLIGHT + lane))
        for connection in connections:
            for lane in range(IN_FLIGHT):
                answer = connection.receive_frame()
                assert struct.unpack_from(">i", answer)[0] == number * IN_FLIGHT + lane
    for connection in connections:
        connection.socket.close()
    return ROUNDS * CONNECTIONS * IN_FLIGHT


def fetch_everything(server: ServerProcess, count: int) -> int:
    """Read the topic from the first offset, FETCH_BYTES at a time; bytes of records received."""
    received = offset = 0
    with RawConnection(server.kafka_address) as connection:
        while offset < count:
            body = struct.pack(">iiiib", -1, 100, 1, FETCH_BYTES, 0)
            body += struct.pack(">i", 1) + b"\0\6traced" + struct.pack(">i", 1)
            body += struct.pack(">iqi", 0, offset, FETCH_BYTES)
            connection.send(framed(header(1, 4) + body))
            answer = connection.receive_frame()
            position = 4 + 4 + 4 + 2 + len("traced") + 4
            _, code, high_watermark, _, aborted = struct.unpack_from(">ihqqi", answer, position)
            assert (code, high_watermark, aborted) == (0, count, -1)
            (size,) = struct.unpack_from(">i", answer, position + 26)
            assert size > 0
            records = memoryview(answer)[position + 30 :]
            assert len(records) == size
            received += size
            while records:
                base, length = struct.unpack_from(">qi", records)
                (delta,) = struct.unpack_from(">i", records, 23)
                offset = base + delta + 1
                records = records[12 + length :]
    return received


def test_the_trace_of_a_server_shows_its_promises_kept(
    require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Pipelined acks=all on three connections, then a replay: every answer is checked."""
    require_tool("strace")
    trace = tmp_path / "trace"
    prefix = [*STRACE, "-e", f"trace={TRACED}", "-o", str(trace)]
    with ServerProcess(tmp_path / "data", prefix=prefix) as server:
        with RawConnection(server.kafka_address) as connection:
            assert connection.create_topic("traced", {}) == 0
        count = produce_pipelined(server)
        received = sum(fetch_everything(server, count) for _ in range(3))
        assert server.stop() == 0
    with trace.open(errors="replace") as lines:
        verdict = judge(line.rstrip("\n") for line in lines)
    assert verdict.answers_checked == count
    assert verdict.answered_before_sync == []
    assert verdict.sent_by_sendfile_bytes == received
    assert verdict.sent_by_copy_bytes < received * 0.02
    assert verdict.read_share < 0.01
