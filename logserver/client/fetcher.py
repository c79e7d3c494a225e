"""What a consumer has asked for and received: one Fetch in flight per broker, always one ahead.

Prefetching needs no thread here. As soon as an answer has been read the next request leaves, so
while the caller works through the records the server is already filling the socket; the kernel is
the background. A thread would wait up to 5 ms for the interpreter after each of its system calls
whenever the caller is busy, and a busy caller is the case that prefetching is for.

`buffered_bytes` bounds what is held: nothing more is asked while it is above `prefetch_bytes`.
Every batch is checked (length, magic, CRC) when it arrives. A partition that cannot go on keeps its
failure until it is sought to a new place.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from logserver.client.cluster import Cluster, backoff_ms
from logserver.client.connection import FETCH, Connection
from logserver.client.failure import ClientError, OffsetOutOfRange, is_retriable, refusal
from logwire import errors
from logwire.batch import LENGTH_OVERHEAD_BYTES, BatchHeader, iterate_batches, verify_batch
from logwire.errors import ProtocolError
from logwire.messages import Message, encode_request

OutOfRange = Literal["error", "beginning", "end"]

_RETRIES_MIN: Final = 2  # a caller that comes back after an hour deserves fresh attempts
_NO_SESSION_EPOCH: Final = -1  # each request stands for itself (KIP-227)


class FetchSettings(NamedTuple):
    """See `Consumer` for their meaning."""

    max_wait_ms: int
    min_bytes: int
    fetch_max_bytes: int
    partition_max_bytes: int
    prefetch_bytes: int
    request_timeout_ms: int
    retry_timeout_ms: int
    on_out_of_range: OutOfRange


class Assigned:
    """One partition that is read, and how far."""

    __slots__ = (
        "consumed_offset",
        "failing_since_s",
        "failure",
        "fetch_offset",
        "generation",
        "high_watermark",
        "partition",
        "retry_at_s",
        "retry_count",
        "topic",
    )

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic = topic
        self.partition = partition
        self.fetch_offset = offset  # next to ask for
        self.consumed_offset = offset  # next to hand to the caller
        self.high_watermark = -1  # as the last answer told it
        self.generation = 0  # answers to what was asked before a seek are dropped
        self.failure: ClientError | None = None
        self.failing_since_s = 0.0  # 0 when the last answer was good
        self.retry_at_s = 0.0
        self.retry_count = 0

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"

    def seek(self, offset: int) -> None:
        """Go on at `offset`; forget what is on its way, and a failure."""
        self.fetch_offset = self.consumed_offset = offset
        self.generation += 1
        self.failure = None
        self.failing_since_s = self.retry_at_s = 0.0
        self.retry_count = 0


class FetchedBatch(NamedTuple):
    """One checked batch of a partition; it may begin before the offset that was asked for."""

    assigned: Assigned
    generation: int
    header: BatchHeader
    data: memoryview


class _Asked(NamedTuple):
    correlation_id: int
    version: int
    deadline_s: float
    generations: dict[tuple[str, int], int]


class Fetcher:
    """Keeps `ready` filled for the partitions in `assigned`; one thread at a time."""

    def __init__(
        self,
        cluster: Cluster,
        settings: FetchSettings,
        locate: Callable[[Assigned], tuple[int, int]],
    ) -> None:
        self.cluster = cluster
        self._locate = locate  # log start and end of a partition, over another connection
        self.settings = settings
        self.assigned: dict[tuple[str, int], Assigned] = {}
        self.ready: deque[FetchedBatch] = deque()
        self.buffered_bytes = 0
        self.received_bytes = 0
        self.requests_count = 0
        self._asked: dict[int, _Asked] = {}
        self._stale_topics: set[str] = set()
        self._topic_codes: dict[str, int] = {}

    def take(self) -> FetchedBatch | None:
        """The next batch that a seek has not made obsolete; asks for more when it runs low."""
        while self.ready:
            batch = self.ready.popleft()
            self.buffered_bytes -= len(batch.data)
            if batch.generation == batch.assigned.generation:
                self.ask()
                return batch
        return None

    def wait(self, deadline_s: float) -> None:
        """Ask, then wait until something has arrived or happened, or the deadline has passed."""
        self.ask()
        poll = select.poll()
        connections = {}
        for leader, asked in self._asked.items():
            connection = self.cluster.data(leader)
            poll.register(connection, select.POLLIN | (select.POLLOUT * connection.wants_write))
            connections[connection.fileno()] = leader, connection
            deadline_s = min(deadline_s, asked.deadline_s)
        for assigned in self.assigned.values():
            # One whose leader has a request already is asked for again behind the answer.
            if assigned.retry_at_s and self._leader(assigned) not in self._asked:
                deadline_s = min(deadline_s, assigned.retry_at_s)
        remaining_ms = max(0.0, (deadline_s - time.monotonic()) * 1000)
        for fileno, _ in poll.poll(remaining_ms):
            leader, connection = connections[fileno]
            try:
                connection.flush_nowait()
                self._receive(leader, connection)
            except ClientError as error:
                self._lose(leader, error)
        now_s = time.monotonic()
        for leader in [key for key, asked in self._asked.items() if asked.deadline_s <= now_s]:
            seconds = self.settings.request_timeout_ms / 1000
            message = f"broker {leader} did not answer a Fetch request within {seconds:g} s"
            self._lose(leader, ClientError("timeout", message))

    # asking

    def ask(self) -> None:
        """Send a Fetch to each leader that has none in flight, while there is room."""
        if self.buffered_bytes >= self.settings.prefetch_bytes:
            return
        now_s = time.monotonic()
        if self._stale_topics:
            self._refresh()
        by_leader: dict[int, list[Assigned]] = {}
        for assigned in self.assigned.values():
            if assigned.failure is not None or assigned.retry_at_s > now_s:
                continue
            leader = self._leader(assigned)
            if leader < 0:
                code = self._topic_codes.get(assigned.topic, errors.LEADER_NOT_AVAILABLE)
                self._delay(assigned, refusal(f"read {assigned}", code))
            elif leader not in self._asked:
                by_leader.setdefault(leader, []).append(assigned)
        for leader, group in by_leader.items():
            try:
                self._ask_leader(leader, self.cluster.data(leader), group)
            except ClientError as error:
                for assigned in group:
                    self._delay(assigned, error)

    def _leader(self, assigned: Assigned) -> int:
        return self.cluster.leader(assigned.topic, assigned.partition)

    def _ask_leader(self, leader: int, connection: Connection, group: list[Assigned]) -> None:
        settings = self.settings
        version = connection.version(FETCH)
        topics: dict[str, list[Message]] = {}
        for assigned in group:
            assigned.retry_at_s = 0.0
            row = {
                "partition": assigned.partition,
                "fetch_offset": assigned.fetch_offset,
                "partition_max_bytes": settings.partition_max_bytes,
            }
            topics.setdefault(assigned.topic, []).append(row)
        # Whoever came first goes last next time: no partition starves behind a full answer.
        first = group[0].topic, group[0].partition
        self.assigned[first] = self.assigned.pop(first)
        message = {
            "max_wait_ms": settings.max_wait_ms,
            "min_bytes": settings.min_bytes,
            "max_bytes": settings.fetch_max_bytes,
            "session_epoch": _NO_SESSION_EPOCH,
            "topics": [{"topic": name, "partitions": rows} for name, rows in topics.items()],
        }
        timeout_s = (settings.request_timeout_ms + settings.max_wait_ms) / 1000
        self.requests_count += 1
        body = encode_request(FETCH, version, message)
        self._asked[leader] = _Asked(
            connection.send_nowait(FETCH, version, body),
            version,
            time.monotonic() + timeout_s,
            {(one.topic, one.partition): one.generation for one in group},
        )

    # answers

    def _receive(self, leader: int, connection: Connection) -> None:
        for correlation_id, frame in connection.receive_nowait():
            asked = self._asked.get(leader)
            if asked is None or asked.correlation_id != correlation_id:
                raise connection.broken(f"answered request {correlation_id} out of turn")
            answer = connection.decode(FETCH, asked.version, frame)
            self.received_bytes += len(frame)
            if answer.get("error_code"):
                raise refusal("fetch", answer["error_code"])
            del self._asked[leader]
            for topic in answer["responses"]:
                for row in topic["partitions"]:
                    key = topic["topic"], row["partition_index"]
                    assigned = self.assigned.get(key)
                    if assigned is not None and asked.generations.get(key) == assigned.generation:
                        self._read_partition(assigned, row)
            self.ask()

    def _read_partition(self, assigned: Assigned, row: Message) -> None:
        code = row["error_code"]
        if code == errors.OFFSET_OUT_OF_RANGE:
            self._out_of_range(assigned)
        elif code and is_retriable(code):
            self._stale_topics.add(assigned.topic)
            self._delay(assigned, refusal(f"read {assigned}", code))
        elif code:
            assigned.failure = refusal(f"read {assigned}", code)
        else:
            assigned.failing_since_s = 0.0
            assigned.retry_count = 0
            assigned.high_watermark = row["high_watermark"]
            if row["records"]:
                self._read_batches(assigned, row["records"])

    def _read_batches(self, assigned: Assigned, records: memoryview) -> None:
        try:
            for position, header in iterate_batches(records):
                size_bytes = LENGTH_OVERHEAD_BYTES + header.batch_length
                data = records[position : position + size_bytes]
                wrong = verify_batch(data)
                if wrong:
                    raise ProtocolError(f"batch at offset {header.base_offset}: {wrong}")
                next_offset = header.base_offset + header.last_offset_delta + 1
                if next_offset <= assigned.fetch_offset:
                    continue  # the server may begin with a batch that ends before our offset
                assigned.fetch_offset = next_offset
                self.ready.append(FetchedBatch(assigned, assigned.generation, header, data))
                self.buffered_bytes += size_bytes
        except ProtocolError as error:
            assigned.failure = ClientError("corrupt", f"{assigned} cannot be read: {error}")

    def _out_of_range(self, assigned: Assigned) -> None:
        """Ask where the log is, then follow `on_out_of_range`."""
        choice = self.settings.on_out_of_range
        try:
            bounds = self._locate(assigned)
        except ClientError as error:
            assigned.failure = error
            return
        if choice == "error":
            assigned.failure = OffsetOutOfRange(
                assigned.topic, assigned.partition, assigned.fetch_offset, *bounds
            )
        else:
            assigned.seek(bounds[0 if choice == "beginning" else 1])

    # failures

    def _delay(self, assigned: Assigned, failure: ClientError) -> None:
        """Try again after a pause; give up when nothing has worked for `retry_timeout_ms`."""
        now_s = time.monotonic()
        assigned.failing_since_s = assigned.failing_since_s or now_s
        self._stale_topics.add(assigned.topic)
        assigned.retry_count += 1
        is_late = now_s - assigned.failing_since_s > self.settings.retry_timeout_ms / 1000
        if is_late and assigned.retry_count > _RETRIES_MIN:
            assigned.failure = failure
            return
        assigned.retry_at_s = now_s + backoff_ms(assigned.retry_count) / 1000

    def _lose(self, leader: int, failure: ClientError) -> None:
        """The connection is gone; nothing is lost, what it carried is asked for again."""
        asked = self._asked.pop(leader, None)
        self.cluster.drop(leader)
        for key in asked.generations if asked else ():
            if key in self.assigned:
                self._delay(self.assigned[key], failure)

    def _refresh(self) -> None:
        """New leaders for the topics that failed. A failure here shows in the next attempt."""
        topics, self._stale_topics = self._stale_topics, set()
        try:
            self._topic_codes = self.cluster.refresh(sorted(topics))
        except ClientError as error:
            for assigned in self.assigned.values():
                if assigned.topic in topics and not assigned.retry_at_s > time.monotonic():
                    self._delay(assigned, error)
