"""From a time to an offset, exactly: ListOffsets by timestamp, and the youngest record.

The time index of a segment says up to which offset every record is older than what is looked for;
from there headers are walked to the first batch whose largest timestamp is old enough, and the
records of that one batch tell which record it is. A batch with LogAppendTime has one time for all.

Source: Kafka's LogSegment.findOffsetByTimestamp, RecordBatch.offsetOfMaxTimestamp. Like Kafka, this
believes the largest timestamp in a header, and goes on to the next batch if no record has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from logwire.batch import LOG_APPEND_TIME, decode_batch

from .segment import NO_TIMESTAMP_MS, BatchAt, Segment

if TYPE_CHECKING:
    from .log import Log

NO_RECORD = (NO_TIMESTAMP_MS, -1)


def offset_for_timestamp(log: Log, timestamp_ms: int) -> tuple[int, int] | None:
    """Return (timestamp, offset) of the first record that is as young, or None."""
    for segment in list(log.segments):
        if segment.size_bytes == 0 or segment.max_timestamp_ms < timestamp_ms:
            continue
        for batch in _batches_since(log, segment, timestamp_ms):
            if batch.max_timestamp_ms < timestamp_ms or batch.last_offset < log.log_start_offset:
                continue
            for record_ms, offset in _records(segment, batch):
                if record_ms >= timestamp_ms and offset >= log.log_start_offset:
                    return record_ms, offset
    return None


def max_timestamp(log: Log) -> tuple[int, int]:
    """Return (largest timestamp, first offset that has it), (-1, -1) without any."""
    best = NO_RECORD
    segments = [segment for segment in log.segments if segment.size_bytes]
    if segments and segments[0].base_offset < log.log_start_offset:  # its youngest may be gone
        segment = segments.pop(0)
        if log.log_start_offset < _end_offset(log, segment):
            best = _youngest_of(_walk_from(log, segment, log.log_start_offset), segment, log)
    if segments:
        segment = max(segments, key=lambda segment: segment.max_timestamp_ms)
        if segment.max_timestamp_ms > best[0]:
            found = _youngest_of(_walk_from(log, segment, segment.youngest()[1]), segment, log)
            best = max(best, found, key=lambda record: record[0])
        if segment.max_timestamp_ms > best[0]:  # compaction has left the batch without its records
            best = _youngest_of_all(log)
    return best


def _youngest_of_all(log: Log) -> tuple[int, int]:
    best = NO_RECORD
    for segment in list(log.segments):
        if segment.max_timestamp_ms > best[0]:
            walk = segment.walk(0, segment.size_bytes)
            best = max(best, _youngest_of(walk, segment, log), key=lambda record: record[0])
    return best


def _end_offset(log: Log, segment: Segment) -> int:
    return log.end_offset if segment is log.active else segment.end_offset


def _walk_from(log: Log, segment: Segment, offset: int) -> Iterator[BatchAt]:
    return segment.walk(log.lookup.locate(offset)[1], segment.size_bytes)


def _youngest_of(batches: Iterator[BatchAt], segment: Segment, log: Log) -> tuple[int, int]:
    """Return (timestamp, offset) of the first youngest record at or after the log start."""
    best = NO_RECORD
    for batch in batches:
        if batch.max_timestamp_ms > best[0]:
            for record_ms, offset in _records(segment, batch):
                if record_ms > best[0] and offset >= log.log_start_offset:
                    best = record_ms, offset
        if best[0] >= segment.max_timestamp_ms:
            break
    return best


def _batches_since(log: Log, segment: Segment, timestamp_ms: int) -> Iterator[BatchAt]:
    """Walk from the last place before which everything is older."""
    log.lookup.keep_mapped(segment)
    older = segment.time_index.offset_before(timestamp_ms)
    return _walk_from(log, segment, segment.base_offset + (older or 0))


def _records(segment: Segment, batch: BatchAt) -> Iterator[tuple[int, int]]:
    """Iterate over (timestamp, offset) of a batch's records."""
    if batch.attributes & LOG_APPEND_TIME and batch.is_dense:
        for offset in range(batch.first_offset, batch.last_offset + 1):
            yield batch.max_timestamp_ms, offset
        return
    for record in decode_batch(segment.read_batch(batch)):
        yield record.timestamp_ms, record.offset
