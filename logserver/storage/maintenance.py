"""What a log has done for it off the loop, so that appends and fetches never wait for it.

A chore is a pair: `run()` belongs to a helper thread, may block, and touches files and what nobody
else changes meanwhile; `finish(result)` belongs to the thread that owns the log and gets what `run`
returned, or the OSError that it raised. Chores hold the segments that they work on.

Allocate. Space for the active segment, in steps: 4 MB, then 16 (100 MB at once for a thousand
    partitions would be 100 GB), once 64 KB have shown that the partition is in use. Appends go on
    beyond the allocated part at any time; a file system that cannot allocate is not asked again.
Seal. A rolled segment whose bytes are durable is trimmed to its true end, its indexes and the
    producers' state at its end are written, all of them synced in one go, and last its digest,
    which says that all of that is on the device. Never before the bytes are durable: a second
    thread that syncs a file could be told the write-back error that the group commit must hear, as
    it is told only once.
Swap. A compacted segment takes the place of old ones, in steps (see `swap`).
Remove. The files of segments that left the log, when nobody reads them any more. The new log start
    is made durable first (see `retention`). The helper closes them, too (`retention.close_all`).

A chore has its directory by a pin, not by name: while it works, the topic may be deleted and made
again, and the paths that it knew would then be those of another log's files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import digest, producers, retention, swap
from .files import Pin, is_disk_full, is_passing
from .segment import Segment, write_files

if TYPE_CHECKING:
    from .log import Log

FIRST_STEP_BYTES = 4 << 20
STEP_BYTES = 16 << 20
AHEAD_BYTES = 1 << 20  # ask for the next step when less than this is left: 1 ms of writing, or more
IN_USE_BYTES = 64 << 10
NEVER = 2**63 - 1
DELETED_SUFFIX = "-delete"
NAME_BYTES_MAX = 255  # what every file system takes as one name

Chore = tuple[Callable[[], object], Callable[[object], None]]


def chores(log: Log) -> list[Chore]:
    """Return what is due now."""
    if log.deleted_ms is not None:
        return []  # `removal` takes everything
    result = [] if log.fenced else [*_allocation(log), *_seal(log), *swap.chores(log)]
    return result + _removals(log)


def first_allocation_position(segment: Segment) -> int:
    """Return the tail position after which appends to a fresh segment ask for space."""
    return max(segment.size_bytes, IN_USE_BYTES)


def name_first(log: Log) -> None:
    """Make the name of the first segment durable, before there is a second one. Raises OSError.

    A power cut that loses this name and keeps the next would leave no gap to be seen.
    """
    first = log.segments[0]
    if not first.named:
        log.files.sync_directory(log.directory)
        first.named = True


def _allocation(log: Log) -> list[Chore]:
    segment = log.active
    start = max(segment.allocated_bytes, segment.size_bytes)
    wanted, log.wants_space = log.wants_space, False
    step = FIRST_STEP_BYTES if segment.allocated_bytes == 0 else STEP_BYTES
    end = min(start + step, log.config.segment_bytes)
    if not wanted or segment.busy or end <= start:
        return []
    # The first segment's name on the way, so that the roll need not wait for it.
    pin = None if segment.named or segment is not log.segments[0] else _pin(log)
    segment.busy = True
    segment.acquire()

    def run() -> None:
        if pin is not None:
            log.files.sync_directory(pin.path)
        segment.file.allocate(start, end - start)

    def finish(result: object) -> None:
        segment.busy = False
        segment.release()
        if pin is not None:
            pin.close()
            segment.named = segment.named or not isinstance(result, OSError)
        if segment is not log.active:
            log.wants_maintenance = True  # a seal may have waited
        elif not isinstance(result, OSError):
            segment.allocated_bytes = end
            log.allocate_after_position = end - AHEAD_BYTES
        elif is_disk_full(result):
            log.allocate_after_position = segment.size_bytes + STEP_BYTES

    return [(run, finish)]


def _seal(log: Log) -> list[Chore]:
    segment = next(iter(log.unsealed), None)
    if segment is None or segment.busy or segment.end_offset > log.durable_offset:
        return []
    next_files = log.unsealed[segment]
    pin = _pin(log)
    if pin is None:
        return []
    segment.busy = True
    segment.acquire()

    def run() -> None:
        seal_files(log, segment, next_files, pin.path)

    def finish(result: object) -> None:
        pin.close()
        segment.busy = False
        segment.release()
        if not isinstance(result, OSError):
            note_sealed(log, segment)
        elif log.deleted_ms is None and not segment.doomed and not is_passing(result):
            log.fence(f"a segment could not be sealed: {result}")

    return [(run, finish)]


def _pin(log: Log) -> Pin | None:
    """Hold the log's directory for a chore; None, and another try later, if there is no way."""
    try:
        return log.files.pin(log.directory)
    except OSError:
        log.wants_maintenance = True
        return None


