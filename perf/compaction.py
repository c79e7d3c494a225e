"""Compaction: how fast a log of superseded records is cleaned, and what others feel of it.

A compacted topic is filled while it may not be compacted yet (`min.compaction.lag.ms`): 1 KB values
under 16-byte keys, uncompressed, every key twice, so that half of the records are superseded. Then
it is allowed, and the clock runs until the log on the disk has shrunk to what must remain. A second
such topic is compacted while a producer and a consumer of another topic go on at a fixed rate:
their P99 meanwhile is compared with their P99 before.

The rate counts every byte of the log once, also if the cleaner reads it twice.
"""

import os
import random
import struct
import time
from contextlib import ExitStack
from time import perf_counter_ns as clock

from fastcrc.crc32 import iscsi as crc32c

from perf.batches import COVERED_POSITION, CRC_POSITION, HEADER, HEADER_BYTES, LoadError, varint
from perf.control import Control, connect
from perf.histogram import percentile, summary_us
from perf.machine import Sample, sample
from perf.open_loop import Consumer, Load, Outcome, Schedule
from perf.scenarios import KIB, Bench, Measured, Run, costs, ring_of, topic_for
from perf.servers import RELAXED
from perf.wire import produce_answer, produce_failure, produce_frames, produce_request

RECORDS_PER_BATCH = 60
VALUE_BYTES = 1024
LOG_BYTES = 400_000_000
SEGMENT_BYTES = 50_000_000
PER_S = 4000.0
NOT_YET_MS = str(2**62)
WAIT_S = 120.0
LEFT_SHARE_MAX = 0.62
"""Half of the records stay, and the active segment, which is never compacted."""

CONFIGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    "min.compaction.lag.ms": NOT_YET_MS,
    "min.cleanable.dirty.ratio": "0.01",
} | RELAXED


class KeyedRecords:
    """Batches of one size whose records have keys; key n is n in 16 digits."""

    def __init__(self) -> None:
        value = random.Random(1).randbytes(VALUE_BYTES)
        tail = varint(VALUE_BYTES) + value + b"\0"
        self._heads = []
        for delta in range(RECORDS_PER_BATCH):
            body = b"\0\0" + varint(delta) + varint(16)
            self._heads.append(varint(len(body) + 16 + len(tail)) + body)
        self._tail = tail

    def batch(self, first_key: int, timestamp_ms: int) -> bytes:
        """One batch with the keys from `first_key` on."""
        parts = []
        for delta, head in enumerate(self._heads):
            parts += [head, b"%016d" % (first_key + delta), self._tail]
        records = b"".join(parts)
        head = HEADER.pack(
            0, HEADER_BYTES - 12 + len(records), -1, 2, 0, 0, RECORDS_PER_BATCH - 1,
            timestamp_ms, timestamp_ms, -1, -1, -1, RECORDS_PER_BATCH,
        )  # fmt: skip
        out = bytearray(head + records)
        struct.pack_into(">I", out, CRC_POSITION, crc32c(bytes(out[COVERED_POSITION:])))
        return bytes(out)


def fill(bench: Bench, topic: str) -> int:
    """Write every key twice; returns the bytes of the log."""
    keyed = KeyedRecords()
    now_ms = int(time.time() * 1000)
    batches = LOG_BYTES // (RECORDS_PER_BATCH * (VALUE_BYTES + 24)) // 2
    size, layout = 0, produce_answer(topic)
    with connect(bench.server.address) as link:
        for number in range(2 * batches):
            one = keyed.batch(number % batches * RECORDS_PER_BATCH, now_ms)
            link.sendall(produce_request(topic, 0, number, one))
            size += len(one)
            answer = link.recv(1 << 16)
            if layout.unpack_from(answer)[1]:
                raise produce_failure(memoryview(answer), topic)
    return size


def compacted(link: Control, topic: str, size: int) -> None:
    """Wait until the log has shrunk to what must remain."""
    deadline = time.monotonic() + WAIT_S
    while link.size_bytes(topic) > size * LEFT_SHARE_MAX:
        if time.monotonic() > deadline:
            raise LoadError(f"{topic} is not compacted after {WAIT_S:g} s")
        time.sleep(0.01)


def stream(bench: Bench, topic: str, seconds: float, held: int) -> tuple[Outcome, int, Sample]:
    """Producer and consumer at a fixed rate behind `held` batches; the new count of batches."""
    source = ring_of(KIB)
    frames = produce_frames(source, topic)
    schedule = Schedule.of(PER_S, seconds, 0.5)
    samples: list[Sample] = []
    with connect(bench.server.address) as one, connect(bench.server.address) as other:
        tail = Consumer(other, topic, frames, held)
        load = Load(one, frames, topic, [tail], held)
        outcome = load.run(schedule, lambda: samples.append(sample(bench.server.pids())))
    if outcome.done_count != schedule.send_count:
        raise LoadError(f"{outcome.done_count} of {schedule.send_count} were delivered")
    return outcome, held + schedule.send_count, samples[0]


def compaction() -> Run:
    """Both measurements; `latency` is what others felt meanwhile."""

    def run(bench: Bench) -> Measured:
        seconds = bench.plan.seconds
        with ExitStack() as own:
            link, alone = own.enter_context(topic_for(bench, CONFIGS))
            size = fill(bench, alone)
            os.sync()
            began = clock()
            link.alter_topic(alone, "min.compaction.lag.ms", "0")
            compacted(link, alone, size)
            took = clock() - began
            _, beside = own.enter_context(topic_for(bench, CONFIGS))
            _, other = own.enter_context(topic_for(bench, RELAXED))
            fill(bench, beside)
            os.sync()
            quiet, held, _ = stream(bench, other, seconds, 0)
            link.alter_topic(beside, "min.compaction.lag.ms", "0")
            busy, _, before = stream(bench, other, seconds, held)
            after = sample(bench.server.pids())
            compacted(link, beside, size)
        figures = {"requests_per_s": PER_S, "mb_per_s": size / took * 1e3, "s_per_gb": took / size}
        figures |= summary_us(busy.deliver)
        figures |= costs(before, after, len(busy.deliver), size)
        before_ns, meanwhile_ns = (percentile(sorted(one.deliver), 99) for one in (quiet, busy))
        figures["p99_quiet_us"] = before_ns / 1e3
        figures["p99_times"] = meanwhile_ns / before_ns
        return Measured(figures, {"latency": busy.deliver})

    return run
