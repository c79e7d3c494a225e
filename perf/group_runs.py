"""Groups seen from the broker: how long a hundred members take to settle, and what a commit costs.

Join: a hundred members on a hundred connections, all at once, one thread for all of them. The clock
runs from the first request until every member has exactly its share. Members look every 50 ms
whether something changed (clients of Kafka look every 3 s or 5 s; that would measure their patience
and not the broker), and confirm at once.

Commits: OffsetCommits on a schedule over fifty groups; the latency counts from the instant a commit
was due. What the disk itself needs for a sync is measured beside it, right after the load.
"""

import os
import select
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from time import perf_counter_ns as clock

from perf.batches import LoadError
from perf.control import Control, connect, text
from perf.group_requests import (
    DESCRIBE_GROUPS,
    FIND_COORDINATOR,
    ClassicMember,
    ConsumerMember,
    offset_commit,
    offset_commit_error,
)
from perf.histogram import percentile, summary_us
from perf.machine import anonymous_bytes, sample
from perf.open_loop import SPIN_NS, Schedule, precise_timers
from perf.scenarios import Bench, Measured, Run, costs, topic_for
from perf.servers import DURABLE
from perf.wire import SIZE

LOOK_NS = 50_000_000
GIVE_UP_NS = 30_000_000_000
REPEATS = 3
GROUPS = 50
CONNECTIONS = 10
PARTITIONS = 16
SYNC_PROBES = 500
P99_FLOOR_US = 10_000
READY_TIMEOUT_S = 60

Member = ClassicMember | ConsumerMember


def new_group(link: Control) -> str:
    """A group that nobody knows yet, and its coordinator is ready."""
    group = f"perf-{time.time_ns() % 10**12:012d}"
    deadline = time.monotonic() + READY_TIMEOUT_S
    for key, version, body in (
        (FIND_COORDINATOR, 1, text(group) + b"\0"),
        (DESCRIBE_GROUPS, 0, struct.pack(">i", 1) + text(group)),  # found, it may still be loading
    ):
        while code := link.ask(key, version, body).take("ih")[1]:
            if time.monotonic() > deadline:
                raise LoadError(f"no coordinator after {READY_TIMEOUT_S} s: error {code}")
            time.sleep(0.01)
    return group


def join(kind: type[ClassicMember] | type[ConsumerMember], size: int) -> Run:
    """`size` members join at once; a latency sample is the time until all of them are settled."""

    def run(bench: Bench) -> Measured:
        taken = array("q")
        with topic_for(bench, {}, size) as (link, topic):
            pids = bench.server.pids()
            before = sample(pids)
            for _ in range(REPEATS):
                group = new_group(link)
                with ExitStack() as own:
                    links = [own.enter_context(connect(bench.server.address)) for _ in range(size)]
                    members = {one.fileno(): (one, kind(group, topic, size)) for one in links}
                    taken.append(settle_members(members))
            after = sample(pids)
        per_s = size * REPEATS / sum(taken) * 1e9
        figures = {"requests_per_s": per_s, "mb_per_s": 0.0} | summary_us(taken)
        return Measured(figures | costs(before, after, size * REPEATS, 1), {"latency": taken})

    return run


def crowd(groups: int, size: int) -> Run:
    """Many classic groups of `size` members stay; what they cost in anonymous memory."""

    def run(bench: Bench) -> Measured:
        taken = array("q")
        with topic_for(bench, {}, size) as (link, topic), ExitStack() as own:
            pids = bench.server.pids()
            idle_mb = anonymous_bytes(pids) / 1e6
            links = [own.enter_context(connect(bench.server.address)) for _ in range(size)]
            before, began = sample(pids), clock()
            for _ in range(groups):
                group = new_group(link)
                members = {one.fileno(): (one, ClassicMember(group, topic, size)) for one in links}
                taken.append(settle_members(members))
            elapsed, after = clock() - began, sample(pids)
            held_mb = anonymous_bytes(pids) / 1e6
        figures = {"requests_per_s": groups / elapsed * 1e9, "mb_per_s": 0.0} | summary_us(taken)
        figures |= costs(before, after, groups, 1)
        figures |= {"anonymous_mb": held_mb, "anonymous_grown_mb": held_mb - idle_mb}
        return Measured(figures, {"latency": taken})

    return run


