"""Helper threads: work goes out, results come back on the loop, in order."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
import uvloop

from logserver.server.helper import Helper


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of its own."""
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


def test_a_job_runs_in_the_thread_and_finishes_on_the_loop(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Results arrive in the order of submission."""
    helper = Helper(loop, "test")
    here = threading.get_ident()
    heard: list[tuple[int, bool, bool]] = []

    async def scenario() -> None:
        done = asyncio.Event()
        for number in range(3):

            def finish(thread: int, number: int = number) -> None:
                heard.append((number, thread != here, threading.get_ident() == here))
                if number == 2:
                    done.set()

            helper.submit(threading.get_ident, finish)
        await asyncio.wait_for(done.wait(), 5)

    loop.run_until_complete(scenario())
    assert heard == [(n, True, True) for n in range(3)]
    assert helper.pending_count == 0
    helper.close()


def test_an_oserror_is_a_result(loop: asyncio.AbstractEventLoop) -> None:
    """The disk said no: that is for the one who asked to judge."""
    helper = Helper(loop, "test")
    heard: list[object] = []

    def fails() -> None:
        raise OSError(5, "Input/output error")

    helper.submit(fails, heard.append)
    helper.close()
    (error,) = heard
    assert isinstance(error, OSError)


def test_a_helper_may_give_way_to_everybody(loop: asyncio.AbstractEventLoop) -> None:
    """The thread alone: what runs beside it keeps its niceness."""
    heard: list[int] = []

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    for wanted in (0, 3):
        helper = Helper(loop, "test", wanted)
        helper.submit(niceness, heard.append)
        helper.close()
    assert heard == [min(19, before), min(19, before + 3)]
    assert niceness() == before


def test_who_cannot_wait_for_the_loop_collects(loop: asyncio.AbstractEventLoop) -> None:
    """Once: the eventfd that comes later finds nothing left, and no harm in that."""
    helper = Helper(loop, "test")
    heard: list[int] = []
    for number in range(3):
        helper.submit(lambda number=number: number, heard.append)  # type: ignore[misc]
    behind = threading.Event()
    helper.submit(behind.set, lambda _: None)
    assert behind.wait(5)
    helper.collect()
    assert heard == [0, 1, 2]
    loop.call_soon(loop.stop)
    loop.run_forever()
    helper.close()
    assert (heard, helper.pending_count) == ([0, 1, 2], 0)


def test_closing_finishes_what_was_submitted(loop: asyncio.AbstractEventLoop) -> None:
    """No job is lost at the end."""
    helper = Helper(loop, "test")
    heard: list[int] = []
    for number in range(10):
        helper.submit(lambda number=number: number, heard.append)  # type: ignore[misc]
    helper.close()
    assert heard == list(range(10))


def test_a_bug_in_a_job_is_a_failure_of_the_device_to_who_waits(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread lives on: a commit behind it would otherwise wait for ever."""
    helper = Helper(loop, "test")
    heard: list[object] = []

    def buggy() -> None:
        raise KeyError("nobody expected this")

    helper.submit(buggy, heard.append)
    helper.submit(lambda: 7, heard.append)
    helper.close()
    assert isinstance(heard[0], OSError)
    assert heard[1] == 7
    assert "KeyError" in caplog.text


def test_a_bug_in_a_finish_does_not_hold_back_the_others(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Results that were collected in the same turn reach their askers."""
    helper = Helper(loop, "test")
    heard: list[int] = []

    def buggy(_: int) -> None:
        raise KeyError("nobody expected this")

    helper.submit(lambda: 1, buggy)
    helper.submit(lambda: 2, heard.append)
    helper.close()
    assert heard == [2]
    assert "KeyError" in caplog.text
