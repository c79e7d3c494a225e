"""One partition of Kafka's, made ours: its segments linked or copied, everything beside them new.

Each segment is walked once, every batch summed, and both indexes, the producers' memory and the
digest are made from what was seen: an index of Kafka's has no checksum and is not believed. What
comes out is a partition directory as a clean stop leaves it.

    source                     target
    ------------------------   ------------------------------------------------------------------
    all segments but the last  linked (or copied); sealed, with a digest
    the last                   copied up to where its valid batches end; the active one from now on
    offsets that are missing   Kafka's cleaner leaves a gap where a segment's last records went,
    at the end of a segment    and segments without a batch. Here a segment reaches to the next:
                               such a one is copied, with a batch of no records behind it
    gaps elsewhere             as they are; `sparse-below` says that they are no fault

Refused: record formats before 2 (Kafka < 0.11), transactions, a batch with a wrong checksum.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from logserver.moving.transfer import Transfer
from logserver.storage import checkpoint, digest, producer_files, retention, sparse
from logserver.storage.checkpoint import LeaderEpochs
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import File, Files
from logserver.storage.mark import MarkEntry
from logserver.storage.producers import ProducerStates
from logserver.storage.scan import Found, Header, Stop, walk
from logserver.storage.segment import Segment, segment_path, write_files
from logwire.batch import (
    CONTROL,
    CRC_POSITION,
    HEADER,
    HEADER_BYTES,
    LENGTH_OVERHEAD_BYTES,
    MAGIC,
    MAGIC_POSITION,
    TRANSACTIONAL,
)
from logwire.checksum import crc32c

if TYPE_CHECKING:
    from collections.abc import Callable

    from logserver.moving.kafka_directory import PartitionSource

ATTRIBUTES: Final = 5  # of a header's fields
PRODUCER_ID: Final = 9
RECORD_COUNT: Final = 12


class Transactional(Exception):
    """The partition holds batches of a transaction, which are not served yet."""


class Imported(NamedTuple):
    """What became of a partition: its durable end, and what was seen on the way."""

    mark: MarkEntry
    log_start_offset: int
    record_count: int
    size_bytes: int
    producer_id_max: int
    cut_bytes: int


def import_partition(
    files: Files,
    source: PartitionSource,
    target: str,
    topic_id: bytes,
    transfer: Transfer,
    interval_bytes: int,
    progress: Callable[[int, int], None],
) -> Imported:
    """Make the partition directory `target` of what `source` holds.

    `progress(records, bytes)` is told of each segment. Raises Transactional; StorageError
    (CORRUPT: damaged, FORMAT: too old); OSError.
    """
    return _Import(files, source, target, transfer, interval_bytes, progress).run(topic_id)


class _Import:
    """One partition on its way; the methods are its steps."""

    def __init__(
        self,
        files: Files,
        source: PartitionSource,
        target: str,
        transfer: Transfer,
        interval_bytes: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self.files = files
        self.source = source
        self.target = target
        self.transfer = transfer
        self.interval_bytes = interval_bytes
        self.progress = progress
        self.epochs_seen: list[tuple[int, int]] = []  # each epoch with its first offset
        self.producers = ProducerStates()
        self.sparse_below = 0
        self.record_count = self.size_bytes = self.cut_bytes = 0
        self.producer_id_max = -1

    def run(self, topic_id: bytes) -> Imported:
        """Everything; the directory must not be there yet."""
        files, source, target = self.files, self.source, self.target
        files.make_directory(target)
        bases = source.base_offsets
        end_offset = last_base = position = 0  # of a log without a file: nothing is durable
        if bases:
            self.producers = producer_files.load(files, source.path, bases[0], bases[0]).states
            self._write_producers(bases[0])
            for base, next_base in pairwise(bases):
                self._sealed(base, next_base)
            last_base = bases[-1]
            end_offset, position = self._active(last_base)
        if source.log_start_offset > (bases[0] if bases else 0):
            start = min(source.log_start_offset, end_offset) if bases else source.log_start_offset
            retention.write_log_start(files, target, start)
        if self.sparse_below:
            sparse.write(files, target, self.sparse_below)
        checkpoint.write_epochs(files, target, self._epochs())
        checkpoint.write_topic_id(files, target, topic_id)
        return Imported(
            MarkEntry(topic_id, end_offset, last_base, position),
            source.log_start_offset,
            self.record_count,
            self.size_bytes,
            self.producer_id_max,
            self.cut_bytes,
        )

    def _epochs(self) -> LeaderEpochs:
        """Where each leader epoch began: Kafka's file if no batch contradicts it."""
        told = checkpoint.read_epochs(self.files, self.source.path)
        if told is not None and all(told.epoch_at(at) == epoch for epoch, at in self.epochs_seen):
            return told
        found = LeaderEpochs()
        for epoch, offset in self.epochs_seen:
            if epoch >= 0:
                found.assign(epoch, offset)
        return found

    def _sealed(self, base: int, next_base: int) -> None:
        """A segment that nobody writes any more."""
        segment, stop = self._look(base)
        zeros = stop.found is Found.ZEROS  # preallocated, if nothing is missing before the next
        if stop.found is not Found.END and not (zeros and stop.offset == next_base):
            raise self._damaged(base, stop)
        if stop.offset > next_base:
            why = f"it reaches to offset {stop.offset}, but the next begins at {next_base}"
            raise self._damaged(base, stop._replace(why=why))
        theirs, ours = self._paths(base)
        if stop.offset == next_base and stop.found is Found.END:
            self.transfer.carry(theirs, ours)
        else:
            self.transfer.copy(theirs, ours, stop.position)
            if stop.offset < next_base:
                self._fill(segment, ours, stop, next_base)
        segment.finish_indexes()
        write_files(self.files, self.target, segment.index_files(), sync=False)
        self._write_producers(next_base)
        timestamp_ms = segment.max_timestamp_ms
        digest.seal_segment(self.files, self.target, base, next_base, timestamp_ms)

    def _active(self, base: int) -> tuple[int, int]:
        """The last segment; the offset and the position where it ends."""
        segment, stop = self._look(base)
        theirs, ours = self._paths(base)
        if stop.found is Found.UNREADABLE:
            raise self._damaged(base, stop)
        if stop.found is not Found.ZEROS:
            self.cut_bytes = self.files.file_size(theirs) - stop.position
        self.transfer.copy(theirs, ours, stop.position)
        segment.finish_indexes()
        write_files(self.files, self.target, segment.index_files(), sync=False)
        self._write_producers(stop.offset)
        return stop.offset, stop.position

    def _paths(self, base: int) -> tuple[str, str]:
        return segment_path(self.source.path, base), segment_path(self.target, base)

    def _look(self, base: int) -> tuple[Segment, Stop]:
        """Walk a segment of the source; what is in it, indexed as ours."""
        file = self.files.open(segment_path(self.source.path, base), write=False)
        try:
            segment = Segment(self.files, self.target, base, file)
            segment.index_after_position = self.interval_bytes
            size_bytes, before_count = file.size(), self.record_count
            observe = self._observer(segment)
            epoch = self.epochs_seen[-1][0] if self.epochs_seen else -1
            stop = walk(file, 0, size_bytes, base, epoch, observe, checked=True, sparse=True)
            if stop.found is Found.INVALID:
                self._require_format(file, stop)
        finally:
            file.close()
        self.size_bytes += stop.position
        self.progress(self.record_count - before_count, stop.position)
        return segment, stop

    def _observer(self, segment: Segment) -> Callable[[int, Header], None]:
        def observe(_: int, header: Header) -> None:
            if header[ATTRIBUTES] & (TRANSACTIONAL | CONTROL):
                raise Transactional
            first_offset, last_offset = header[0], header[0] + header[6]
            if first_offset != segment.end_offset:
                self.sparse_below = self.source.base_offsets[-1]
            size_bytes = header[1] + LENGTH_OVERHEAD_BYTES
            segment.note(size_bytes, first_offset, last_offset, header[8], self.interval_bytes)
            if not self.epochs_seen or header[2] != self.epochs_seen[-1][0]:
                self.epochs_seen.append((header[2], first_offset))
            if header[PRODUCER_ID] >= 0:
                self.producers.replay(header)
                self.producer_id_max = max(self.producer_id_max, header[PRODUCER_ID])
            self.record_count += header[RECORD_COUNT]

        return observe

    def _require_format(self, file: File, stop: Stop) -> None:
        """Say so when what stands there is no damage but an older format."""
        head = file.pread(MAGIC_POSITION + 1, stop.position)
        if len(head) > MAGIC_POSITION and head[MAGIC_POSITION] < MAGIC:
            raise StorageError(
                Kind.FORMAT,
                f"{self.source.name} holds records of format {head[MAGIC_POSITION]}, from before "
                f"Kafka 0.11 ({file.path} at byte {stop.position}); format {MAGIC} is read. Let "
                "Kafka rewrite them (a consumer and a producer do), or leave the topic out with "
                f"--exclude {self.source.topic}.",
            )

    def _fill(self, segment: Segment, path: str, stop: Stop, next_base: int) -> None:
        """Let the segment reach to the next one: a batch that has offsets and no records."""
        batch = empty_batch(stop.offset, next_base - 1, max(stop.epoch, 0))
        file = self.files.open(path)
        try:
            file.pwrite(batch, stop.position)
        finally:
            file.close()
        segment.note(len(batch), stop.offset, next_base - 1, -1, self.interval_bytes)
        self.sparse_below = self.source.base_offsets[-1]

    def _write_producers(self, offset: int) -> None:
        producer_files.encode(self.producers, offset).write(self.files, self.target)

    def _damaged(self, base: int, stop: Stop) -> StorageError:
        return StorageError(
            Kind.CORRUPT,
            f"{segment_path(self.source.path, base)} is damaged at byte {stop.position}, offset "
            f"{stop.offset}: {stop.why}. Let Kafka mend it from a replica, or leave the topic out "
            f"with --exclude {self.source.topic}.",
        )


def empty_batch(first_offset: int, last_offset: int, leader_epoch: int) -> bytes:
    """A batch of no records that takes the place of these offsets, as Kafka's cleaner leaves it."""
    delta = last_offset - first_offset
    length = HEADER_BYTES - LENGTH_OVERHEAD_BYTES
    head = (first_offset, length, leader_epoch, MAGIC)
    rest = (0, delta, -1, -1, -1, -1, -1, 0)
    data = bytearray(HEADER.pack(*head, 0, *rest))
    HEADER.pack_into(data, 0, *head, crc32c(memoryview(data)[CRC_POSITION + 4 :]), *rest)
    return bytes(data)
