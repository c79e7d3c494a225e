"""The slow requests around a run: create and delete topics, ask for offsets and settings.

One blocking socket, one request at a time, old non-flexible versions: they are the shortest to
write and every server here serves them. Nothing in this file runs while a clock runs.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Mapping

from perf.batches import LoadError
from perf.wire import SIZE, frame, header

CREATE_TOPICS, DELETE_TOPICS, METADATA, LIST_OFFSETS = 19, 20, 3, 2
DESCRIBE_CONFIGS, ALTER_CONFIGS, API_VERSIONS, DESCRIBE_LOG_DIRS = 32, 44, 18, 35
TOPIC, BROKER = 2, 4
LATEST, EARLIEST = -1, -2


def text(value: str | None) -> bytes:
    """A string with a 2-byte length; -1 for null."""
    if value is None:
        return b"\xff\xff"
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Answer:
    """A cursor over one answer."""

    def __init__(self, data: bytes) -> None:
        """`data` is the answer behind the correlation id."""
        self._data = data
        self._position = 0

    def take(self, layout: str) -> tuple[int, ...]:
        """Numbers by a struct layout."""
        values = struct.unpack_from(">" + layout, self._data, self._position)
        self._position += struct.calcsize(">" + layout)
        return values

    def text(self) -> str | None:
        """A string or null."""
        (size,) = self.take("h")
        if size < 0:
            return None
        start = self._position
        self._position += size
        return self._data[start : start + size].decode()

    def skip(self, size: int) -> bytes:
        """So many bytes."""
        start = self._position
        self._position += size
        return self._data[start : self._position]

    def uvarint(self) -> int:
        """An unsigned varint, as compact lengths are written."""
        value = shift = 0
        while True:
            (byte,) = self.take("B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def compact(self) -> str | None:
        """A compact string or null."""
        size = self.uvarint() - 1
        return None if size < 0 else self.skip(size).decode()

    def array(self) -> range:
        """The number of entries of an array, to iterate over."""
        return range(max(0, self.take("i")[0]))


class Control:
    """One connection for the requests around a run."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Connect; raises OSError."""
        self.address = address
        self._socket = connect(address)
        self._correlation = 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, api_key: int, version: int, body: bytes) -> Answer:
        """One request, one answer."""
        self._correlation += 1
        head = header(api_key, version, self._correlation, flexible=False)
        self._socket.sendall(frame(head + body))
        (size,) = SIZE.unpack(self._receive(4))
        data = self._receive(size)
        assert struct.unpack_from(">i", data)[0] == self._correlation
        return Answer(data[4:])

    def _receive(self, size: int) -> bytes:
        data = self._socket.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise LoadError("the server closed the connection")
        return data

    def api_versions(self) -> dict[int, tuple[int, int]]:
        """API key -> (lowest, highest) version."""
        answer = self.ask(API_VERSIONS, 0, b"")
        answer.take("h")
        rows = [answer.take("hhh") for _ in answer.array()]
        return {key: (low, high) for key, low, high in rows}

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        """Create and wait until every partition has a leader and answers."""
        body = struct.pack(">i", 1) + text(name) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(configs))
        for key, value in configs.items():
            body += text(key) + text(value)
        answer = self.ask(CREATE_TOPICS, 4, body + struct.pack(">ib", 30_000, 0))
        answer.take("ii")
        answer.text()
        (code,) = answer.take("h")
        if code:
            raise LoadError(f"create topic {name}: error {code}: {answer.text()}")
        for partition in range(partitions):
            self.wait_for(name, partition)

    def wait_for(self, name: str, partition: int, timeout_s: float = 60) -> None:
        """Wait until the partition answers ListOffsets."""
        deadline = time.monotonic() + timeout_s
        while self._offset(name, partition, LATEST)[0] != 0:
            if time.monotonic() > deadline:
                raise LoadError(f"{name}-{partition} has no leader after {timeout_s} s")
            time.sleep(0.01)

    def delete_topic(self, name: str) -> None:
        """Delete; a topic that is not there is an error."""
        body = struct.pack(">i", 1) + text(name) + struct.pack(">i", 30_000)
        answer = self.ask(DELETE_TOPICS, 3, body)
        answer.take("ii")
        answer.text()
        (code,) = answer.take("h")
        if code:
            raise LoadError(f"delete topic {name}: error {code}")

    def _offset(self, name: str, partition: int, timestamp: int) -> tuple[int, int]:
        body = struct.pack(">ibi", -1, 0, 1) + text(name)
        body += struct.pack(">iiiq", 1, partition, -1, timestamp)
        answer = self.ask(LIST_OFFSETS, 4, body)
        answer.take("ii")
        answer.text()
        _, _, code, _, offset, _ = answer.take("iihqqi")
        return code, offset

    def end_offset(self, name: str, partition: int = 0) -> int:
        """The high watermark; raises LoadError for an error code."""
        code, offset = self._offset(name, partition, LATEST)
        if code:
            raise LoadError(f"list offsets of {name}-{partition}: error {code}")
        return offset

    def node_id(self) -> int:
        """The id of the first broker in Metadata."""
        answer = self.ask(METADATA, 1, struct.pack(">i", 0))
        answer.take("i")
        return answer.take("i")[0]

    def alter_topic(self, name: str, key: str, value: str) -> None:
        """Set one topic configuration."""
        body = struct.pack(">ib", 1, TOPIC) + text(name) + struct.pack(">i", 1) + text(key)
        answer = self.ask(ALTER_CONFIGS, 0, body + b"\0" + text(value) + b"\0")
        _, _, code = answer.take("iih")
        if code:
            raise LoadError(f"alter {key} of {name}: error {code}: {answer.text()}")

    def size_bytes(self, topic: str) -> int:
        """The size of partition 0 on the disk."""
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0)
        answer = self.ask(DESCRIBE_LOG_DIRS, 1, body)
        answer.take("i")
        size = 0
        for _ in answer.array():
            answer.take("h")
            answer.text()
            for _ in answer.array():
                answer.text()
                size += sum(answer.take("iqqb")[1] for _ in answer.array())
        return size

    def configs(self, kind: int, name: str) -> dict[str, str | None]:
        """The effective settings of a topic or broker."""
        body = struct.pack(">ib", 1, kind) + text(name) + struct.pack(">ib", -1, 0)
        answer = self.ask(DESCRIBE_CONFIGS, 1, body)
        _, _, code = answer.take("iih")
        if code:
            raise LoadError(f"describe {name}: error {code}: {answer.text()}")
        answer.text()
        answer.take("b")
        answer.text()
        found = {}
        for _ in answer.array():
            key = answer.text() or ""
            found[key] = answer.text()
            answer.take("bbb")
            for _ in answer.array():
                answer.text()
                answer.text()
                answer.take("b")
        return found


def connect(address: tuple[str, int]) -> socket.socket:
    """A blocking TCP connection without Nagle's delay, kernel default buffers."""
    out = socket.create_connection(address, timeout=30)
    out.settimeout(None)
    out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return out


@contextlib.contextmanager
def control(address: tuple[str, int]) -> Iterator[Control]:
    """A Control that is closed at the end."""
    link = Control(address)
    try:
        yield link
    finally:
        link.close()
