"""A stream at a fixed rate: when each record is due, and how late its delivery was.

Record n is due at start + n / rate. Its latency counts from then until the server has acknowledged
it, so batching, lingering, a stall of the server and a stall of this program are all in it. Records
are handed to the producer in short ticks; the host is sampled ten times a second.
"""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import ceil

from logserver.client import Delivery, Producer
from tools.telemetry.devices import Fleet, Record
from tools.telemetry.host import Host

TICK_S = 0.002
SAMPLE_INTERVAL_S = 0.1


class Stream:
    """`rate` records a second of a fleet, through a producer; `note` sees each as it is sent."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        fleet: Fleet,
        host: Host,
        rate: float,
        note: Callable[[Record], None] = lambda _: None,
        clock: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is sent before `run`; `clock` tells monotonic ns."""
        self.producer = producer
        self.topic = topic
        self.fleet = fleet
        self.host = host
        self.rate = rate
        self.note = note
        self.clock = clock
        self.sleep = sleep
        self.sent_count = 0
        self.stopping = False
        """Set it from a signal handler: `run` then ends at its next tick, between two records."""
        self.failed: list[Exception] = []
        self.host_percent = 0.0
        """How busy the host was at the last sample."""
        self.latencies_ns = array("q")
        """Due to acknowledged, one per delivered record."""

    def run(self, seconds: float) -> Iterator[float]:
        """Send for so long; yields the seconds passed, about ten times a second.

        Leaving the loop early stops the stream. A rate that the server cannot take slows the
        stream down (the producer's buffer fills), and the latencies say so.
        """
        self.fleet.observe(self.host.sample())
        start = self.clock()
        last_sample = 0.0
        while True:
            elapsed = (self.clock() - start) / 1e9
            self._send_due(start, elapsed, seconds)
            if elapsed >= seconds or self.stopping:
                return
            if elapsed - last_sample >= SAMPLE_INTERVAL_S:
                last_sample = elapsed
                samples = self.host.sample()
                self.host_percent = samples["cpu"]["busy_percent"]
                self.fleet.observe(samples)
                yield elapsed
            self.sleep(TICK_S)

    def _send_due(self, start: int, elapsed: float, seconds: float) -> None:
        interval = 1e9 / self.rate
        due_count = int(elapsed * self.rate) + 1
        if elapsed >= seconds:
            due_count = int(seconds * self.rate)
        now_ms = time.time_ns() // 1_000_000
        send, record_of, note = self.producer.send, self.fleet.record, self.note
        for number in range(self.sent_count, due_count):
            record = record_of(now_ms)
            note(record)
            done = partial(self._delivered, start + int(number * interval))
            send(self.topic, record.value, key=record.key, timestamp_ms=now_ms, on_delivery=done)
        self.sent_count = max(self.sent_count, due_count)

    def _delivered(self, due_ns: int, delivery: Delivery) -> None:
        if delivery.error is not None:
            self.failed.append(delivery.error)
        else:
            self.latencies_ns.append(self.clock() - due_ns)

    def percentile_ms(self, percent: float) -> float:
        """A latency percentile over all delivered records (nearest rank)."""
        return nearest_rank(sorted(self.latencies_ns), percent) / 1e6

    def recent_ms(self, percent: float, count: int = 5_000) -> float:
        """The same over the last `count` records."""
        return nearest_rank(sorted(self.latencies_ns[-count:]), percent) / 1e6


def nearest_rank(ordered: Sequence[int], percent: float) -> int:
    """The smallest value with `percent` of the values at or below it; 0 without values."""
    return ordered[max(0, ceil(len(ordered) * percent / 100 - 1e-9) - 1)] if ordered else 0
