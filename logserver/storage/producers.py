"""What each idempotent producer wrote last, so that a retry is recognised and a gap refused.

The rule of the file: the log is the truth and this is its memory. Per producer id the partition
remembers the epoch and the last five batches (`WINDOW_COUNT`, the most that a Kafka producer keeps
in flight). A batch that repeats one of the five is a duplicate and answered with its first base
offset; one that does not start where the last one ended is out of order; an older epoch is fenced.
The codes are those of Apache Kafka 4.3.1 (`ProducerAppendInfo`, `ProducerStateEntry`, KIP-98,
KIP-360): it answers a batch below the window with OUT_OF_ORDER_SEQUENCE_NUMBER, never with
DUPLICATE_SEQUENCE_NUMBER, and accepts any sequence from an id that it does not know (its records
may have been deleted by retention).

Two files are written at each roll and at a clean stop, both named by the next offset:

`<offset>.snapshot`, Kafka's own, version 1, read by `DumpLogSegments`; it holds the last batch:

    0        2          6           10
    version  crc32c     count       entry ...    the checksum covers everything after itself
    int16    uint32     int32
    entry:  producer_id int64 | epoch int16 | last_sequence int32 | last_offset int64 |
            offset_delta int32 | timestamp int64 | coordinator_epoch int32 |
            current_txn_first_offset int64                             (46 bytes)

`<offset>.window`, ours, the same head and per producer everything that is remembered:

    producer_id int64 | epoch int16 | timestamp int64 | coordinator_epoch int32 |
    current_txn_first_offset int64 | batch_count uint8, then per batch
    base_sequence int32 | last_sequence int32 | base_offset int64 | last_offset int64 | timestamp

Why the second: five batches may lie in five segments, so no bounded replay from a Kafka snapshot
restores them. A producer that retries its fourth last batch after our crash would be told
OUT_OF_ORDER although the batch is on disk: an acknowledged record, reported as lost. With the
window recovery is exact: newest valid one at or below the end, then the headers that follow it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from struct import Struct
from typing import Final

from logwire import errors
from logwire.checksum import crc32c

WINDOW_COUNT: Final = 5  # Kafka's ProducerStateEntry.NUM_BATCHES_TO_RETAIN; clients rely on it
SEQUENCE_MAX: Final = 0x7FFFFFFF  # after it comes 0 (DefaultRecordBatch.incrementSequence)
NO_EPOCH: Final = -1
NO_SEQUENCE: Final = -1
NO_TIMESTAMP: Final = -1
VERSION: Final = 1

HEAD: Final = Struct(">hIi")  # version, crc32c, count
CHECKED_FROM: Final = 6  # the first byte after the checksum
SNAPSHOT_ENTRY: Final = Struct(">qhiqiqiq")
WINDOW_ENTRY: Final = Struct(">qhqiqB")
WINDOW_BATCH: Final = Struct(">iiqqq")
assert SNAPSHOT_ENTRY.size == 46, "Kafka's PRODUCER_SNAPSHOT_ENTRY_SCHEMA"

ACCEPTED: Final = (errors.NONE, -1)
FENCED: Final = (errors.INVALID_PRODUCER_EPOCH, -1)
OUT_OF_ORDER: Final = (errors.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)

Batch = tuple[int, int, int, int, int]
"""base_sequence, last_sequence, base_offset, last_offset, max_timestamp_ms"""


class SnapshotError(ValueError):
    """A producer snapshot or window file that must not be believed; the message says why."""


class ProducerEntry:
    """What is remembered of one producer id; `next_sequence` is the only one in order."""

    __slots__ = (
        "batches",
        "coordinator_epoch",
        "current_txn_first_offset",
        "epoch",
        "last_timestamp_ms",
        "next_sequence",
        "producer_id",
    )

    def __init__(self, producer_id: int, epoch: int = NO_EPOCH) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.next_sequence = 0
        self.last_timestamp_ms = NO_TIMESTAMP
        self.coordinator_epoch = -1
        self.current_txn_first_offset = -1
        self.batches: deque[Batch] = deque(maxlen=WINDOW_COUNT)

    @property
    def last_sequence(self) -> int:
        """The last sequence written in this epoch, or -1."""
        return self.batches[-1][1] if self.batches else NO_SEQUENCE

    def duplicate(self, base_sequence: int, last_sequence: int) -> Batch | None:
        """The remembered batch with exactly this range of sequences."""
        for batch in self.batches:
            if batch[0] == base_sequence and batch[1] == last_sequence:
                return batch
        return None


class ProducerStates:
    """The producers of one partition, by id.

    `check` before the append, `update` after it: a refused or failed append leaves no trace.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[int, ProducerEntry] = {}

    def check(
        self, producer_id: int, epoch: int, base_sequence: int, last_sequence: int
    ) -> tuple[int, int]:
        """What a batch of this producer would be answered: (error code, offset of the duplicate).

        (NONE, -1): append it. (NONE, offset >= 0): one of the last five batches, already there
        with this base offset; append nothing. INVALID_PRODUCER_EPOCH: fenced by a newer epoch.
        OUT_OF_ORDER_SEQUENCE_NUMBER: a gap, or a repetition from before the window.
        """
        entry = self.entries.get(producer_id)
        if entry is None:
            return ACCEPTED
        if epoch == entry.epoch:
            if base_sequence == entry.next_sequence:
                return ACCEPTED
            batch = entry.duplicate(base_sequence, last_sequence)
            return OUT_OF_ORDER if batch is None else (errors.NONE, batch[2])
        if epoch < entry.epoch:
            return FENCED
        # a new epoch starts at sequence 0; an entry without epoch knows nothing to compare with
        return ACCEPTED if base_sequence == 0 or entry.epoch == NO_EPOCH else OUT_OF_ORDER

    def update(
        self,
        producer_id: int,
        epoch: int,
        base_sequence: int,
        last_sequence: int,
        base_offset: int,
        last_offset: int,
        timestamp_ms: int,
    ) -> None:
        """Remember an appended batch; `timestamp_ms` is its max timestamp."""
        entry = self.entries.get(producer_id)
        if entry is None:
            entry = self.entries[producer_id] = ProducerEntry(producer_id, epoch)
        elif entry.epoch != epoch:
            entry.epoch = epoch
            entry.batches.clear()
        entry.batches.append((base_sequence, last_sequence, base_offset, last_offset, timestamp_ms))
        entry.next_sequence = next_sequence(last_sequence)
        entry.last_timestamp_ms = timestamp_ms

    def duplicate(
        self, producer_id: int, epoch: int, base_sequence: int, last_sequence: int
    ) -> Batch | None:
        """The remembered batch that this one repeats, whole (its timestamp goes in the answer)."""
        entry = self.entries.get(producer_id)
        if entry is None or entry.epoch != epoch:
            return None
        return entry.duplicate(base_sequence, last_sequence)

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget who has not written for `producer.id.expiration.ms`; returns how many.

        Kafka's rule: measured by the last batch's own timestamp; an open transaction never expires.
        """
        gone = [
            producer_id
            for producer_id, entry in self.entries.items()
            if entry.current_txn_first_offset < 0
            and now_ms - entry.last_timestamp_ms >= expiration_ms
        ]
        for producer_id in gone:
            del self.entries[producer_id]
        return len(gone)

    def replay(self, header: tuple[int, ...]) -> None:
        """Take one stored batch's header (`logwire.batch.HEADER`) into account, unchecked.

        Control batches end transactions and carry no sequence; only their epoch counts here.
        """
        base_offset, _, _, _, _, attributes, last_offset_delta = header[:7]
        max_timestamp, producer_id, epoch, base_sequence = header[8:12]
        if producer_id < 0:
            return
        if base_sequence < 0 or attributes & 0x20:
            self._replay_marker(producer_id, epoch, max_timestamp)
            return
        last_sequence = advance_sequence(base_sequence, last_offset_delta)
        last_offset = base_offset + last_offset_delta
        self.update(
            producer_id,
            epoch,
            base_sequence,
            last_sequence,
            base_offset,
            last_offset,
            max_timestamp,
        )

    def _replay_marker(self, producer_id: int, epoch: int, timestamp_ms: int) -> None:
        entry = self.entries.get(producer_id)
        if entry is None:
            entry = self.entries[producer_id] = ProducerEntry(producer_id, epoch)
        if entry.epoch != epoch:
            entry.epoch = epoch
            entry.batches.clear()
            entry.next_sequence = 0
        entry.last_timestamp_ms = timestamp_ms
        entry.current_txn_first_offset = -1


def next_sequence(last_sequence: int) -> int:
    """The sequence that follows; 0 follows 2147483647."""
    return 0 if last_sequence == SEQUENCE_MAX else last_sequence + 1


def advance_sequence(sequence: int, count: int) -> int:
    """`sequence` moved by `count` (may be negative), around the end of the 31-bit ring."""
    return (sequence + count) & SEQUENCE_MAX


def encode_snapshot(states: ProducerStates) -> bytes:
    """Kafka's `.snapshot` file, version 1."""
    body = bytearray()
    for entry in states.entries.values():
        last = entry.batches[-1] if entry.batches else (0, NO_SEQUENCE, -1, -1, NO_TIMESTAMP)
        body += SNAPSHOT_ENTRY.pack(
            entry.producer_id,
            entry.epoch,
            last[1],
            last[3],
            last[3] - last[2],
            entry.last_timestamp_ms,
            entry.coordinator_epoch,
            entry.current_txn_first_offset,
        )
    return _with_head(len(states.entries), body)


