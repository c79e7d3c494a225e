"""The segment that compaction writes: beside the old ones, under names that nobody opens.

    <base>.log.cleaned  .index.cleaned  .timeindex.cleaned  .digest.cleaned

Batches that stay as they are arrive as ranges of the bytes that were read, neighbours joined, and
leave in large writes. What is written is synced every `SYNC_STEP_BYTES`: a device that is handed a
gigabyte at once makes every group commit beside it wait.

A segment that loses nothing need not be written again. So an output that replaces a single segment
writes nothing before the first change; the bytes up to there are copied then, and if none comes
there is no output at all.

`finish` describes the files in the digest, which is also what makes a swap recoverable (see
`swap_files`), and syncs them all. A crash before that leaves files that the next start removes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from . import digest
from .digest import Part, SegmentDigest, file_name
from .files import Buffer, File, Files
from .scan import Header
from .segment import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, Segment, write_files

CLEANED_SUFFIX: Final = ".cleaned"
WRITE_BYTES: Final = 1 << 20
COPY_BYTES: Final = 4 << 20
SYNC_STEP_BYTES: Final = 4 << 20

Pace = Callable[[int], None]
"""Told of bytes as they are read or written; may wait, and may raise to end the work."""


class Cleaned(NamedTuple):
    """A finished output: `base_offset` to `end_offset` replaces the segments `bases`."""

    base_offset: int
    end_offset: int
    size_bytes: int
    max_timestamp_ms: int
    bases: tuple[int, ...]


class Output:
    """One new segment in the making. `source` is the file of the one segment that it replaces."""

    __slots__ = (
        "_directory",
        "_files",
        "_interval_bytes",
        "_pace",
        "_pending",
        "_pending_bytes",
        "_run",
        "_segment",
        "_source",
        "_sum",
        "_synced_position",
        "base_offset",
        "file",
        "written_bytes",
    )

    def __init__(
        self,
        files: Files,
        directory: str,
        base_offset: int,
        interval_bytes: int,
        pace: Pace,
        source: File | None,
    ) -> None:
        self._files = files
        self._directory = directory
        self._interval_bytes = interval_bytes
        self._pace = pace
        self._source = source
        self._pending: list[Buffer] = []
        self._pending_bytes = 0
        self._run: tuple[bytes, int, int] | None = None  # data, start, end: what stays as it is
        self._sum = digest.new_sum()
        self._synced_position = 0
        self.base_offset = base_offset
        self.written_bytes = 0
        self.file: File | None = None if source is not None else self._create()
        file = self.file if source is None else source
        assert file is not None
        self._segment = Segment(files, directory, base_offset, file)  # for the sake of its indexes
        self._segment.index_after_position = interval_bytes

    def keep(self, data: bytes, start: int, end: int, header: Header) -> None:
        """Take a batch as it is."""
        self._note(end - start, header[0], header[6], header[8])
        if self.file is None:
            return
        run = self._run
        if run is not None and run[0] is data and run[2] == start:
            self._run = (data, run[1], end)
        else:
            self._end_run()
            self._run = (data, start, end)
        if self._pending_bytes + end - self._run[1] >= WRITE_BYTES:
            self._flush()

    def drop(self) -> None:
        """A batch goes: from here on the output differs from its source."""
        if self.file is None:
            self._copy_source()

    def write(self, batch: bytes, header: Header, max_timestamp_ms: int) -> None:
        """Take a batch that was made anew; offsets are those of the old one's `header`."""
        self.drop()
        self._note(len(batch), header[0], header[6], max_timestamp_ms)
        self._end_run()
        self._pending.append(batch)
        self._pending_bytes += len(batch)
        if self._pending_bytes >= WRITE_BYTES:
            self._flush()

    def finish(self, end_offset: int, bases: tuple[int, ...]) -> Cleaned | None:
        """Make everything durable and describe it; None when nothing was changed.

        Raises OSError.
        """
        if self.file is None:
            return None
        self._flush()
        segment = self._segment
        segment.finish_indexes()
        parts = [Part(LOG_SUFFIX, segment.size_bytes, self._sum.intdigest())]
        contents = segment.index_files()
        for suffix in (INDEX_SUFFIX, TIME_INDEX_SUFFIX):
            data = contents[file_name(self.base_offset, suffix)]
            parts.append(Part(suffix, len(data), digest.xxh3(data)))
        for suffix in (".snapshot", ".window"):  # what producers had written before it: the same
            path = self._path(suffix)
            if self._files.exists(path):
                parts.append(Part(suffix, *digest.digest_file(self._files, path)))
        summary = SegmentDigest(
            self.base_offset, end_offset, segment.max_timestamp_ms, tuple(parts)
        )
        contents[file_name(self.base_offset, digest.DIGEST_SUFFIX)] = digest.encode_digest(summary)
        cleaned = {name + CLEANED_SUFFIX: data for name, data in contents.items()}
        write_files(self._files, self._directory, cleaned, sync=True, beside=[self.file])
        return Cleaned(
            self.base_offset, end_offset, segment.size_bytes, segment.max_timestamp_ms, bases
        )

    def close(self) -> None:
        """Release the file."""
        if self.file is not None:
            self.file.close()

    def _path(self, suffix: str) -> str:
        return f"{self._directory}/{file_name(self.base_offset, suffix)}"

    def _create(self) -> File:
        file = self._files.open(self._path(LOG_SUFFIX + CLEANED_SUFFIX), create=True)
        file.truncate(0)
        return file

    def _note(self, size_bytes: int, first: int, last_delta: int, max_timestamp_ms: int) -> None:
        last = first + last_delta
        self._segment.note(size_bytes, first, last, max_timestamp_ms, self._interval_bytes)

    def _copy_source(self) -> None:
        """The first change: bring over what was kept until now."""
        assert self._source is not None
        self.file = self._create()
        end = self._segment.size_bytes
        for position in range(0, end, COPY_BYTES):
            chunk = self._source.pread(min(COPY_BYTES, end - position), position)
            self._pace(len(chunk))
            self._pending.append(chunk)
            self._flush()

    def _end_run(self) -> None:
        if self._run is not None:
            data, start, end = self._run
            self._pending.append(memoryview(data)[start:end])
            self._pending_bytes += end - start
            self._run = None

    def _flush(self) -> None:
        self._end_run()
        if not self._pending:
            return
        assert self.file is not None
        chunk = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        self.file.pwrite(chunk, self.written_bytes)
        self._sum.update(chunk)
        self.written_bytes += len(chunk)
        if self.written_bytes - self._synced_position >= SYNC_STEP_BYTES:
            self.file.datasync()
            self._synced_position = self.written_bytes
        self._pace(len(chunk))