def settle_members(members: Mapping[int, tuple[socket.socket, Member]]) -> int:
    """Let all members join and look for changes until each has its share; returns ns."""
    poller = select.epoll()
    held = dict.fromkeys(members, b"")
    looks: deque[tuple[int, int]] = deque()
    began = clock()
    for fd, (link, member) in members.items():
        poller.register(fd, select.EPOLLIN)
        link.sendall(member.request())
    while True:
        now = clock()
        if now - began > GIVE_UP_NS:
            unsettled = sum(not member.settled for _, member in members.values())
            raise LoadError(f"{unsettled} members are not settled after {GIVE_UP_NS // 10**9} s")
        while looks and looks[0][0] <= now:
            link, member = members[looks.popleft()[1]]
            link.sendall(member.request())
        wait = (looks[0][0] - now) / 1e9 if looks else 1.0
        for fd, _ in poller.poll(wait):
            link, member = members[fd]
            held[fd] += link.recv(1 << 16)
            if len(held[fd]) < 4 or len(held[fd]) < 4 + SIZE.unpack_from(held[fd])[0]:
                continue
            data, held[fd] = held[fd][4:], b""
            if member.take(data):
                link.sendall(member.request())
            else:
                looks.append((clock() + LOOK_NS, fd))
        if settled([member for _, member in members.values()]):
            poller.close()
            return clock() - began


def settled(members: list[Member]) -> bool:
    """Whether every member has its share and nobody else has it."""
    if not all(member.settled for member in members):
        return False
    if isinstance(members[0], ClassicMember):
        generations = {member.generation for member in members if isinstance(member, ClassicMember)}
        known = max(len(m.members) for m in members if isinstance(m, ClassicMember))
        return len(generations) == 1 and known == len(members)
    owned = {
        i for member in members if isinstance(member, ConsumerMember) for i in member.partitions
    }
    return len(owned) == len(members)


def commits(per_s: float) -> Run:
    """OffsetCommits on a schedule, one partition each, over many groups and few connections."""

    def run(bench: Bench) -> Measured:
        schedule = Schedule.of(per_s, bench.plan.seconds, max(1.0, bench.plan.warm_s))
        with topic_for(bench, DURABLE, PARTITIONS) as (link, topic), ExitStack() as own:
            groups = [new_group(link) for _ in range(GROUPS)]
            links = [own.enter_context(connect(bench.server.address)) for _ in range(CONNECTIONS)]
            pids = bench.server.pids()
            before, start = sample(pids), clock() + 20_000_000
            found = send_commits(links, groups, topic, schedule, start)
            elapsed, after = clock() - start, sample(pids)
            sync_us = sync_p99_us(str(bench.server.directory))
        count = schedule.send_count
        figures = {"requests_per_s": count / elapsed * 1e9, "mb_per_s": 0.0} | summary_us(found)
        figures |= costs(before, after, count, 1)
        figures["rate_percent"] = figures["requests_per_s"] / schedule.per_s * 100
        figures["sync_p99_us"] = sync_us
        figures["p99_of_limit"] = figures["p99_us"] / max(P99_FLOOR_US, 3 * sync_us)
        return Measured(figures, {"latency": found})

    return run


def send_commits(
    links: list[socket.socket], groups: list[str], topic: str, schedule: Schedule, start: int
) -> "array[int]":
    """Send commit n when it is due, on connection n % len(links); latencies without the warm-up."""
    precise_timers()
    interval = 1e9 / schedule.per_s
    waiting: dict[socket.socket, deque[int]] = {link: deque() for link in links}
    held = dict.fromkeys(links, b"")
    latencies = array("q")
    sent = answered = 0
    while answered < schedule.send_count:
        now = clock()
        due = min(schedule.send_count, int((now - start) / interval) + 1) if now >= start else 0
        while sent < due:
            link = links[sent % len(links)]
            partition = sent // len(groups) % PARTITIONS
            link.sendall(offset_commit(groups[sent % len(groups)], topic, partition, sent))
            waiting[link].append(sent)
            sent += 1
        wait = start + sent * interval - clock() if sent < schedule.send_count else 1e8
        for link in select.select(links, [], [], max(0, wait - SPIN_NS) / 1e9)[0]:
            data = held[link] + link.recv(1 << 16)
            now, position = clock(), 0
            while len(data) - position >= 4:
                end = position + 4 + SIZE.unpack_from(data, position)[0]
                if end > len(data):
                    break
                code = offset_commit_error(data[position + 4 : end], topic)
                if code:
                    raise LoadError(f"offset commit: error {code}")
                number = waiting[link].popleft()
                answered += 1
                if number >= schedule.warm_count:
                    latencies.append(now - start - int(number * interval))
                position = end
            held[link] = data[position:]
    return latencies


def sync_p99_us(directory: str) -> float:
    """P99 of a 4 KB append with fdatasync on the file system of `directory`."""
    path = f"{directory}/sync-probe"
    taken = array("q")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(SYNC_PROBES):
            began = clock()
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            taken.append(clock() - began)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return percentile(sorted(taken), 99) / 1e3
