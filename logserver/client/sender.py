"""The producer's background thread: takes ripe batches, sends them, sorts out the answers.

One thread serves all brokers. Each turn: take what is ripe, fill requests (one batch per partition
and request, up to `max_in_flight` requests per broker), then sleep in `poll` until an answer, a
timer or the caller's wake-up.

Order and exactly-once per partition rest on sequences (KIP-98). A batch gets its sequence when it
is first sent and keeps it in every retry, so that the server recognises what it already has. After
a failure nothing new is sent to that partition until all that is in flight has been answered; what
failed then goes out again in the old order, one batch at a time: the server remembers five batches,
and a retry that its successors overtook by more would be taken for a gap. Alone goes also the first
batch under a new producer id: a Kafka broker that does not know the id takes any sequence for the
first, and would append the second batch when it became the leader between the two.

    answer                                  what happens to the batch
    NONE, DUPLICATE_SEQUENCE_NUMBER         delivered
    retriable, connection lost, no answer   again after a pause, same sequence; metadata refreshed
    OUT_OF_ORDER_SEQUENCE behind a retry    again: the server saw the gap that the retry will fill
    OUT_OF_ORDER_SEQUENCE otherwise         again under a new producer id, with a warning: the log
                                            has lost what was acknowledged before (as Kafka's does)
    UNKNOWN_PRODUCER_ID                     again under a new producer id: the log forgot the old
    anything else                           failed; later batches start over under a new producer id
    `delivery_timeout_ms` has passed        failed, with the last reason

A new id is a fresh one from InitProducerId, never a bumped epoch: other partitions finish in peace
under the old one and change over when nothing of theirs is unresolved.
"""

from __future__ import annotations

import logging
import select
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from logserver.client.buffer import Batch, Buffer, Delivery, PartitionQueue
from logserver.client.cluster import Cluster, backoff_ms
from logserver.client.connection import PRODUCE, Connection
from logserver.client.failure import ClientError, is_retriable, refusal
from logserver.client.upkeep import Settings, Timer, Upkeep
from logwire import errors
from logwire.batch import encode_batch
from logwire.messages import Message, encode_request

LOG: Final = logging.getLogger("logserver.client")

_IDLE_SLEEP_MS: Final = 60_000
# The fourth failure comes after 0.7 s of pauses: a person who watches begins to wonder. Told again
# every ten seconds.
_TOLD_AT_ATTEMPT: Final = 4
_TOLD_AGAIN_S: Final = 10.0

_DELIVERED: Final = frozenset({errors.NONE, errors.DUPLICATE_SEQUENCE_NUMBER})


class _Request(NamedTuple):
    correlation_id: int
    version: int
    deadline_s: float
    batches: dict[tuple[str, int], Batch]


class _Link:
    """A broker as the sender sees it: its connection and the requests that wait for answers."""

    __slots__ = ("attempts", "connection", "requests", "retry_at_s")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.requests: deque[_Request] = deque()
        self.attempts = 0
        self.retry_at_s = 0.0


