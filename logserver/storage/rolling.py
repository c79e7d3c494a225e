"""When a segment is full: Kafka's `LogSegment.shouldRoll`, and three numbers to ask it rarely.

A batch goes into a new segment when the active one has something in it and

    size       with the batch it would exceed segment.bytes (a batch is never split)
    offset     the batch's last offset is more than 2^31 - 1 behind the base: an index cannot say it
    age        the batch is younger than the segment's first one by more than segment.ms (in a
               compacted topic max.compaction.lag.ms, if that is less); where the first has no
               timestamp, the clock and the creation of the file decide
    index      segment.index.bytes is used up, but for the entry that the seal adds

An append compares with `Limits` and asks `must_roll` only when one of them is passed.
"""

from __future__ import annotations

from typing import NamedTuple

from logserver.config import TopicConfig

from .index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES
from .segment import RELATIVE_OFFSET_MAX, Segment

ALWAYS = -(2**63)  # a limit that every append passes


class Limits(NamedTuple):
    """An append that stays at or below all three need not ask."""

    position: int
    offset: int
    timestamp_ms: int


ASK = Limits(ALWAYS, ALWAYS, ALWAYS)


def limits(segment: Segment, config: TopicConfig) -> Limits:
    """Return what may be appended to a segment unasked; `ASK` before its first batch is known."""
    first_ms = segment.first_timestamp_ms
    # An index cannot fill up before so much log was written: one entry per interval at most.
    index_room = config.segment_index_bytes // TIME_ENTRY_BYTES * config.index_interval_bytes
    if first_ms is None or index_room < config.segment_bytes:
        return ASK
    return Limits(
        config.segment_bytes,
        segment.base_offset + RELATIVE_OFFSET_MAX,
        first_ms + config.roll_ms if first_ms >= 0 else ALWAYS,
    )


def must_roll(
    segment: Segment,
    config: TopicConfig,
    size_bytes: int,
    last_offset: int,
    max_timestamp_ms: int,
    now_ms: int,
) -> bool:
    """Tell whether a batch of `size_bytes` must go into a new segment."""
    return segment.size_bytes > 0 and (
        segment.size_bytes + size_bytes > config.segment_bytes
        or last_offset - segment.base_offset > RELATIVE_OFFSET_MAX
        or _waited_ms(segment, max_timestamp_ms, now_ms) > config.roll_ms
        or len(segment.offset_index.data) + OFFSET_ENTRY_BYTES > config.segment_index_bytes
        or len(segment.time_index.data) + 2 * TIME_ENTRY_BYTES > config.segment_index_bytes
    )


def _waited_ms(segment: Segment, max_timestamp_ms: int, now_ms: int) -> int:
    first_ms = segment.first_timestamp()
    return max_timestamp_ms - first_ms if first_ms >= 0 else now_ms - segment.created_ms
