"""The process that compacts one log: started for one job, gone when it is done.

    python -m logserver.server.cleaner_process DESCRIPTOR

A job is JSON in the file behind DESCRIPTOR; standard output takes lines of JSON, one for each
finished output and one at the end (`encode_order`, `Report`). Nothing here decides or swaps: a
process that is killed at any instruction leaves files that nobody has asked for.

It gives way: with a niceness of 10 and SCHED_BATCH whoever wakes up runs first, and a busy core
leaves it a tenth. (SCHED_IDLE would leave it nothing for as long as every core is busy: the log
grows, until the disk is full.) What it reads and writes together is held below
`log.cleaner.io.max.bytes.per.second`. It waits for that on its standard input, which ends when the
server does; so it ends, too, within one chunk. (Should the server be killed, the kernel sees to it
at once.)

Imports storage, config and logwire only: it is started often, and 60 ms of processor are its price.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from logserver.storage import checkpoint, swap_files
from logserver.storage.compaction import Compaction, Job, Source, UncleanableError
from logserver.storage.compaction_output import Cleaned
from logserver.storage.files import RealFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from logserver.storage.files import Files

PR_SET_PDEATHSIG = 1  # prctl(2): a signal for when the parent dies
STDIN, STDOUT = 0, 1
NICENESS = 10  # a weight of 110 beside 1024
POLL_MS_MAX = 2**31 - 1  # 24 days; poll(2) takes no more


class ServerGone(BaseException):
    """Nobody wants the outcome any more."""


class Report(NamedTuple):
    """One line. `kind`: cleaned, done, failed, spoilt (a person must look)."""

    kind: str
    cleaned: Cleaned | None = None
    end_offset: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    sentence: str = ""

    def encode(self) -> bytes:
        """The line, newline included."""
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Report:
        """The report that a line holds."""
        fields: list[Any] = json.loads(line)
        cleaned = fields[1]
        if cleaned is not None:
            *numbers, bases = cleaned
            fields[1] = Cleaned._make([*numbers, tuple(bases)])
        return cls(*fields)


def encode_order(directory: str, topic_id: bytes, job: Job, rate: float) -> bytes:
    """What the process is to do; `rate` in bytes/s."""
    fields = job._asdict() | {"last_offsets": sorted(job.last_offsets)}
    order = {"directory": directory, "topic_id": topic_id.hex(), "job": fields, "rate": rate}
    return json.dumps(order).encode()


def decode_order(data: bytes) -> tuple[str, bytes, Job, float]:
    """(directory, topic id, job, bytes/s)."""
    order = json.loads(data)
    fields = order["job"]
    fields["sources"] = tuple(Source(*source) for source in fields["sources"])
    fields["last_offsets"] = frozenset(fields["last_offsets"])
    return order["directory"], bytes.fromhex(order["topic_id"]), Job(**fields), order["rate"]


class Throttle:
    """Holds the work below a rate by waiting on standard input; its end ends the work."""

    __slots__ = ("_clock", "_due_s", "_poll", "_rate")

    def __init__(
        self,
        rate: float,
        descriptor: int = STDIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._due_s = clock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLHUP)

    def __call__(self, size_bytes: int) -> None:
        """Take note of bytes, and wait until that many may have been worked on."""
        now_s = self._clock()
        # A pause earns nothing: the rate is a bound for each moment, not a mean.
        self._due_s = max(self._due_s, now_s) + size_bytes / self._rate
        wait_ms = max(0.0, self._due_s - now_s - size_bytes / self._rate) * 1000
        if self._poll.poll(min(wait_ms, POLL_MS_MAX)):
            raise ServerGone


def work(
    files: Files,
    order: tuple[str, bytes, Job, float],
    pace: Callable[[int], None],
    say: Callable[[Report], None],
) -> None:
    """Do one job; everything that comes of it is said."""
    directory, topic_id, job, _ = order
    path = directory
    try:
        pin = files.pin(directory)
        path = pin.path
        try:
            if checkpoint.read_topic_id(files, path) != topic_id:
                say(Report("failed", sentence="the topic was deleted"))
                return
            swap_files.remove_cleaned(files, path)
            compaction = Compaction(files, path, job, pace)
            for cleaned in compaction.outputs():
                say(Report("cleaned", cleaned))
            say(
                Report(
                    "done",
                    end_offset=compaction.end_offset,
                    read_bytes=compaction.read_bytes,
                    written_bytes=compaction.written_bytes,
                )
            )
        finally:
            pin.close()
    except UncleanableError as error:
        kind, sentence = "spoilt", str(error)
    except FileNotFoundError as error:
        kind, sentence = "failed", f"{error.filename} left the log meanwhile"
    except OSError as error:
        kind, sentence = "failed", str(error)
    else:
        return
    say(Report(kind, sentence=sentence.replace(path, directory)))


def _give_way() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is meant for the server
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _say(report: Report) -> None:
    os.write(STDOUT, report.encode())


def main() -> int:
    """Read the order, do it, say what came of it."""
    _give_way()
    with open(int(sys.argv[1]), "rb") as file:
        order = decode_order(file.read())
    try:
        work(RealFiles(), order, Throttle(order[3]), _say)
    except (ServerGone, BrokenPipeError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
