"""Questions that only a partition's leader can answer: which offset is where.

`ask_leaders` is the loop behind all of them: group the partitions by leader, ask, and ask again
after a pause where a leader has moved, until every partition is answered or time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple, TypeVar

from logserver.client.cluster import Cluster
from logserver.client.connection import LIST_OFFSETS, Connection
from logserver.client.failure import ClientError, is_retriable, only_row, refusal
from logwire.errors import UNKNOWN_TOPIC_OR_PARTITION
from logwire.messages import Message

# ListOffsets' special timestamps (KIP-734)
END: Final = -1
BEGINNING: Final = -2
NEWEST: Final = -3

Answer = TypeVar("Answer")


class FoundOffset(NamedTuple):
    """An offset and the timestamp of the record there; offset -1 when there is none."""

    offset: int
    timestamp_ms: int


def ask_leaders(
    cluster: Cluster,
    topic: str,
    partitions: Collection[int],
    ask: Callable[[Connection, list[int]], list[Message]],
    read: Callable[[Message], Answer],
    *,
    what: str,
    timeout_ms: int,
) -> dict[int, Answer]:
    """`ask` sends one request for some partitions and returns their rows, `read` takes one apart.

    Raises `ClientError`: "refused" with the row's code, or "timeout".
    """
    done: dict[int, Answer] = {}
    failure: ClientError | None = None
    for _ in cluster.attempts(timeout_ms):
        leaders = cluster.topic(topic, timeout_ms=timeout_ms).leaders
        by_leader: dict[int, list[int]] = {}
        for index in partitions:
            if index not in leaders:
                raise refusal(f"{what} {topic}-{index}", UNKNOWN_TOPIC_OR_PARTITION)
            if index not in done:
                by_leader.setdefault(leaders[index], []).append(index)
        for leader, indexes in by_leader.items():
            try:
                rows = ask(cluster.data(leader), indexes)
            except ClientError as error:
                if error.kind not in ("connect", "closed"):
                    raise
                failure = error
                cluster.topics.pop(topic, None)
                continue
            for row in rows:
                code = row["error_code"]
                if not code:
                    done[row["partition_index"]] = read(row)
                    continue
                failure = refusal(f"{what} {topic}-{row['partition_index']}", code)
                if not is_retriable(code):
                    raise failure
                cluster.topics.pop(topic, None)
        if len(done) == len(partitions):
            return dict(sorted(done.items()))
    raise failure or ClientError("timeout", f"cannot {what} {topic}: no leader answered")


def list_offsets(
    cluster: Cluster, topic: str, timestamps_ms: Mapping[int, int], *, timeout_ms: int
) -> dict[int, FoundOffset]:
    """Per partition the first record at or after a timestamp, or one of the special offsets."""

    def ask(connection: Connection, indexes: list[int]) -> list[Message]:
        rows = [{"partition_index": i, "timestamp": timestamps_ms[i]} for i in indexes]
        message = {
            "replica_id": -1,
            "topics": [{"name": topic, "partitions": rows}],
            "timeout_ms": timeout_ms,
        }
        return partition_rows(connection.request(LIST_OFFSETS, message))

    return ask_leaders(
        cluster,
        topic,
        timestamps_ms,
        ask,
        lambda row: FoundOffset(row["offset"], row["timestamp"]),
        what="list offsets of",
        timeout_ms=timeout_ms,
    )


def partition_rows(answer: Message) -> list[Message]:
    """The partitions of an answer about one topic."""
    rows: list[Message] = only_row(answer["topics"])["partitions"]
    return rows
