"""logserver.testing.controlled: time passes quickly, and in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.testing.controlled import STEP_MS_MAX, Clock, ControlledServer
from logserver.testing.faults import Faults
from tests.server.server_bench import ServerBench

HOUR_MS = 3_600_000


class Controlled(ServerBench):
    """The bench of the server, with a controlled one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.server.close()
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.clock = Clock()
        self.server: ControlledServer = ControlledServer(
            self.config,
            self.server.broker,
            self.loop,
            clock=self.clock,
            faults=Faults(),
            control=ours,
        )
        self.ours = ours

    def jump(self, jump_ms: int) -> None:
        """Let time pass."""
        self.loop.run_until_complete(self.server.jump(jump_ms))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Controlled]:
    """A controlled server that listens to nobody."""
    bench = Controlled(tmp_path)
    yield bench
    bench.loop.remove_reader(bench.ours.fileno())
    bench.ours.close()
    bench.theirs.close()
    bench.close()


def test_both_clocks_are_put_ahead_by_the_whole_jump(bench: Controlled) -> None:
    """The one that stamps and the one that measures."""
    before = (bench.server.now_ms(), bench.server.uptime_ms())
    bench.jump(10 * HOUR_MS)
    after = (bench.server.now_ms(), bench.server.uptime_ms())
    assert all(new - old >= 10 * HOUR_MS for old, new in zip(before, after, strict=True))
    assert bench.clock.jumped_ms == 10 * HOUR_MS


def test_no_step_is_long_enough_to_put_retention_to_rest(bench: Controlled) -> None:
    """It rests when two looks at the clock are an hour apart."""
    seen = []
    pass_time = bench.server._step

    async def step(step_ms: int) -> None:
        seen.append(step_ms)
        await pass_time(step_ms)

    bench.server._step = step  # type: ignore[method-assign]
    bench.jump(24 * HOUR_MS)
    assert sum(seen) == 24 * HOUR_MS
    assert max(seen) <= STEP_MS_MAX


def test_timers_run_in_their_order_and_at_their_time(bench: Controlled) -> None:
    """One that is set by another runs in the same jump, when its time has come."""
    timers, server = bench.server.broker.timers, bench.server
    start_ms = server.uptime_ms()
    ran: list[tuple[str, int]] = []

    def note(name: str) -> None:
        ran.append((name, round((server.broker.uptime_ms - start_ms) / 1000)))

    def first() -> None:
        note("first")
        timers.at(server.broker.uptime_ms + 60_000, lambda: note("second"))

    timers.at(start_ms + 10_000, first)
    timers.at(start_ms + 90_000, lambda: note("third"))
    timers.at(start_ms + 200_000, lambda: note("too late"))
    bench.jump(100_000)
    assert ran == [("first", 10), ("second", 70), ("third", 90)]


def test_a_timer_that_sets_itself_again_does_not_make_a_jump_endless(bench: Controlled) -> None:
    """A year in milliseconds would be thirty billion steps."""
    timers, server = bench.server.broker.timers, bench.server
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        if count < 20_000:
            timers.at(server.broker.uptime_ms + 1, again)

    again()
    bench.jump(365 * 24 * HOUR_MS)
    assert 1_000 < count <= 20_000


def test_a_jump_ends_when_the_work_that_it_caused_is_done(bench: Controlled) -> None:
    """A chore in a helper thread is waited for."""
    done = []
    server = bench.server

    def hand_out() -> None:
        server.background.submit(lambda: done.append("ran"), lambda _: server.turn())

    server.broker.timers.at(server.uptime_ms() + 1000, hand_out)
    bench.jump(2000)
    assert done == ["ran"]
    assert server.is_settled()


def test_the_end_of_the_test_is_noticed(bench: Controlled) -> None:
    """The channel becomes readable: the server reads that nobody is there."""
    bench.theirs.close()
    bench.loop.remove_reader(bench.ours.fileno())
    bench.loop.run_until_complete(asyncio.wait_for(bench.loop.sock_recv(bench.ours, 1), 5))
