"""Loading a coordinator: its partition is read from the first record to the last, piece by piece.

A piece is read by a helper thread and applied on the loop, which serves others between two pieces;
whoever asks for a group of this partition meanwhile hears COORDINATOR_LOAD_IN_PROGRESS. An empty
partition is loaded at once.

Records are believed after the batch's checksum. Kinds of records that this version does not know
(those of share groups and streams groups) are skipped. A batch that is not whole or not readable
ends the loading, as does a value of a newer version: the coordinator then serves nobody, because
half of the offsets would send consumers back to the beginning, and says so in the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.groups.expiry import forget_unknown_topics
from logserver.broker.groups.offset_records import (
    KEY_TYPES,
    decode_key,
    decode_value,
)
from logserver.broker.groups.offset_store import NO_TOPIC_ID
from logserver.storage.log import OffsetOutOfRange
from logwire.batch import (
    CONTROL,
    LENGTH_OVERHEAD_BYTES,
    decode_batch,
    iterate_batches,
    verify_batch,
)
from logwire.errors import ProtocolError
from logwire.messages import group_records

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.storage.file_slice import FileSlice
    from logwire.batch import BatchHeader

logger = logging.getLogger(__name__)

# One piece: some 600 commits, applied in 3 ms. A larger batch still comes whole.
PIECE_BYTES = 64 * 1024


class Loading:
    """One run through a coordinator's log. It ends without a trace when the coordinator does."""

    __slots__ = (
        "_broker",
        "_coordinator",
        "_end_offset",
        "_offset",
        "_piece",
        "_topic_ids",
        "records_count",
    )

    def __init__(self, broker: Broker, coordinator: Coordinator) -> None:
        self._broker = broker
        self._coordinator = coordinator
        log = coordinator.partition.log
        self._offset = log.log_start_offset
        self._end_offset = log.end_offset
        self._piece: FileSlice | None = None
        self._topic_ids: dict[bytes, bytes] = {}
        self.records_count = 0

    def begin(self) -> None:
        """Read the first piece; an empty log is loaded on return."""
        if self._offset >= self._end_offset:
            self._finish()
        else:
            self._read_next()

    def _read_next(self) -> None:
        log = self._coordinator.partition.log
        try:
            self._piece = log.read(self._offset, PIECE_BYTES, self._end_offset)
        except (OSError, OffsetOutOfRange) as error:
            self._fail(str(error))
            return
        if self._piece is None:  # nothing is left up to the end: compaction took it
            self._finish()
            return
        self._broker.due.append((self._piece.read, self._apply))

    def _apply(self, result: object) -> None:
        piece, self._piece = self._piece, None
        assert piece is not None
        piece.release()
        if self._coordinator.loading is not self:
            return  # it was unloaded meanwhile
        if not isinstance(result, bytes):
            self._fail(str(result))
            return
        try:
            for position, header in iterate_batches(result):
                size_bytes = header.batch_length + LENGTH_OVERHEAD_BYTES
                self._apply_batch(memoryview(result)[position : position + size_bytes], header)
        except ProtocolError as error:
            self._fail(f"behind offset {self._offset}: {error}")
            return
        self._offset = piece.next_offset
        self.begin()

    def _apply_batch(self, batch: memoryview, header: BatchHeader) -> None:
        """Apply the records of one batch. Raises ProtocolError."""
        problem = verify_batch(batch)
        if problem is not None:
            raise ProtocolError(problem)
        if header.attributes & CONTROL:
            return
        coordinator = self._coordinator
        for record in decode_batch(batch):
            key, value = record.key, record.value
            if key is None:
                continue
            self.records_count += 1
            if key[:2] in KEY_TYPES:
                self._apply_offset(key, value)
                continue
            name, key_fields = group_records.decode_key(key)
            if name is not None:
                fields = None if value is None else group_records.decode_value(name, value)[1]
                coordinator.replay(name, key_fields, fields)

    def _apply_offset(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of a committed offset. Raises ProtocolError."""
        group_id, topic, index = decode_key(key)
        offsets = self._coordinator.offsets
        if value is None:
            offsets.remove(group_id, topic, index)
            return
        committed = decode_value(value)
        # Offsets of a topic share one object for its id.
        topic_id = self._topic_ids.setdefault(committed.topic_id, committed.topic_id)
        offsets.put(group_id, topic, index, committed._replace(topic_id=topic_id))

    def _finish(self) -> None:
        broker = self._broker
        now = broker.coordinators.now()
        self._coordinator.resume(now)
        if self._topic_ids.keys() - broker.image.topics.keys() - {NO_TOPIC_ID}:
            forget_unknown_topics(self._coordinator, broker.image, now.wall_ms)

    def _fail(self, why: str) -> None:
        log = self._coordinator.partition.log
        logger.error(
            "%s cannot be read (%s): its groups are not served. Look at it with `logserver verify`",
            log.name,
            why,
        )
        self._coordinator.fail()
