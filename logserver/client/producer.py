"""The producer: records in, batches out, a delivery report for each.

    from logserver.client import Producer

    with Producer("127.0.0.1:9092", compression="zstd") as producer:
        delivery = producer.send("telemetry", b"pressure=431", key=b"pump-17")
        print(delivery.result().offset)

`send` only puts the record into the buffer (2 us); a background thread sends batches when they are
full or `linger_ms` old. `send_batch` does the same for many values at once (0.4 us each). Leaving
the `with` block delivers everything.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from threading import Thread, current_thread
from time import time_ns
from typing import Final, Literal, Self

from logserver.client.buffer import (
    RECORD_OVERHEAD_BYTES,
    Batch,
    Buffer,
    Deliveries,
    Delivery,
    PartitionQueue,
)
from logserver.client.cluster import Cluster, closing_on_error
from logserver.client.connection import Address, Connection
from logserver.client.failure import ClientError
from logserver.client.partitioner import StickyChoice, partition_for_key
from logserver.client.sender import Sender
from logserver.client.upkeep import Settings
from logwire.batch import Headers, RecordFields
from logwire.compression import CODECS

BytesLike = bytes | bytearray | memoryview

LOG: Final = logging.getLogger("logserver.client")

_EXIT_TIMEOUT_S: Final = 10.0
_CODEC_BY_NAME: Final = {name: codec for codec, name in CODECS.items()}
_ACKS: Final = {0: 0, 1: 1, -1: -1, "0": 0, "1": 1, "all": -1}


class _Topic:
    """A topic's queues and its sticky choice."""

    __slots__ = ("choice", "queues")

    def __init__(self, name: str, partition_count: int, stay_bytes: int) -> None:
        self.queues = [PartitionQueue(name, index) for index in range(partition_count)]
        self.choice = StickyChoice(partition_count, stay_bytes)


