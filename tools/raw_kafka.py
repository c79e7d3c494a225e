"""A blocking connection that speaks just enough Kafka to send broken input and read the verdict.

Like `refusal_cases` it packs by hand and never imports `logwire`. Only non-flexible versions are
used (Produce 3-8, CreateTopics 2, DeleteTopics 1, Metadata 4, ListOffsets 1), whose layouts fit in
a few `struct` calls.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

from tools.refusal_cases import Step

PRODUCE, LIST_OFFSETS, METADATA, CREATE_TOPICS, DELETE_TOPICS = 0, 2, 3, 19, 20
TIMEOUT_S = 5.0


class ProduceAnswer(NamedTuple):
    """The row of the one partition in a Produce response."""

    error_code: int
    base_offset: int
    log_append_time_ms: int
    error_message: str | None


def string(text: str | None) -> bytes:
    """A nullable string with a two-byte length."""
    if text is None:
        return struct.pack(">h", -1)
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def header(api_key: int, version: int, correlation_id: int = 1) -> bytes:
    """Request header version 1."""
    return struct.pack(">hhi", api_key, version, correlation_id) + string("refusals")


def framed(body: bytes) -> bytes:
    """The four-byte length and the body."""
    return struct.pack(">i", len(body)) + body


def produce_frame(topic: str, step: Step, correlation_id: int = 1) -> bytes:
    """A whole Produce request, versions 3 to 8, of one topic and one partition."""
    records = step.records
    body = header(PRODUCE, step.version, correlation_id) + string(step.transactional_id)
    body += struct.pack(">hii", step.acks, 10_000, 1)
    body += string(topic if step.topic is None else step.topic)
    body += struct.pack(">ii", 1, step.partition)
    body += struct.pack(">i", -1) if records is None else struct.pack(">i", len(records)) + records
    return framed(body)


class Reader:
    """A cursor over one response body."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def unpack(self, layout: str) -> tuple[int, ...]:
        """The next values of a big-endian struct layout."""
        values = struct.unpack_from(">" + layout, self.data, self.position)
        self.position += struct.calcsize(">" + layout)
        return values

    def string(self) -> str | None:
        """The next nullable string."""
        (size,) = self.unpack("h")
        if size < 0:
            return None
        self.position += size
        return self.data[self.position - size : self.position].decode()


class RawConnection:
    """One TCP connection, requests in lockstep. Raises EOFError when the server hangs up."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of these bytes, whatever they mean."""
        self.socket.sendall(data)

    def receive_frame(self) -> bytes:
        """The next response without its length, correlation id included."""
        (size,) = struct.unpack(">i", self._receive_exactly(4))
        return self._receive_exactly(size)

    def _receive_exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            try:
                chunk = self.socket.recv(size - len(received))
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise EOFError(f"closed by the server after {len(received)} of {size} bytes")
            received += chunk
        return bytes(received)

    def call(self, api_key: int, version: int, body: bytes) -> Reader:
        """One request, its response past the correlation id."""
        self.send(framed(header(api_key, version) + body))
        return Reader(self.receive_frame()[4:])

    def create_topic(self, topic: str, config: Mapping[str, str], partitions: int = 1) -> int:
        """CreateTopics version 2; returns the error code."""
        body = struct.pack(">i", 1) + string(topic) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(config))
        for key, value in config.items():
            body += string(key) + string(value)
        answer = self.call(CREATE_TOPICS, 2, body + struct.pack(">ib", 10_000, 0))
        answer.unpack("ii")
        answer.string()
        return answer.unpack("h")[0]

    def delete_topic(self, topic: str) -> int:
        """DeleteTopics version 1; returns the error code."""
        body = struct.pack(">i", 1) + string(topic) + struct.pack(">i", 10_000)
        answer = self.call(DELETE_TOPICS, 1, body)
        answer.unpack("ii")
        answer.string()
        return answer.unpack("h")[0]

    def metadata_code(self, topic: str, *, auto_create: bool = True) -> int:
        """Metadata version 4 of one topic; returns the topic's error code."""
        body = struct.pack(">i", 1) + string(topic) + struct.pack(">b", auto_create)
        answer = self.call(METADATA, 4, body)
        answer.unpack("i")
        for _ in range(answer.unpack("i")[0]):
            answer.unpack("i")
            answer.string()
            answer.unpack("i")
            answer.string()
        answer.string()
        answer.unpack("ii")
        return answer.unpack("h")[0]

    def wait_for_topic(self, topic: str) -> None:
        """Ask until the partition answers: a broker of Kafka leads it only a moment later."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while self.metadata_code(topic, auto_create=False) != 0 or self.end_offset(topic) < 0:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"topic {topic!r} does not become ready")

    def end_offset(self, topic: str) -> int:
        """ListOffsets version 1, timestamp -1, of partition 0; -1 when that is an error."""
        body = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">iiq", 1, 0, -1)
        answer = self.call(LIST_OFFSETS, 1, body)
        answer.unpack("i")
        answer.string()
        return answer.unpack("iihqq")[4]

    def wait_for_end_offset(self, topic: str, offset: int) -> None:
        """Ask until partition 0 ends there."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while (found := self.end_offset(topic)) != offset:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"topic {topic!r} ends at {found}, not at {offset}")

    def produce(self, topic: str, step: Step) -> ProduceAnswer:
        """One Produce request; returns the row of its one partition."""
        self.send(produce_frame(topic, step))
        answer = Reader(self.receive_frame()[4:])
        answer.unpack("i")
        answer.string()
        _, _, code, base_offset, append_time_ms = answer.unpack("iihqq")
        if step.version >= 5:
            answer.unpack("q")
        message = None
        if step.version >= 8:
            for _ in range(max(0, answer.unpack("i")[0])):
                answer.unpack("i")
                answer.string()
            message = answer.string()
        return ProduceAnswer(code, base_offset, append_time_ms, message)


def wait_for_verdict(connection: RawConnection, silence_s: float) -> bytes | None:
    """The next response frame, None when the server hangs up; TimeoutError when it stays silent."""
    connection.socket.settimeout(silence_s)
    try:
        return connection.receive_frame()
    except EOFError:
        return None


def address_of(text: str) -> tuple[str, int]:
    """`host:port` as a pair."""
    host, port = text.rsplit(":", 1)
    return host, int(port)
