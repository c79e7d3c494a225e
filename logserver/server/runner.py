"""From a configuration to a served log and back to a clean stop.

Start: lock and recover the directory, replay the metadata log, bind, say that we are ready. Stop,
on SIGTERM or SIGINT: accept and read no more, let answers that wait leave (`drain.ms`; who waits
for records hears that there are none), sync everything, write the clean marker, go. A second signal
ends the drain at once. A fenced directory ends the process after a grace time, in which reads go
on, with exit code 74; no supervisor should start it again before somebody looked at the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import TYPE_CHECKING, NamedTuple, Protocol

import uvloop

from logserver.broker.broker import Broker
from logserver.server.listener import Listener
from logserver.server.server import Server
from logserver.storage.directory import LogDirectory
from logserver.storage.files import Files, RealFiles

if TYPE_CHECKING:
    from logserver.config import BrokerConfig

logger = logging.getLogger(__name__)

EXIT_OK = 0
# EX_IOERR of sysexits.h: supervisors are told not to restart on it (RestartPreventExitStatus=74).
EXIT_FENCED = 74
DRAIN_STEP_S = 0.01


class Ready(NamedTuple):
    """What is served where, once it is. Ports are the real ones, also where 0 was asked for."""

    listeners: tuple[tuple[str, str, int], ...]
    http_address: tuple[str, int] | None
    start_s: float


class Door(Protocol):
    """Another door on the same loop (HTTP)."""

    address: tuple[str, int] | None

    async def close(self) -> None:
        """Stop serving."""


OpenDoor = Callable[[Server], Awaitable[Door]]


def wall_clock_ms() -> int:
    """The time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class World(NamedTuple):
    """What a server finds around it. `logserver.testing` has one that can be made to misbehave."""

    files: Files
    make_server: Callable[[BrokerConfig, Broker, asyncio.AbstractEventLoop], Server]
    now_ms: Callable[[], int]


REAL_WORLD = World(RealFiles(), Server, wall_clock_ms)


def run(
    config: BrokerConfig,
    *,
    open_http: OpenDoor | None = None,
    on_ready: Callable[[Ready], None],
    world: World = REAL_WORLD,
) -> int:
    """Serve until a signal or a fence; the exit code.

    Raises StorageError and OSError for what the operator must mend (a locked directory, a newer
    format, a port in use), before anything was served.
    """
    started = time.monotonic()
    _raise_descriptors()
    now_ms = world.now_ms()
    directory = LogDirectory.open(world.files, config, now_ms=now_ms)
    try:
        broker = Broker.open(config, directory, SystemRandom(), now_ms)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            server = world.make_server(config, broker, runner.get_loop())
            code = runner.run(_serve(server, open_http, on_ready, started))
        directory.close(clean=True)
        return code
    finally:
        directory.close()


def _raise_descriptors() -> None:
    """Take all the descriptors that we may have: each segment and each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(
    server: Server,
    open_http: OpenDoor | None,
    on_ready: Callable[[Ready], None],
    started: float,
) -> int:
    config, loop = server.config, server.loop
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = None
    try:
        for listener in config.listeners:
            server.listeners.append(Listener(server, listener.name, listener.host, listener.port))
        if open_http is not None:
            door = await open_http(server)
        server.start()
        on_ready(_ready(server, door, started))
        return await _until_stopped(server, stop)
    finally:
        if door is not None:
            await door.close()
        server.close()


def _ready(server: Server, door: Door | None, started: float) -> Ready:
    return Ready(
        tuple(
            (listener.name, configured.host, listener.port)
            for listener, configured in zip(server.listeners, server.config.listeners, strict=True)
        ),
        None if door is None else door.address,
        time.monotonic() - started,
    )


async def _until_stopped(server: Server, stop: asyncio.Event) -> int:
    """Wait for a signal or the fence's grace time; drain; the exit code."""
    fenced = asyncio.Event()
    server.on_fenced = fenced.set
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(fenced.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if fenced.is_set() and not stop.is_set():
        grace_ms = server.config.log_dir_failure_timeout_ms
        logger.critical(
            "reads go on for %g s, then the process ends with exit code 74", grace_ms / 1000
        )
        timer = server.broker.timers.at(server.uptime_ms() + grace_ms, stop.set)
        server.turn()
        await waits[0]
        timer.cancel()
    for wait in waits:
        wait.cancel()
    stop.clear()
    await _drain(server, stop)
    return EXIT_FENCED if server.broker.commit.fenced else EXIT_OK


async def _drain(server: Server, again: asyncio.Event) -> None:
    server.stop_accepting()
    deadline = time.monotonic() + server.config.drain_ms / 1000
    while server.busy() and time.monotonic() < deadline and not again.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(again.wait(), DRAIN_STEP_S)
