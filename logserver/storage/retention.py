"""Where a log begins: DeleteRecords, `retention.ms`, `retention.bytes`.

The start of the log moves first, in memory and in the file `log-start-offset` (two lines, the
second is the CRC-32C of the first), and only then are files unlinked. Unlinks reach the device in
any order; without the file, a power cut could leave segment 0 and 2 and a hole that looks like
corruption. `remove_below` finishes at the next start what was interrupted.

The guard. Time retention believes the wall clock with people's data. A clock that jumps forward by
years must not delete everything: when two looks at it are further apart than `JUMP_MS`, time
retention rests until the clock has gone on steadily for as long. A log that nobody looked at for
that long (a paused machine) loses nothing by it but an hour. Backward jumps delete nothing and end
the rest. Retention by size goes on all the time.

The rules themselves are Kafka's: a segment goes when its youngest record is older than
`retention.ms`, or when the log without it still has `retention.bytes`; oldest first, never a byte
that is not durable, and an active segment that is due is rolled first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING

from logwire.checksum import crc32c

from .files import Files
from .segment import SUFFIXES, Segment, segment_path, write_files

if TYPE_CHECKING:
    from .log import Log

LOG_START_FILE = "log-start-offset"
NEVER = 2**63 - 1
JUMP_MS = 3_600_000  # twelve of Kafka's retention checks (log.retention.check.interval.ms)


class StartKeeper:
    """The one writer of a log's start file: trim writes on the loop, removals in a helper thread.

    Without the lock and the memory, a removal could overwrite the start of a later trim.
    """

    __slots__ = ("_files", "_kept_offset", "_lock")

    def __init__(self, files: Files, kept_offset: int) -> None:
        """`kept_offset` is what the file says now, 0 without one."""
        self._files = files
        self._kept_offset = kept_offset
        self._lock = Lock()

    def keep(self, offset: int, directory: str) -> None:
        """Make sure that the file says `offset` or more, durably. Raises OSError."""
        with self._lock:
            if offset > self._kept_offset:
                write_log_start(self._files, directory, offset)
                self._kept_offset = offset


class ClockGuard:
    """Says whether the wall clock may be believed for deleting."""

    __slots__ = ("_held_until_ms", "_seen_ms")

    def __init__(self) -> None:
        self._seen_ms: int | None = None
        self._held_until_ms = 0

    def trusts(self, now_ms: int) -> bool:
        """Look at the clock; False while a forward jump has not settled."""
        seen_ms, self._seen_ms = self._seen_ms, now_ms
        if seen_ms is not None and now_ms - seen_ms > JUMP_MS:
            self._held_until_ms = now_ms + JUMP_MS
        elif now_ms < self._held_until_ms - JUMP_MS:
            self._held_until_ms = 0  # it jumped back: the jump was the error
        return now_ms >= self._held_until_ms


def apply(log: Log, now_ms: int, trusted: bool) -> list[Segment]:
    """Drop what retention is done with; the files go by maintenance. Raises OSError (a roll)."""
    if log.fenced or log.swap is not None:
        return []
    log.wants_maintenance = log.wants_maintenance or bool(log.unsealed)  # a seal that failed
    config = log.config
    if not config.deletes:
        return []
    count = _due_by_size(log, config.retention_bytes)
    if config.retention_ms >= 0:
        due = _due_by_time(log, now_ms - config.retention_ms)
        if due > count and not trusted:
            log.retention_held_count += 1
        elif due > count:
            count = due
    if count == len(log.segments):
        log.roll(now_ms)
    if not count:
        return []
    log.log_start_offset = max(log.log_start_offset, log.segments[count].base_offset)
    return drop(log, count)


def trim(log: Log, offset: int) -> None:
    """Move the log start; durable on return. Raises OSError."""
    if offset <= log.log_start_offset:
        return
    if offset > log.durable_offset:  # the start must never be beyond what a power cut leaves
        log.sync()
    count = 0
    if log.swap is None:  # else `drop_below_start`, when it is complete
        count = _below(log, offset)
    if count:
        # What the producers had written is known from the dropped segments, until this is written.
        contents = log.unsealed.get(log.segments[count - 1], {})
        write_files(log.files, log.directory, contents, sync=True)
    log.start_keeper.keep(offset, log.directory)
    log.log_start_offset = offset
    if count:
        drop(log, count)


def drop_below_start(log: Log) -> None:
    """Drop the segments that end at or before the log start, which could not go with it."""
    count = _below(log, log.log_start_offset)
    if count:
        drop(log, count)


def drop(log: Log, count: int) -> list[Segment]:
    """Take the oldest segments out of a log; their files go once nobody holds them."""
    assert count < len(log.segments), "the active segment stays"

    def want_maintenance() -> None:
        log.wants_maintenance = True

    dropped = log.lookup.drop(count)
    for segment in dropped:
        log.size_bytes -= segment.size_bytes
        # what the producers had written before the first segment that stays
        log.left_files = log.unsealed.pop(segment, {})
        segment.doomed = True
        segment.when_idle = want_maintenance
        log.doomed.append(segment)
    log.wants_maintenance = True
    return dropped


def _below(log: Log, offset: int) -> int:
    """How many of the oldest segments hold nothing from `offset` on."""
    count = 0
    while count + 1 < len(log.segments) and log.segments[count + 1].base_offset <= offset:
        count += 1
    return count


def _due_by_time(log: Log, before_ms: int) -> int:
    """How many of the oldest segments hold nothing as young as `before_ms`."""
    count = 0
    for segment in log.segments:
        if not _is_over(log, segment) or _youngest_ms(log, segment) >= before_ms:
            break
        count += 1
    return count


def _youngest_ms(log: Log, segment: Segment) -> int:
    """How young a segment is; one without timestamps is as young as its roll (or our start)."""
    if segment.max_timestamp_ms >= 0:
        return segment.max_timestamp_ms
    return NEVER if segment is log.active else segment.rolled_ms


def _due_by_size(log: Log, retention_bytes: int) -> int:
    """How many of the oldest segments the log can lose and still have `retention_bytes`."""
    count = 0
    if retention_bytes >= 0:
        excess = log.size_bytes - retention_bytes
        for segment in log.segments:
            excess -= segment.size_bytes
            if excess < 0 or not _is_over(log, segment):
                break
            count += 1
    return count


def _is_over(log: Log, segment: Segment) -> bool:
    """Tell whether a segment holds records, all of them durable."""
    end_offset = log.end_offset if segment is log.active else segment.end_offset
    return segment.size_bytes > 0 and end_offset <= log.durable_offset


def write_log_start(files: Files, directory: str, offset: int) -> None:
    """Make the log start durable. Raises OSError."""
    write_number(files, f"{directory}/{LOG_START_FILE}", offset)


def read_log_start(files: Files, directory: str) -> int | None:
    """Return the log start of a directory, None where none was written or it is not readable."""
    return read_number(files, f"{directory}/{LOG_START_FILE}")


def write_number(files: Files, path: str, number: int) -> None:
    """Replace a file that holds one number and its checksum, durably. Raises OSError."""
    line = f"{number}\n"
    files.write_atomically(path, f"{line}{crc32c(line.encode()):08x}\n".encode())


def read_number(files: Files, path: str) -> int | None:
    """Return the number in such a file, None where none was written or it is not readable."""
    try:
        data = files.read_file(path)
    except FileNotFoundError:
        return None
    line, _, _ = data.partition(b"\n")
    if not line.isdigit() or data != b"%d\n%08x\n" % (int(line), crc32c(line + b"\n")):
        return None
    return int(line)


def remove_below(files: Files, directory: str, bases: list[int], log_start_offset: int) -> None:
    """Unlink the segments that end at or before the log start; for a start after a crash."""
    for base, end in pairwise(bases):
        if end <= log_start_offset:
            unlink_segment(files, directory, base)


def close_all(segments: Sequence[Segment]) -> None:
    """Close files that were unlinked: for a helper thread.

    The last descriptor of a file that has no name frees its blocks, and where the file system
    tells the device of it (`discard`) that takes 30 to 50 ms for 50 MB.
    """
    for segment in segments:
        segment.close()


def unlink_segment(files: Files, directory: str, base_offset: int) -> None:
    """Unlink every file of a segment that is there. Raises OSError."""
    for suffix in SUFFIXES:
        path = segment_path(directory, base_offset, suffix)
        if files.exists(path):
            files.unlink(path)
