"""Which part of a log may be compacted now, and whether that is worth it. Kafka's rules.

    0 ........ first dirty ........ end ............ active segment
    clean      dirty: cleanable     not yet

*First dirty* is where the last compaction ended (`cleaner_checkpoint`), never before the log start.
It counts for nothing unless the log itself says that it was compacted that far (`sparse`): a topic
that was deleted and made again has the name of the old one and none of its history.

*End* is the first segment that is active, or not sealed yet (so not durable), or that holds a
record younger than `min.compaction.lag.ms` (records without a time are as young as its roll).

A log is worth compacting when the dirty bytes are more than `min.cleanable.dirty.ratio` of clean
and dirty together, or when the oldest dirty record waits for longer than `max.compaction.lag.ms`.
For the sake of the latter an active segment rolls after `max.compaction.lag.ms`, too, if that is
shorter than `segment.ms` (LogConfig.maxSegmentMs); unlike Kafka's also when nothing is appended.

Source: Kafka's LogCleanerManager.cleanableOffsets, LogToClean, LogConfig (4.3.1), KIP-58, KIP-354.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import sparse
from .compaction import Job, Source

if TYPE_CHECKING:
    from .log import Log
    from .segment import Segment


class Cleanable(NamedTuple):
    """A log as its cleaner sees it. `overdue`: `max.compaction.lag.ms` asks for it."""

    first_dirty_offset: int
    segments: list[Segment]
    clean_bytes: int
    dirty_bytes: int
    overdue: bool

    @property
    def ratio(self) -> float:
        """The share of the cleanable part that is dirty."""
        total_bytes = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / total_bytes if total_bytes else 0.0

    def is_worth_it(self, ratio_min: float) -> bool:
        """Whether to compact the log now."""
        return self.ratio > ratio_min or (self.overdue and self.dirty_bytes > 0)


def measure(log: Log, checkpoint_offset: int, now_ms: int) -> Cleanable:
    """Look at a log. `checkpoint_offset` is where its last compaction ended, 0 without one.

    Raises OSError, where the age of a segment has to be read.
    """
    first_dirty = checkpoint_offset
    if not log.log_start_offset <= first_dirty <= log.end_offset:
        first_dirty = log.log_start_offset
    segments = []
    for segment in log.segments:
        if segment is log.active or not segment.sealed or segment.busy:
            break
        if segment.end_offset > first_dirty and _is_too_young(log, segment, now_ms):
            break
        segments.append(segment)
    dirty = [segment for segment in segments if segment.end_offset > first_dirty]
    clean = [segment for segment in segments if segment.base_offset < first_dirty]
    return Cleanable(
        first_dirty,
        segments,
        sum(segment.size_bytes for segment in clean),
        sum(segment.size_bytes for segment in dirty),
        _is_overdue(log, dirty, now_ms),
    )


def _is_too_young(log: Log, segment: Segment, now_ms: int) -> bool:
    lag_ms = log.config.min_compaction_lag_ms
    youngest_ms = segment.max_timestamp_ms if segment.max_timestamp_ms >= 0 else segment.rolled_ms
    return lag_ms > 0 and youngest_ms > now_ms - lag_ms


def _is_overdue(log: Log, dirty: list[Segment], now_ms: int) -> bool:
    before_ms = now_ms - log.config.max_compaction_lag_ms
    if before_ms < 0:
        return False  # nobody asked: the default is for ever
    return any(0 < segment.first_timestamp() < before_ms for segment in dirty)


def believed_checkpoint(log: Log, checkpoint_offset: int) -> int:
    """The first dirty offset of a log that has just been opened. Raises OSError."""
    return min(checkpoint_offset, sparse.read(log.files, log.directory))


def roll_overdue(log: Log, now_ms: int) -> bool:
    """Roll an active segment whose records would otherwise wait for too long; whether it was done.

    Raises OSError.
    """
    active = log.active
    if not active.size_bytes or active.busy or log.fenced:
        return False
    first_ms = active.first_timestamp()
    if not 0 < first_ms < now_ms - log.config.roll_ms:
        return False
    log.roll(now_ms)
    log.wants_maintenance = True
    return True


def job_of(
    log: Log,
    found: Cleanable,
    now_ms: int,
    map_bytes: int,
    map_load: float,
    seed: int,
    reserve_bytes: int = 0,
) -> Job:
    """What a cleaner has to know to compact this part of a log."""
    config = log.config
    return Job(
        tuple(Source(s.base_offset, s.end_offset, s.size_bytes) for s in found.segments),
        found.first_dirty_offset,
        now_ms,
        config.delete_retention_ms,
        config.segment_bytes,
        config.segment_index_bytes,
        config.index_interval_bytes,
        frozenset(
            entry.batches[-1][3] for entry in log.producers.entries.values() if entry.batches
        ),
        map_bytes,
        map_load,
        seed,
        reserve_bytes,
    )
