"""From a directory to a log: make it if it is new, recover it if it is not, put it together."""

from __future__ import annotations

import posixpath

from logwire.batch import LENGTH_OVERHEAD_BYTES

from . import checkpoint, recovery, retention, swap_files
from .checkpoint import CheckpointError
from .files import Files
from .mark import MarkEntry
from .recovery import FoundSegment, Recovery
from .scan import Header, Observe
from .segment import Segment


def prepare_directory(files: Files, directory: str, topic_id: bytes) -> None:
    """Make a partition directory that belongs to the topic, durably; leave an existing one.

    Raises CheckpointError if it belongs to another topic, OSError.
    """
    if not files.is_directory(directory):
        files.make_directory(directory)
        files.sync_directory(posixpath.dirname(directory))
    found = checkpoint.read_topic_id(files, directory)
    if found is None:
        checkpoint.write_topic_id(files, directory, topic_id)
    elif found != topic_id:
        raise CheckpointError(
            f"{directory} belongs to topic {checkpoint.format_uuid(found)}, "
            f"not to {checkpoint.format_uuid(topic_id)}"
        )


def recover_segments(
    files: Files,
    directory: str,
    interval_bytes: int,
    *,
    clean: bool,
    mark: MarkEntry | None,
    now_ms: int,
) -> tuple[Recovery, list[Segment], int]:
    """Return what recovery found, the segments opened on it, and the log start offset.

    Raises OSError.
    """
    swap_files.recover(files, directory)
    log_start_offset = retention.read_log_start(files, directory) or 0
    bases = recovery.segment_base_offsets(files, directory)
    retention.remove_below(files, directory, bases, log_start_offset)
    walked = _WalkedSegments(files, directory, interval_bytes)
    found = recovery.recover(
        files, directory, clean=clean, mark=mark, now_ms=now_ms, observer=walked.observe
    )
    segments = [walked.take(segment) for segment in found.segments]
    walked.close()
    for segment in segments:
        segment.created_ms = segment.rolled_ms = now_ms
    for segment in segments[:-1]:
        if not segment.sealed:
            segment.finish_indexes()
    if not segments:
        if not clean:
            # Its topic id may be in the page cache only, and a file of records without one would
            # be anybody's after a power cut: the next topic of that name would find it.
            files.sync_directory(directory)
        segments = [Segment.create(files, directory, log_start_offset, now_ms, interval_bytes)]
    end_offset = segments[-1].end_offset
    first_offset = segments[0].base_offset
    return found, segments, min(max(log_start_offset, first_offset), end_offset)


class _WalkedSegments:
    """Segments that recovery walks, their indexes rebuilt batch by batch as it goes."""

    def __init__(self, files: Files, directory: str, interval_bytes: int) -> None:
        self._files = files
        self._directory = directory
        self._interval_bytes = interval_bytes
        self._segments: dict[int, Segment] = {}

    def observe(self, base_offset: int) -> Observe:
        """Begin (again) with a segment; the function returned is told of each batch."""
        self._forget(base_offset)
        segment = self._open(base_offset)
        self._segments[base_offset] = segment
        interval_bytes = self._interval_bytes

        def note(position: int, header: Header) -> None:
            assert position == segment.size_bytes, "a batch was not reported"
            segment.note(
                header[1] + LENGTH_OVERHEAD_BYTES,
                header[0],
                header[0] + header[6],
                header[8],
                interval_bytes,
            )

        return note

    def take(self, found: FoundSegment) -> Segment:
        """Return the segment as recovery left it."""
        if found.indexed:
            self._forget(found.base_offset)
            segment = self._open(found.base_offset)
            segment.load(
                found.size_bytes,
                found.end_offset,
                found.max_timestamp_ms,
                sealed=found.sealed,
                interval_bytes=self._interval_bytes,
            )
            if not found.sealed and not segment.has_sound_indexes():
                segment.rebuild_indexes(self._interval_bytes)
            return segment
        walked = self._segments.pop(found.base_offset, None)
        segment = self._open(found.base_offset) if walked is None else walked
        if segment.size_bytes != found.size_bytes:
            segment.size_bytes = found.size_bytes
            segment.rebuild_indexes(self._interval_bytes)
        segment.end_offset = found.end_offset
        segment.allocated_bytes = segment.hot_from_position = found.size_bytes
        return segment

    def close(self) -> None:
        """Close what was walked and is not part of the log."""
        for base_offset in list(self._segments):
            self._forget(base_offset)

    def _open(self, base_offset: int) -> Segment:
        return Segment.open(self._files, self._directory, base_offset, self._interval_bytes)

    def _forget(self, base_offset: int) -> None:
        segment = self._segments.pop(base_offset, None)
        if segment is not None:
            segment.close()
