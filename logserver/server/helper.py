"""Helper threads: they sit in system calls that release the interpreter lock, and nothing else.

One thread runs Python; a helper takes a job (`run`), spends its time inside `fdatasync`,
`posix_fallocate` or a populate call, and hands the result back through one eventfd that the loop
watches. So no lock protects anything: a job touches only what it was given, and `finish` runs on
the loop.

A thread that wants the interpreter lock back waits up to the switch interval; `Server` sets it
to 0.5 ms instead of Python's 5 ms.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

logger = logging.getLogger(__name__)

Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Helper:
    """One helper thread with its queue. `submit` and every `finish` belong to the loop.

    `done`: what has ended and is not finished. Who cannot wait for the eventfd looks and collects.
    `niceness`: for work that nobody waits for, so that a thread that wakes up goes first.
    """

    __slots__ = ("_eventfd", "_loop", "_niceness", "_pending", "_queue", "_thread", "done")

    def __init__(self, loop: AbstractEventLoop, name: str, niceness: int = 0) -> None:
        self._loop = loop
        self._niceness = niceness
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self.done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._pending = 0
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.add_reader(self._eventfd, self._woken)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def pending_count(self) -> int:
        """Jobs submitted and not finished yet."""
        return self._pending

    def submit(self, run: Callable[[], Any], finish: Callable[[Any], None]) -> None:
        """Call `run` in the thread, then `finish(result)` on the loop.

        An OSError of `run` is its result. Any other exception is our bug: it is logged, and the
        result is an EIO, so that whoever waits for the device hears that it failed.
        """
        self._pending += 1
        self._queue.put((run, finish))

    def _work(self) -> None:
        os.nice(self._niceness)  # on Linux that of the thread
        queue, done, eventfd = self._queue, self.done, self._eventfd
        while True:
            job = queue.get()
            if job is None:
                return
            run, finish = job
            try:
                result = run()
            except OSError as error:
                result = error
            except Exception as error:
                logger.exception("a bug of the server in a helper thread")
                result = OSError(errno.EIO, f"a bug of the server: {error!r}")
            done.append((finish, result))
            os.eventfd_write(eventfd, 1)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._eventfd)
        self.collect()

    def collect(self) -> None:
        """Finish the jobs that have ended."""
        done = self.done
        while done:
            finish, result = done.popleft()
            self._pending -= 1
            try:
                finish(result)
            except Exception:
                # The results behind it must not wait for the next job.
                logger.exception("a bug of the server after a helper's job")

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        self._queue.put(None)
        self._thread.join()
        self.collect()
        self._loop.remove_reader(self._eventfd)
        os.close(self._eventfd)