class Sender:
    """Runs in its own thread until the buffer is closed and empty."""

    def __init__(self, buffer: Buffer, cluster: Cluster, settings: Settings) -> None:
        self.buffer = buffer
        self.cluster = cluster
        self.settings = settings
        self.sent_records_count = 0
        self.sent_bytes = 0
        self.requests_count = 0
        self.retries_count = 0
        self._links: dict[int, _Link] = {}
        self.timer = Timer()
        self.upkeep = Upkeep(buffer, cluster, settings, self.timer)
        self._stop_failure: ClientError | None = None
        self._told_s = -_TOLD_AGAIN_S

    def run(self) -> None:
        """The thread's whole life. What kills it is told to every waiting and later caller."""
        try:
            while self._turn():
                pass
        except BaseException as error:
            self._die(error)
            raise

    def stop(self, failure: ClientError) -> None:
        """End the thread at its next turn; what is undelivered fails with `failure`."""
        self._stop_failure = failure
        self.buffer.wake()

    def _turn(self) -> bool:
        if self._stop_failure is not None:
            self._give_up(self._stop_failure)
            return False
        now_s = time.monotonic()
        self.timer.next_s = now_s + _IDLE_SLEEP_MS / 1000
        ready = self._take_ripe(now_s)
        if ready is None:
            return False
        self.upkeep.refresh_metadata(now_s)
        if ready and self.upkeep.has_identity(now_s):
            for leader, queues in self._by_leader(ready, now_s).items():
                self._send_to(leader, queues, now_s)
        self._check_deadlines(now_s)
        self._sleep()
        return True

    # taking

    def _take_ripe(self, now_s: float) -> list[PartitionQueue] | None:
        """Close ripe batches, fail those that are too old; queues that may send. None: all done."""
        buffer = self.buffer
        linger_s = self.settings.linger_ms / 1000
        oldest_s = now_s - self.settings.delivery_timeout_ms / 1000
        ready = []
        expired: list[Batch] = []
        with buffer.lock:
            if buffer.closed and not buffer.unfinished_count:
                return None
            at_once = buffer.flushing or buffer.closed or buffer.waiting_for_space
            for queue in list(buffer.active):
                if queue.open is not None:
                    ripe_s = queue.open.created_s + linger_s
                    if at_once or ripe_s <= now_s:
                        buffer.close_open_batch(queue)
                    else:
                        self.timer.by(ripe_s)
                while queue.pending and queue.pending[0].created_s < oldest_s:
                    expired.append(queue.pending.popleft())
                if not queue.in_flight:
                    queue.recovering = False
                if queue.pending:
                    if self._may_send(queue, now_s):
                        ready.append(queue)
                elif queue.open is None and not queue.in_flight:
                    buffer.active.discard(queue)
            # From here on an append wakes the sleep, even one that has not begun yet.
            buffer.sleeping = True
        for batch in expired:
            self._fail(batch, self._expiry(batch))
        return ready

    def _may_send(self, queue: PartitionQueue, now_s: float) -> bool:
        head = queue.pending[0]
        expiry_s = head.created_s + self.settings.delivery_timeout_ms / 1000
        self.timer.by(expiry_s)
        if queue.recovering:
            return False
        if queue.in_flight:
            first = queue.in_flight[0]
            if head.attempts or first.attempts or first.base_sequence == 0:
                return False
        if head.retry_at_s > now_s:
            self.timer.by(head.retry_at_s)
            return False
        return True

    def _by_leader(
        self, queues: Iterable[PartitionQueue], now_s: float
    ) -> dict[int, list[PartitionQueue]]:
        by_leader: dict[int, list[PartitionQueue]] = {}
        for queue in queues:
            leader = self.cluster.leader(queue.topic, queue.partition)
            if leader < 0:
                self.upkeep.stale_topics.add(queue.topic)
                self.timer.by(max(self.upkeep.retry_at_s, now_s))
            else:
                by_leader.setdefault(leader, []).append(queue)
        return by_leader

    def _expiry(self, batch: Batch) -> ClientError:
        seconds = self.settings.delivery_timeout_ms / 1000
        why = f": {batch.last_failure}" if batch.last_failure else ""
        return ClientError(
            "timeout",
            f"{batch.count} records for {batch.queue} not delivered in {seconds:g} s{why}",
        )

    # sending

    def _send_to(self, leader: int, queues: list[PartitionQueue], now_s: float) -> None:
        """Fill requests for one broker while it has room and the socket takes them."""
        link = self._links.setdefault(leader, _Link())
        connection = self._connect(leader, link, now_s)
        if connection is None:
            return
        try:
            version = connection.version(PRODUCE)
            while (
                queues
                and len(link.requests) < self.settings.max_in_flight
                and not connection.wants_write
            ):
                batches = self._fill_request(queues)
                if batches:
                    self._send_request(link, connection, version, batches)
                queues = [q for q in queues if q.pending and self._may_send(q, now_s)]
        except ClientError as error:
            self._lose(leader, link, error)

    def _connect(self, leader: int, link: _Link, now_s: float) -> Connection | None:
        if link.connection is not None and link.connection.is_open:
            return link.connection
        if link.retry_at_s > now_s:
            self.timer.by(link.retry_at_s)
            return None
        try:
            link.connection = self.cluster.data(leader)
        except ClientError as error:
            self._lose(leader, link, error)
            return None
        link.attempts = 0
        return link.connection

    def _fill_request(self, queues: list[PartitionQueue]) -> list[Batch]:
        """The next batch of each queue, as many as fit one request; encoded and numbered."""
        batches: list[Batch] = []
        room_bytes = self.settings.max_request_bytes
        for queue in queues:
            batch = queue.pending[0]
            if batches and batch.size_bytes > room_bytes:
                continue
            if not self._prepare(queue, batch):
                continue
            assert batch.encoded is not None
            room_bytes -= len(batch.encoded)
            with self.buffer.lock:
                queue.pending.popleft()
                queue.in_flight.append(batch)
            batches.append(batch)
            if room_bytes <= 0:
                break
        return batches

    def _prepare(self, queue: PartitionQueue, batch: Batch) -> bool:
        """Number and encode a batch; False when that fails, and with it the batch."""
        if self.settings.idempotent and batch.base_sequence < 0:
            self.upkeep.number(queue, batch)
        producer_id, epoch = queue.identity or (-1, -1)
        if batch.encoded is not None:
            return True
        try:
            batch.encoded = encode_batch(
                batch.records,
                codec=self.settings.codec,
                level=self.settings.level,
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=batch.base_sequence,
            )
        except Exception as error:  # noqa: BLE001 - whatever the caller's objects raise
            with self.buffer.lock:
                queue.pending.remove(batch)
            message = f"{batch.count} records for {queue} cannot be encoded: {error!r}"
            self._fail(batch, ClientError("protocol", message))
            return False
        batch.records = []
        return True

    def _send_request(
        self, link: _Link, connection: Connection, version: int, batches: list[Batch]
    ) -> None:
        topics: dict[str, list[Message]] = {}
        for batch in batches:
            row = {"index": batch.queue.partition, "records": batch.encoded}
            topics.setdefault(batch.queue.topic, []).append(row)
            self.sent_bytes += len(batch.encoded or b"")
        message = {
            "acks": self.settings.acks,
            "timeout_ms": self.settings.request_timeout_ms,
            "topic_data": [{"name": name, "partition_data": rows} for name, rows in topics.items()],
        }
        self.requests_count += 1
        deadline_s = time.monotonic() + self.settings.request_timeout_ms / 1000
        by_partition = {(batch.queue.topic, batch.queue.partition): batch for batch in batches}
        request = _Request(-1, version, deadline_s, by_partition)
        link.requests.append(request)  # before the send: when that fails, they are in flight
        correlation_id = connection.send_nowait(
            PRODUCE, version, encode_request(PRODUCE, version, message)
        )
        if self.settings.acks:
            link.requests[-1] = request._replace(correlation_id=correlation_id)
        else:
            link.requests.pop()
            self._deliver([(batch, -1, -1) for batch in batches])

    # answers

    def _sleep(self) -> None:
        """Wait for answers, writable sockets, timers or the caller."""
        poll = select.poll()
        poll.register(self.buffer.wake_fileno(), select.POLLIN)
        links = {}
        for leader, link in self._links.items():
            connection = link.connection
            if connection is not None and connection.is_open:
                writes = select.POLLOUT if connection.wants_write else 0
                poll.register(connection, select.POLLIN | writes)
                links[connection.fileno()] = leader, link, connection
        sleep_ms = max(0.0, (self.timer.next_s - time.monotonic()) * 1000)
        ready = poll.poll(sleep_ms + 0.5 if sleep_ms else 0)
        self.buffer.awake()
        for fileno, _ in ready:
            if fileno in links:
                self._serve(*links[fileno])

    def _serve(self, leader: int, link: _Link, connection: Connection) -> None:
        try:
            if connection.wants_write:
                connection.flush_nowait()
            for correlation_id, frame in connection.receive_nowait():
                if not link.requests or link.requests[0].correlation_id != correlation_id:
                    raise connection.broken(f"answered request {correlation_id} out of turn")
                request = link.requests[0]
                answer = connection.decode(PRODUCE, request.version, frame)
                link.requests.popleft()
                self._read_answer(request, answer)
        except ClientError as error:
            self._lose(leader, link, error)

    def _read_answer(self, request: _Request, answer: Message) -> None:
        delivered = []
        waiting = request.batches
        for topic in answer["responses"]:
            for row in topic["partition_responses"]:
                batch = waiting.pop((topic["name"], row["index"]), None)
                if batch is None:
                    continue
                if row["error_code"] in _DELIVERED:
                    delivered.append((batch, row["base_offset"], row["log_append_time_ms"]))
                else:
                    self._refused(batch, row)
        for batch in waiting.values():
            self._retry(batch, ClientError("protocol", f"no answer for {batch.queue}"))
        self._deliver(delivered)

    def _refused(self, batch: Batch, row: Message) -> None:
        """The table of the module's docstring."""
        code = row["error_code"]
        queue = batch.queue
        what = f"write {batch.count} records to {queue}"
        failure = refusal(what, code, row.get("error_message") or None)
        earlier = queue.has_earlier(batch)
        if code == errors.OUT_OF_ORDER_SEQUENCE_NUMBER and (earlier or queue.starts_over):
            self._retry(batch, failure)
        elif code in (errors.UNKNOWN_PRODUCER_ID, errors.OUT_OF_ORDER_SEQUENCE_NUMBER):
            LOG.warning("%s does not know its producer's last batches: %s", queue, failure)
            queue.starts_over = True
            self._retry(batch, failure)
        elif is_retriable(code):
            self.upkeep.stale_topics.add(queue.topic)
            self._retry(batch, failure)
        else:
            if code == errors.MESSAGE_TOO_LARGE:
                failure = ClientError(
                    "too_large",
                    f"{failure} Use a smaller batch_size_bytes, or raise the topic's"
                    " max.message.bytes",
                    code,
                )
            with self.buffer.lock:
                queue.in_flight.remove(batch)
            self._fail(batch, failure)

    def _deliver(self, delivered: list[tuple[Batch, int, int]]) -> None:
        with self.buffer.lock:
            for batch, base_offset, append_time_ms in delivered:
                batch.queue.in_flight.remove(batch)
                batch.base_offset = base_offset
                batch.append_time_ms = append_time_ms
                self.sent_records_count += batch.count
        self._finish([batch for batch, _, _ in delivered])

    def _fail(self, batch: Batch, failure: ClientError) -> None:
        """Give up a batch that is in no list any more. Numbered ones leave a gap behind."""
        batch.error = failure
        if batch.base_sequence >= 0:
            batch.queue.starts_over = True
            batch.queue.recovering = bool(batch.queue.in_flight)
        self._finish([batch])

    def _finish(self, batches: list[Batch]) -> None:
        if not batches:
            return
        self.buffer.complete(batches)
        for batch in batches:
            for callback, index in batch.callbacks:
                try:
                    callback(Delivery(self.buffer, batch, index))
                except Exception:
                    LOG.exception("a delivery callback failed")
            batch.callbacks = []
        self.buffer.finish(len(batches))

    def _retry(self, batch: Batch, failure: ClientError) -> None:
        self.retries_count += 1
        batch.attempts += 1
        batch.last_failure = failure
        now_s = time.monotonic()
        if batch.attempts >= _TOLD_AT_ATTEMPT and now_s - self._told_s >= _TOLD_AGAIN_S:
            self._told_s = now_s
            LOG.warning("still trying to write to %s: %s", batch.queue, failure)
        batch.retry_at_s = now_s + backoff_ms(batch.attempts, self.settings.retry_backoff_ms) / 1000
        with self.buffer.lock:
            batch.queue.requeue(batch)

    def _lose(self, leader: int, link: _Link, failure: ClientError) -> None:
        """A connection is gone: what it carried may or may not be in the log; send it again."""
        LOG.debug("lost broker %d: %s", leader, failure)
        link.attempts += 1
        link.retry_at_s = (
            time.monotonic() + backoff_ms(link.attempts, self.settings.retry_backoff_ms) / 1000
        )
        self.timer.by(link.retry_at_s)
        if link.connection is not None:
            link.connection.close()
            link.connection = None
        requests, link.requests = link.requests, deque()
        for request in requests:
            for batch in request.batches.values():
                self.upkeep.stale_topics.add(batch.queue.topic)
                self._retry(batch, failure)
        for queue in list(self.buffer.active):
            if self.cluster.leader(queue.topic, queue.partition) == leader:
                self.upkeep.stale_topics.add(queue.topic)
                if queue.pending:
                    queue.pending[0].last_failure = failure

    def _check_deadlines(self, now_s: float) -> None:
        """Requests that were not answered in time close their connection."""
        for leader, link in self._links.items():
            if not link.requests:
                continue
            if link.requests[0].deadline_s > now_s:
                self.timer.by(link.requests[0].deadline_s)
                continue
            seconds = self.settings.request_timeout_ms / 1000
            message = f"broker {leader} did not answer a Produce request within {seconds:g} s"
            self._lose(leader, link, ClientError("timeout", message))

    # the end

    def _die(self, error: BaseException) -> None:
        """A bug: no batch may wait for ever."""
        failure = ClientError("closed", f"the producer's sender has failed: {error!r}")
        self.buffer.failure = failure
        self.buffer.close()
        self._give_up(failure)

    def _give_up(self, failure: ClientError) -> None:
        """Fail everything that is not done."""
        lost: list[Batch] = []
        with self.buffer.lock:
            for queue in self.buffer.active:
                lost += [*queue.in_flight, *queue.pending]
                if queue.open is not None:
                    lost.append(queue.open)
                queue.in_flight, queue.open = [], None
                queue.pending.clear()
        for batch in lost:
            batch.error = failure
        self._finish(lost)
