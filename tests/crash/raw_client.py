"""A blocking Kafka client of one socket that pipelines: the load for crash tests.

Nothing is hidden: requests are sent when the test says so, answers come in order, and when the
server dies the test learns it as ConnectionError or EOFError and knows what was never answered.
"""

from __future__ import annotations

import socket
from typing import Any

from logwire.frame import parse_response_header, request_header
from logwire.messages import decode_response, encode_request

PRODUCE, FETCH, CREATE_TOPICS, INIT_PRODUCER_ID = 0, 1, 19, 22
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 8, 9, 10
JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 11, 12, 14
CONSUMER_GROUP_HEARTBEAT = 68
VERSIONS = {PRODUCE: 9, FETCH: 11, CREATE_TOPICS: 5, INIT_PRODUCER_ID: 4}
VERSIONS |= {OFFSET_COMMIT: 9, OFFSET_FETCH: 8, FIND_COORDINATOR: 4}
VERSIONS |= {JOIN_GROUP: 9, HEARTBEAT: 4, SYNC_GROUP: 5, CONSUMER_GROUP_HEARTBEAT: 1}
TIMEOUT_S = 20
FETCH_BYTES = 8 << 20


class RawClient:
    """One connection. `send` and `receive` may be interleaved freely."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0
        self.waiting: list[tuple[int, int]] = []  # (correlation id, API key) without an answer

    def close(self) -> None:
        """End the connection."""
        self.sock.close()

    def send(self, api_key: int, message: dict[str, Any]) -> None:
        """Send a request. Raises ConnectionError."""
        self.correlation_id += 1
        version = VERSIONS[api_key]
        frame = request_header(api_key, version, self.correlation_id, "crash")
        frame += encode_request(api_key, version, message)
        self.waiting.append((self.correlation_id, api_key))
        self.sock.sendall(len(frame).to_bytes(4, "big") + frame)

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest request. Raises ConnectionError, EOFError."""
        size = int.from_bytes(self._exactly(4), "big")
        frame = memoryview(self._exactly(size))
        correlation_id, api_key = self.waiting.pop(0)
        found, position = parse_response_header(frame, api_key, VERSIONS[api_key])
        assert found == correlation_id, "answers come in the order of the requests"
        return decode_response(api_key, VERSIONS[api_key], frame[position:])

    def ask(self, api_key: int, message: dict[str, Any]) -> dict[str, Any]:
        """A request and its answer."""
        assert not self.waiting
        self.send(api_key, message)
        return self.receive()

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self.sock.recv(min(size, 1 << 20))
            if not piece:
                raise EOFError("the server closed the connection")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    # The requests that crash tests need

    def create_topic(self, name: str, partitions_count: int, **configs: str) -> None:
        """Create a topic; configuration keys with `_` for `.`."""
        topic = {
            "name": name,
            "num_partitions": partitions_count,
            "replication_factor": 1,
            "assignments": [],
            "configs": [
                {"name": key.replace("_", "."), "value": value} for key, value in configs.items()
            ],
        }
        answer = self.ask(CREATE_TOPICS, {"topics": [topic], "timeout_ms": 10_000})
        assert answer["topics"][0]["error_code"] == 0, answer

    def new_producer(self) -> tuple[int, int]:
        """A producer id and epoch."""
        request = {"transactional_id": None, "transaction_timeout_ms": 60_000}
        answer = self.ask(INIT_PRODUCER_ID, request)
        assert answer["error_code"] == 0, answer
        return answer["producer_id"], answer["producer_epoch"]

    def send_batch(self, topic: str, partition: int, batch: bytes | bytearray) -> None:
        """Produce one batch with acks=all; the answer is for `receive_offset`."""
        data = [{"name": topic, "partition_data": [{"index": partition, "records": batch}]}]
        self.send(
            PRODUCE,
            {"transactional_id": None, "acks": -1, "timeout_ms": 30_000, "topic_data": data},
        )

    def receive_offset(self) -> tuple[int, int]:
        """The answer to a `send_batch`: (error code, base offset)."""
        answer = self.receive()["responses"][0]["partition_responses"][0]
        return answer["error_code"], answer["base_offset"]

    def fetch(self, topic: str, partition: int, offset: int) -> tuple[bytes, int]:
        """Whole batches from `offset` on, and the high watermark."""
        wanted = {
            "partition": partition,
            "fetch_offset": offset,
            "partition_max_bytes": FETCH_BYTES,
        }
        answer = self.ask(
            FETCH,
            {
                "max_wait_ms": 0,
                "min_bytes": 0,
                "max_bytes": FETCH_BYTES,
                "isolation_level": 0,
                "session_id": 0,
                "topics": [{"topic": topic, "partitions": [wanted]}],
                "forgotten_topics_data": [],
                "rack_id": "",
            },
        )
        found = answer["responses"][0]["partitions"][0]
        assert found["error_code"] == 0, found["error_code"]
        return bytes(found["records"] or b""), found["high_watermark"]
