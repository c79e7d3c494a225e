"""How far a group is behind, in records and in time.

In records: what lies between the committed offset and the end of the log. Where retention has taken
records that were never read, only those that are still there count: the others can no longer be
read. In time: the age of the next unread record by its timestamp, which is the producer's, or the
time of its append where the topic says so (`message.timestamp.type`). A partition that is read to
its end has no lag in either, however old its last record is.

The next unread record is fetched with the batch it lies in, one partition after the other: a fetch
of one partition always brings one whole batch, however small its limit (KIP-74).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from logserver.client.cluster import Cluster
from logserver.client.connection import FETCH, Connection
from logserver.client.failure import ClientError
from logserver.client.offsets import (
    BEGINNING,
    END,
    FoundOffset,
    ask_leaders,
    list_offsets,
)
from logwire.batch import LENGTH_OVERHEAD_BYTES, decode_batch, iterate_batches
from logwire.errors import OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, ProtocolError
from logwire.messages import Message

TopicPartition = tuple[str, int]
_NO_SESSION_EPOCH: Final = -1


class PartitionLag(NamedTuple):
    """Where a group stands in one partition.

    None: nothing is committed (`committed_offset`, then the lags too), or the partition is no
    longer there (`log_start_offset`, `log_end_offset`, the lags). `lag_ms` is also None where the
    next record has no timestamp.
    """

    topic: str
    partition: int
    committed_offset: int | None
    log_start_offset: int | None
    log_end_offset: int | None
    lag_count: int | None
    lag_ms: int | None


def measure_lag(
    cluster: Cluster,
    committed: Mapping[TopicPartition, int],
    others: Collection[TopicPartition] = (),
    *,
    timeout_ms: int,
) -> list[PartitionLag]:
    """The lag of committed offsets by topic and partition; `others` have no offset, but a reader.

    Raises `ClientError` when a partition's leader cannot be asked.
    """
    wanted: dict[str, list[int]] = {}
    for topic, partition in sorted({*committed, *others}):
        wanted.setdefault(topic, []).append(partition)
    lags = []
    for topic, partitions in wanted.items():
        ends = log_bounds(cluster, topic, partitions, timeout_ms=timeout_ms)
        unread = {
            index: max(committed[topic, index], start)
            for index, (start, end) in ends.items()
            if max(committed.get((topic, index), end), start) < end
        }
        stamps_ms = record_timestamps(cluster, topic, unread, timeout_ms=timeout_ms)
        now_ms = time.time_ns() // 1_000_000
        for index in partitions:
            offset = committed.get((topic, index))
            start_end = ends.get(index)
            lags.append(_lag(topic, index, offset, start_end, stamps_ms.get(index), now_ms))
    return lags


def _lag(
    topic: str,
    partition: int,
    committed_offset: int | None,
    bounds: tuple[int, int] | None,
    timestamp_ms: int | None,
    now_ms: int,
) -> PartitionLag:
    start, end = bounds or (None, None)
    count = lag_ms = None
    if committed_offset is not None and start is not None and end is not None:
        count = max(0, end - max(committed_offset, start))
        if count == 0:
            lag_ms = 0
        elif timestamp_ms is not None and timestamp_ms >= 0:
            lag_ms = max(0, now_ms - timestamp_ms)
    return PartitionLag(topic, partition, committed_offset, start, end, count, lag_ms)


def log_bounds(
    cluster: Cluster, topic: str, partitions: Collection[int], *, timeout_ms: int
) -> dict[int, tuple[int, int]]:
    """Log start and end of those partitions that are there."""
    try:
        there = cluster.topic(topic, timeout_ms=timeout_ms).leaders
    except ClientError as error:
        if error.code != UNKNOWN_TOPIC_OR_PARTITION:
            raise
        return {}
    known = [index for index in partitions if index in there]

    def ask(place: int) -> dict[int, FoundOffset]:
        places = dict.fromkeys(known, place)
        return list_offsets(cluster, topic, places, timeout_ms=timeout_ms) if known else {}

    starts, ends = ask(BEGINNING), ask(END)
    return {index: (starts[index].offset, ends[index].offset) for index in known}


def record_timestamps(
    cluster: Cluster, topic: str, offsets: Mapping[int, int], *, timeout_ms: int
) -> dict[int, int | None]:
    """Per partition the timestamp in ms of the first record at or after an offset.

    None where there is none: the record was removed while we asked, or cannot be read.
    """

    def ask(connection: Connection, indexes: list[int]) -> list[Message]:
        return [_fetch_one(connection, topic, index, offsets[index]) for index in indexes]

    def read(row: Message) -> int | None:
        return _first_timestamp(row["records"] or b"", offsets[row["partition_index"]])

    return (
        ask_leaders(cluster, topic, offsets, ask, read, what="read", timeout_ms=timeout_ms)
        if offsets
        else {}
    )


def _fetch_one(connection: Connection, topic: str, partition: int, offset: int) -> Message:
    part = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": 1}
    message = {
        "max_wait_ms": 0,
        "min_bytes": 0,
        "max_bytes": 1,
        "session_epoch": _NO_SESSION_EPOCH,
        "topics": [{"topic": topic, "partitions": [part]}],
    }
    answer = connection.request(FETCH, message)
    if answer["error_code"] or len(answer["responses"]) != 1:
        raise connection.broken(f"answered a fetch with error {answer['error_code']}")
    row: Message = answer["responses"][0]["partitions"][0]
    if row["error_code"] == OFFSET_OUT_OF_RANGE:  # retention has just passed by
        return {"partition_index": partition, "error_code": 0, "records": b""}
    return row


def _first_timestamp(records: memoryview | bytes, offset: int) -> int | None:
    data = memoryview(records)
    try:
        for position, header in iterate_batches(data):
            end = position + LENGTH_OVERHEAD_BYTES + header.batch_length
            for record in decode_batch(data[position:end]):
                if record.offset >= offset:
                    return record.timestamp_ms
    except ProtocolError:
        return None
    return None
