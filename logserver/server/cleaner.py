"""The cleaner: starts a process for each compaction and hands its outputs to the broker.

Ten times a second it is asked to look. When nothing is under way and `log.cleaner.backoff.ms` has
gone by since the last look that found nothing, the broker is asked for a job; the next one follows
at once when there was one. The process gets the job through a memory file, as it may be larger than
a pipe takes without waiting, and answers with lines on a pipe that the loop watches (see
`cleaner_process`).

A process that ends without a word is a failed job: the log rests, others have their turn. Two
processes in a row that never spoke rest the cleaner as a whole, longer each time: they would all
die of the same (no memory, no interpreter). What is void, since its topic was deleted or is not
compacted any more, is killed; that harms nothing at any time.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from logserver.server.cleaner_process import Report, encode_order

if TYPE_CHECKING:
    from logserver.broker.compaction import Order
    from logserver.server.server import Server

logger = logging.getLogger(__name__)

MODULE = "logserver.server.cleaner_process"
READ_BYTES = 65536
LINE_BYTES_MAX = 16 << 20  # an output that replaces a million segments
REST_MS = 1000  # after the first process that ended without a word; doubled by each further one
REST_MS_MAX = 300_000


class Cleaner:
    """At most one compacting process; everything here belongs to the loop."""

    __slots__ = ("_deaths", "_due_ms", "_ended", "_line", "_process", "_server", "_spoke", "_work")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[subprocess.Popen[bytes]] = []  # to be asked for their exit codes
        self._work: object = None  # the broker's, so that another one is noticed
        self._line = b""
        self._due_ms = 0
        self._deaths = 0
        self._spoke = False

    @property
    def pid(self) -> int | None:
        """The process under way, for figures and tests."""
        return None if self._process is None else self._process.pid

    def look(self, uptime_ms: int) -> None:
        """Begin, go on, or give up what is for nothing. Cheap when there is nothing to do."""
        self._ended = [process for process in self._ended if process.poll() is None]
        compactions = self._server.broker.compactions
        is_dropped = self._process is not None and compactions.work is not self._work
        if is_dropped or compactions.is_void():
            self._kill()
            compactions.failed("it is not compacted any more", self._server.now_ms())
        elif compactions.work is None and uptime_ms >= self._due_ms:
            config = self._server.broker.config
            order = compactions.begin(self._server.now_ms())
            if order is None and not compactions.looking:
                self._due_ms = uptime_ms + config.log_cleaner_backoff_ms
            elif order is not None:
                self._start(order, config.log_cleaner_io_max_bytes_per_second)

    def _start(self, order: Order, rate: float) -> None:
        """Start a process for one job; where that is impossible the job has failed."""
        self._line, self._spoke = b"", False
        self._work = self._server.broker.compactions.work
        try:
            descriptor = os.memfd_create("compaction")
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(encode_order(*order, rate))
                os.lseek(descriptor, 0, os.SEEK_SET)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", MODULE, str(descriptor)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=[descriptor],
                    # It finds what we have found, however we were started.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            finally:
                os.close(descriptor)
        except OSError as error:
            self._died(f"no process could be started: {error}")
            return
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._server.loop.add_reader(self._process.stdout.fileno(), self._read)

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            data = os.read(process.stdout.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        if not data or len(self._line) > LINE_BYTES_MAX:
            self._forget_process()
            self._died("the process that compacts ended without a word")
        else:
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                self._hear(Report.decode(line))
        self._server.turn()

    def _hear(self, report: Report) -> None:
        compactions = self._server.broker.compactions
        now_ms = self._server.now_ms()
        self._spoke = True
        self._deaths = 0
        if compactions.work is not self._work:
            return  # it was given up; `look` sees to the process
        if report.cleaned is not None:
            compactions.offered(report.cleaned, now_ms)
            return
        self._forget_process()
        if report.kind == "done":
            compactions.finished(report.end_offset, report.read_bytes, report.written_bytes, now_ms)
        else:
            compactions.failed(report.sentence, now_ms, spoilt=report.kind == "spoilt")

    def _died(self, sentence: str) -> None:
        """The process ended before its job did."""
        if not self._spoke:
            self._deaths += 1
            rest_ms = min(REST_MS << min(self._deaths, 20), REST_MS_MAX)
            self._due_ms = self._server.uptime_ms() + rest_ms
        compactions = self._server.broker.compactions
        if compactions.work is self._work:
            compactions.failed(sentence, self._server.now_ms())

    def _forget_process(self) -> None:
        """Let go of a process that has ended, or is about to."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        self._server.loop.remove_reader(process.stdout.fileno())
        process.stdin.close()
        process.stdout.close()
        if process.poll() is None:
            self._ended.append(process)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._forget_process()

    def close(self) -> None:
        """End the process under way and wait for it."""
        self._kill()
        for process in self._ended:
            process.kill()
            process.wait()
        self._ended.clear()
