"""What a producer knows about its batches across the deaths of its server.

Each batch has a number of its own, in the value of every record. A batch is *unanswered* until the
server has acknowledged it; after a restart the producer sends what is unanswered again, with the
same sequences, as every idempotent client does. The ledger then holds the log to this:

    an acknowledged batch is there, at the offset of its answer, with its bytes
    no batch is there twice
    nothing is there that was never sent
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from logwire.batch import decode_batch, encode_batch, iterate_batches, verify_batch

NUMBERS = Struct(">QI")  # the batch's number, the record's place in it
PADDING = b"." * 24
IN_FLIGHT_MAX = 5  # the window of an idempotent producer, per partition


class Batch(NamedTuple):
    """A batch as it is sent, however often."""

    number: int
    first_sequence: int
    records_count: int
    data: bytes


class Ledger:
    """The batches of one producer in one partition."""

    def __init__(self, partition: int, producer: tuple[int, int]) -> None:
        self.partition = partition
        self.producer = producer
        self.next_sequence = 0
        self.unanswered: list[Batch] = []
        self.acknowledged: dict[int, int] = {}  # batch number -> base offset
        self.found: dict[int, int] = {}
        self.checked_offset = 0  # up to here `found` knows the log

    def make(self, number: int, records_count: int, timestamp_ms: int) -> Batch:
        """The next batch in sequence; it counts as sent."""
        records = [
            (None, NUMBERS.pack(number, place) + PADDING, (), timestamp_ms)
            for place in range(records_count)
        ]
        data = encode_batch(
            records,
            codec=number % 5,
            producer_id=self.producer[0],
            producer_epoch=self.producer[1],
            base_sequence=self.next_sequence,
        )
        batch = Batch(number, self.next_sequence, records_count, bytes(data))
        self.next_sequence += records_count
        self.unanswered.append(batch)
        return batch

    def acknowledge(self, base_offset: int) -> int:
        """The oldest unanswered batch is acknowledged; how many records it has."""
        batch = self.unanswered.pop(0)
        self.acknowledged[batch.number] = base_offset
        known = self.found.get(batch.number)
        assert known in (None, base_offset), f"batch {batch.number} is a duplicate of {known}"
        return batch.records_count

    def read(self, data: bytes) -> None:
        """Take in fetched batches, which follow what was read before."""
        sent = {batch.number: batch for batch in self.unanswered}
        for position, header in iterate_batches(data):
            end = position + header.batch_length + 12
            piece = data[position:end]
            if header.base_offset < self.checked_offset:
                continue
            assert header.base_offset == self.checked_offset, "offsets have a gap"
            assert verify_batch(piece) is None
            records = list(decode_batch(piece))
            numbers = {NUMBERS.unpack_from(record.value or b"")[0] for record in records}
            assert len(numbers) == 1
            number = numbers.pop()
            assert number not in self.found, f"batch {number} is there twice"
            assert number in self.acknowledged or number in sent, f"nobody sent batch {number}"
            places = [NUMBERS.unpack_from(record.value or b"")[1] for record in records]
            assert places == list(range(len(records)))
            self.found[number] = header.base_offset
            self.checked_offset = records[-1].offset + 1

    def check(self) -> None:
        """Every acknowledged batch is in the log, where its answer said."""
        for number, offset in self.acknowledged.items():
            assert self.found.get(number) == offset, (
                f"batch {number} was acknowledged at offset {offset}, "
                f"the log has it at {self.found.get(number)}"
            )
