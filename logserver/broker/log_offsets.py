"""ListOffsets (API 2), OffsetForLeaderEpoch (23), DeleteRecords (21): questions to one log.

Special timestamps of ListOffsets, all below zero, with the request version that introduced them:

    -1 latest (1)    -2 earliest (1)    -3 largest timestamp (7, KIP-734)    -4 earliest local (8)
    -5 latest tiered (9)    -6 earliest not yet uploaded (11)

There are no tiers: earliest local is earliest, and the last two exist nowhere (-1).

A consumer is never told of an offset that it cannot fetch: answers stop below the high watermark,
whatever the isolation level, as long as there are no transactions. Only a debugging client
(replica id -2) sees up to the log end.

Codes as Apache Kafka 4.3.1 gives them (ReplicaManager, Partition.fetchOffsetForTimestamp).
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from logserver.broker.topic_names import is_internal
from logserver.storage.log import OffsetOutOfRange
from logserver.storage.segment import CorruptSegmentError
from logwire import errors
from logwire.errors import ProtocolError, Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.broker.peer import Context

logger = logging.getLogger(__name__)

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = range(-1, -7, -1)
VERSION_OF_TIMESTAMP = {
    LATEST: 1,
    EARLIEST: 1,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING: 11,
}
NOWHERE = (-1, -1, -1)
DEBUGGING_REPLICA = -2
HIGH_WATERMARK = -1  # DeleteRecords: up to the high watermark
ANY_EPOCH = -1  # the client does not know the leader epoch

Place = tuple[int, int, int]
"""timestamp, offset, leader epoch"""


def find_partition(broker: Broker, name: str, index: int) -> Partition:
    """The partition served under this topic name; raises Refusal."""
    partition = broker.routes.get(name, {}).get(index)
    if partition is None:
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION)
    topic = broker.image.topics_by_name[name]
    if topic.partitions[index].leader != broker.config.node_id:
        raise Refusal(errors.NOT_LEADER_OR_FOLLOWER)
    return partition


def check_epoch(partition: Partition, epoch: int) -> None:
    """Refuse a client whose leader epoch is not ours (KIP-320)."""
    if epoch == ANY_EPOCH or epoch == partition.log.leader_epoch:
        return
    if epoch < partition.log.leader_epoch:
        raise Refusal(errors.FENCED_LEADER_EPOCH)
    raise Refusal(errors.UNKNOWN_LEADER_EPOCH)


def handle_list_offsets(broker: Broker, request: Message, context: Context) -> Message:
    """The offset of each asked timestamp, with the timestamp and epoch found there."""
    debugging = request["replica_id"] == DEBUGGING_REPLICA
    counts = Counter(
        (topic["name"], asked["partition_index"])
        for topic in request["topics"]
        for asked in topic["partitions"]
    )
    topics = []
    for topic in request["topics"]:
        name, partitions = topic["name"], []
        # A partition that is asked for twice is refused, and answered once.
        for index, asked in {p["partition_index"]: p for p in topic["partitions"]}.items():
            code, place = errors.NONE, NOWHERE
            try:
                if counts[name, index] > 1:
                    raise Refusal(errors.INVALID_REQUEST)
                _require_known(asked["timestamp"], context.api_version)
                partition = find_partition(broker, name, index)
                check_epoch(partition, asked.get("current_leader_epoch", ANY_EPOCH))
                place = _place(partition, asked["timestamp"], debugging)
            except Refusal as refusal:
                code = refusal.code
            partitions.append(
                {
                    "partition_index": index,
                    "error_code": code,
                    "timestamp": place[0],
                    "offset": place[1],
                    "leader_epoch": place[2],
                }
            )
        topics.append({"name": name, "partitions": partitions})
    return {"topics": [topic for topic in topics if topic["partitions"]]}


def _require_known(timestamp: int, version: int) -> None:
    """Refuse a special timestamp that the version does not have."""
    if timestamp < 0 and version < VERSION_OF_TIMESTAMP.get(timestamp, version + 1):
        raise Refusal(errors.UNSUPPORTED_VERSION)


def _place(partition: Partition, timestamp: int, debugging: bool) -> Place:
    log = partition.log
    upper_offset = log.end_offset if debugging else partition.high_watermark
    if timestamp == LATEST:
        return -1, upper_offset, log.leader_epoch
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return -1, log.log_start_offset, log.leader_epochs.epoch_at(log.log_start_offset)
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING):
        return NOWHERE
    found = _look_up(partition, timestamp)
    if found is None or not log.log_start_offset <= found[1] < upper_offset:
        return NOWHERE
    return found[0], found[1], log.leader_epochs.epoch_at(found[1])


def _look_up(partition: Partition, timestamp: int) -> tuple[int, int] | None:
    log = partition.log
    try:
        if timestamp == MAX_TIMESTAMP:
            return log.max_timestamp()
        return log.offset_for_timestamp(timestamp)
    except (OSError, CorruptSegmentError) as error:
        logger.error("cannot look up a timestamp in %s: %s", log.name, error)
        raise Refusal(errors.KAFKA_STORAGE_ERROR) from None
    except ProtocolError as error:
        # Stored as the producer sent it: the inside of a batch is not checked on produce.
        logger.warning("a batch of %s cannot be decompressed: %s", log.name, error)
        raise Refusal(errors.CORRUPT_MESSAGE) from None


def handle_offset_for_leader_epoch(broker: Broker, request: Message, _context: Context) -> Message:
    """Where each asked leader epoch ended, so that a client can find out about truncation."""
    topics = []
    for topic in request["topics"]:
        name, partitions = topic["topic"], []
        for asked in topic["partitions"]:
            code, epoch, end_offset = errors.NONE, -1, -1
            try:
                partition = find_partition(broker, name, asked["partition"])
                check_epoch(partition, asked["current_leader_epoch"])
                epoch, end_offset = partition.log.end_offset_for_epoch(asked["leader_epoch"])
            except Refusal as refusal:
                code = refusal.code
            partitions.append(
                {
                    "error_code": code,
                    "partition": asked["partition"],
                    "leader_epoch": epoch,
                    "end_offset": end_offset,
                }
            )
        topics.append({"topic": name, "partitions": partitions})
    return {"topics": topics}


def handle_delete_records(broker: Broker, request: Message, _context: Context) -> Message:
    """Move log start offsets up; what lies below is gone for readers at once."""
    topics = []
    for topic in request["topics"]:
        name, partitions = topic["name"], []
        # One sync a partition: of several offsets for one, the last counts, as in Kafka.
        offsets = {p["partition_index"]: p["offset"] for p in topic["partitions"]}
        for index, offset in offsets.items():
            code, low_watermark = errors.NONE, -1
            try:
                low_watermark = _delete_before(find_partition(broker, name, index), offset)
            except Refusal as refusal:
                code = refusal.code
            partitions.append(
                {
                    "partition_index": index,
                    "low_watermark": low_watermark,
                    "error_code": code,
                }
            )
        topics.append({"name": name, "partitions": partitions})
    return {"topics": [topic for topic in topics if topic["partitions"]]}


def _delete_before(partition: Partition, offset: int) -> int:
    """Trim the log and return its new start offset."""
    log = partition.log
    if is_internal(partition.name):
        raise Refusal(errors.INVALID_TOPIC_EXCEPTION)
    if not partition.config.deletes:
        raise Refusal(errors.POLICY_VIOLATION)
    if offset == HIGH_WATERMARK:
        offset = partition.high_watermark
    if not 0 <= offset <= partition.high_watermark:
        raise Refusal(errors.OFFSET_OUT_OF_RANGE)
    if offset > log.log_start_offset:
        try:
            log.trim(offset)
        except OffsetOutOfRange:
            raise Refusal(errors.OFFSET_OUT_OF_RANGE) from None
        except OSError as error:
            logger.error("cannot trim %s: %s", log.name, error)
            raise Refusal(errors.KAFKA_STORAGE_ERROR) from None
    return int(log.log_start_offset)
