"""Open loops: a fixed schedule that does not wait for the server. They give latencies.

Message n is due at start + n / rate, and its latency counts from that instant, whatever kept it
from being sent: a server that stalls for a second is charged for every message that was due in that
second (coordinated omission). The sender never waits for an answer. How late the generator itself
handed the messages to the kernel is the producer delay, printed beside every result; when it is not
small against the latency, the generator was measured.

The due time needs no room in the message: a batch's offset tells its number, its number its due
time. Producer and consumers are one thread: it sleeps in select(2), which wakes to the microsecond,
and spins only for the last stretch before a message is due, so that it leaves the second core of a
small machine to the server.
Source: wrk2 (intended send times), OpenMessaging Benchmark issue 247.
"""

import ctypes
import select
import socket
from array import array
from collections.abc import Callable
from time import perf_counter_ns as clock
from typing import NamedTuple

from perf.batches import LoadError, check
from perf.wire import SIZE, FetchFrame, Frames, produce_failure

SPIN_NS = 40_000
FETCH_BYTES_MAX = 1 << 20
PR_SET_TIMERSLACK = 29


class Schedule(NamedTuple):
    """`send_count` batches at `per_s`; the first `warm_count` are sent but not measured."""

    per_s: float
    send_count: int
    warm_count: int

    @classmethod
    def of(cls, per_s: float, seconds: float, warm_s: float) -> "Schedule":
        """So many seconds of warm-up and of measurement at this rate."""
        warm = round(per_s * warm_s)
        return cls(per_s, warm + round(per_s * seconds), warm)


class Outcome(NamedTuple):
    """What one open-loop run measured, all in ns."""

    produce: "array[int]"
    """due -> acknowledged"""
    deliver: "array[int]"
    """due -> at a consumer, whole; one sample per batch and consumer"""
    delay: "array[int]"
    """due -> given to the kernel"""
    elapsed_ns: int
    """from the first measured due time to the last delivery"""
    done_count: int
    """batches, unmeasured ones included, that everyone has; all, unless the server was too slow"""


