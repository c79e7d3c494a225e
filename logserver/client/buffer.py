"""A producer's buffer: records waiting to be sent, in batches per partition.

The caller's thread appends, the sender's thread takes and completes; one lock guards all of it.

    open      one per partition, still filling; ripe when full, when it has lingered, on flush, or
              when somebody waits for space
    pending   closed, in order, waiting for a request; a batch to be retried comes back to the front
    in flight in a request that has not been answered
    done      delivered or failed; its bytes are free again

Memory is counted by the records' own sizes plus Kafka's overhead. A caller that finds the buffer
full waits until half of it is free, not for the next byte: the two threads then work in turns
instead of wrestling for the interpreter after each batch.
"""

from __future__ import annotations

import os
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Lock
from typing import Final, NamedTuple

from logserver.client.failure import ClientError
from logwire.batch import HEADER_BYTES, RecordFields

# Length 5, attributes 1, timestamp delta 10, offset delta 5, key and value lengths 5 each, headers
# 1: the most that a record adds to its key and value (Kafka's MAX_RECORD_OVERHEAD).
RECORD_OVERHEAD_BYTES: Final = 32


class Delivered(NamedTuple):
    """Where a record went; `offset` -1 with acks=0, `timestamp_ms` -1 without log append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Batch:
    """Records of one partition that travel together."""

    __slots__ = (
        "append_time_ms",
        "attempts",
        "base_offset",
        "base_sequence",
        "callbacks",
        "count",
        "created_s",
        "done",
        "encoded",
        "error",
        "last_failure",
        "ordinal",
        "queue",
        "records",
        "retry_at_s",
        "size_bytes",
    )

    def __init__(self, queue: PartitionQueue, ordinal: int) -> None:
        self.queue = queue
        self.ordinal = ordinal  # order of creation within the partition
        self.records: list[RecordFields] = []
        self.count = 0
        self.size_bytes = HEADER_BYTES
        self.created_s = time.monotonic()
        self.callbacks: list[tuple[Callable[[Delivery], object], int]] = []
        self.encoded: bytearray | None = None
        self.base_sequence = -1
        self.attempts = 0
        self.retry_at_s = 0.0
        self.last_failure: ClientError | None = None
        self.done = False
        self.error: ClientError | None = None
        self.base_offset = -1
        self.append_time_ms = -1

    def __lt__(self, other: Batch) -> bool:
        return self.ordinal < other.ordinal


class PartitionQueue:
    """Batches of one partition on their way, and the sequence they are numbered by."""

    __slots__ = (
        "identity",
        "in_flight",
        "next_ordinal",
        "next_sequence",
        "open",
        "partition",
        "pending",
        "recovering",
        "starts_over",
        "topic",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.open: Batch | None = None
        self.pending: deque[Batch] = deque()
        self.in_flight: list[Batch] = []
        self.next_ordinal = 0
        self.identity: tuple[int, int] | None = None  # producer id and epoch
        self.next_sequence = 0
        self.recovering = False  # after a failure: nothing new until all in flight is answered
        self.starts_over = False  # a batch failed for good: later ones need a new identity

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"

    def has_earlier(self, batch: Batch) -> bool:
        """Whether a batch before this one still waits for its answer or its retry."""
        first_pending = self.pending[0] if self.pending else None
        return any(other < batch for other in self.in_flight) or (
            first_pending is not None and first_pending < batch
        )

    def requeue(self, batch: Batch) -> None:
        """Put a failed batch back where its order wants it."""
        self.in_flight.remove(batch)
        self.recovering = True
        insort(self.pending, batch)


class Delivery:
    """The fate of one record: `result()` waits for it."""

    __slots__ = ("_batch", "_buffer", "_index")

    def __init__(self, buffer: Buffer, batch: Batch, index: int) -> None:
        self._buffer = buffer
        self._batch = batch
        self._index = index

    @property
    def is_done(self) -> bool:
        """Delivered or failed."""
        return self._batch.done

    @property
    def error(self) -> ClientError | None:
        """Why the record was not delivered; None while unknown and when it was."""
        return self._batch.error

    def result(self, timeout_ms: float | None = None) -> Delivered:
        """Wait for the delivery. Raises the failure, or `ClientError` "timeout"."""
        batch = self._batch
        if not batch.done:
            self._buffer.wait_done([batch], timeout_ms)
        if batch.error is not None:
            raise batch.error
        offset = batch.base_offset + self._index if batch.base_offset >= 0 else -1
        queue = batch.queue
        return Delivered(queue.topic, queue.partition, offset, batch.append_time_ms)


class Deliveries:
    """The fate of the records of one `send_batch`, in their order."""

    __slots__ = ("_buffer", "_pieces")

    def __init__(self, buffer: Buffer, pieces: list[tuple[Batch, int, int]]) -> None:
        self._buffer = buffer
        self._pieces = pieces  # batch, index of the first record in it, number of records

    @property
    def is_done(self) -> bool:
        """All delivered or failed."""
        return all(batch.done for batch, _, _ in self._pieces)

    def wait(self, timeout_ms: float | None = None) -> int:
        """Wait for all; returns how many. Raises the first failure, or `ClientError` "timeout"."""
        self._buffer.wait_done([batch for batch, _, _ in self._pieces], timeout_ms)
        for batch, _, _ in self._pieces:
            if batch.error is not None:
                raise batch.error
        return sum(count for _, _, count in self._pieces)

    def results(self, timeout_ms: float | None = None) -> list[Delivered]:
        """Wait for all and say where each record went."""
        self.wait(timeout_ms)
        return [
            Delivery(self._buffer, batch, index).result()
            for batch, first, count in self._pieces
            for index in range(first, first + count)
        ]


class Buffer:
    """All of a producer's batches. Methods of the caller's side; the sender takes the rest.

    `wake` is called without the lock when the sleeping sender has something new to look at.
    """

    def __init__(self, capacity_bytes: int, batch_size_bytes: int, max_block_ms: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.batch_size_bytes = batch_size_bytes
        self.max_block_ms = max_block_ms
        self.lock = Lock()
        self.changed = Condition(self.lock)  # something is done, or there is space
        self.free_bytes = capacity_bytes
        self.active: set[PartitionQueue] = set()
        self.unfinished_count = 0  # batches that are not done
        self.waiting_for_space = 0
        self.flushing = 0
        self.closed = False
        self.failure: ClientError | None = None  # the sender has died of it
        self.sleeping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    # the caller's side

    def append(
        self,
        queue: PartitionQueue,
        record: RecordFields,
        size_bytes: int,
        callback: Callable[[Delivery], object] | None,
    ) -> Delivery:
        """Add one record of `size_bytes` (with overhead) to a partition's open batch."""
        with self.lock:
            if self.closed or self.free_bytes < size_bytes:
                self._wait_for_space(size_bytes)
            wakes = False
            batch = queue.open
            if batch is None or batch.size_bytes + size_bytes > self.batch_size_bytes:
                wakes = self.sleeping
                batch = self._open(queue)
            self.free_bytes -= size_bytes
            batch.size_bytes += size_bytes
            index = batch.count
            batch.count = index + 1
            batch.records.append(record)
            delivery = Delivery(self, batch, index)
            if callback is not None:
                batch.callbacks.append((callback, index))
        if wakes:
            self.wake()
        return delivery

    def append_many(
        self, queue: PartitionQueue, records: Sequence[RecordFields], size_bytes: int
    ) -> tuple[Batch, int, int]:
        """Add records that fit one batch together; (batch, first index, count)."""
        with self.lock:
            if self.closed or self.free_bytes < size_bytes:
                self._wait_for_space(size_bytes)
            wakes = False
            batch = queue.open
            if batch is None or batch.size_bytes + size_bytes > self.batch_size_bytes:
                wakes = self.sleeping
                batch = self._open(queue)
            self.free_bytes -= size_bytes
            batch.size_bytes += size_bytes
            first = batch.count
            batch.count = first + len(records)
            batch.records += records
        if wakes:
            self.wake()
        return batch, first, len(records)

    def _open(self, queue: PartitionQueue) -> Batch:
        if queue.open is not None:
            queue.pending.append(queue.open)
        batch = queue.open = Batch(queue, queue.next_ordinal)
        queue.next_ordinal += 1
        self.active.add(queue)
        self.unfinished_count += 1
        return batch

    def _wait_for_space(self, size_bytes: int) -> None:
        """With the lock held: wait until half the buffer is free, at most `max_block_ms`."""
        deadline_s = time.monotonic() + self.max_block_ms / 1000
        enough_bytes = max(size_bytes, self.capacity_bytes // 2)
        self.waiting_for_space += 1
        try:
            while not self.closed and self.free_bytes < enough_bytes:
                if self.sleeping:
                    self.wake()
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0 or not self.changed.wait(remaining_s):
                    if self.free_bytes >= size_bytes:
                        break
                    message = (
                        f"the producer's buffer of {self.capacity_bytes} bytes stayed full for"
                        f" {self.max_block_ms / 1000:g} s: the server is slower than the sender"
                    )
                    raise ClientError("buffer_full", message)
        finally:
            self.waiting_for_space -= 1
        if self.closed:
            raise self.failure or ClientError("closed", "the producer is closed")

    def wait_done(self, batches: Sequence[Batch], timeout_ms: float | None) -> None:
        """Wait until all `batches` are done."""
        deadline_s = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        with self.lock:
            for batch in batches:
                while not batch.done:
                    remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
                    if remaining_s is not None and remaining_s <= 0:
                        raise ClientError("timeout", f"not delivered within {timeout_ms:g} ms")
                    self.changed.wait(remaining_s)

    def flush(self, timeout_ms: float | None) -> None:
        """Send everything now and wait until nothing is unfinished."""
        deadline_s = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        with self.lock:
            self.flushing += 1
            try:
                while self.unfinished_count:
                    if self.sleeping:
                        self.wake()
                    remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
                    if remaining_s is not None and remaining_s <= 0:
                        left = f"{self.unfinished_count} batches not delivered"
                        raise ClientError("timeout", f"{left} within {timeout_ms:g} ms")
                    self.changed.wait(remaining_s)
            finally:
                self.flushing -= 1
            if self.failure is not None:
                raise self.failure

    def wake(self) -> None:
        """Bring the sender out of its sleep."""
        self.sleeping = False
        with suppress(BlockingIOError):  # the pipe may be full of wake-ups already
            os.write(self._wake_write, b"\0")

    # the sender's side

    def wake_fileno(self) -> int:
        """Readable when the sender should look again."""
        return self._wake_read

    def awake(self) -> None:
        """Empty the pipe after a sleep."""
        self.sleeping = False
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def close_open_batch(self, queue: PartitionQueue) -> None:
        """Move a ripe open batch to the pending ones. The lock is held."""
        assert queue.open is not None
        queue.pending.append(queue.open)
        queue.open = None

    def complete(self, batches: Sequence[Batch]) -> None:
        """Batches are delivered or have failed: free their bytes, tell the waiting. They stay
        unfinished until `finish`, so that a flush ends behind their callbacks."""
        with self.lock:
            for batch in batches:
                batch.done = True
                batch.records = []
                batch.encoded = None
                self.free_bytes += batch.size_bytes - HEADER_BYTES
            if not self.waiting_for_space or self.free_bytes * 2 >= self.capacity_bytes:
                self.changed.notify_all()

    def finish(self, count: int) -> None:
        """The callbacks of `count` batches have run."""
        with self.lock:
            self.unfinished_count -= count
            if not self.unfinished_count:
                self.changed.notify_all()

    def close(self) -> None:
        """Refuse further records; the sender ends when nothing is unfinished."""
        with self.lock:
            self.closed = True
            self.changed.notify_all()
            self.wake()

    def release(self) -> None:
        """Close the pipe, after the sender has ended."""
        os.close(self._wake_read)
        os.close(self._wake_write)
