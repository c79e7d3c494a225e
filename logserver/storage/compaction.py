"""Compaction: of each key the last record stays. Kafka's cleaner as a function over files.

    clean, sparse            dirty                         not yet: within min.compaction.lag.ms,
    [0 ....... 811]          [812 .......... 1970]         not sealed, or active
                             ^ first_dirty_offset          ^ end of the job's sources

First look: the keys of the dirty part go into a map, key -> newest offset (`offset_map`). If it is
full before the end, compaction reaches as far as the map. Second look: every segment from the log's
first to there is read again, and a record stays unless the map knows a newer one of its key
(`compaction_records.choose`). What is left of neighbouring segments that fit into one goes into one
(`compaction_output`). The old segments stay as they are: what replaces them is only offered, one
output at a time, oldest first; `swap` puts it in. That order matters: a tombstone may go only when
everything before it that it deletes has gone.

What never changes: offsets, order, the first and last offset of a batch that stays, its leader
epoch and sequences. A batch that loses everything goes, except

- the last one of a producer, which says what its next sequence must be: its header stays;
- the last one of an output: a segment ends where the next one begins, so a gap at a segment's end
  is corruption and never compaction.

Tombstones (KIP-534): when a batch that holds one is compacted for the first time, its base
timestamp becomes the time from which the tombstone may go, now + `delete.retention.ms`, and bit 6
of the attributes says so. Until then a consumer that reads the log from its start learns that the
key was deleted.

Every batch is summed before a decision is based on it, in both looks: a flipped bit in a key would
otherwise delete another key's record, and a new checksum would make rot look healthy.
Batches of transactions are kept whole: nothing here knows which of them were aborted.

Source: Kafka's Cleaner, MemoryRecords.filterTo (4.3.1), KIP-58, KIP-354, KIP-534.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final, NamedTuple

from logwire.batch import (
    CODEC_MASK,
    CONTROL,
    CRC_POSITION,
    DECOMPRESSED_BYTES_MAX,
    DELETE_HORIZON,
    HEADER,
    HEADER_BYTES,
    LENGTH_OVERHEAD_BYTES,
    LOG_APPEND_TIME,
    MAGIC,
    NO_TIMESTAMP_MS,
    TRANSACTIONAL,
)
from logwire.checksum import crc32c
from logwire.compression import compress, decompress
from logwire.errors import ProtocolError

from . import sparse
from .compaction_output import Cleaned, Output, Pace
from .compaction_records import (
    GOES,
    STAYS,
    Chosen,
    Section,
    around,
    choose,
    move_timestamps,
    note_keys,
)
from .files import File, Files
from .offset_map import OffsetMap
from .scan import Header
from .segment import INDEX_SUFFIX, RELATIVE_OFFSET_MAX, TIME_INDEX_SUFFIX, segment_path

READ_BYTES: Final = 4 << 20
SUMMED_FROM: Final = CRC_POSITION + 4
KEPT_WHOLE: Final = CONTROL | TRANSACTIONAL
# Of the attributes, what a batch without records keeps: it has no codec and no horizon.
EMPTY_KEEPS: Final = LOG_APPEND_TIME | TRANSACTIONAL | CONTROL


class UncleanableError(Exception):
    """A log that must not be compacted as it is; the message says what was found where."""


class Source(NamedTuple):
    """A sealed segment; `end_offset` is where the next one begins."""

    base_offset: int
    end_offset: int
    size_bytes: int


class Job(NamedTuple):
    """All that compacting one log needs to know. Times are ms, offsets absolute.

    `sources`: every segment up to the first that must stay as it is, oldest first. `last_offsets`:
    of the producers that are remembered, where their last batches end. `map_bytes`, `map_load`:
    the memory for keys and how full it may be. `seed`: any number, another one each time.
    `reserve_bytes`: what must stay free on the disk.
    """

    sources: tuple[Source, ...]
    first_dirty_offset: int
    now_ms: int
    delete_retention_ms: int
    segment_bytes: int
    segment_index_bytes: int
    index_interval_bytes: int
    last_offsets: frozenset[int]
    map_bytes: int
    map_load: float
    seed: int
    reserve_bytes: int = 0


class Compaction:
    """One job at work. `outputs` does it; the counts tell how it went.

    `end_offset`: how far the map reached, the first dirty offset of the next job.
    """

    __slots__ = (
        "_directory",
        "_files",
        "_job",
        "_map",
        "_marks",
        "_pace",
        "end_offset",
        "keys_count",
        "mapped_bytes",
        "read_bytes",
        "written_bytes",
    )

    def __init__(self, files: Files, directory: str, job: Job, pace: Pace) -> None:
        """`directory` must stay this log's own: a pin (`Files.pin`)."""
        self._files = files
        self._directory = directory
        self._job = job
        self._pace = pace
        dirty = sum(
            source.end_offset - max(source.base_offset, job.first_dirty_offset)
            for source in job.sources
            if source.end_offset > job.first_dirty_offset
        )
        # A byte for each dirty offset, within the same memory; see `compaction_records`.
        self._marks = bytearray(min(dirty, job.map_bytes // 4))
        map_bytes = job.map_bytes - len(self._marks)
        self._map = OffsetMap(map_bytes, load_factor=job.map_load, keys_max=dirty, seed=job.seed)
        self.end_offset = job.first_dirty_offset
        self.keys_count = self.mapped_bytes = self.read_bytes = self.written_bytes = 0

    def outputs(self) -> Iterator[Cleaned]:
        """Do the work; each new segment is offered when it is durable.

        Raises UncleanableError, OSError (FileNotFoundError: a segment left the log meanwhile), and
        whatever `pace` raises. What was offered before that is right by itself.
        """
        self.end_offset = self._map_keys()
        self.keys_count = self._map.count
        sources = [s for s in self._job.sources if s.base_offset < self.end_offset]
        if not sources:
            return
        sparse.write(self._files, self._directory, sources[-1].end_offset)
        for group in self._groups(sources):
            cleaned = self._clean(group)
            if cleaned is not None:
                yield cleaned

    # First look

    def _map_keys(self) -> int:
        """Fill the map from the dirty sources; return the offset that it reaches up to."""
        job = self._job
        put = self._map.put
        first = end = job.first_dirty_offset
        for source in job.sources:
            if source.end_offset <= first:
                continue
            file = self._files.open(self._path(source), write=False)
            try:
                for data, start, stop, header in self._batches(file, source, first):
                    self.mapped_bytes += stop - start
                    if header[5] & KEPT_WHOLE:
                        continue
                    section = _section(data, start, stop, header)
                    full = note_keys(section, first, put, self._marks)
                    if full >= 0:
                        return full
            except ProtocolError as error:
                raise UncleanableError(f"{file.path}: {error}") from error
            finally:
                file.close()
            end = source.end_offset
        return end

    # Second look

    def _groups(self, sources: list[Source]) -> Iterator[list[Source]]:
        """Neighbours that fit into one segment, by the sizes they have now (Kafka's rule)."""
        job = self._job
        group: list[Source] = []
        room = index_room = time_index_room = 0
        for source in sources:
            index_bytes = self._files.file_size(self._path(source, INDEX_SUFFIX))
            time_index_bytes = self._files.file_size(self._path(source, TIME_INDEX_SUFFIX))
            if (
                not group
                or source.size_bytes > room
                or index_bytes > index_room
                or time_index_bytes > time_index_room
                or source.end_offset - 1 - group[0].base_offset > RELATIVE_OFFSET_MAX
            ):
                if group:
                    yield group
                group = []
                room = job.segment_bytes
                index_room = time_index_room = job.segment_index_bytes
            group.append(source)
            room -= source.size_bytes
            index_room -= index_bytes
            time_index_room -= time_index_bytes
        yield group

    def _clean(self, group: list[Source]) -> Cleaned | None:
        """Write what stays of a group; None when everything does and it is one segment already."""
        self._check_space(sum(source.size_bytes for source in group))
        output: Output | None = None
        sources: list[File] = []
        try:
            for source in group:
                file = self._files.open(self._path(source), write=False)
                sources.append(file)
                if output is None:
                    output = Output(
                        self._files,
                        self._directory,
                        source.base_offset,
                        self._job.index_interval_bytes,
                        self._pace,
                        file if len(group) == 1 else None,
                    )
                self._clean_into(output, file, source, is_last=source is group[-1])
            assert output is not None
            bases = tuple(source.base_offset for source in group)
            return output.finish(group[-1].end_offset, bases)
        finally:
            for file in sources:
                file.close()
            if output is not None:
                self.written_bytes += output.written_bytes
                output.close()

    def _check_space(self, size_bytes: int) -> None:
        """Raise OSError (ENOSPC) before the reserve is touched, which commits and deletes need."""
        if self._files.free_bytes(self._directory) < size_bytes + self._job.reserve_bytes:
            raise OSError(errno.ENOSPC, "too little space is free to compact", self._directory)

    def _clean_into(self, output: Output, file: File, source: Source, *, is_last: bool) -> None:
        job = self._job
        position = 0
        try:
            for data, start, stop, header in self._batches(file, source, 0):
                position += stop - start
                if header[0] >= self.end_offset or header[5] & KEPT_WHOLE:
                    output.keep(data, start, stop, header)
                    continue
                keeps_header = (is_last and position == source.size_bytes) or (
                    header[9] >= 0 and header[0] + header[6] in job.last_offsets
                )
                mark = self._mark_of(header)
                if mark == STAYS:
                    output.keep(data, start, stop, header)
                elif mark == GOES:
                    _lose(output, header, keeps_header)
                else:
                    self._clean_batch(output, data, start, stop, header, keeps_header)
        except ProtocolError as error:
            raise UncleanableError(f"{file.path}: {error}") from error

    def _mark_of(self, header: Header) -> int:
        """`STAYS` or `GOES` if the first look says so of the whole batch, else -1."""
        low = header[0] - self._job.first_dirty_offset
        high = low + header[6] + 1
        last_offset = header[0] + header[6]
        if low < 0 or high > len(self._marks) or last_offset >= self.end_offset or not header[12]:
            return -1
        marks = self._marks[low:high]
        if marks.count(STAYS) == len(marks):
            return STAYS
        return GOES if marks.count(GOES) == header[12] else -1

    def _clean_batch(
        self,
        output: Output,
        data: bytes,
        start: int,
        stop: int,
        header: Header,
        keeps_header: bool,
    ) -> None:
        """Look at each record of a batch."""
        job = self._job
        attributes = header[5]
        is_expired = bool(attributes & DELETE_HORIZON) and job.now_ms >= header[7]
        section = _section(data, start, stop, header)
        chosen = choose(section, self.end_offset - 1, self._map.get, is_expired)
        needs_horizon = chosen.has_tombstone and not attributes & DELETE_HORIZON
        if chosen.records_count == header[12] and not needs_horizon and chosen.records_count:
            output.keep(data, start, stop, header)
        elif chosen.records_count:
            horizon_ms = job.now_ms + job.delete_retention_ms if needs_horizon else None
            batch, max_timestamp_ms = rewrite(section.data, header, chosen, horizon_ms)
            output.write(batch, header, max_timestamp_ms)
        elif not header[12] and keeps_header:
            output.keep(data, start, stop, header)
        else:
            _lose(output, header, keeps_header)

    # Reading

    def _path(self, source: Source, suffix: str = ".log") -> str:
        return segment_path(self._directory, source.base_offset, suffix)

    def _batches(
        self, file: File, source: Source, from_offset: int
    ) -> Iterator[tuple[bytes, int, int, Header]]:
        """The batches that end at or after `from_offset`, each as (data, start, stop, header).

        Checked: magic, length, checksum, offsets that rise within the segment's range. Raises
        UncleanableError.
        """
        position, offset = 0, source.base_offset
        while position < source.size_bytes:
            data = file.pread(min(READ_BYTES, source.size_bytes - position), position)
            size = int.from_bytes(data[8:12], "big") + LENGTH_OVERHEAD_BYTES
            if len(data) < size <= source.size_bytes - position:  # larger than what is read at once
                data = file.pread(size, position)
            self.read_bytes += len(data)
            self._pace(len(data))
            view = memoryview(data)
            start = 0
            while start + HEADER_BYTES <= len(data):
                header = HEADER.unpack_from(data, start)
                stop = start + header[1] + LENGTH_OVERHEAD_BYTES
                if stop > len(data) and start and header[3] == MAGIC:
                    break  # the rest of it comes with the next read
                end_offset = header[0] + header[6] + 1
                if (
                    header[3] != MAGIC
                    or not start + HEADER_BYTES <= stop <= len(data)
                    or not 0 <= header[12] <= header[6] + 1
                    or not offset <= header[0] < end_offset <= source.end_offset
                    or crc32c(view[start + SUMMED_FROM : stop]) != header[4]
                ):
                    raise UncleanableError(f"no valid batch at {position + start} of {file.path}")
                offset = end_offset
                if offset > from_offset:
                    yield data, start, stop, header
                start = stop
            if not start:
                raise UncleanableError(f"{file.path} ends within a batch at {position}")
            position += start


def _lose(output: Output, header: Header, keeps_header: bool) -> None:
    """All records of a batch go, and the batch with them if nobody needs its header."""
    if keeps_header:
        output.write(without_records(header), header, header[8])
    else:
        output.drop()


def _section(data: bytes, start: int, stop: int, header: Header) -> Section:
    """The records of a batch, decompressed if need be. Raises ProtocolError."""
    codec = header[5] & CODEC_MASK
    position = start + HEADER_BYTES
    if not codec or position == stop:
        return Section(data, position, stop, header[12], header[0], header[0] + header[6])
    records = decompress(codec, memoryview(data)[position:stop], DECOMPRESSED_BYTES_MAX)
    return Section(records, 0, len(records), header[12], header[0], header[0] + header[6])


def rewrite(
    records: bytes, header: Header, chosen: Chosen, horizon_ms: int | None
) -> tuple[bytes, int]:
    """Make a batch anew from the records that stay: (batch, largest timestamp).

    With `horizon_ms` it becomes the base timestamp, and every timestamp is told from there.
    """
    attributes, base_timestamp_ms, max_timestamp_ms = header[5], header[7], header[8]
    pieces: list[bytes] | list[memoryview]
    if not attributes & LOG_APPEND_TIME:
        assert chosen.max_timestamp_delta is not None
        max_timestamp_ms = around(base_timestamp_ms + chosen.max_timestamp_delta)
    if horizon_ms is not None and not attributes & LOG_APPEND_TIME:
        pieces = move_timestamps(records, chosen.ranges, base_timestamp_ms - horizon_ms)
    else:
        view = memoryview(records)
        pieces = [view[start:end] for start, end in chosen.ranges]
    if horizon_ms is not None:
        attributes |= DELETE_HORIZON
        base_timestamp_ms = horizon_ms
    codec = attributes & CODEC_MASK
    if codec:
        pieces = [compress(codec, b"".join(pieces))]
    changed = (attributes, base_timestamp_ms, max_timestamp_ms, chosen.records_count)
    return _assemble(header, changed, pieces), max_timestamp_ms


def without_records(header: Header) -> bytes:
    """The batch that only tells sequences and offsets (DefaultRecordBatch.writeEmptyHeader)."""
    return _assemble(header, (header[5] & EMPTY_KEEPS, NO_TIMESTAMP_MS, header[8], 0), [])


def _assemble(
    header: Header,
    changed: tuple[int, int, int, int],
    pieces: list[bytes] | list[memoryview],
) -> bytes:
    attributes, base_timestamp_ms, max_timestamp_ms, count = changed
    batch = bytearray().join((bytes(HEADER_BYTES), *pieces))
    fields = [
        header[0],
        len(batch) - LENGTH_OVERHEAD_BYTES,
        *header[2:4],
        0,
        attributes,
        header[6],
        base_timestamp_ms,
        max_timestamp_ms,
        *header[9:12],
        count,
    ]
    HEADER.pack_into(batch, 0, *fields)
    fields[4] = crc32c(memoryview(batch)[SUMMED_FROM:])
    HEADER.pack_into(batch, 0, *fields)
    return bytes(batch)
