"""What a producer's sender must know before it can send: leaders, and who it is itself.

Both are asked for with ordinary requests on the control connection, with a growing pause between
failures. The reason of a failure is noted on the batches that wait, for the sentence that they may
one day expire with.

The identity is a producer id and epoch (KIP-98). It is asked for once; after a batch failed for
good its sequences are lost to the log, so a fresh id is asked for and the partition counts from 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from logserver.client.buffer import Batch, Buffer, PartitionQueue
from logserver.client.cluster import Cluster, backoff_ms
from logserver.client.connection import INIT_PRODUCER_ID
from logserver.client.failure import ClientError, refusal
from logwire.batch import stamp_producer
from logwire.messages import Message

_SEQUENCE_MASK: Final = 0x7FFFFFFF  # sequences wrap to 0 behind 2147483647


class Settings(NamedTuple):
    """What the sender needs to know; see `Producer` for their meaning."""

    acks: int
    idempotent: bool
    codec: int
    level: int | None
    linger_ms: float
    max_in_flight: int
    max_request_bytes: int
    request_timeout_ms: int
    delivery_timeout_ms: int
    retry_backoff_ms: int
    auto_create_topics: bool


class Timer:
    """When the sender has to look again, at the latest (`time.monotonic` seconds)."""

    __slots__ = ("next_s",)

    def __init__(self) -> None:
        self.next_s = 0.0

    def by(self, when_s: float) -> None:
        """Look again by then."""
        self.next_s = min(self.next_s, when_s)


class Upkeep:
    """Metadata and identity, for the sender's thread."""

    def __init__(self, buffer: Buffer, cluster: Cluster, settings: Settings, timer: Timer) -> None:
        self.stale_topics: set[str] = set()
        self.retry_at_s = 0.0
        self._attempts = 0
        self._identity: tuple[int, int] | None = None
        self._buffer = buffer
        self._cluster = cluster
        self._settings = settings
        self._timer = timer

    def refresh_metadata(self, now_s: float) -> None:
        """Ask who leads the partitions that failed; at most once per pause."""
        if not self.stale_topics:
            return
        if self.retry_at_s > now_s:
            self._timer.by(self.retry_at_s)
            return
        self._attempts += 1
        self.retry_at_s = now_s + backoff_ms(self._attempts, self._settings.retry_backoff_ms) / 1000
        self._timer.by(self.retry_at_s)
        try:
            failures = self._cluster.refresh(
                sorted(self.stale_topics), create=self._settings.auto_create_topics
            )
        except ClientError as error:
            self._note_failure(error)
            return
        for topic, code in failures.items():
            self._note_failure(refusal(f"use topic {topic}", code), topic)
        self.stale_topics = {
            topic
            for topic in self.stale_topics
            if topic in failures or -1 in self._cluster.topics[topic].leaders.values()
        }
        if not self.stale_topics:
            self._attempts = 0

    def _note_failure(self, failure: ClientError, topic: str | None = None) -> None:
        """Remember why batches wait, for the sentence that they may expire with."""
        for queue in list(self._buffer.active):
            if queue.pending and topic in (None, queue.topic):
                queue.pending[0].last_failure = failure

    def has_identity(self, now_s: float) -> bool:
        """A producer id if one is needed; queues that must start over get the new one."""
        if not self._settings.idempotent:
            return True
        restarting = [queue for queue in self._buffer.active if queue.starts_over]
        if restarting and any(queue.identity == self._identity for queue in restarting):
            self._identity = None
        if self._identity is None and not self._ask_identity(now_s):
            return False
        for queue in restarting:
            if not queue.in_flight:
                self._start_over(queue)
        return True

    def _start_over(self, queue: PartitionQueue) -> None:
        """Number what is pending from 0 under the new identity; in flight there is nothing."""
        assert self._identity is not None
        queue.starts_over = False
        queue.identity = self._identity
        queue.next_sequence = 0
        for batch in queue.pending:
            if batch.base_sequence >= 0:
                self.number(queue, batch)
                if batch.encoded is not None:
                    stamp_producer(batch.encoded, *self._identity, batch.base_sequence)

    def _ask_identity(self, now_s: float) -> bool:
        if self.retry_at_s > now_s:
            self._timer.by(self.retry_at_s)
            return False
        request: Message = {"transactional_id": None, "transaction_timeout_ms": _SEQUENCE_MASK}
        try:
            answer = self._cluster.request(INIT_PRODUCER_ID, request)
            if answer["error_code"]:
                raise refusal("get a producer id", answer["error_code"])
        except ClientError as error:
            self._note_failure(error)
            self._attempts += 1
            self.retry_at_s = (
                now_s + backoff_ms(self._attempts, self._settings.retry_backoff_ms) / 1000
            )
            self._timer.by(self.retry_at_s)
            return False
        self._attempts = 0
        self._identity = answer["producer_id"], answer["producer_epoch"]
        return True

    def number(self, queue: PartitionQueue, batch: Batch) -> None:
        """Give a batch its sequence. A new identity counts from 0, and only where nothing under
        the old one is unresolved."""
        if queue.identity != self._identity and not queue.in_flight:
            queue.identity = self._identity
            queue.next_sequence = 0
        batch.base_sequence = queue.next_sequence
        queue.next_sequence = (queue.next_sequence + batch.count) & _SEQUENCE_MASK
