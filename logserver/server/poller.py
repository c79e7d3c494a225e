"""Who is ready, in rounds: the server's own epoll inside the loop's.

Theory. The loop calls back once per ready descriptor and does not say which call is the last of its
turn. But what a turn asks for is best done once, at its end: the answers to all connections leave
in one burst (a peer that serves many connections is woken once, not by each), parked fetches are
woken once, one group commit covers everybody. So connections and helpers are watched here, and the
loop watches this one descriptor. A *round* is: ask the kernel who is ready, call each, end the
round. Rounds follow one another without a visit to the loop while there is work, for
`ROUNDS_NS_MAX` at most; timers, new connections and HTTP wait for that long.

Spinning. A core that goes idle needs tens of microseconds to wake, in a virtual machine above all,
which is more than a small request costs. While the waits are that short anyway, it pays to ask
again for `spin_ns` instead of going to sleep; each question lets other threads and processes run.
Waits that were longer end it: a server with little to do sleeps. So does a helper at work: to end
its job it needs the interpreter, which a spinning thread takes back before it wakes.

Register and unregister follow the interest in a descriptor: one that nobody reads or writes is not
in the kernel's set, or its hang-up would be reported for ever.
"""

from __future__ import annotations

import os
import select
import time
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    Callback = Callable[[], None]

# Ready descriptors of one round: the first of them waits for its answer until the last was served.
ROUND_COUNT_MAX = 32
ROUNDS_NS_MAX = 200_000
# So many short waits in a row make a spin likely to be worth it; each one in vain takes one off.
LUCK_MIN = 4
LUCK_MAX = 8


class Poller:
    """Readiness callbacks with the calls of an event loop (`add_reader` ...), in rounds.

    `begin_round` is called before the first callback of a round, `end_round` after the last; True
    from it gives the turn to the loop, where something was scheduled.
    """

    __slots__ = (
        "_begin_round",
        "_callbacks",
        "_end_round",
        "_epoll",
        "_idle_since_ns",
        "_loop",
        "_luck",
        "_spin_ns",
        "jobs_count",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        begin_round: Callback,
        end_round: Callable[[], bool],
        spin_ns: int = 0,
    ) -> None:
        self._loop = loop
        self._begin_round = begin_round
        self._end_round = end_round
        self._spin_ns = spin_ns
        self._callbacks: dict[int, tuple[Callback | None, Callback | None]] = {}
        self._idle_since_ns = 0
        self._luck = 0
        self.jobs_count = 0
        """Jobs that helper threads have."""
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    # Interest.

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call `callback` in each round that finds `fd` readable, broken or hung up."""
        self._watch(fd, callback, self._callbacks.get(fd, (None, None))[1])

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call `callback` in each round that finds `fd` writable."""
        self._watch(fd, self._callbacks.get(fd, (None, None))[0], callback)

    def remove_reader(self, fd: int) -> None:
        """Stop; nothing if there was none. Before `fd` is closed."""
        self._watch(fd, None, self._callbacks.get(fd, (None, None))[1])

    def remove_writer(self, fd: int) -> None:
        """Stop; nothing if there was none. Before `fd` is closed."""
        self._watch(fd, self._callbacks.get(fd, (None, None))[0], None)

    def _watch(self, fd: int, reader: Callback | None, writer: Callback | None) -> None:
        known = fd in self._callbacks
        if reader is None and writer is None:
            if known:
                del self._callbacks[fd]
                self._epoll.unregister(fd)
            return
        self._callbacks[fd] = (reader, writer)
        mask = (EPOLLIN if reader else 0) | (EPOLLOUT if writer else 0)
        (self._epoll.modify if known else self._epoll.register)(fd, mask)

    # Rounds.

    def _on_ready(self) -> None:
        clock, poll, spin_ns = time.monotonic_ns, self._epoll.poll, self._spin_ns
        now_ns = clock()
        if now_ns - self._idle_since_ns > spin_ns:
            self._luck = max(0, self._luck - 1)
        elif self._luck < LUCK_MAX:
            self._luck += 1
        end_ns = now_ns + ROUNDS_NS_MAX
        idle_since_ns = now_ns
        while True:
            events = poll(0, ROUND_COUNT_MAX)
            if events:
                gives_way = self._serve(events)
                idle_since_ns = clock()
                if gives_way or idle_since_ns > end_ns:
                    break
            elif self._luck < LUCK_MIN or self.jobs_count:
                break
            elif clock() - idle_since_ns > spin_ns:
                self._luck -= 1
                break
            else:
                os.sched_yield()
        self._idle_since_ns = idle_since_ns

    def _serve(self, events: list[tuple[int, int]]) -> bool:
        """One round; True when the loop must have its turn."""
        callbacks = self._callbacks
        self._begin_round()
        for fd, mask in events:
            # An earlier callback of the round may have closed this descriptor or lost interest.
            if mask & EPOLLOUT:
                writer = callbacks.get(fd, (None, None))[1]
                if writer is not None:
                    writer()
            if mask != EPOLLOUT:
                reader, writer = callbacks.get(fd, (None, None))
                if reader is not None:
                    reader()
                elif writer is not None and not mask & EPOLLOUT:
                    writer()  # hung up: its next write says so
        return self._end_round()

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
