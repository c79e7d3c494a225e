"""Closed loops: N requests in flight, the next one leaves when an answer comes. They give maxima.

A closed loop slows down with the server, so its latencies say how long a request takes at the
server's own pace and nothing about a rate that somebody else sets; for that see `open_loop`.
A request's clock starts when its slot becomes free, not when its first byte reaches the kernel:
what waits in front of a full socket waits for the server too.

The loops are bare on purpose. One connection with several requests in flight is one `send` of
neighbouring frames of the ring, one `recv_into`, one `unpack_from` per answer. The generator must
cost less than any server here, and its share of the CPU is in the report to prove it.
"""

import select
import socket
from array import array
from time import perf_counter_ns as clock

from perf.batches import LoadError, check
from perf.wire import SIZE, FetchFrame, Frames, produce_failure

ANSWER_BUFFER_BYTES = 1 << 16
NO_DEADLINE = 1 << 62


class Producer:
    """One connection that owns one partition; runs may follow one another on it."""

    def __init__(self, link: socket.socket, frames: Frames, topic: str, in_flight: int) -> None:
        """`link` is blocking; the partition is empty."""
        self.link = link
        self.frames = frames
        self.topic = topic
        self.in_flight = in_flight
        self.acknowledged = 0
        """Requests answered without error, each at the expected base offset."""

    def run(self, requests_max: int, deadline_ns: int) -> "array[int]":
        """Send until `requests_max` more requests or the deadline; returns latencies in ns.

        Drains before it returns. Raises LoadError for an error code or a wrong base offset.
        """
        start = self.acknowledged
        frames, window = self.frames, self.in_flight
        size, ring_bytes, view = (
            frames.frame_bytes,
            frames.frame_bytes * frames.frame_count,
            frames.view,
        )
        link, send, receive = self.link, self.link.send, self.link.recv_into
        poller = select.poll()
        poller.register(link, select.POLLIN | select.POLLOUT)
        answer = memoryview(bytearray(ANSWER_BUFFER_BYTES))
        held = 0  # bytes of an incomplete answer at the start of the buffer
        released, stop = start, start + requests_max
        sent_bytes = start * size
        since = [0] * window
        latencies = array("q")
        now = clock()
        while True:
            if now < deadline_ns:
                target = min(self.acknowledged + window, stop)
                for number in range(released, target):
                    since[number % window] = now
                released = max(released, target)
            if released == self.acknowledged:
                return latencies
            release_bytes = released * size
            blocked = False
            while sent_bytes < release_bytes and not blocked:
                position = sent_bytes % ring_bytes
                end = min(ring_bytes, position + release_bytes - sent_bytes)
                try:
                    sent_bytes += send(view[position:end], socket.MSG_DONTWAIT)
                except BlockingIOError:
                    blocked = True
            if blocked and not poller.poll()[0][1] & select.POLLIN:
                continue
            count = receive(answer[held:])
            if not count:
                raise LoadError("the server closed the connection")
            now = clock()
            held = self.count_answers(answer, held + count, since, now, latencies)

    def count_answers(
        self, view: memoryview, held: int, since: list[int], now: int, latencies: "array[int]"
    ) -> int:
        """Check every whole answer in `view`; returns the bytes of the incomplete rest."""
        layout = self.frames.answer
        size, count, window = layout.size, self.frames.frame_count, self.in_flight
        records = self.frames.ring.record_count
        acknowledged = self.acknowledged
        position = 0
        while held - position >= size:
            correlation, error, base_offset = layout.unpack_from(view, position)
            if error or correlation != acknowledged % count:
                raise produce_failure(view[position:], self.topic)
            if base_offset != acknowledged * records:
                raise LoadError(f"base offset {base_offset}, {acknowledged * records} expected")
            latencies.append(now - since[acknowledged % window])
            acknowledged += 1
            position += size
        self.acknowledged = acknowledged
        view[: held - position] = view[position:held]
        return held - position


