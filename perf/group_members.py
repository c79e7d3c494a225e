"""A consumer group of Apache Kafka's own Java client, under load: what a group delivers, and when.

Four members in one JVM share sixteen partitions (`java/GroupMembers.java`, compiled by the JVM that
runs it). Throughput: once every partition has its owner, all partitions are written as fast as the
server takes 64 KB batches, and the clock stops when the members have seen every record: megabytes a
second from producer to group. Latency: 1 KB records on a schedule, from the instant one is due to
its return from `poll`. Every offset must come once and in order.

The JVM's share of two cores is the same on both sides; what is left tells the servers apart.
"""

import select
import socket
import subprocess
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter_ns as clock

from perf.batches import LoadError
from perf.closed_loop import Producer, produce_many
from perf.control import connect
from perf.figures import Figures
from perf.histogram import summary_us
from perf.machine import cpu_s, sample, tree
from perf.open_loop import SPIN_NS, Schedule, precise_timers
from perf.scenarios import KIB, Bench, Measured, Run, costs, rates, ring_of, topic_for
from perf.servers import RELAXED, install_kafka
from perf.wire import Frames, produce_failure, produce_frames

SOURCE = Path(__file__).parent / "java" / "GroupMembers.java"
PARTITIONS = 16
MEMBERS = 4
HEAP = ["-Xms512m", "-Xmx512m"]
PER_S = 4000.0


class Members:
    """The JVM with the group; `send` gives it a line, `hear` waits for one."""

    def __init__(self, bench: Bench, topic: str, protocol: str, latencies: Path) -> None:
        libraries = install_kafka()
        host, port = bench.server.address
        group = f"perf-{time.time_ns() % 10**12:012d}"
        words = [
            "java", *HEAP, "-cp", f"{libraries}/*", str(SOURCE), f"{host}:{port}", topic,
            str(PARTITIONS), group, protocol, str(MEMBERS), str(latencies),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.cpu_before_s = 0.0
        self.cpu_after_s = 0.0

    def note_cpu(self) -> None:
        """The load begins: what the JVM has used until now was its start."""
        self.cpu_before_s = cpu_s(tree(self.process.pid))

    def send(self, line: str) -> None:
        """One line of input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self, word: str) -> list[str]:
        """The words of the line that begins with `word`. LoadError: another came, or none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        self.cpu_after_s = cpu_s(tree(self.process.pid))
        if not line.startswith(word):
            raise LoadError(f"the group members said {line or 'nothing'!r}, not {word!r}")
        return line.split()[1:]


@contextmanager
def members(bench: Bench, topic: str, protocol: str, latencies: Path) -> Iterator[Members]:
    """A group whose members have their partitions; ended with the block."""
    found = Members(bench, topic, protocol, latencies)
    try:
        found.hear("assigned")
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def group_throughput(protocol: str) -> Run:
    """Sixteen partitions written as fast as they are taken, read by four members."""

    def run(bench: Bench) -> Measured:
        source = ring_of(64 * KIB)
        with (
            tempfile.TemporaryDirectory() as place,
            topic_for(bench, RELAXED, PARTITIONS) as (_, topic),
            members(bench, topic, protocol, Path(place) / "latencies") as group,
            ExitStack() as own,
        ):
            loads = [
                Producer(
                    own.enter_context(connect(bench.server.address)),
                    produce_frames(source, topic, partition), topic, 1,
                )
                for partition in range(PARTITIONS)
            ]  # fmt: skip
            group.send("0 0 0")
            group.note_cpu()
            pids = bench.server.pids()
            before, began = sample(pids), clock()
            latencies = produce_many(loads, began + int(bench.plan.seconds * 1e9))
            batches = sum(load.acknowledged for load in loads)
            group.send(str(batches * source.record_count))
            last_ns, records, _ = (int(word) for word in group.hear("done"))
            after = sample(pids)
        if records != batches * source.record_count:
            raise LoadError(f"{batches * source.record_count} records written, {records} came")
        figures = rates(batches, last_ns - began, source) | summary_us(latencies)
        figures |= costs(before, after, batches, batches * source.batch_bytes)
        own_up(figures, group, last_ns - began)
        return Measured(figures, {})

    return run


def group_latency(protocol: str) -> Run:
    """A fixed rate of 1 KB records over sixteen partitions, read by four members."""

    def run(bench: Bench) -> Measured:
        source = ring_of(KIB)
        schedule = Schedule.of(PER_S, bench.plan.seconds, max(1.0, bench.plan.warm_s))
        with (
            tempfile.TemporaryDirectory() as place,
            topic_for(bench, RELAXED, PARTITIONS) as (_, topic),
            connect(bench.server.address) as link,
            members(bench, topic, protocol, Path(place) / "latencies") as group,
        ):
            ring = [produce_frames(source, topic, partition) for partition in range(PARTITIONS)]
            start = clock() + 50_000_000
            interval = round(1e9 / schedule.per_s)
            group.send(f"{start} {interval} {schedule.warm_count}")
            group.send(str(schedule.send_count))
            group.note_cpu()
            pids = bench.server.pids()
            before = sample(pids)
            send_on_schedule(link, ring, start, interval, schedule.send_count)
            last_ns, _, _ = (int(word) for word in group.hear("done"))
            after = sample(pids)
            found = array("q", (Path(place) / "latencies").read_bytes())
            found.byteswap()
        count = schedule.send_count
        figures = rates(count, last_ns - start, source) | summary_us(found)
        figures |= costs(before, after, count, count * source.batch_bytes)
        own_up(figures, group, last_ns - start)
        return Measured(figures, {"latency": found})

    return run


def own_up(figures: Figures, group: Members, elapsed_ns: int) -> None:
    """The JVM is a part of the load here, not a stranger: take it out of what strangers used."""
    used_s = group.cpu_after_s - group.cpu_before_s
    figures["members_cpu_percent"] = used_s / elapsed_ns * 1e11
    others = figures["foreign_cpu_percent"] - figures["members_cpu_percent"]
    figures["foreign_cpu_percent"] = max(0.0, others)


def send_on_schedule(
    link: socket.socket, ring: list[Frames], start: int, interval: int, count: int
) -> None:
    """Send message n at start + n * interval (ns) to partition n % len(ring); wait for answers."""
    precise_timers()
    requests = [one.view[: one.frame_bytes] for one in ring]
    layout = ring[0].answer
    answer = memoryview(bytearray(1 << 16))
    sent = answered = held = 0
    while answered < count:
        now = clock()
        due = min(count, (now - start) // interval + 1)
        while sent < due:
            link.sendall(requests[sent % len(requests)])
            sent += 1
        wait = start + sent * interval - clock() if sent < count else 100_000_000
        if not select.select([link], [], [], max(0, wait - SPIN_NS) / 1e9)[0]:
            continue
        held += link.recv_into(answer[held:])
        position = 0
        while held - position >= layout.size:
            if layout.unpack_from(answer, position)[1]:
                raise produce_failure(answer[position:], "the group's topic")
            answered += 1
            position += layout.size
        answer[: held - position] = answer[position:held]
        held -= position