def seal_files(log: Log, segment: Segment, next_files: dict[str, bytes], directory: str) -> None:
    """Trim, sync, index and digest a rolled segment. Raises OSError."""
    if segment.file.size() != segment.size_bytes:
        segment.file.truncate(segment.size_bytes)
    contents = {**segment.index_files(), **next_files}
    write_files(log.files, directory, contents, sync=True, beside=[segment.file])
    log.files.sync_directory(directory)
    digest.seal_segment(
        log.files,
        directory,
        segment.base_offset,
        segment.end_offset,
        segment.max_timestamp_ms,
        None if segment.summed is None else segment.summed.intdigest(),
    )


def note_sealed(log: Log, segment: Segment) -> None:
    """Let go of what the files of a sealed segment hold now."""
    if log.unsealed.pop(segment, None) is not None:
        segment.sealed = True
        segment.named = True
        segment.allocated_bytes = segment.size_bytes
        log.lookup.keep(segment)
        log.wants_maintenance = log.wants_maintenance or bool(log.unsealed)


def _removals(log: Log) -> list[Chore]:
    segments = [s for s in log.doomed if not s.holds and not s.busy]
    if not segments and not log.left_files:
        return []
    pin = _pin(log)
    if pin is None:
        return []
    for segment in segments:
        log.doomed.remove(segment)
    log_start_offset = log.log_start_offset
    left_files, log.left_files = log.left_files, {}

    def run() -> None:
        try:
            write_files(log.files, pin.path, left_files, sync=True)
            log.start_keeper.keep(log_start_offset, pin.path)
            for segment in segments:
                retention.unlink_segment(log.files, pin.path, segment.base_offset)
            log.files.sync_directory(pin.path)
        finally:
            # What an error left on disk is below the log start: the next start removes it.
            retention.close_all(segments)

    def finish(_: object) -> None:
        pin.close()

    return [(run, finish)]


def producer_files(log: Log, offset: int) -> dict[str, bytes]:
    """Return by name the files that say what producers had written up to `offset`, the log end."""
    return {
        f"{offset:020d}.snapshot": producers.encode_snapshot(log.producers),
        f"{offset:020d}.window": producers.encode_window(log.producers),
    }


def finish_files(log: Log) -> None:
    """Sync, seal, trim and index everything, for a clean stop. Raises OSError.

    Names, indexes and producer files are durable only after a sync of the file system.
    """
    log.sync()
    for run, finish in _removals(log):
        finish(run())
    for segment, next_files in list(log.unsealed.items()):
        seal_files(log, segment, next_files, log.directory)
        note_sealed(log, segment)
    active = log.active
    active.finish_indexes()
    if active.file.size() != active.size_bytes:
        active.file.truncate(active.size_bytes)
    contents = {**active.index_files(), **producer_files(log, log.end_offset)}
    write_files(log.files, log.directory, contents, sync=False)


def deleted_name(name: str, unique: str) -> str:
    """Return `<topic>-<n>.<unique>-delete`, the topic cut so that it fits, as Kafka does."""
    topic, _, index = name.rpartition("-")
    tail = f"-{index}.{unique}{DELETED_SUFFIX}"
    return topic[: NAME_BYTES_MAX - len(tail)] + tail


def rename_deleted(log: Log, directory: str) -> None:
    """Give the directory of a deleted log its new name; durable on return. Raises OSError."""
    # A sync in flight will not find the directory to make the name of a young segment durable, and
    # its records may have been promised: the deletion itself can still be lost, and undone.
    if not all(segment.named for segment in log.segments):
        log.files.sync_directory(log.directory)
    log.files.rename(log.directory, directory)
    log.directory = directory
    for segment in (*log.segments, *log.doomed, *log.replaced):
        segment.directory = directory
    log.files.sync_directory(posixpath.dirname(directory))


def removal(log: Log, now_ms: int) -> Chore | None:
    """Return the chore that removes the directory of a deleted log, when it is time."""
    segments = [*log.segments, *log.doomed, *log.replaced]
    if (
        log.deleted_ms is None
        or log.gone
        or (log.swap is not None and log.swap.running)
        # A clock that was set back is no reason to keep the space for longer.
        or 0 <= now_ms - log.deleted_ms < log.config.file_delete_delay_ms
        or any(segment.holds or segment.busy for segment in segments)
    ):
        return None
    files, directory = log.files, log.directory

    def run() -> None:
        for name in files.list_directory(directory):
            files.unlink(f"{directory}/{name}")
        files.remove_directory(directory)
        files.sync_directory(posixpath.dirname(directory))
        retention.close_all(segments)

    def finish(result: object) -> None:
        log.gone = log.gone or not isinstance(result, OSError)

    return run, finish