def decode_snapshot(data: bytes) -> ProducerStates:
    """The states of a Kafka `.snapshot`: a window of one batch each.

    Raises SnapshotError when the version, the length or the checksum is wrong.
    """
    count = _checked_count(data, "producer snapshot")
    if len(data) != HEAD.size + count * SNAPSHOT_ENTRY.size:
        raise SnapshotError(f"producer snapshot of {len(data)} bytes claims {count} entries")
    states = ProducerStates()
    for fields in SNAPSHOT_ENTRY.iter_unpack(memoryview(data)[HEAD.size :]):
        producer_id, epoch, last_sequence, last_offset, delta, timestamp, coordinator, txn = fields
        entry = ProducerEntry(producer_id, epoch)
        entry.last_timestamp_ms = timestamp
        entry.coordinator_epoch = coordinator
        entry.current_txn_first_offset = txn
        if last_offset >= 0:
            base_sequence = advance_sequence(last_sequence, -delta)
            base_offset = last_offset - delta
            entry.batches.append(
                (base_sequence, last_sequence, base_offset, last_offset, timestamp)
            )
            entry.next_sequence = next_sequence(last_sequence)
        states.entries[producer_id] = entry
    return states


def encode_window(states: ProducerStates) -> bytes:
    """Our `.window` file: every remembered batch of every producer."""
    body = bytearray()
    for entry in states.entries.values():
        body += WINDOW_ENTRY.pack(
            entry.producer_id,
            entry.epoch,
            entry.last_timestamp_ms,
            entry.coordinator_epoch,
            entry.current_txn_first_offset,
            len(entry.batches),
        )
        for batch in entry.batches:
            body += WINDOW_BATCH.pack(*batch)
    return _with_head(len(states.entries), body)


