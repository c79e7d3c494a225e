"""The server under a test's control: a clock that jumps, and one descriptor that takes orders.

Theory of a jump. Time does not leap, it passes quickly: in steps that end where a timer is due or
retention would look, and each step waits until the server has done what it asked for. So timers run
in their order and at their times, and the guard against clocks that leap years ahead
(`storage.retention`) has no reason to rest. Connections do not age: their peers live in real time.

Orders come one a packet (see `channel`); each is answered once it is carried out. The end of the
other process ends this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from logserver.cli.door import run_with_door
from logserver.cli.exits import CommandError
from logserver.cli.journal import open_journal
from logserver.config import BrokerConfig, ConfigError, load
from logserver.server.runner import World
from logserver.server.server import NEVER_MS, Server
from logserver.testing import channel
from logserver.testing.faults import Faults, FaultyConnection, FaultyFiles

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from logserver.broker.broker import Broker
    from logserver.testing.channel import Message

# Retention rests when two looks at the clock are an hour apart: no step is longer than half of it.
STEP_MS_MAX = 1_800_000
# A timer that sets itself every few milliseconds must not make a jump endless, nor the look at
# groups every five seconds a week long: it has as many steps as retention has looks in a week.
STEPS_MAX = 2_000
SETTLE_S = 10.0


class Clock:
    """The time of the machine, and how far it was put ahead."""

    def __init__(self, jumped_ms: int = 0) -> None:
        self.jumped_ms = jumped_ms

    def now_ms(self) -> int:
        """The wall clock."""
        return time.time_ns() // 1_000_000 + self.jumped_ms

    def uptime_ms(self) -> int:
        """The clock that only goes forward."""
        return time.monotonic_ns() // 1_000_000 + self.jumped_ms


class ControlledServer(Server):
    """The server, with the clock and the connections of a test."""

    def __init__(
        self,
        config: BrokerConfig,
        broker: Broker,
        loop: AbstractEventLoop,
        *,
        clock: Clock,
        faults: Faults,
        control: socket.socket,
    ) -> None:
        self.clock = clock
        self.faults = faults
        self._settled: asyncio.Future[None] | None = None
        super().__init__(config, broker, loop)
        Orders(self, control)

    def now_ms(self) -> int:
        """The wall clock of the test."""
        return self.clock.now_ms()

    def uptime_ms(self) -> int:
        """The clock of the test that only goes forward; the broker gets to know it."""
        self.broker.uptime_ms = uptime_ms = self.clock.uptime_ms()
        return uptime_ms

    def look_at_clocks(self) -> int:
        """Both."""
        self.uptime_ms()
        return self.now_ms()

    def start(self) -> None:
        """Listen; what is accepted obeys the faults."""
        for listener in self.listeners:
            listener.connection_type = FaultyConnection
        super().start()

    def admit(self, host: str, descriptor: int) -> bool:
        """Nobody, while the server is to be unreachable."""
        return not self.faults.unreachable and super().admit(host, descriptor)

    def switch(self, **switches: float) -> None:
        """Switch faults on and off; what one of them has held back goes on at once."""
        self.faults.switch(**switches)
        self.broker.check_disk()
        for connection in list(self.connections.values()):
            assert isinstance(connection, FaultyConnection)
            connection.let_go()
        self.turn()

    def drop_connections(self) -> int:
        """Close every connection as a failing network does; how many."""
        dropped = list(self.connections.values())
        for connection in dropped:
            connection.close("peer")
        return len(dropped)

    def turn(self) -> None:
        """The end of a turn, and perhaps of what a jump waits for."""
        super().turn()
        if self._settled is not None and self.is_settled() and not self._settled.done():
            self._settled.set_result(None)

    def is_settled(self) -> bool:
        """Whether nothing is under way that time has asked for."""
        commit = self.broker.commit
        if commit.fenced or self.ended:
            return True
        helpers = (self.commit_helper, self.background, self.codec)
        return not (
            commit.dirty
            or commit.waiting
            or commit.in_flight
            or self.cleaner.pid is not None
            or any(helper.pending_count for helper in helpers)
        )

    async def jump(self, jump_ms: int) -> None:
        """Let so much time pass; returns when what it asked for is done."""
        end_ms = self.clock.jumped_ms + jump_ms
        least_ms = max(1, jump_ms // STEPS_MAX)
        while (left_ms := end_ms - self.clock.jumped_ms) > 0:
            timer_ms = self.broker.timers.next_due_ms - self.uptime_ms()
            step_ms = min(STEP_MS_MAX, self.config.log_retention_check_interval_ms, timer_ms)
            await self._step(min(left_ms, max(least_ms, step_ms)))
        self._retention_ms = self._slow_tick_ms = -NEVER_MS
        await self._step(0)

    async def _step(self, step_ms: int) -> None:
        self.clock.jumped_ms += step_ms
        for connection in self.connections.values():
            connection.active_ms += step_ms
            if connection.frame_since_ms:
                connection.frame_since_ms += step_ms
        self._expire_waits()
        self.pass_time()
        if not self.is_settled():
            self._settled = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled, SETTLE_S)
            self._settled = None


class Orders:
    """What the test says to its server."""

    def __init__(self, server: ControlledServer, control: socket.socket) -> None:
        self._server = server
        self._control = control
        self._jump: asyncio.Task[None] | None = None
        control.setblocking(False)
        server.loop.add_reader(control.fileno(), self._on_order)

    def _on_order(self) -> None:
        try:
            order, _ = channel.receive(self._control)
        except BlockingIOError:
            return
        except EOFError:
            self._server.loop.remove_reader(self._control.fileno())
            os.kill(os.getpid(), signal.SIGKILL)  # nobody is left who could look at the files
            return
        carry_out = getattr(self, f"_do_{order.pop('do')}")
        answer: Message | None = carry_out(**order)
        if answer is not None:
            self._answer(answer)

    def _answer(self, answer: Message) -> None:
        with contextlib.suppress(OSError):
            channel.send(self._control, answer)

    def _do_switch(self, **switches: Any) -> Message:
        self._server.switch(**switches)
        return {}

    def _do_drop(self) -> Message:
        return {"count": self._server.drop_connections()}

    def _do_jump(self, jump_ms: int) -> None:
        self._jump = self._server.loop.create_task(self._jumped(jump_ms))

    async def _jumped(self, jump_ms: int) -> None:
        try:
            await self._server.jump(jump_ms)
        finally:  # also when the jump was the end of the server
            self._answer({})


def serve(order: Message, control: socket.socket) -> int:
    """Run a server until it ends; the exit code. Tells the test that it is ready, or why not."""
    faults = Faults()
    FaultyConnection.faults = faults
    clock = Clock(order["jumped_ms"])
    make_server = functools.partial(ControlledServer, clock=clock, faults=faults, control=control)
    world = World(FaultyFiles(faults), make_server, clock.now_ms)
    open_journal()

    def on_ready(kafka: str, http: str) -> None:
        channel.send(control, {"kafka": kafka.split(","), "http": http})

    try:
        config = load(order["settings"], {})
        for warning in config.warnings:
            logging.getLogger("logserver").warning(warning)
        return run_with_door(config, on_ready, world)
    except ConfigError as error:
        channel.send(control, {"error": f"bad configuration: {error}"})
    except CommandError as error:
        channel.send(control, {"error": error.message})
        return error.code
    return 1
