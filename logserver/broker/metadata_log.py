"""The metadata log: `__cluster_metadata-0`, one batch for each atomic change, replayed at start.

    batch = [record, record, ...]    key: none, value: logwire.messages.records (Kafka's KIP-631)

Theory. A change of the cluster is a list of records in *one* batch. A batch is whole or absent
after any crash (its CRC covers it), so creating a topic with a hundred partitions happens or does
not. `append` writes the batch and applies it to the image in one step; the caller answers only
when the group commit has covered `end_offset` (`Context.after_sync`).

What a reader may see early. The image shows a change before it is on the disk. That is harmless:
whatever is acknowledged later waits for a sync that begins later, and every sync covers this log
too; what is not acknowledged may vanish.

The log is never trimmed: its records are the only copy. It grows by some hundred bytes for each
topic, alteration or thousand producer ids.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.image import Image
from logserver.config import TopicConfig
from logserver.storage.failure import Kind, StorageError
from logserver.storage.segment import CorruptSegmentError
from logwire.batch import (
    CONTROL,
    LENGTH_OVERHEAD_BYTES,
    BatchHeader,
    decode_batch,
    encode_batch,
    iterate_batches,
    verify_batch,
)
from logwire.errors import KAFKA_STORAGE_ERROR, ProtocolError, Refusal
from logwire.messages import Message, decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context
    from logserver.storage.log import Log

logger = logging.getLogger(__name__)

METADATA_TOPIC = "__cluster_metadata"
# Kafka's Uuid.METADATA_TOPIC_ID: the one topic whose id is not random.
METADATA_TOPIC_ID = bytes(15) + b"\x01"

# Kept for ever, durable at every change; one change may be large (a topic of 10,000 partitions).
METADATA_CONFIG = TopicConfig(
    cleanup_policy=(),
    retention_ms=-1,
    retention_bytes=-1,
    flush_messages=1,
    max_message_bytes=2**31 - 1,
    segment_ms=2**63 - 1,
)

# Read back in pieces of this size at start; a larger batch is still read whole.
REPLAY_BYTES = 1024 * 1024

# Producer ids reserved by one record: Kafka's ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE.
PRODUCER_IDS_COUNT = 1000

# metadata.version that the records written here have: Kafka's number for 4.3-IV0.
METADATA_VERSION = 30

# group.version 1 offers consumer groups (KIP-848), as every new Kafka cluster does.
GROUP_VERSION = 1

_FIRST_LEVELS = {"metadata.version": METADATA_VERSION, "group.version": GROUP_VERSION}

ChangeRecord = tuple[str, int, Message]
"""Kind, version and fields of one record: ("TopicRecord", 0, {"name": ..., "topic_id": ...})."""


class MetadataLog:
    """The log and the image that is made from it.

    `log` is an open storage log; everything in it is replayed by the constructor, which raises
    OSError, and StorageError (CORRUPT) for a batch whose CRC is wrong or that cannot be decoded:
    recovery looks only at headers below the durable mark, and a topic with a wrong bit in its name
    would cost its records.
    """

    __slots__ = ("_appended", "_end_id", "_next_id", "image", "log")

    def __init__(self, log: Log, image: Image) -> None:
        self.log = log
        self.image = image
        self._appended: Callable[[int], None] | None = None
        self._next_id = self._end_id = 0
        self._replay()

    def on_append(self, appended: Callable[[int], None]) -> None:
        """Call `appended(now_ms)` after each append: the log has bytes that need a sync."""
        self._appended = appended

    @property
    def unsynced(self) -> bool:
        """Whether some applied change is not durable yet."""
        return self.log.durable_offset < self.log.end_offset

    def append(self, records: list[ChangeRecord], now_ms: int) -> int:
        """Write one atomic change and apply it; returns its first offset.

        Raises OSError (disk full, fenced) with log and image unchanged.
        """
        values = [encode_record(*record) for record in records]
        batch = encode_batch([(None, value, (), now_ms) for value in values])
        base_offset = self.log.append(memoryview(batch), len(records) - 1, now_ms, now_ms)
        for value in values:
            # What was encoded, decoded: the image is what a replay would make of it.
            name, _, fields = decode_record(value)
            self.image.apply(name, fields)
        if self._appended is not None:
            self._appended(now_ms)
        return base_offset

    def take_producer_id(self, node_id: int, now_ms: int) -> int:
        """A producer id that was never given; reserves the next block when none is left.

        The id may be told once the log is no more `unsynced`. Raises OSError.
        """
        if self._next_id == self._end_id:
            first = self.image.next_producer_id
            fields = {"broker_id": node_id, "next_producer_id": first + PRODUCER_IDS_COUNT}
            self.append([("ProducerIdsRecord", 0, fields)], now_ms)
            self._next_id, self._end_id = first, first + PRODUCER_IDS_COUNT
        producer_id = self._next_id
        self._next_id += 1
        return producer_id

    def ensure_features(self, now_ms: int) -> None:
        """Begin a log as Kafka begins it: with the level of every feature there is.

        A feature that came after the log was begun is added; one that was switched off stays so.
        """
        records: list[ChangeRecord] = [
            ("FeatureLevelRecord", 0, {"name": name, "feature_level": level})
            for name, level in _FIRST_LEVELS.items()
            if name not in self.image.decided_features
        ]
        if records:
            self.append(records, now_ms)

    def _replay(self) -> None:
        log = self.log
        offset = log.log_start_offset
        while offset < log.end_offset:
            before = offset
            for batch, header in self._read(offset):
                # The two fields before the CRC, in a log that has no holes.
                if header.base_offset != offset or header.partition_leader_epoch > log.leader_epoch:
                    raise corrupt(log, offset, "a batch with another offset or epoch")
                self._replay_batch(batch, header)
                offset = header.base_offset + header.last_offset_delta + 1
            if offset == before:
                raise corrupt(log, offset, "no whole batch")

    def _read(self, offset: int) -> Iterator[tuple[memoryview, BatchHeader]]:
        """Some whole batches from `offset` on."""
        try:
            piece = self.log.read(offset, REPLAY_BYTES, self.log.end_offset)
        except CorruptSegmentError as error:
            raise corrupt(self.log, offset, str(error)) from error
        assert piece is not None, f"no batch at offset {offset} of {METADATA_TOPIC}"
        try:
            data = memoryview(piece.read())
        finally:
            piece.release()
        try:
            for position, header in iterate_batches(data):
                size_bytes = header.batch_length + LENGTH_OVERHEAD_BYTES
                yield data[position : position + size_bytes], header
        except ProtocolError as error:
            raise corrupt(self.log, offset, str(error)) from error

    def _replay_batch(self, batch: memoryview, header: BatchHeader) -> None:
        problem = verify_batch(batch)
        if problem is not None:
            raise corrupt(self.log, header.base_offset, problem)
        if header.attributes & CONTROL:
            return
        try:
            for record in decode_batch(batch):
                if record.value is not None:
                    name, _, fields = decode_record(record.value)
                    self.image.apply(name, fields)
        except ProtocolError as error:
            raise corrupt(self.log, header.base_offset, str(error)) from error


def change(broker: Broker, records: list[ChangeRecord], context: Context) -> None:
    """Make one atomic change for a request, whose answer waits until it is durable.

    Without records nothing changes, and yet the answer waits for what it repeats. Raises Refusal:
    log and image are as they were.
    """
    metadata_log = broker.metadata_log
    try:
        if records:
            metadata_log.append(records, context.now_ms)
    except OSError as error:
        raise storage_refusal("write the metadata log", error) from None
    context.after_sync = metadata_log.unsynced


def storage_refusal(what: str, error: Exception) -> Refusal:
    """The refusal that a failed write of the control plane becomes; logged, as it is our disk."""
    logger.error("cannot %s: %s", what, error)
    return Refusal(KAFKA_STORAGE_ERROR, f"cannot {what}: {error}")


def corrupt(log: Log, offset: int, why: str) -> StorageError:
    """The error that refuses to start on a metadata log that cannot be believed."""
    return StorageError(
        Kind.CORRUPT,
        f"the metadata log {log.directory} is corrupt at offset {offset} ({why}), so topics would "
        "be missing. Run `logserver verify` and restore the directory from a copy.",
    )