def decode_window(data: bytes) -> ProducerStates:
    """The states of a `.window` file.

    Raises SnapshotError when the version, the length or the checksum is wrong.
    """
    count = _checked_count(data, "producer window")
    states = ProducerStates()
    position = HEAD.size
    try:
        for _ in range(count):
            fields = WINDOW_ENTRY.unpack_from(data, position)
            position += WINDOW_ENTRY.size
            entry = ProducerEntry(fields[0], fields[1])
            entry.last_timestamp_ms = fields[2]
            entry.coordinator_epoch, entry.current_txn_first_offset = fields[3:5]
            for _ in range(fields[5]):
                entry.batches.append(WINDOW_BATCH.unpack_from(data, position))
                position += WINDOW_BATCH.size
            if entry.batches:
                entry.next_sequence = next_sequence(entry.last_sequence)
            states.entries[entry.producer_id] = entry
    except struct.error as error:  # the checksum was right, the writer was not
        raise SnapshotError(f"producer window: {error}") from error
    if position != len(data):
        raise SnapshotError(f"producer window has {len(data) - position} bytes after its end")
    return states


def batches(states: ProducerStates) -> Iterator[tuple[int, Batch]]:
    """Every remembered batch with its producer id, for tests and `dump`."""
    for producer_id, entry in states.entries.items():
        for batch in entry.batches:
            yield producer_id, batch


def _with_head(count: int, body: bytearray) -> bytes:
    checked = count.to_bytes(4, "big") + body
    return HEAD.pack(VERSION, crc32c(checked), count) + bytes(body)


def _checked_count(data: bytes, what: str) -> int:
    if len(data) < HEAD.size:
        raise SnapshotError(f"{what} of {len(data)} bytes is shorter than its head")
    version, stored_crc, count = HEAD.unpack_from(data)
    if version != VERSION:
        raise SnapshotError(f"{what} has version {version}, this server reads {VERSION}")
    if stored_crc != crc32c(memoryview(data)[CHECKED_FROM:]):
        raise SnapshotError(f"{what} has a wrong checksum")
    if count < 0:
        raise SnapshotError(f"{what} claims {count} entries")
    return int(count)