def produce_many(producers: list[Producer], deadline_ns: int) -> "array[int]":
    """Closed loop over many connections, one request in flight on each; latencies in ns."""
    poller = select.epoll()
    by_descriptor = {}
    latencies = array("q")
    since = {}
    for one in producers:
        poller.register(one.link, select.EPOLLIN)
        by_descriptor[one.link.fileno()] = one
    for descriptor, one in by_descriptor.items():
        since[descriptor] = [clock()]
        send_next(one)
    answer = memoryview(bytearray(ANSWER_BUFFER_BYTES))
    running = len(producers)
    while running:
        for descriptor, _ in poller.poll():
            one = by_descriptor[descriptor]
            size = one.link.recv_into(answer)
            now = clock()
            before = one.acknowledged
            one.count_answers(answer, size, since[descriptor], now, latencies)
            if one.acknowledged != before + 1:
                raise produce_failure(answer, one.topic)
            if now < deadline_ns:
                since[descriptor][0] = now
                send_next(one)
            else:
                running -= 1
    poller.close()
    return latencies


def send_next(one: Producer) -> None:
    """Send the producer's next request whole; it is small."""
    position = one.acknowledged % one.frames.frame_count * one.frames.frame_bytes
    one.link.sendall(one.frames.view[position : position + one.frames.frame_bytes])


class Fetcher:
    """One connection that reads one partition from the start, again and again, pipelined."""

    def __init__(
        self, link: socket.socket, topic: str, frames: Frames, end_offset: int, in_flight: int
    ) -> None:
        """Every fetch asks for exactly one batch of the ring; the partition holds whole batches."""
        self.link = link
        self.ring = frames.ring
        self.request = FetchFrame(topic, max_bytes=frames.ring.batch_bytes)
        self.batches = end_offset // frames.ring.record_count
        self.in_flight = in_flight
        self.received = 0
        """Batches that came back whole and were checked."""
        self._answer = memoryview(bytearray(frames.ring.batch_bytes + 1024))
        self._answer_bytes = 0

    def run(self, requests_max: int, deadline_ns: int) -> "array[int]":
        """Fetch until `requests_max` more batches or the deadline; returns latencies in ns."""
        stop = self.received + requests_max
        released = self.received
        latencies = array("q")
        since = [0] * self.in_flight
        records = self.ring.record_count
        now = clock()
        while True:
            if now < deadline_ns:
                target = min(self.received + self.in_flight, stop)
                while released < target:
                    offset = released % self.batches * records
                    self.link.sendall(self.request.at(offset))
                    since[released % self.in_flight] = now
                    released += 1
            if released == self.received:
                return latencies
            view = self._receive()
            now = clock()
            latencies.append(now - since[self.received % self.in_flight])
            offset = self.received % self.batches * records
            bytes_ = self.request.records(view)
            if check(bytes_, offset, self.ring) != offset + records:
                raise LoadError(f"fetch at {offset}: not exactly one batch")
            self.received += 1

    def _receive(self) -> memoryview:
        """One whole answer: one system call when its size is as the last one's."""
        view = self._answer
        wanted = self._answer_bytes or SIZE.size
        held = self.link.recv_into(view[:wanted], 0, socket.MSG_WAITALL)
        if held < wanted:
            raise LoadError("the server closed the connection")
        size = SIZE.unpack_from(view)[0] + SIZE.size
        if not self._answer_bytes:
            if size > len(view):
                raise LoadError(f"fetch: an answer of {size} bytes to one batch")
            self.link.recv_into(view[wanted:size], 0, socket.MSG_WAITALL)
            self._answer_bytes = size
        elif size != wanted:
            raise LoadError(f"fetch: an answer of {size} bytes after ones of {wanted}")
        return view[:size]


def replay(link: socket.socket, topic: str, frames: Frames, partition: int, start: int = 0) -> int:
    """Read a partition from `start` to its end and check everything; returns the end offset.

    The correctness half of every run, outside its clock.
    """
    request = FetchFrame(topic, partition, max_bytes=max(1 << 20, frames.ring.batch_bytes))
    offset = start
    buffer = memoryview(bytearray((1 << 20) + frames.ring.batch_bytes + 1024))
    while True:
        link.sendall(request.at(offset))
        link.recv_into(buffer[:4], 0, socket.MSG_WAITALL)
        (size,) = SIZE.unpack_from(buffer)
        if link.recv_into(buffer[4 : size + 4], 0, socket.MSG_WAITALL) < size:
            raise LoadError("the server closed the connection")
        view = request.records(buffer[: size + 4])
        if not len(view):
            return offset
        whole = len(view) - len(view) % frames.ring.batch_bytes
        offset = check(view[:whole], offset, frames.ring)
