"""A group coordinator for one member, on a `ScriptedBroker`: it does what the test tells it.

`assigned` is what the member is told with its next heartbeat. `script(api_key, code, ...)` gives
the error codes of the next answers of an API; None closes the connection instead of answering,
after the request has had its effect. What the member said is in `heartbeats` and `committed`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from logwire.errors import UNKNOWN_MEMBER_ID
from tests.client.scripted_broker import TOPIC_ID, Message, ScriptedBroker

HEARTBEAT, COMMIT, FETCH, FIND = 68, 8, 9, 10
LEFT = -1


class ScriptedGroup:
    """Answers FindCoordinator, ConsumerGroupHeartbeat, OffsetCommit and OffsetFetch."""

    def __init__(self, broker: ScriptedBroker, *, interval_ms: int = 100) -> None:
        self.broker = broker
        self.interval_ms = interval_ms
        self.assigned: set[int] = set(broker.batches)
        self.owned: set[int] = set()
        self.epoch = 0
        self.heartbeats: list[Message] = []
        self.committed: dict[int, int] = {}
        self.commits: list[Message] = []
        self._scripts: dict[int, deque[int | None]] = {}
        self._told: set[int] | None = None
        broker.answers |= {
            FIND: self._find,
            HEARTBEAT: self._heartbeat,
            COMMIT: self._commit,
            FETCH: self._fetch,
        }

    def script(self, api_key: int, *codes: int | None) -> None:
        """Error codes of the next answers, 0 for a good one, None for a closed connection."""
        self._scripts.setdefault(api_key, deque()).extend(codes)

    def _code(self, api_key: int) -> int | None:
        waiting = self._scripts.get(api_key)
        return waiting.popleft() if waiting else 0

    def _find(self, request: Message) -> Message | None:
        code = self._code(FIND)
        if code is None:
            return None
        row = {"node_id": 7, "host": "127.0.0.1", "port": self.broker.port, "error_code": code}
        row |= {"error_message": None}
        keys = request["coordinator_keys"]
        return {**row, "coordinators": [{"key": key, **row} for key in keys]}

    def _heartbeat(self, request: Message) -> Message | None:
        code = self._code(HEARTBEAT)
        if code == 0 and self.epoch == LEFT and request["member_epoch"] > 0:
            # Sent before the member left over another connection, and read after that.
            code = UNKNOWN_MEMBER_ID
        if code:
            self._told = None
            return {"error_code": code, "error_message": "as scripted", "member_epoch": 0}
        self.heartbeats.append(request)
        answer: Message = {"error_code": 0, "error_message": None, "member_id": None}
        if request["member_epoch"] < 0:
            self.epoch, self.owned, self._told = LEFT, set(), None
            return answer | {"member_epoch": request["member_epoch"]}
        if request["topic_partitions"] is not None:
            self.owned = {part for row in request["topic_partitions"] for part in row["partitions"]}
        if request["member_epoch"] == 0 or self._told != self.assigned:
            self.epoch = max(self.epoch, 0) + 1
            self._told = set(self.assigned)
            row = {"topic_id": TOPIC_ID, "partitions": sorted(self.assigned)}
            answer["assignment"] = {"topic_partitions": [row]}
        answer |= {"member_epoch": self.epoch, "heartbeat_interval_ms": self.interval_ms}
        return None if code is None else answer

    def _commit(self, request: Message) -> Message | None:
        code = self._code(COMMIT)
        self.commits.append(request)
        for topic in request["topics"]:
            for row in topic["partitions"]:
                if not code:
                    self.committed[row["partition_index"]] = row["committed_offset"]
        if code is None:
            return None
        return {"topics": [_answered(topic, code) for topic in request["topics"]]}

    def _fetch(self, request: Message) -> Message | None:
        code = self._code(FETCH)
        if code is None:
            return None
        group = request["groups"][0]
        rows = [
            {
                "partition_index": index,
                "committed_offset": self.committed.get(index, -1),
                "metadata": "",
                "error_code": code,
            }
            for topic in group["topics"]
            for index in topic["partition_indexes"]
        ]
        topics = [{"name": self.broker.topic, "partitions": rows}]
        return {"groups": [{"group_id": group["group_id"], "error_code": 0, "topics": topics}]}


def _answered(topic: dict[str, Any], code: int) -> Message:
    rows = [
        {"partition_index": row["partition_index"], "error_code": code}
        for row in topic["partitions"]
    ]
    return {"name": topic["name"], "partitions": rows}
