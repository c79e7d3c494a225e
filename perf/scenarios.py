"""The runs: what is sent, how, for how long, and what is written down.

A run creates a topic, warms up on it, measures, reads everything back and checks it, deletes the
topic, and leaves a machine without dirty pages. The reading back is outside the clock. Sizes are
batches that hold as many 1 KB records as fit; MB and GB are decimal; a request is one Produce with
acks=all, or one Fetch.

The rows that name a run and its size are in `catalogue`.
"""

import contextlib
import time
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from math import inf
from time import perf_counter_ns as clock
from typing import NamedTuple

from perf.batches import LoadError, Ring, records_that_fit, ring
from perf.closed_loop import NO_DEADLINE, Fetcher, Producer, produce_many, replay
from perf.control import Control, connect, control
from perf.histogram import summary_us
from perf.machine import Sample, sample, settle, usage
from perf.open_loop import Consumer, Load, Schedule
from perf.servers import RELAXED, Server
from perf.wire import PRODUCE, produce_frames

KIB = 1024
RING_BYTES = 4 << 20
NO_LIMIT = 1 << 60
TOPIC = "perf"
DELETE_DELAY_S = 0.3


class Plan(NamedTuple):
    """How long and how much; `quick` shrinks it."""

    seconds: float = 3.0
    warm_s: float = 0.5
    bytes_max: int = 2_000_000_000
    """A run ends there at the latest: below the kernel's limit for dirty pages on a machine with
    16 GB, so that the disk does not decide."""
    log_gb: int = 10
    starts: int = 5
    quiet_wait_s: float = 5.0
    retry_until_s: float = inf
    """On the monotonic clock: void pairs are run again before, not after."""


QUICK = Plan(seconds=1.0, warm_s=0.2, bytes_max=500_000_000, log_gb=1, starts=1, quiet_wait_s=0)


class Measured(NamedTuple):
    """One run: figures by name, and latencies in ns by what they measure."""

    figures: dict[str, float]
    latencies: dict[str, "array[int]"]


class Bench(NamedTuple):
    """What a run gets: the server under load, the plan, and the rate for fixed-rate runs."""

    server: Server
    plan: Plan
    half_rate: float = 5000.0


Run = Callable[[Bench], Measured]


