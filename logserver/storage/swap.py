"""A log takes a compacted segment in the place of old ones, while it is read and written.

    offer      the loop     the output still fits: the old segments are all there
    commit     a helper     `swap_files.commit`; the new segment is opened, its indexes mapped
    publish    the loop     the log's list of segments changes; from here on readers get the new
    complete   a helper     `swap_files.complete`: names
    release    a helper     once nobody holds an old segment and `file.delete.delay.ms` is over

Decided on the device first, then shown, then tidied up: a crash in between is finished by the next
start, with the same outcome. Until `complete` has run, the new segment's index files do not have
the names that they are looked for by, so its indexes stay mapped from before (`sealed` is false),
and the names of the old are nobody's. That is why nothing is taken out of a log whose swap is not
complete: `retention.drop_below_start` catches up afterwards.

Who holds a slice of an old segment reads on: descriptor and bytes stay. One swap at a time; an
output that comes too late (a segment left the log, the topic was deleted) is dropped, and nothing
that was compacted after it may go in (see `compaction`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from . import retention, swap_files
from .compaction_output import CLEANED_SUFFIX, Cleaned
from .files import is_passing
from .index import OffsetIndex, TimeIndex
from .segment import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, Segment, segment_path

if TYPE_CHECKING:
    from .log import Log
    from .maintenance import Chore

Done = Callable[[str], None]
"""Told how an offered output ended: an empty text for well, else why it is not in the log."""


class Step(Enum):
    """What is to be done next."""

    COMMIT = "commit"
    COMPLETE = "complete"


class Swap:
    """One output on its way into a log."""

    __slots__ = ("cleaned", "done", "new", "now_ms", "old", "running", "step", "wake")

    def __init__(
        self,
        cleaned: Cleaned,
        old: list[Segment],
        now_ms: int,
        done: Done,
        wake: Callable[[], None] | None,
    ) -> None:
        self.cleaned = cleaned
        self.now_ms = now_ms
        self.old = old
        self.done = done
        self.wake = wake
        self.new: Segment | None = None
        self.step = Step.COMMIT
        self.running = False


def offer(
    log: Log, cleaned: Cleaned, now_ms: int, done: Done, wake: Callable[[], None] | None = None
) -> None:
    """Take an output in, by maintenance; `done` is called once, perhaps before this returns.

    `wake` is called when maintenance has something to do, else somebody must look now and then.
    """
    assert log.swap is None, "one swap at a time"
    old = [s for s in log.segments if cleaned.base_offset <= s.base_offset < cleaned.end_offset]
    if log.fenced or tuple(segment.base_offset for segment in old) != cleaned.bases:
        done("segments that were compacted have left the log")
        return
    assert all(segment.sealed and not segment.busy for segment in old), "only sealed ones"
    log.swap = Swap(cleaned, old, now_ms, done, wake)
    _want_maintenance(log, log.swap)


def _want_maintenance(log: Log, swap: Swap) -> None:
    log.wants_maintenance = True
    if swap.wake is not None:
        swap.wake()


def chores(log: Log) -> list[Chore]:
    """Return the step of the log's swap that is due, for `maintenance`."""
    swap = log.swap
    if swap is None or swap.running or log.fenced:
        return []
    try:
        pin = log.files.pin(log.directory)
    except OSError:
        log.wants_maintenance = True
        return []
    swap.running = True
    run = _commit if swap.step is Step.COMMIT else _complete
    finish = _publish if swap.step is Step.COMMIT else _end

    def finish_and_unpin(result: object) -> None:
        pin.close()
        swap.running = False
        finish(log, swap, result)

    return [(lambda: run(log, swap, pin.path), finish_and_unpin)]


def _commit(log: Log, swap: Swap, directory: str) -> Segment:
    """Open the output, then decide for it: what fails before that leaves the log as it was."""
    cleaned = swap.cleaned
    files = log.files
    paths = [
        segment_path(directory, cleaned.base_offset, suffix + CLEANED_SUFFIX)
        for suffix in (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX)
    ]
    segment = Segment(files, log.directory, cleaned.base_offset, files.open(paths[0]))
    try:
        views = []
        for path in paths[1:]:
            file = files.open(path, write=False)
            try:
                views.append(file.map())
            finally:
                file.close()
        segment.load(
            cleaned.size_bytes,
            cleaned.end_offset,
            cleaned.max_timestamp_ms,
            sealed=True,
            interval_bytes=log.config.index_interval_bytes,
        )
        swap_files.commit(files, directory, cleaned.base_offset)
    except OSError:
        segment.file.close()
        raise
    segment.lazy_offset_index = OffsetIndex(views[0])
    segment.lazy_time_index = TimeIndex(views[1])
    return segment


def _publish(log: Log, swap: Swap, result: object) -> None:
    """Show the new segment, unless the log has no use for it any more."""
    if isinstance(result, OSError):
        log.swap = None
        if log.deleted_ms is None and not is_passing(result):
            log.fence(f"a compacted segment could not be put in: {result}")
        elif log.deleted_ms is None:
            retention.drop_below_start(log)
        swap.done(f"a compacted segment could not be put in: {result}")
        return
    assert isinstance(result, Segment)
    new = swap.new = result
    if log.fenced:
        # What is on the device is decided; the next start finishes it.
        log.swap = None
        new.close()
        swap.done(f"the log was fenced: {log.fenced}")
        return
    new.directory = log.directory
    new.named = True
    new.sealed = False  # until its files have the names that it looks for
    new.busy = True
    new.rolled_ms = new.created_ms = swap.old[-1].rolled_ms
    log.replace_segments(swap.old, new, swap.now_ms)
    swap.step = Step.COMPLETE
    _want_maintenance(log, swap)


def _complete(log: Log, swap: Swap, directory: str) -> None:
    cleaned = swap.cleaned
    swap_files.complete(log.files, directory, cleaned.base_offset, cleaned.bases, keep_logs=True)


def _end(log: Log, swap: Swap, result: object) -> None:
    new = swap.new
    assert new is not None
    if isinstance(result, OSError):
        if log.deleted_ms is None and not is_passing(result):
            log.fence(f"a compacted segment did not get its name: {result}")
        elif log.deleted_ms is None:
            log.wants_maintenance = True  # and again
            return
        log.swap = None
        new.busy = False
        swap.done(f"a compacted segment did not get its name: {result}")
        return
    log.swap = None
    new.busy = False
    new.sealed = True
    log.lookup.keep(new)
    log.wants_maintenance = True
    retention.drop_below_start(log)
    swap.done("")


def release(log: Log, now_ms: int) -> Chore | None:
    """Return the chore that frees the space of replaced segments, None while it is too early."""
    if log.swap is not None or log.deleted_ms is not None:
        return None
    due = [
        segment
        for segment, replaced_ms in log.replaced.items()
        # A clock that was set back is no reason to keep the space for longer.
        if not segment.holds and not 0 <= now_ms - replaced_ms < log.config.file_delete_delay_ms
    ]
    if not due:
        return None
    try:
        pin = log.files.pin(log.directory)
    except OSError:
        return None
    again = {segment.base_offset for segment in log.replaced} - {s.base_offset for s in due}
    for segment in due:
        del log.replaced[segment]

    def run() -> None:
        try:
            for segment in due:
                if segment.base_offset not in again:  # a younger one has that name now
                    swap_files.remove_replaced(log.files, pin.path, segment.base_offset)
        finally:
            retention.close_all(due)

    def finish(_: object) -> None:
        pin.close()

    return run, finish