class Producer:
    """Sends records to the servers behind `bootstrap` (`host:port,...`). Any thread may send.

    acks                  "all" (every replica in sync, durable on a durable topic), 1 or 0
    idempotent            retries neither duplicate nor reorder; needs acks="all"; on by default
    compression           none, gzip, snappy, lz4 or zstd; `level` as the codec understands it
    linger_ms             how long a batch may wait for more records
    batch_size_bytes      a batch is closed before it grows above this (uncompressed)
    buffer_memory_bytes   records waiting or unanswered; above it `send` waits up to `max_block_ms`
    delivery_timeout_ms   a record is delivered or has failed by then

    Connects at once: raises `ClientError` "connect" when no server can be reached.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        acks: Literal[0, 1, -1, "0", "1", "all"] = "all",
        idempotent: bool | None = None,
        compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none",
        level: int | None = None,
        linger_ms: float = 5,
        batch_size_bytes: int = 256 << 10,
        buffer_memory_bytes: int = 32 << 20,
        max_request_bytes: int = 1 << 20,
        max_in_flight: int = 5,
        max_block_ms: int = 60_000,
        request_timeout_ms: int = 30_000,
        delivery_timeout_ms: int = 120_000,
        retry_backoff_ms: int = 100,
        auto_create_topics: bool = True,
        client_id: str = "logserver-producer",
    ) -> None:
        if acks not in _ACKS or compression not in _CODEC_BY_NAME:
            raise ValueError(f"acks {acks!r} or compression {compression!r} is unknown")
        if idempotent and _ACKS[acks] != -1:
            raise ValueError('an idempotent producer needs acks="all"')
        if not 1 <= max_in_flight <= 5 or batch_size_bytes > buffer_memory_bytes:
            raise ValueError("max_in_flight is 1 to 5; a batch must fit the buffer")
        settings = Settings(
            acks=_ACKS[acks],
            idempotent=_ACKS[acks] == -1 if idempotent is None else idempotent,
            codec=_CODEC_BY_NAME[compression],
            level=level,
            linger_ms=linger_ms,
            max_in_flight=max_in_flight,
            max_request_bytes=max_request_bytes,
            request_timeout_ms=request_timeout_ms,
            delivery_timeout_ms=delivery_timeout_ms,
            retry_backoff_ms=retry_backoff_ms,
            auto_create_topics=auto_create_topics,
        )

        def connect(address: Address) -> Connection:
            return Connection(address, client_id=client_id, request_timeout_ms=request_timeout_ms)

        self._settings = settings
        self._cluster = Cluster(bootstrap, connect)
        with closing_on_error(self._cluster):
            self._cluster.refresh([])
        self._buffer = Buffer(buffer_memory_bytes, batch_size_bytes, max_block_ms)
        self._record_bytes_max = min(max_request_bytes, buffer_memory_bytes)
        self._topics: dict[str, _Topic] = {}
        self._sender = Sender(self._buffer, self._cluster, settings)
        self._thread = Thread(target=self._sender.run, name="logserver-sender", daemon=True)
        self._thread.start()
        self._closed = False
        # A producer that is dropped, or a program that ends, without close() still delivers.
        self._finalizer = weakref.finalize(
            self, _deliver_rest, self._buffer, self._thread, self._cluster
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close(timeout_ms=None if kind is None else 1000)

    def send(
        self,
        topic: str,
        value: BytesLike | None,
        *,
        key: BytesLike | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
        on_delivery: Callable[[Delivery], object] | None = None,
    ) -> Delivery:
        """Give one record to the background thread; the answer tells its fate later.

        A key chooses the partition as Java's producer would. `on_delivery` is called with the
        delivery in the background thread: keep it short. Raises `ClientError` "buffer_full",
        "too_large", "closed", or "refused" for a topic that cannot be used.
        """
        state = self._topics.get(topic) or self._topic(topic)
        if timestamp_ms is None:
            timestamp_ms = time_ns() // 1_000_000
        size_bytes = RECORD_OVERHEAD_BYTES
        if type(value) is not bytes and value is not None:
            value = _as_bytes(value, "value")
        if value is not None:
            size_bytes += len(value)
        if key is not None:
            if type(key) is not bytes:
                key = _as_bytes(key, "key")
            size_bytes += len(key)
        if headers:
            headers = _checked_headers(headers)
            size_bytes += _headers_bytes(headers)
        if size_bytes > self._record_bytes_max:
            raise self._too_large(size_bytes)
        if partition is not None:
            queue = self._queue(topic, state, partition)
        elif key is not None:
            queue = state.queues[partition_for_key(key, len(state.queues))]
        else:
            queue = state.queues[state.choice.choose(size_bytes)]
        record = (key, value, headers, timestamp_ms)
        return self._buffer.append(queue, record, size_bytes, on_delivery)

    def send_batch(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> Deliveries:
        """Give many values without keys or headers at once: the fast way."""
        now_ms = time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        return self._send_many(topic, [(None, value, (), now_ms) for value in values], partition)

    def send_records(
        self, topic: str, records: Sequence[RecordFields], *, partition: int | None = None
    ) -> Deliveries:
        """Give many (key, value, headers, timestamp_ms) at once. With `partition` None, records
        with a key go where it says."""
        if partition is not None or not any(record[0] is not None for record in records):
            return self._send_many(topic, records, partition)
        state = self._topics.get(topic) or self._topic(topic)
        buffer = self._buffer
        count = len(state.queues)
        pieces = []
        for record in records:
            size_bytes = _record_bytes(record)
            if size_bytes > self._record_bytes_max:
                raise self._too_large(size_bytes)
            key = record[0]
            index = (
                state.choice.choose(size_bytes) if key is None else partition_for_key(key, count)
            )
            pieces.append(buffer.append_many(state.queues[index], (record,), size_bytes))
        return Deliveries(buffer, pieces)

    def _send_many(
        self, topic: str, records: Sequence[RecordFields], partition: int | None
    ) -> Deliveries:
        """Cut records into pieces that fit the rest of an open batch or a batch of their own."""
        state = self._topics.get(topic) or self._topic(topic)
        pieces: list[tuple[Batch, int, int]] = []
        room_bytes = self._buffer.batch_size_bytes - RECORD_OVERHEAD_BYTES * 4
        first = size_bytes = 0
        for index, record in enumerate(records):
            record_bytes = _record_bytes(record)
            if record_bytes > self._record_bytes_max:
                raise self._too_large(record_bytes)
            if size_bytes + record_bytes > room_bytes and index > first:
                pieces.append(
                    self._append_piece(topic, state, partition, records[first:index], size_bytes)
                )
                first = index
                size_bytes = 0
            size_bytes += record_bytes
        if len(records) > first:
            pieces.append(self._append_piece(topic, state, partition, records[first:], size_bytes))
        return Deliveries(self._buffer, pieces)

    def _append_piece(
        self,
        topic: str,
        state: _Topic,
        partition: int | None,
        records: Sequence[RecordFields],
        size_bytes: int,
    ) -> tuple[Batch, int, int]:
        if partition is None:
            queue = state.queues[state.choice.choose(size_bytes)]
        else:
            queue = self._queue(topic, state, partition)
        return self._buffer.append_many(queue, records, size_bytes)

    def partitions(self, topic: str) -> int:
        """Number of a topic's partitions, creating the topic if the server does so by itself."""
        return len((self._topics.get(topic) or self._topic(topic)).queues)

    def flush(self, timeout_ms: float | None = None) -> None:
        """Send everything now and wait until each record is delivered or has failed.

        Failures are told by deliveries and callbacks, not here; raises `ClientError` "timeout".
        """
        self._buffer.flush(timeout_ms)

    def close(self, timeout_ms: float | None = None) -> None:
        """Deliver what is left (at most `timeout_ms`), end the thread, close the connections."""
        if self._closed:
            return
        self._closed = True
        self._finalizer.detach()
        self._buffer.close()
        self._thread.join(None if timeout_ms is None else timeout_ms / 1000)
        if self._thread.is_alive():
            left_count = self._buffer.unfinished_count
            message = f"{left_count} batches were not delivered before the producer was closed"
            self._sender.stop(ClientError("closed", message))
            self._thread.join()
        self._buffer.release()
        self._cluster.close()

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and what is waiting now."""
        buffer = self._buffer
        sender = self._sender
        return {
            "sent_records_count": sender.sent_records_count,
            "sent_bytes": sender.sent_bytes,
            "requests_count": sender.requests_count,
            "retries_count": sender.retries_count,
            "buffered_bytes": buffer.capacity_bytes - buffer.free_bytes,
            "unfinished_batches_count": buffer.unfinished_count,
        }

    def _topic(self, name: str) -> _Topic:
        """Look a topic up, waiting for its creation; its number of partitions is kept."""
        if self._closed:
            raise ClientError("closed", "the producer is closed")
        metadata = self._cluster.topic(name, create=self._settings.auto_create_topics)
        found = _Topic(name, len(metadata.leaders), self._buffer.batch_size_bytes)
        return self._topics.setdefault(name, found)

    def _queue(self, topic: str, state: _Topic, partition: int) -> PartitionQueue:
        if not 0 <= partition < len(state.queues):
            message = (
                f"topic {topic} has no partition {partition}, only 0 to {len(state.queues) - 1}"
            )
            raise ClientError("refused", message, code=3)
        return state.queues[partition]

    def _too_large(self, size_bytes: int) -> ClientError:
        return ClientError(
            "too_large", f"a record of {size_bytes} bytes is above {self._record_bytes_max}"
        )


def _as_bytes(data: object, what: str) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a record's {what} is bytes, not {type(data).__name__}: encode it first")


def _record_bytes(record: RecordFields) -> int:
    key, value, headers, _ = record
    size_bytes = RECORD_OVERHEAD_BYTES
    if value is not None:
        if type(value) is not bytes:
            raise TypeError(f"a record's value is bytes, not {type(value).__name__}")
        size_bytes += len(value)
    if key is not None:
        if type(key) is not bytes:
            raise TypeError(f"a record's key is bytes, not {type(key).__name__}")
        size_bytes += len(key)
    if headers:
        size_bytes += _headers_bytes(headers)
    return size_bytes


def _headers_bytes(headers: Headers) -> int:
    return sum(len(name) * 4 + len(value or b"") + 10 for name, value in headers)


def _checked_headers(headers: Headers) -> Headers:
    checked = tuple((name, value if value is None else bytes(value)) for name, value in headers)
    if not all(isinstance(name, str) for name, _ in checked):
        raise TypeError("a header is a pair of str and bytes or None")
    return checked


def _deliver_rest(buffer: Buffer, thread: Thread, cluster: Cluster) -> None:
    buffer.close()
    if thread is not current_thread():
        thread.join(_EXIT_TIMEOUT_S)
    if thread.is_alive():
        LOG.warning("%d batches were not delivered at exit", buffer.unfinished_count)
    else:
        buffer.release()
        cluster.close()