@cache
def ring_of(batch_bytes: int) -> Ring:
    """The ring of batches of this size (1 KiB: one record); built once per process."""
    records = 1 if batch_bytes <= KIB else records_that_fit(batch_bytes)
    return ring(records, max(4, RING_BYTES // batch_bytes), int(time.time() * 1000))


@contextlib.contextmanager
def topic_for(
    bench: Bench, configs: dict[str, str], partitions: int = 1
) -> Iterator[tuple[Control, str]]:
    """A topic that lives as long as the run; afterwards its bytes are gone and the disk is idle."""
    topic = f"{TOPIC}-{time.time_ns() % 10**12:012d}"
    with control(bench.server.address) as link:
        settle()
        link.create_topic(topic, partitions, configs)
        yield link, topic
        link.delete_topic(topic)
        time.sleep(DELETE_DELAY_S)
        settle()


def costs(before: Sample, after: Sample, requests: int, bytes_: int) -> dict[str, float]:
    """CPU figures of a measured stretch."""
    used = usage(before, after)
    elapsed, server = used["elapsed_s"], used["server_cpu_s"]
    return {
        "requests": requests,
        "bytes": bytes_,
        "server_cpu_us_per_request": server / requests * 1e6,
        "server_cpu_s_per_gb": server / bytes_ * 1e9,
        "machine_cpu_s_per_gb": used["machine_cpu_s"] / bytes_ * 1e9,
        "server_cpu_percent": server / elapsed * 100,
        "machine_cpu_percent": used["machine_cpu_s"] / elapsed * 100,
        "generator_cpu_percent": used["generator_cpu_s"] / elapsed * 100,
        "foreign_cpu_percent": used["foreign_cpu_percent"],
        "steal_percent": used["steal_percent"],
    }


def rates(requests: int, elapsed_ns: int, source: Ring) -> dict[str, float]:
    """Requests, messages and megabytes a second."""
    per_s = requests / elapsed_ns * 1e9
    return {
        "requests_per_s": per_s,
        "messages_per_s": per_s * source.record_count,
        "mb_per_s": per_s * source.batch_bytes / 1e6,
    }


def closed(
    bench: Bench, source: Ring, step: Callable[[int], "array[int]"], requests_max: int
) -> Measured:
    """Warm up, then measure `step(deadline_ns)`, a closed loop that returns latencies."""
    pids = bench.server.pids()
    step(clock() + int(bench.plan.warm_s * 1e9))
    before, began = sample(pids), clock()
    latencies = step(began + int(bench.plan.seconds * 1e9))
    elapsed, after = clock() - began, sample(pids)
    count = len(latencies)
    if count == 0 or count > requests_max:
        raise LoadError(f"{count} requests measured")
    figures = rates(count, elapsed, source) | summary_us(latencies)
    figures |= costs(before, after, count, count * source.batch_bytes)
    return Measured(figures, {"latency": latencies})


def produce(batch_bytes: int, in_flight: int, configs: dict[str, str]) -> Run:
    """One connection, `in_flight` Produce requests, everything read back afterwards."""

    def run(bench: Bench) -> Measured:
        source = ring_of(batch_bytes)
        requests_max = bench.plan.bytes_max // source.batch_bytes
        with topic_for(bench, configs) as (link, topic):
            frames = produce_frames(source, topic)
            with connect(bench.server.address) as wire:
                load = Producer(wire, frames, topic, in_flight)
                found = closed(bench, source, lambda at: load.run(requests_max, at), requests_max)
                end = load.acknowledged * source.record_count
                if link.end_offset(topic) != end:
                    raise LoadError(f"{end} records acknowledged, not so many are there")
                if replay(wire, topic, frames, 0) != end:
                    raise LoadError("the replay ended early")
        return found

    return run


def fetch(batch_bytes: int, in_flight: int) -> Run:
    """Replay from page cache: one connection, `in_flight` fetches of one batch each."""

    def run(bench: Bench) -> Measured:
        source = ring_of(batch_bytes)
        with topic_for(bench, RELAXED) as (_, topic), connect(bench.server.address) as wire:
            frames = produce_frames(source, topic)
            load = Producer(wire, frames, topic, 4)
            load.run(bench.plan.bytes_max // 2 // source.batch_bytes, NO_DEADLINE)
            end = load.acknowledged * source.record_count
            reader = Fetcher(wire, topic, frames, end, in_flight)
            return closed(bench, source, lambda at: reader.run(NO_LIMIT, at), NO_LIMIT)

    return run


def produce_wide(connections: int) -> Run:
    """Many connections, one request of 1 KB in flight on each, each with its own partition."""

    def run(bench: Bench) -> Measured:
        source = ring_of(KIB)
        address = bench.server.address
        with topic_for(bench, RELAXED, connections) as (link, topic), contextlib.ExitStack() as own:
            loads = [
                Producer(
                    own.enter_context(connect(address)),
                    produce_frames(source, topic, partition), topic, 1,
                )
                for partition in range(connections)
            ]  # fmt: skip
            found = closed(bench, source, lambda at: produce_many(loads, at), NO_LIMIT)
            for partition, load in enumerate(loads):
                replayed = replay(load.link, topic, load.frames, partition)
                if not replayed == link.end_offset(topic, partition) == load.acknowledged:
                    raise LoadError(f"partition {partition}: {replayed} of {load.acknowledged}")
        return found

    return run


def stream(
    rate: Callable[[Bench], float], batch_bytes: int, consumers: int, configs: dict[str, str]
) -> Run:
    """Open loop: produce on a schedule, `consumers` tail the partition and check every message."""

    def run(bench: Bench) -> Measured:
        source = ring_of(batch_bytes)
        schedule = Schedule.of(rate(bench), bench.plan.seconds, bench.plan.warm_s)
        with topic_for(bench, configs) as (_, topic), contextlib.ExitStack() as own:
            links = [own.enter_context(connect(bench.server.address)) for _ in range(consumers + 1)]
            frames = produce_frames(source, topic)
            tails = [Consumer(link, topic, frames) for link in links[1:]]
            pids = bench.server.pids()
            at_warm: list[Sample] = []
            load = Load(links[0], frames, topic, tails)
            outcome = load.run(schedule, lambda: at_warm.append(sample(pids)))
            after = sample(pids)
        count = outcome.done_count - schedule.warm_count
        if count <= 0:
            raise LoadError(f"{schedule.per_s:.0f} a second: nothing was delivered")
        figures = rates(count, outcome.elapsed_ns, source) | summary_us(outcome.deliver)
        figures |= costs(at_warm[0], after, count, count * source.batch_bytes)
        figures["rate_percent"] = figures["requests_per_s"] / schedule.per_s * 100
        figures["delivered_mb_per_s"] = figures["mb_per_s"] * consumers
        for name, latencies in (("produce", outcome.produce), ("delay", outcome.delay)):
            figures |= {f"{name}_{key}": us for key, us in summary_us(latencies).items()}
        return Measured(figures, {"latency": outcome.deliver, "produce": outcome.produce})

    return run


class Scenario(NamedTuple):
    """A name, a sentence, a run, and the key of an API it cannot do without."""

    name: str
    title: str
    run: Run
    api: int = PRODUCE


def fixed(per_s: float) -> Callable[[Bench], float]:
    """The same rate everywhere."""
    return lambda _: per_s


def half(bench: Bench) -> float:
    """Half of what the other side can do at most."""
    return bench.half_rate
