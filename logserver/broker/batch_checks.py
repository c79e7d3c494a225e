"""Why a batch is refused: the slow half of the check in `produce.append_batch`.

The fast half only asks whether anything at all is unusual. This half says what, with the error
code that Apache Kafka 4.3.1 gives to the same bytes (protocol/vectors/refusals.json, recorded from
it, with our few stricter answers marked) and a sentence for the client's log. It may also find that
all is well: a broker that stamps LogAppendTime does not look at the producer's timestamps.

The order is Kafka's: exactly one batch, magic, base offset, size, CRC, attributes, counts,
timestamps, producer. A batch that is wrong twice gets the first code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.topic_names import is_internal
from logwire import errors
from logwire.batch import HEADER, HEADER_BYTES
from logwire.checksum import crc32c

if TYPE_CHECKING:
    from logserver.broker.partition import Partition

Refused = tuple[int, str | None]
FINE: Refused = (errors.NONE, None)

# Offset and length in front of what the length counts; the smallest message of any format.
LOG_OVERHEAD_BYTES = 12
MESSAGE_BYTES_MIN = 14

# Attributes: bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control; the rest is not a
# producer's to set.
CODEC_MASK = 0x07
CODEC_MAX = 4
ZSTD = 4
TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
NO_TIMESTAMP = -1
NO_EPOCH = -1
# zstd may be asked for from Produce version 7 on (KIP-110).
ZSTD_VERSION_MIN = 7


def is_zstd(records: memoryview) -> bool:
    """Whether the first batch says that it is compressed with zstd."""
    return len(records) >= HEADER_BYTES and records[22] & CODEC_MASK == ZSTD


def whole_batch(records: memoryview) -> tuple[memoryview | None, Refused]:
    """The one batch of a produce request without what hangs behind it, or why there is none.

    A producer may leave bytes behind its batch that cannot be a batch: they are ignored.
    """
    size_bytes = len(records)
    if size_bytes < LOG_OVERHEAD_BYTES:
        return None, (errors.INVALID_RECORD, "the records hold no whole batch")
    length = int.from_bytes(records[8:12], "big", signed=True)
    if length < MESSAGE_BYTES_MIN:
        return None, (errors.CORRUPT_MESSAGE, f"a batch length of {length}")
    end = LOG_OVERHEAD_BYTES + length
    if end > size_bytes:
        return None, (errors.INVALID_RECORD, "the records hold no whole batch")
    magic = records[16]
    if magic != 2:
        code = errors.INVALID_RECORD if magic < 2 else errors.CORRUPT_MESSAGE
        return None, (code, f"magic {magic} is not served, only 2")
    if size_bytes - end >= LOG_OVERHEAD_BYTES:
        behind = int.from_bytes(records[end + 8 : end + 12], "big", signed=True)
        if behind < MESSAGE_BYTES_MIN:
            return None, (errors.CORRUPT_MESSAGE, "foreign bytes behind the batch")
        if end + LOG_OVERHEAD_BYTES + behind <= size_bytes:
            return None, (errors.INVALID_RECORD, "the records must be exactly one batch")
    if end < HEADER_BYTES:
        return None, (errors.CORRUPT_MESSAGE, f"a batch length of {length}, less than a header")
    return records[:end], FINE


def diagnose(partition: Partition, batch: memoryview, now_ms: int) -> Refused:
    """The code and sentence for one whole batch; FINE if nothing is wrong with it."""
    if is_internal(partition.name):
        return (
            errors.INVALID_TOPIC_EXCEPTION,
            f"Cannot append to internal topic {partition.name}",
        )
    header = HEADER.unpack_from(batch)
    for refused in (
        _frame(partition, batch, header),
        _attributes(header),
        _counts(header),
        _timestamps(partition, header, now_ms),
        _producer(header),
    ):
        if refused[0]:
            return refused
    return FINE


def _frame(partition: Partition, batch: memoryview, header: tuple[int, ...]) -> Refused:
    if header[0] != 0:
        return errors.INVALID_RECORD, f"the base offset of a produced batch is 0, not {header[0]}"
    limit_bytes = partition.config.max_message_bytes
    if len(batch) > limit_bytes:
        return (
            errors.MESSAGE_TOO_LARGE,
            f"the batch has {len(batch)} bytes, max.message.bytes allows {limit_bytes}",
        )
    if len(batch) > partition.config.segment_bytes:
        return (
            errors.RECORD_LIST_TOO_LARGE,
            f"the batch has {len(batch)} bytes, more than a segment of segment.bytes",
        )
    if crc32c(batch[21:]) != header[4]:
        return errors.CORRUPT_MESSAGE, "the CRC of the batch does not match its bytes"
    return FINE


def _attributes(header: tuple[int, ...]) -> Refused:
    attributes = header[5]
    if attributes & TRANSACTIONAL_BIT:
        return (
            errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "transactions are not served",
        )
    if attributes & CONTROL_BIT:
        return errors.INVALID_RECORD, "clients do not write control batches"
    if attributes & TIMESTAMP_TYPE_BIT:
        return errors.INVALID_TIMESTAMP, "only the broker sets the timestamp type LogAppendTime"
    codec = attributes & CODEC_MASK
    if codec > CODEC_MAX:
        return errors.UNSUPPORTED_COMPRESSION_TYPE, f"compression type {codec} is unknown"
    if attributes != codec:
        return errors.INVALID_RECORD, f"unknown attribute bits {attributes & 0xFFFF:#06x}"
    return FINE


def _counts(header: tuple[int, ...]) -> Refused:
    last_delta, count = header[6], header[12]
    if count < 1:
        return errors.INVALID_RECORD, f"a batch of {count} records"
    if last_delta != count - 1:
        return (
            errors.INVALID_RECORD,
            f"a last offset delta of {last_delta} in a batch of {count} records",
        )
    return FINE


def _timestamps(partition: Partition, header: tuple[int, ...], now_ms: int) -> Refused:
    base_ms, max_ms = header[7], header[8]
    config = partition.config
    if config.message_timestamp_type != "CreateTime":
        return FINE
    if max_ms < base_ms:
        return errors.INVALID_TIMESTAMP, f"max timestamp {max_ms} is below the base {base_ms}"
    if max_ms - now_ms > config.message_timestamp_after_max_ms:
        return (
            errors.INVALID_TIMESTAMP,
            f"timestamp {max_ms} is later than message.timestamp.after.max.ms allows",
        )
    if base_ms != NO_TIMESTAMP and now_ms - base_ms > config.message_timestamp_before_max_ms:
        return (
            errors.INVALID_TIMESTAMP,
            f"timestamp {base_ms} is older than message.timestamp.before.max.ms allows",
        )
    return FINE


def _producer(header: tuple[int, ...]) -> Refused:
    producer_id, epoch, sequence = header[9:12]
    if producer_id >= 0:
        if epoch < NO_EPOCH:
            return errors.INVALID_PRODUCER_EPOCH, f"producer epoch {epoch}"
        if sequence < 0:
            return errors.INVALID_RECORD, f"a producer id with sequence {sequence}"
    return FINE
