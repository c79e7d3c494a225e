"""A bench for committed offsets: a broker on files in memory, a topic, and the three verbs."""

from __future__ import annotations

from random import Random
from typing import Any

from logserver.broker.groups.coordinator import Coordinator
from logserver.storage.files import Files
from logserver.storage.simulated_files import RecordingFiles
from logwire.messages import Message
from tests.broker.control_bench import ControlBench
from tests.storage.bench import run_chores

GROUP = "group"
TOPIC = "orders"


class OffsetsBench(ControlBench):
    """A broker with the topic `orders` of four partitions; `coordinator` looks after `group`."""

    def __init__(self, given: dict[str, str] | None = None, files: Files | None = None) -> None:
        super().__init__({"offsets.topic.num.partitions": "4", **(given or {})}, files)
        if files is None:
            self.create(TOPIC, 4)
            self.find()
            self.sync()

    def start(self) -> None:
        """Open the directory, load the coordinators."""
        super().start()
        self.run_chores()

    def power_cut(self, random: Random) -> OffsetsBench:
        """Another bench, on one of the states that a power cut at this moment may leave."""
        assert isinstance(self.files, RecordingFiles)
        return OffsetsBench(dict(self.config.given), self.files.power_cut(random))

    def run_chores(self) -> None:
        """What a helper thread would do, until nothing is left."""
        while run_chores(self.broker.take_upkeep()):
            pass

    @property
    def coordinator(self) -> Coordinator:
        """The coordinator of `group`."""
        return self.broker.coordinators.of(GROUP)

    def pass_time(self, ms: int) -> None:
        """Let both clocks go on, and run what became due."""
        self.now_ms += ms
        self.broker.uptime_ms += ms
        self.broker.expire(self.broker.uptime_ms)

    # Verbs

    def find(self, key: str = GROUP) -> Message:
        """FindCoordinator of a group; its row of the answer."""
        answer = self.call(10, 4, {"key_type": 0, "coordinator_keys": [key]})
        row: Message = answer["coordinators"][0]
        return row

    def commit(self, offsets: dict[int, int], topic: str = TOPIC, **fields: Any) -> list[int]:
        """Commit partition -> offset; the error codes in order. `fields` go into the request."""
        version = fields.pop("version", 9)
        metadata = fields.pop("metadata", "")
        request = {
            "group_id": GROUP,
            "generation_id_or_member_epoch": -1,
            "member_id": "",
            **fields,
        }
        request["topics"] = [commit_topic(topic, offsets, metadata)]
        answer = self.call(8, version, request)
        return [row["error_code"] for row in answer["topics"][0]["partitions"]]

    def fetch(self, *indexes: int, group_id: str = GROUP, topic: str = TOPIC) -> list[int]:
        """Committed offsets of these partitions, -1 for none."""
        wanted = [{"name": topic, "partition_indexes": list(indexes)}]
        answer = self.call(9, 8, {"groups": [{"group_id": group_id, "topics": wanted}]})
        rows = answer["groups"][0]["topics"][0]["partitions"]
        return [row["committed_offset"] for row in rows]

    def fetch_all(self, group_id: str = GROUP) -> dict[str, dict[int, int]]:
        """Everything a group has committed: topic -> partition -> offset."""
        answer = self.call(9, 8, {"groups": [{"group_id": group_id, "topics": None}]})
        return {
            topic["name"]: {
                row["partition_index"]: row["committed_offset"] for row in topic["partitions"]
            }
            for topic in answer["groups"][0]["topics"]
        }


def commit_topic(name: str, offsets: dict[int, int], metadata: str | None = "") -> Message:
    """One topic of an OffsetCommit request that names topics."""
    return {
        "name": name,
        "partitions": [
            {
                "partition_index": index,
                "committed_offset": offset,
                "committed_leader_epoch": 0,
                "committed_metadata": metadata,
            }
            for index, offset in offsets.items()
        ],
    }
