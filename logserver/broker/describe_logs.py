"""DescribeLogDirs (API 35) and DescribeProducers (61): what lies on the disk, who writes.

Sizes are those of the batches; indexes, preallocated space and files that wait for their deletion
come on top. The free space is the file system's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.log_offsets import find_partition
from logserver.broker.topic_names import refusal_of
from logwire import errors
from logwire.errors import ERRORS, Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.broker.peer import Context

UNKNOWN_SIZE = -1


def handle_describe_log_dirs(broker: Broker, request: Message, _context: Context) -> Message:
    """The one log directory with the size of each partition in it; null topics are all topics."""
    wanted: list[tuple[str, Iterable[int]]]
    if request["topics"] is None:
        wanted = [(topic.name, topic.partitions) for topic in broker.image.topics.values()]
    else:
        wanted = list({item["topic"]: item["partitions"] for item in request["topics"]}.items())
    topics = [_topic_sizes(broker, name, indexes) for name, indexes in wanted]
    fenced = bool(broker.directory.fenced)
    result = {
        "error_code": errors.KAFKA_STORAGE_ERROR if fenced else errors.NONE,
        "log_dir": broker.config.data_dir,
        "topics": [topic for topic in topics if topic["partitions"]],
        "total_bytes": UNKNOWN_SIZE,
        "usable_bytes": broker.free_bytes,
        "is_cordoned": False,
    }
    return {"error_code": errors.NONE, "results": [result]}


def _topic_sizes(broker: Broker, name: str, indexes: Iterable[int]) -> Message:
    served = broker.routes.get(name, {})
    partitions = [
        {
            "partition_index": index,
            "partition_size": served[index].log.size_bytes,
            "offset_lag": 0,
            "is_future_key": False,
        }
        for index in sorted(set(indexes))
        if index in served
    ]
    return {"name": name, "partitions": partitions}


def handle_describe_producers(broker: Broker, request: Message, _context: Context) -> Message:
    """The idempotent producers that each partition remembers."""
    topics = []
    wanted: dict[str, list[int]] = {}
    for topic in request["topics"]:
        wanted.setdefault(topic["name"], []).extend(topic["partition_indexes"])
    for name, indexes in wanted.items():
        partitions = []
        is_legal = refusal_of(name) is None
        for index in dict.fromkeys(indexes):
            code, message, producers = errors.NONE, None, []
            try:
                if not is_legal:
                    raise Refusal(errors.INVALID_TOPIC_EXCEPTION)
                producers = _producers(find_partition(broker, name, index))
            except Refusal as refusal:
                code, message = refusal.code, ERRORS[refusal.code].message
            partitions.append(
                {
                    "partition_index": index,
                    "error_code": code,
                    "error_message": message,
                    "active_producers": producers,
                }
            )
        topics.append({"name": name, "partitions": partitions})
    return {"topics": topics}


def _producers(partition: Partition) -> list[Message]:
    return [
        {
            "producer_id": entry.producer_id,
            "producer_epoch": entry.epoch,
            "last_sequence": entry.last_sequence,
            "last_timestamp": entry.last_timestamp_ms,
            "coordinator_epoch": entry.coordinator_epoch,
            "current_txn_start_offset": entry.current_txn_first_offset,
        }
        for entry in partition.log.producers.entries.values()
    ]
