"""Produce: from the records of one request to bytes at the tail of a log.

The rule of this file: a batch is checked once, from its 61-byte header and one CRC over the rest;
no record is decoded. `append_batch` is the only door to a partition's log, for clients and
for the broker itself, and runs once per batch at full rate: locals, integers and tuples only.

What is checked, in this order (the codes are those of Apache Kafka 4.3.1 for the same bytes,
recorded in protocol/vectors/refusals.json): exactly one whole batch, magic 2, size, CRC-32C,
attribute bits, record count and last offset delta, timestamps against
`message.timestamp.before/after.max.ms`, producer id, epoch and sequence. What is not checked: the
inside of a batch, but for compacted topics (`key_check`), whose partitions have `held`.

Answers. acks=1 is answered from the page cache. acks=all on a durable topic joins the group
commit: its answer is encoded at once, since the base offset is known, and leaves when the sync
that covers it has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logserver.broker.batch_checks import (
    CODEC_MAX,
    NO_EPOCH,
    NO_TIMESTAMP,
    TIMESTAMP_TYPE_BIT,
    ZSTD_VERSION_MIN,
    diagnose,
    is_zstd,
    whole_batch,
)
from logserver.storage.files import is_disk_full, is_passing
from logserver.storage.log import FencedError
from logserver.storage.producers import SEQUENCE_MAX
from logwire import errors
from logwire.batch import HEADER, HEADER_BYTES
from logwire.checksum import crc32c
from logwire.produce_codec import PartitionAnswer, decode_produce, encode_produce_response
from logwire.produce_repeat import Repeat

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.broker.peer import Answer, Peer, Reply

ACKS_ALL = -1
# No code of Kafka's: the outcome of this batch is not known yet (`key_check`).
HELD = -2
UNKNOWN = errors.UNKNOWN_TOPIC_OR_PARTITION
NO_RECORDS = errors.INVALID_RECORD
NO_ROUTE: dict[int, Partition] = {}

# (error code, base offset, log append time in ms)
Outcome = tuple[int, int, int]


class ProduceWaiter:
    """An acks=all answer, already encoded, that waits for its group commit."""

    __slots__ = ("correlation_id", "frame", "reply", "results", "version")

    def __init__(
        self, reply: Reply, frame: bytes, version: int, correlation_id: int, results: list[Any]
    ) -> None:
        self.reply = reply
        self.frame = frame
        self.version = version
        self.correlation_id = correlation_id
        self.results = results

    def synced(self) -> None:
        """The group commit that covers every batch of the request has ended."""
        self.reply.complete(self.frame)

    def failed(self) -> None:
        """The directory is fenced: no batch of this request was acknowledged."""
        failed = [
            (topic, [_storage_error(result) for result in results])
            for topic, results in self.results
        ]
        self.reply.complete(encode_produce_response(self.version, self.correlation_id, failed))


def _storage_error(result: PartitionAnswer) -> PartitionAnswer:
    if result[1]:
        return result
    return (result[0], errors.KAFKA_STORAGE_ERROR, -1, -1, -1, None)


def handle_produce(
    broker: Broker,
    peer: Peer,
    version: int,
    correlation_id: int,
    frame: memoryview,
    position: int,
    now_ms: int,
) -> Answer:
    """Append every batch of a Produce request (API key 0, versions 3 to 13).

    Returns the answer; None: acks=0, or it waits for the group commit or a look inside.
    """
    transactional_id, acks, _timeout_ms, topics = decode_produce(version, frame, position)
    refusal = _refusal(transactional_id, acks)
    routes = broker.routes
    unknown = errors.UNKNOWN_TOPIC_ID if version >= 13 else UNKNOWN
    results: list[Any] = []
    appended = failed = False
    for topic, partitions in topics:
        outcomes: list[PartitionAnswer] = []
        route = routes.get(topic)
        for index, records in partitions:
            partition = None if route is None else route.get(index)
            if refusal is not None:
                code = refusal
            elif partition is None:
                code = unknown if route is None else UNKNOWN
            elif records is None or (version < ZSTD_VERSION_MIN and is_zstd(records)):
                code = NO_RECORDS if records is None else errors.UNSUPPORTED_COMPRESSION_TYPE
            elif partition.held is not None:
                code, offset, append_ms = broker.key_checks.append(partition, records, now_ms)
            else:
                code, offset, append_ms = append_batch(broker, partition, records, now_ms)
            if code:
                failed = True
                outcomes.append(refused_row(broker, index, code))
            else:
                assert partition is not None
                appended = appended or partition.durable
                outcomes.append((index, 0, offset, append_ms, partition.log.log_start_offset, None))
        results.append((topic, outcomes))
    broker.counters.requests[0] += 1
    if broker.key_checks.fresh:
        broker.key_checks.hold(peer, version, correlation_id, acks, results, appended)
        return None
    if not acks:
        # Nobody hears the refusal of an acks=0 request but by the connection closing.
        if failed:
            peer.close_after_refusal()
        return None
    answer = encode_produce_response(version, correlation_id, results)
    if not failed:
        _learn(peer, version, frame, position, topics)
    if appended and acks == ACKS_ALL:
        waiter = ProduceWaiter(peer.reserve(), answer, version, correlation_id, results)
        broker.commit.waiting.append(waiter)
        return None
    return answer


def refused_row(broker: Broker, index: int, code: int) -> PartitionAnswer:
    """The row of a batch that was not appended, counted; a held one has no outcome yet."""
    if code != HELD:
        broker.counters.count_error(code)
    why, broker.refusal_message = broker.refusal_message, None
    return (index, code, -1, -1, -1, why)


def _learn(peer: Peer, version: int, frame: memoryview, position: int, topics: list[Any]) -> None:
    """Remember the shape of a request about the same one partition as the one before it."""
    if len(topics) == 1 and len(topics[0][1]) == 1:
        key = (topics[0][0], topics[0][1][0][0])
        if peer.last_produced == key:
            peer.repeat = Repeat.learn(version, frame, position)
        peer.last_produced = key
    else:
        peer.last_produced = None


def handle_repeat(
    broker: Broker, peer: Peer, repeat: Repeat, records: memoryview, now_ms: int
) -> Answer:
    """`handle_produce` for a request of a known shape: nothing but the batch is looked at."""
    partition = broker.routes.get(repeat.topic, NO_ROUTE).get(repeat.index)
    if partition is None:
        unknown = errors.UNKNOWN_TOPIC_ID if repeat.version >= 13 else UNKNOWN
        code, offset, append_ms = unknown, -1, -1
    elif partition.held is not None:
        code, offset, append_ms = broker.key_checks.append(partition, records, now_ms)
    else:
        code, offset, append_ms = append_batch(broker, partition, records, now_ms)
    broker.counters.requests[0] += 1
    acks = repeat.acks
    if code or partition is None:
        row = refused_row(broker, repeat.index, code)
        results = [(repeat.topic, [row])]
        correlation_id = repeat.correlation_id
        if code == HELD:
            broker.key_checks.hold(peer, repeat.version, correlation_id, acks, results, False)
            return None
        if acks:
            return encode_produce_response(repeat.version, correlation_id, results)
        peer.close_after_refusal()
        return None
    if not acks:
        return None
    start_offset = partition.log.log_start_offset
    answer = repeat.answer(offset, append_ms, start_offset)
    if acks == ACKS_ALL and partition.durable:
        results = [(repeat.topic, [(repeat.index, 0, offset, append_ms, start_offset, None)])]
        waiter = ProduceWaiter(
            peer.reserve(), answer, repeat.version, repeat.correlation_id, results
        )
        broker.commit.waiting.append(waiter)
        return None
    return answer


def _refusal(transactional_id: str | None, acks: int) -> int | None:
    if transactional_id is not None:
        # Clients treat this code as fatal; a transactional request is never taken as plain.
        return errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    if acks not in (-1, 0, 1):
        return errors.INVALID_REQUIRED_ACKS
    return None


def append_batch(broker: Broker, partition: Partition, records: memoryview, now_ms: int) -> Outcome:
    """Check one batch and append it: (error code, base offset, log append time in ms or -1).

    `records` must be writable: base offset and leader epoch are stamped in place; both lie
    outside the CRC. A duplicate of one of a producer's last five batches is success with the
    offset it got then. Nothing is written when the code is not NONE.
    """
    size_bytes = len(records)
    if size_bytes < HEADER_BYTES:
        return _refuse(broker, *whole_batch(records)[1])
    (base_offset, length, _, magic, crc, attributes, last_delta, base_ms, max_ms,
     producer_id, epoch, sequence, count) = HEADER.unpack_from(records)  # fmt: skip
    if length + 12 != size_bytes or magic != 2:
        batch, refused = whole_batch(records)
        if batch is None:
            return _refuse(broker, *refused)
        if len(batch) < size_bytes:
            return append_batch(broker, partition, batch, now_ms)
    config = partition.config
    if (
        base_offset
        or size_bytes > partition.batch_bytes_max
        or crc32c(records[21:]) != crc
        or not 0 <= attributes <= CODEC_MAX
        or count < 1
        or last_delta != count - 1
        or max_ms < base_ms
        or max_ms - now_ms > config.message_timestamp_after_max_ms
        or (now_ms - base_ms > config.message_timestamp_before_max_ms and base_ms != NO_TIMESTAMP)
        or (producer_id >= 0 and (epoch < NO_EPOCH or sequence < 0))
    ):
        refused = diagnose(partition, records, now_ms)
        if refused[0]:
            return _refuse(broker, *refused)
    if not broker.writable:
        return _refuse(broker, errors.KAFKA_STORAGE_ERROR, broker.unwritable_reason)
    log = partition.log
    if producer_id >= 0:
        last_sequence = (sequence + last_delta) & SEQUENCE_MAX
        code, offset = log.producers.check(producer_id, epoch, sequence, last_sequence)
        if code:
            return _refuse(broker, code, None)
        if offset >= 0:
            return _duplicate(broker, partition, offset)
    append_ms = -1
    if config.message_timestamp_type == "LogAppendTime":
        append_ms = max_ms = now_ms
        stamp_append_time(records, attributes, now_ms)
    try:
        offset = log.append(records, last_delta, max_ms, now_ms)
    except OSError as error:
        return _write_failed(broker, error)
    if producer_id >= 0:
        log.producers.update(
            producer_id, epoch, sequence, last_sequence, offset, offset + last_delta, max_ms
        )
    broker.appended(partition, size_bytes, count)
    return 0, offset, append_ms


def _duplicate(broker: Broker, partition: Partition, offset: int) -> Outcome:
    # The first copy may still wait for its sync: the answer to the second promises as much.
    if partition.durable and offset >= partition.log.durable_offset:
        broker.mark_dirty(partition)
    broker.counters.duplicate_batches += 1
    return 0, offset, -1


def _refuse(broker: Broker, code: int, why: str | None) -> Outcome:
    broker.refusal_message = why
    return code, -1, -1


def _write_failed(broker: Broker, error: OSError) -> Outcome:
    if isinstance(error, FencedError):  # this log alone, quarantined: the disk is not sick
        return _refuse(broker, errors.KAFKA_STORAGE_ERROR, str(error))
    if is_disk_full(error):
        broker.disk_filled()
    elif is_passing(error):  # no descriptor for a roll: nothing was written, the next may find one
        return _refuse(broker, errors.KAFKA_STORAGE_ERROR, str(error))
    else:
        broker.fence(error)
    return _refuse(broker, errors.KAFKA_STORAGE_ERROR, broker.unwritable_reason)


def stamp_append_time(records: memoryview, attributes: int, now_ms: int) -> None:
    """Set the LogAppendTime bit and max timestamp of a batch in place and recompute its CRC."""
    records[21:23] = (attributes | TIMESTAMP_TYPE_BIT).to_bytes(2, "big")
    records[35:43] = now_ms.to_bytes(8, "big")
    records[17:21] = crc32c(records[21:]).to_bytes(4, "big")
