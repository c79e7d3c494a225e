"""The server: one loop, one broker, and what follows each turn.

Theory of a turn. The loop calls connections that are readable; each handles its frames and answers
at once, so that its peer works while we serve the next. What concerns others is collected and done
once, as the turn ends: parked fetches are woken, completed answers leave in one send per
connection, and a group commit begins if something is unsynced and none is in flight. Both are
scheduled by `call_soon`, after every readable connection has been served; only a connection that is
`alone`, the one that was served last as well, does them itself: there is nobody to wait for.

Helpers (`helper`): `commit` runs durable group commits and nothing else; `background` runs relaxed
syncs, preallocation, seals, digests and the durable mark, none of which anybody waits for; `reader`
brings cold file ranges into the page cache before they are sent; `codec` decompresses batches for
compacted topics, whose producers wait for it.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from logserver.server.buffers import Buffers
from logserver.server.cleaner import Cleaner
from logserver.server.helper import Helper
from logserver.server.residency import Residency
from logserver.statistics.histogram import Histogram
from logserver.statistics.layout import CLOSE_REASONS
from logwire.messages import load_schemas

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from collections.abc import Callable

    from logserver.broker.broker import Broker
    from logserver.broker.commit import CommitTask
    from logserver.config import BrokerConfig
    from logserver.server.connection import Connection
    from logserver.server.listener import Listener
    from logserver.storage.maintenance import Chore

logger = logging.getLogger(__name__)

BACKGROUND_NICENESS = 10
# A helper that has finished its system call waits at most this long for the interpreter.
SWITCH_INTERVAL_S = 0.0005
TICK_S = 0.1
SLOW_TICK_MS = 1000
NEVER_MS = 2**63
# Whose next request is here so soon after an answer is waited for awake (`Connection._linger`): the
# time it lingers, and what it takes to wake up without.
PROMPT_NS = 75_000
# Connections leave this many descriptors (a quarter, where there are few) to the log: a roll, a
# sync of a directory and the durable mark each open a file, and must not fail because of peers.
RESERVED_DESCRIPTORS = 256


class ServerCounters:
    """Plain integers of the connections, copied to the statistics page."""

    __slots__ = (
        "accepted",
        "breaches",
        "bugs",
        "closed",
        "received_bytes",
        "sent_bytes",
        "sent_file_bytes",
    )

    def __init__(self) -> None:
        self.accepted = 0
        self.breaches = 0
        self.bugs = 0
        self.closed = dict.fromkeys(CLOSE_REASONS, 0)
        self.received_bytes = 0
        self.sent_bytes = 0
        self.sent_file_bytes = 0


class Server:
    """Everything that lives on the loop. Made by `runner`, which also starts and ends it."""

    def __init__(self, config: BrokerConfig, broker: Broker, loop: AbstractEventLoop) -> None:
        self.config = config
        self.broker = broker
        self.loop = loop
        self.counters = ServerCounters()
        self.frame_bytes_max = config.socket_request_max_bytes
        self.replies_max = config.queued_max_requests
        self.buffers = Buffers(config.queued_max_request_bytes)
        self.connections: dict[int, Connection] = {}
        self.listeners: list[Listener] = []
        self.draining = False
        self.ended = False
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.descriptors_max = limit - min(RESERVED_DESCRIPTORS, limit // 4)
        self._per_host: dict[str, int] = {}
        self._touched: list[Connection] = []
        self._commit_scheduled = False
        self._check_scheduled = False
        self._wait_timer: TimerHandle | None = None
        self._wait_due_ms = NEVER_MS
        self._slow_tick_ms = 0
        self._tick_due_s = 0.0
        self.started_ms = self.now_ms()
        self.loop_delay_ns = Histogram()
        self.sync_duration_ns = Histogram()
        self.on_fenced: Callable[[], None] | None = None
        self._retention_ms = self.uptime_ms()
        self.alone = False
        """Whether the connection that is served now is the one that was served before, too."""
        self.prompt = False
        """Whether its request came so soon after the last answer that the next one may, too."""
        self.answered_ns = 0
        # With one core, whoever lingers keeps the peer from working.
        self.prompt_ns = PROMPT_NS if len(os.sched_getaffinity(0)) > 1 else 0
        self._latest: Connection | None = None
        self._turn_scheduled = False
        self._turn_ms = 0
        self.commit_helper = Helper(loop, "commit")
        self.background = Helper(loop, "background", BACKGROUND_NICENESS)
        self.reader = Helper(loop, "reader")
        self.residency = Residency(self.reader)
        self.codec = Helper(loop, "codec")
        self.cleaner = Cleaner(self)

    def now_ms(self) -> int:
        """Wall clock in milliseconds, as Kafka stamps it. It may jump, also backwards."""
        return time.time_ns() // 1_000_000

    def look_at_clocks(self) -> int:
        """Set the broker's `uptime_ms` and return `now_ms`, once per turn."""
        self.broker.uptime_ms = time.monotonic_ns() // 1_000_000
        return time.time_ns() // 1_000_000

    def uptime_ms(self) -> int:
        """The clock that measures waits, idleness and deadlines; the broker gets to know it."""
        self.broker.uptime_ms = uptime_ms = time.monotonic_ns() // 1_000_000
        return uptime_ms

    def start(self) -> None:
        """Accept connections and let time pass. Garbage collection ends here: see design."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.loop.set_exception_handler(self._on_exception)
        for listener in self.listeners:
            listener.start()
        self._schedule_tick()
        # Not before we are ready, and not at a first request: that may come when no descriptor is
        # left to import a module with.
        self.loop.call_soon(load_schemas)
        gc.collect()
        gc.freeze()
        gc.disable()

    # Connections.

    def admit(self, host: str, descriptor: int) -> bool:
        """Whether one more connection from `host` is within the limits.

        `descriptor` is its number: the kernel gives the lowest free one, so a high number says that
        few are left, and those are for segments.
        """
        config = self.broker.config  # as it was altered since the start
        if (
            len(self.connections) >= config.max_connections
            or descriptor >= self.descriptors_max
            or self._per_host.get(host, 0) >= config.max_connections_per_ip
            or self.draining
        ):
            self.counters.closed["limit"] += 1
            return False
        return True

    def remember(self, connection: Connection) -> None:
        """Count an accepted connection."""
        self.connections[connection.fd] = connection
        self._per_host[connection.peer_host] = self._per_host.get(connection.peer_host, 0) + 1
        self.counters.accepted += 1

    def forget(self, connection: Connection, reason: str, sentence: str) -> None:
        """A connection has closed: count why, and log the sentence if there is one."""
        del self.connections[connection.fd]
        left = self._per_host[connection.peer_host] - 1
        if left:
            self._per_host[connection.peer_host] = left
        else:
            del self._per_host[connection.peer_host]
        if connection is self._latest:
            self._latest = None
        self.counters.closed[reason] += 1
        if sentence:
            logger.warning("closed the connection of %s: %s", connection.peer_host, sentence)

    def breach(self, connection: Connection, what: str) -> None:
        """The peer broke the protocol: one line, counted, and its connection is gone."""
        self.counters.breaches += 1
        connection.close("protocol", f"the peer broke the protocol: {what}")

    def bug(self, error: Exception, connection: Connection) -> None:
        """An exception that nobody expected: logged, counted, and its connection is gone."""
        logger.error("a bug of the server, met by a request; please report it", exc_info=error)
        self.counters.bugs += 1
        connection.close("error")

    def _on_exception(self, _loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        """What escaped a callback of the loop: logged and counted as a bug; the loop goes on."""
        logger.error(
            "a bug of the server: %s", context["message"], exc_info=context.get("exception")
        )
        self.counters.bugs += 1

    def touch(self, connection: Connection) -> None:
        """An answer of it has become ready, or it may read on: flush it as the turn ends."""
        if not connection.touched:
            connection.touched = True
            self._touched.append(connection)

    # A turn.

    def begin_turn(self, connection: Connection) -> int:
        """A connection was read: schedule the end of the turn, unless it is alone. The wall clock.

        All connections of a turn share one look at the clocks.
        """
        latest, self._latest = self._latest, connection
        if not self._turn_scheduled:
            self.alone = connection is latest
            if not self.alone:
                self._turn_scheduled = True
                self.loop.call_soon(self._end_turn)
            self.prompt = self.alone and time.monotonic_ns() - self.answered_ns < self.prompt_ns
            self._turn_ms = self.look_at_clocks()
        connection.active_ms = self.broker.uptime_ms
        return self._turn_ms

    def _end_turn(self) -> None:
        self._turn_scheduled = False
        self.turn()

    def turn(self) -> None:
        """Do once what the requests of this turn ask for. Cheap when there is nothing."""
        broker = self.broker
        if broker.woken:
            broker.wake_waiting()
        if self._touched:
            self._flush_touched()
        if self.ended:
            return
        commit = broker.commit
        if commit.dirty or commit.waiting:
            self.prompt = False  # its peer waits for a sync
            if self.alone and not commit.in_flight:
                self._begin_commit()
            elif not (commit.in_flight or self._commit_scheduled):
                self._commit_scheduled = True
                self.loop.call_soon(self._begin_commit)
        if broker.upkeep or broker.due:
            self._submit(self.background, broker.take_upkeep())
        if broker.key_checks.held_count:
            self._check_keys()
        deadlines = broker.waits.deadlines
        if deadlines and deadlines[0][0] < self._wait_due_ms:
            self._arm_wait_timer(deadlines[0][0])
        if broker.timers.next_due_ms < self._wait_due_ms:
            self._arm_wait_timer(broker.timers.next_due_ms)

    def _flush_touched(self) -> None:
        while self._touched:
            touched = self._touched
            self._touched = []
            for connection in touched:
                connection.touched = False
                if not connection.closed:
                    try:
                        connection.send_ready()
                    except Exception as error:  # noqa: BLE001 - logged in full by `bug`
                        self.bug(error, connection)

    def _begin_commit(self) -> None:
        self._commit_scheduled = False
        if self.ended:
            return
        self._run_commit(self.commit_helper, self.broker.commit.begin())

    def _run_commit(self, helper: Helper, task: CommitTask | None) -> None:
        if task is not None:
            began_ns = time.monotonic_ns()
            helper.submit(task.run, lambda error: self._finish_commit(task, error, began_ns))

    def _finish_commit(self, task: CommitTask, error: OSError | None, began_ns: int) -> None:
        self.sync_duration_ns.observe(time.monotonic_ns() - began_ns)
        self.uptime_ms()
        self.broker.finish_commit(task, error, self.now_ms())
        self.turn()

    def _check_keys(self) -> None:
        checks = self.broker.key_checks
        self._submit(self.codec, checks.decompressions())
        if checks.due and not self._check_scheduled:
            self._check_scheduled = True
            self.loop.call_soon(self._advance_checks)

    def _advance_checks(self) -> None:
        self._check_scheduled = False
        if self.ended:
            return
        self.uptime_ms()
        self.broker.key_checks.advance(self.now_ms())
        self.turn()

    def _submit(self, helper: Helper, chores: list[Chore]) -> None:
        for run, finish in chores:
            helper.submit(run, self._finisher(finish))

    def _finisher(self, finish: Callable[[Any], None]) -> Callable[[Any], None]:
        def finished(result: Any) -> None:
            finish(result)
            self.turn()

        return finished

    # Time.

    def _arm_wait_timer(self, due_ms: int) -> None:
        if self._wait_timer is not None:
            self._wait_timer.cancel()
        self._wait_due_ms = due_ms
        delay_s = max(0, due_ms - self.uptime_ms()) / 1000
        self._wait_timer = self.loop.call_later(delay_s, self._expire_waits)

    def _expire_waits(self) -> None:
        self._wait_timer = None
        self._wait_due_ms = NEVER_MS
        if self.ended:
            return
        self.broker.expire(self.uptime_ms())
        self.turn()

    def _schedule_tick(self) -> None:
        self._tick_due_s = self.loop.time() + TICK_S
        self.loop.call_at(self._tick_due_s, self._tick)

    def _tick(self) -> None:
        self.loop_delay_ns.observe(max(0, round((self.loop.time() - self._tick_due_s) * 1e9)))
        if self.ended:
            return
        self._schedule_tick()  # first: time goes on, whatever happens in this tick
        self.pass_time()

    def pass_time(self) -> None:
        """Do what is due by the clock: ten times a second, and whenever it has jumped."""
        uptime_ms = self.uptime_ms()
        self._run_commit(self.background, self.broker.commit.begin_relaxed(uptime_ms))
        if uptime_ms - self._slow_tick_ms >= SLOW_TICK_MS:
            self._slow_tick_ms = uptime_ms
            self._slow_tick(uptime_ms)
        self.cleaner.look(uptime_ms)
        if self.broker.commit.fenced and self.on_fenced is not None:
            self.on_fenced()
        self.turn()

    def _slow_tick(self, uptime_ms: int) -> None:
        now_ms = self.now_ms()
        self._submit(self.background, self.broker.tick(now_ms))
        self._close_overdue(uptime_ms)
        if uptime_ms - self._retention_ms >= self.config.log_retention_check_interval_ms:
            self._retention_ms = uptime_ms
            self.broker.retention(now_ms)

    def _close_overdue(self, uptime_ms: int) -> None:
        config = self.config
        for connection in list(self.connections.values()):
            if (
                connection.frame_since_ms
                and connection.reading
                and uptime_ms - connection.frame_since_ms > config.frame_deadline_ms
            ):
                connection.close("slow", "a frame was not completed in time")
            elif uptime_ms - connection.active_ms > config.connections_max_idle_ms and (
                not connection.replies_waiting
            ):
                connection.close("idle")

    # The end.

    def stop_accepting(self) -> None:
        """Take no more connections and no more requests; what was asked gets its answer.

        Who waits for records hears now that there are none, who waits for others to join a group
        that this is not the coordinator: they will ask the next server.
        """
        self.draining = True
        for listener in self.listeners:
            listener.close()
        for connection in self.connections.values():
            connection.stop_reading()
        self.broker.waits.expire_all(self.broker)
        self.broker.coordinators.stop()
        self.turn()

    def busy(self) -> bool:
        """Whether an answer is still owed or on its way."""
        commit = self.broker.commit
        held_count = self.broker.key_checks.held_count
        return bool(commit.waiting or commit.in_flight or held_count) or any(
            connection.out for connection in self.connections.values()
        )

    def close(self) -> None:
        """Close every connection and helper; what was submitted is finished first."""
        self.stop_accepting()
        self.ended = True
        for connection in list(self.connections.values()):
            connection.close("shutdown")
        self.cleaner.close()
        self.commit_helper.close()
        self.background.close()
        self.reader.close()
        self.codec.close()
