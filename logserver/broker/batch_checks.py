"""Why a batch is refused: the slow half of the check in `produce.append_batch`.

The fast half only asks whether anything at all is unusual. This half says what, with the error
code that Apache Kafka 4.3.1 gives to the same bytes (protocol/vectors/refusals.json) and a
sentence for the client's log. It may also find that all is well: timestamps are not checked where
the broker sets them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwire import errors
from logwire.batch import HEADER
from logwire.checksum import crc32c

if TYPE_CHECKING:
    from logserver.broker.partition import Partition

Refused = tuple[int, str | None]
FINE: Refused = (errors.NONE, None)


def diagnose(partition: Partition, records: memoryview, now_ms: int) -> Refused:
    """The code and sentence for records of at least one header's size; FINE if nothing is wrong."""
    header = HEADER.unpack_from(records)
    for check in (_frame, _attributes, _counts, _producer):
        code, why = check(partition, records, header)
        if code:
            return code, why
    return _timestamps(partition, header, now_ms)


def _frame(partition: Partition, records: memoryview, header: tuple[int, ...]) -> Refused:
    size_bytes = len(records)
    length, magic, crc = header[1], header[3], header[4]
    if magic != 2:
        return errors.INVALID_RECORD, f"the batch has magic {magic}, not 2"
    if length + 12 < size_bytes:
        return errors.INVALID_RECORD, "the records must be exactly one batch"
    if length + 12 > size_bytes:
        return errors.CORRUPT_MESSAGE, "the batch is longer than the records"
    limit_bytes = partition.config.max_message_bytes
    if size_bytes > limit_bytes:
        return (
            errors.MESSAGE_TOO_LARGE,
            f"the batch has {size_bytes} bytes, max.message.bytes allows {limit_bytes}",
        )
    if crc32c(records[21:]) != crc:
        return errors.CORRUPT_MESSAGE, "the CRC of the batch does not match its bytes"
    return FINE