class Consumer:
    """One long-polling connection, one fetch in flight, from `offset` on."""

    def __init__(self, link: socket.socket, topic: str, frames: Frames, offset: int = 0) -> None:
        """Sends the first fetch at once."""
        self.link = link
        self.frames = frames
        self.offset = offset
        self.request = FetchFrame(topic, max_bytes=FETCH_BYTES_MAX)
        self._view = memoryview(bytearray(2 * FETCH_BYTES_MAX + (1 << 16)))
        self._held = 0
        link.sendall(self.request.at(offset))

    def receive(self) -> bool:
        """Take what arrived; True when an answer is whole, checked, and the next fetch is out."""
        count = self.link.recv_into(self._view[self._held :])
        if not count:
            raise LoadError("the server closed the connection")
        self._held += count
        size = SIZE.unpack_from(self._view)[0] + SIZE.size if self._held >= SIZE.size else 0
        if not size or self._held < size:
            return False
        self._held = 0
        records = self.request.records(self._view[:size])
        batch_bytes = self.frames.ring.batch_bytes
        whole = records[: len(records) // batch_bytes * batch_bytes]
        self.offset = check(whole, self.offset, self.frames.ring)
        self.link.sendall(self.request.at(self.offset))
        return True


class Load:
    """One producer on a schedule and any number of consumers, in one thread."""

    def __init__(
        self,
        link: socket.socket,
        frames: Frames,
        topic: str,
        consumers: list[Consumer],
        held_count: int = 0,
    ) -> None:
        """`link` is the producer's; the partition holds `held_count` batches of the ring."""
        self.link = link
        self.frames = frames
        self.topic = topic
        self.consumers = {consumer.link: consumer for consumer in consumers}
        self.outcome = Outcome(array("q"), array("q"), array("q"), 0, 0)
        self.sent = 0  # batches whose last byte the kernel has
        self.acknowledged = 0
        self.held_count = held_count
        self._sent_bytes = 0
        self._answer = memoryview(bytearray(1 << 16))
        self._held = 0

    def run(self, schedule: Schedule, at_warm: Callable[[], object]) -> Outcome:
        """Run to the last delivery, or give up after three times the time and ten seconds.

        Calls `at_warm` once, at the first measured message.
        """
        precise_timers()
        interval = 1e9 / schedule.per_s
        start = clock() + 20_000_000
        give_up = start + int(interval * schedule.send_count * 3) + 10_000_000_000
        links = [self.link, *self.consumers]
        warm = False
        while self.done_count() < schedule.send_count:
            now = clock()
            due = min(schedule.send_count, int((now - start) / interval) + 1) if now >= start else 0
            if due > self.sent:
                self._send(due, start, interval, schedule.warm_count)
            if not warm and due > schedule.warm_count:
                warm = True
                at_warm()
            wait = start + due * interval - clock() if due < schedule.send_count else 1e8
            blocked = due > self.sent
            idle = 0.0 if wait < SPIN_NS else min(0.1, (wait - SPIN_NS) / 1e9)
            readable, _, _ = select.select(links, [self.link] if blocked else [], [], idle)
            for link in readable:
                self._take(link, start, interval, schedule.warm_count)
            if now > give_up:
                break
        elapsed = clock() - start - int(schedule.warm_count * interval)
        return self.outcome._replace(elapsed_ns=elapsed, done_count=self.done_count())

    def done_count(self) -> int:
        """Batches that are acknowledged and delivered to everyone."""
        records = self.frames.ring.record_count
        delivered = [one.offset // records - self.held_count for one in self.consumers.values()]
        return min([self.acknowledged, *delivered])

    def _send(self, due: int, start: int, interval: float, warm_count: int) -> None:
        frames = self.frames
        ring_bytes = frames.frame_bytes * frames.frame_count
        due_bytes = due * frames.frame_bytes
        first = self.held_count * frames.frame_bytes
        while self._sent_bytes < due_bytes:
            position = (first + self._sent_bytes) % ring_bytes
            end = min(ring_bytes, position + due_bytes - self._sent_bytes)
            try:
                part = self.link.send(frames.view[position:end], socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            self._sent_bytes += part
        now = clock()
        sent = self._sent_bytes // frames.frame_bytes
        for number in range(max(self.sent, warm_count), sent):
            self.outcome.delay.append(now - start - int(number * interval))
        self.sent = sent

    def _take(self, link: socket.socket, start: int, interval: float, warm_count: int) -> None:
        if link is self.link:
            before = self.acknowledged
            self._acknowledge()
            after, latencies = self.acknowledged, self.outcome.produce
        else:
            consumer = self.consumers[link]
            records = self.frames.ring.record_count
            before = consumer.offset // records - self.held_count
            if not consumer.receive():
                return
            after = consumer.offset // records - self.held_count
            latencies = self.outcome.deliver
        now = clock()
        for number in range(max(before, warm_count), after):
            latencies.append(now - start - int(number * interval))

    def _acknowledge(self) -> None:
        count = self.link.recv_into(self._answer[self._held :])
        if not count:
            raise LoadError("the server closed the connection")
        held, layout, position = self._held + count, self.frames.answer, 0
        records = self.frames.ring.record_count
        while held - position >= layout.size:
            correlation, error, offset = layout.unpack_from(self._answer, position)
            expected = self.held_count + self.acknowledged
            if error or correlation != expected % self.frames.frame_count:
                raise produce_failure(self._answer[position:], self.topic)
            if offset != expected * records:
                raise LoadError(f"base offset {offset}, {expected * records} expected")
            self.acknowledged += 1
            position += layout.size
        self._answer[: held - position] = self._answer[position:held]
        self._held = held - position


def precise_timers() -> None:
    """Let this thread's select(2) wake when it asked to, not up to 50 us later."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
