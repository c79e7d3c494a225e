"""A server's life: memory after 10 GB in and out, start-up empty, clean and after kill -9.

These need a fresh process and a large log, so they run once a side and apart from the pairs, with
nothing else running. Memory: 1 GB in, the same 1 GB out, ten times, RssAnon of all processes after
each step. Start-up: from spawn to the first answer about the topic. The kill comes while 20 MB/s
are produced durably into the 10 GB partition; afterwards every acknowledged record must be there,
and the end of the log is read back and checked.
"""

import contextlib
import shutil
import sys
import threading
from collections.abc import Callable
from statistics import median

from perf.batches import LoadError
from perf.closed_loop import NO_DEADLINE, Producer, replay
from perf.control import connect, control
from perf.figures import Figures
from perf.machine import anonymous_bytes, settle
from perf.open_loop import Load, Schedule
from perf.scenarios import KIB, Plan, ring_of
from perf.servers import DURABLE, RELAXED, Server
from perf.wire import produce_frames

TOPIC = "perf-life"
BATCH_BYTES = 64 * KIB
DURABLE_MB_PER_S = 20
UNDER_LOAD_S = 2.0
READ_BACK_BYTES = 256_000_000
STEPS = 10

Make = Callable[[], Server]


def lifetime(make: Make, plan: Plan) -> Figures:
    """All figures of one side; `make` gives a server on its own empty directory."""
    figures: Figures = {}
    empty = []
    for _ in range(plan.starts):
        server = make()
        empty.append(server.start())
        server.stop()
        shutil.rmtree(server.directory)
    figures["ready_empty_s"] = median(empty)
    server = make()
    server.start()
    try:
        figures |= memory(server, plan)
        figures["clean_stop_s"] = server.stop()
        clean = []
        for _ in range(plan.starts):
            clean.append(server.start(TOPIC))
            server.stop()
        figures["ready_clean_s"] = median(clean)
        server.start(TOPIC)
        with control(server.address) as link:
            for key, value in DURABLE.items():
                link.alter_topic(TOPIC, key, value)
        killed = [kill_under_load(server) for _ in range(plan.starts)]
        figures["ready_killed_s"] = median(killed)
        figures["ready_killed_max_s"] = max(killed)
    finally:
        server.stop()
        shutil.rmtree(server.directory, ignore_errors=True)
        settle()
    return figures


def memory(server: Server, plan: Plan) -> Figures:
    """Anonymous memory at the start, after each tenth of the log in and out, and its growth."""
    source = ring_of(BATCH_BYTES)
    frames = produce_frames(source, TOPIC)
    levels = [anonymous_bytes(server.pids()) / 1e6]
    requests = plan.log_gb * 10**9 // STEPS // source.batch_bytes
    with control(server.address) as link, connect(server.address) as wire:
        link.create_topic(TOPIC, 1, RELAXED)
        load = Producer(wire, frames, TOPIC, 4)
        for step in range(STEPS):
            start = load.acknowledged * source.record_count
            load.run(requests, NO_DEADLINE)
            end = replay(wire, TOPIC, frames, 0, start)
            if end != load.acknowledged * source.record_count:
                raise LoadError(f"replay ended at {end}")
            levels.append(anonymous_bytes(server.pids()) / 1e6)
            told = f"{server.name} {(step + 1) * plan.log_gb / STEPS:g} GB in and out"
            print(f"{'memory':>18}  : {told}, RssAnon {levels[-1]:.1f} MB", file=sys.stderr)
    return {
        "anonymous_idle_mb": levels[0],
        "anonymous_mb": levels[-1],
        "anonymous_max_mb": max(levels),
        "growth_mb": max(0.0, levels[-1] - levels[STEPS // 2]),
    }


def kill_under_load(server: Server) -> float:
    """kill -9 under durable load, start again, check; returns the seconds to the first answer."""
    source = ring_of(BATCH_BYTES)
    frames = produce_frames(source, TOPIC)
    with control(server.address) as link:
        held = link.end_offset(TOPIC) // source.record_count
    with connect(server.address) as wire:
        load = Load(wire, frames, TOPIC, [], held)
        killer = threading.Timer(UNDER_LOAD_S, server.kill)
        killer.start()
        per_s = DURABLE_MB_PER_S * 1e6 / source.batch_bytes
        with contextlib.suppress(LoadError, OSError):
            load.run(Schedule.of(per_s, UNDER_LOAD_S * 5, 0), lambda: None)
        killer.join()
    ready = server.start(TOPIC)
    acknowledged = (held + load.acknowledged) * source.record_count
    with control(server.address) as link:
        end = link.end_offset(TOPIC)
    if load.acknowledged < per_s or end < acknowledged or end % source.record_count:
        raise LoadError(f"after kill -9: {end} records, {acknowledged} were acknowledged")
    batches = max(0, end // source.record_count - READ_BACK_BYTES // source.batch_bytes)
    with connect(server.address) as wire:
        replay(wire, TOPIC, frames, 0, batches * source.record_count)
    print(f"{'kill -9':>18}  : {server.name} ready in {ready:.2f} s", file=sys.stderr)
    return ready
