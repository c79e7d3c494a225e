"""A Kafka broker of two hundred lines that misbehaves on demand: what a real one does once a year.

It keeps every partition as a list of records and checks sequences as Kafka does (KIP-98: the last
five batches of each producer are recognised), so a test can compare the log with what was sent. The
next fault of `faults` decides the fate of each Produce request:

    "ok"       append and answer
    "lost"     append, then close the connection without an answer
    "dropped"  close the connection without appending
    "silent"   append nothing, answer nothing, stay connected
    a number   append nothing and answer that error code

`answers` overrides whole answers by API key: a function from the decoded request to the response
message, None to close the connection.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Self

from logwire.batch import HEADER, BatchHeader, Record, decode_batch, encode_batch, verify_batch
from logwire.errors import OFFSET_OUT_OF_RANGE, OUT_OF_ORDER_SEQUENCE_NUMBER
from logwire.frame import parse_request_header, response_frame
from logwire.messages import APIS, decode_request, encode_response

Message = dict[str, Any]
Fault = str | int
TOPIC_ID = bytes(15) + b"\x01"
REMEMBERED_BATCHES = 5


class ScriptedBroker:
    """Listens on a free port of the loopback; every connection has a thread."""

    def __init__(
        self, faults: Iterable[Fault] = (), *, topic: str = "t", partitions: int = 1
    ) -> None:
        self.faults: deque[Fault] = deque(faults)
        self.answers: dict[int, Callable[[Message], Message | None]] = {}
        self.topic = topic
        self.batches: dict[int, list[bytearray]] = {index: [] for index in range(partitions)}
        self.requests: list[tuple[int, Message]] = []
        self.producers: dict[tuple[int, int], deque[tuple[int, int, int]]] = {}
        self.next_producer_id = 1
        self.accepts_any_first_sequence = False  # as Kafka does for a producer it does not know
        self.log_start_offset = 0
        self._lock = Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, cut all connections, wait for the threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def drain(self) -> None:
        """Wait until every connection that its client has closed is read to its end."""
        for thread in self._threads[1:]:
            thread.join(10)

    def records(self, partition: int = 0) -> list[Record]:
        """Everything in a partition's log, in order."""
        return [record for batch in self.batches[partition] for record in decode_batch(batch)]

    def values(self, partition: int = 0) -> list[bytes | None]:
        """The values of a partition's records, in order."""
        return [record.value for record in self.records(partition)]

    def append(self, *values: bytes, partition: int = 0, codec: int = 0, **fields: Any) -> None:
        """Put one batch into a log, as if somebody had produced it."""
        records = [(None, value, (), 1000 + index) for index, value in enumerate(values)]
        offset = self.end_offset(partition)
        batch = encode_batch(records, codec=codec, base_offset=offset, **fields)
        self.batches[partition].append(batch)

    def end_offset(self, partition: int = 0) -> int:
        """The offset behind the last batch."""
        if not self.batches[partition]:
            return self.log_start_offset
        header = BatchHeader._make(HEADER.unpack_from(self.batches[partition][-1]))
        return header.base_offset + header.last_offset_delta + 1

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            stream = connection.makefile("rb")
            with stream:
                while size := stream.read(4):
                    frame = memoryview(stream.read(int.from_bytes(size, "big")))
                    with self._lock:
                        answer = self._answer(frame)
                    if answer is None:
                        return
                    connection.sendall(answer)

    def _answer(self, frame: memoryview) -> bytes | None:
        key, version, correlation_id, _, position = parse_request_header(frame)
        request = decode_request(key, version, frame[position:])
        self.requests.append((key, request))
        if key in self.answers:
            message = self.answers[key](request)
        else:
            message = getattr(self, f"_answer_{key}")(request)
        if message is None:
            return None
        if not message:
            return b""
        return response_frame(key, version, correlation_id, encode_response(key, version, message))

    def _answer_18(self, request: Message) -> Message:
        rows = [
            {"api_key": api.key, "min_version": api.min_version, "max_version": api.max_version}
            for api in APIS.values()
        ]
        return {"error_code": 0, "api_keys": rows}

    def _answer_3(self, request: Message) -> Message:
        partitions = [
            {
                "error_code": 0,
                "partition_index": index,
                "leader_id": 7,
                "leader_epoch": 0,
                "replica_nodes": [7],
                "isr_nodes": [7],
                "offline_replicas": [],
            }
            for index in self.batches
        ]
        wanted = request["topics"]
        names = [self.topic] if wanted is None else [row["name"] for row in wanted]
        topics = [
            {"error_code": 0, "name": name, "topic_id": TOPIC_ID, "partitions": partitions}
            if name == self.topic
            else {"error_code": 3, "name": name, "topic_id": bytes(16), "partitions": []}
            for name in names
        ]
        brokers = [{"node_id": 7, "host": "127.0.0.1", "port": self.port}]
        return {"brokers": brokers, "cluster_id": "c", "controller_id": 7, "topics": topics}

    def _answer_22(self, request: Message) -> Message:
        self.next_producer_id += 1
        return {"error_code": 0, "producer_id": self.next_producer_id, "producer_epoch": 0}

    def _answer_0(self, request: Message) -> Message | None:
        fault = self.faults.popleft() if self.faults else "ok"
        if fault in ("dropped", "silent"):
            return None if fault == "dropped" else {}
        topics = []
        for topic in request["topic_data"]:
            rows = []
            for data in topic["partition_data"]:
                code, offset = (
                    (fault, -1)
                    if isinstance(fault, int)
                    else self._append(data["index"], bytearray(data["records"]))
                )
                rows.append({"index": data["index"], "error_code": code, "base_offset": offset})
            topics.append({"name": topic["name"], "partition_responses": rows})
        if fault == "lost":
            return None
        return {"responses": topics} if request["acks"] else {}

    def _append(self, partition: int, batch: bytearray) -> tuple[int, int]:
        """Kafka's sequence check, then the append: (error code, base offset)."""
        assert verify_batch(batch) is None, verify_batch(batch)
        header = BatchHeader._make(HEADER.unpack_from(batch))
        offset = self.end_offset(partition)
        if header.producer_id >= 0:
            key = partition, header.producer_id
            known = self.producers.setdefault(key, deque(maxlen=REMEMBERED_BATCHES))
            last = header.base_sequence + header.record_count - 1 & 0x7FFFFFFF
            for first_known, last_known, known_offset in known:
                if (first_known, last_known) == (header.base_sequence, last):
                    return 0, known_offset
            expected = known[-1][1] + 1 & 0x7FFFFFFF if known else 0
            is_taken = not known and self.accepts_any_first_sequence
            if header.base_sequence != expected and not is_taken:
                return OUT_OF_ORDER_SEQUENCE_NUMBER, -1
            known.append((header.base_sequence, last, offset))
        HEADER.pack_into(batch, 0, offset, *header[1:])
        self.batches[partition].append(batch)
        return 0, offset

    def _answer_2(self, request: Message) -> Message:
        topics = []
        for topic in request["topics"]:
            rows = []
            for part in topic["partitions"]:
                index = part["partition_index"]
                wanted = part["timestamp"]
                offset = self.end_offset(index) if wanted == -1 else self.log_start_offset
                if wanted >= 0:
                    later = [r.offset for r in self.records(index) if r.timestamp_ms >= wanted]
                    offset = later[0] if later else -1
                rows.append(
                    {"partition_index": index, "error_code": 0, "offset": offset, "timestamp": -1}
                )
            topics.append({"name": topic["name"], "partitions": rows})
        return {"topics": topics}

    def _answer_1(self, request: Message) -> Message:
        topics = [
            {
                "topic": topic["topic"],
                "partitions": [self._fetch(part) for part in topic["partitions"]],
            }
            for topic in request["topics"]
        ]
        return {"responses": topics}

    def _fetch(self, part: Message) -> Message:
        index = part["partition"]
        offset = part["fetch_offset"]
        end = self.end_offset(index)
        row = {"partition_index": index, "high_watermark": end, "error_code": 0, "records": b""}
        if not self.log_start_offset <= offset <= end:
            return {**row, "error_code": OFFSET_OUT_OF_RANGE}
        wanted = []
        for batch in self.batches[index]:
            header = BatchHeader._make(HEADER.unpack_from(batch))
            if header.base_offset + header.last_offset_delta >= offset:
                wanted.append(bytes(batch))
        row["records"] = b"".join(wanted)[: max(part["partition_max_bytes"], 200)]
        return row
