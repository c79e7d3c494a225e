"""Committed offsets in memory: group id -> topic name -> partition -> what was committed.

Plain dicts and tuples: a server keeps 100,000 of them and takes thousands of commits a second.
A group or topic without offsets leaves no empty dict behind.
"""

from __future__ import annotations

from typing import NamedTuple

NO_EXPIRY = -1
NO_LEADER_EPOCH = -1


class CommittedOffset(NamedTuple):
    """One committed offset. Times are wall clock; `topic_id` is zero where nobody said it.

    `expire_ms` is set by clients of versions before 5 that ask for a retention of their own.
    """

    offset: int
    leader_epoch: int
    metadata: str
    commit_ms: int
    expire_ms: int
    topic_id: bytes


Commit = tuple[str, int, CommittedOffset]
"""Topic, partition, and what is committed for it."""

Topics = dict[str, dict[int, CommittedOffset]]
NO_TOPICS: Topics = {}


class OffsetStore:
    """The offsets of all groups of one coordinator."""

    __slots__ = ("by_group", "count")

    def __init__(self) -> None:
        self.by_group: dict[str, Topics] = {}
        self.count = 0

    def of_group(self, group_id: str) -> Topics:
        """All offsets of a group, by topic and partition; not to be changed by the caller."""
        return self.by_group.get(group_id, NO_TOPICS)

    def listed(self, group_id: str) -> list[tuple[str, int]]:
        """(topic, partition) of every offset of a group."""
        topics = self.of_group(group_id)
        return [(topic, index) for topic, partitions in topics.items() for index in partitions]

    def get(self, group_id: str, topic: str, index: int) -> CommittedOffset | None:
        """What the group committed for a partition, if anything."""
        partitions = self.by_group.get(group_id, NO_TOPICS).get(topic)
        return None if partitions is None else partitions.get(index)

    def put(self, group_id: str, topic: str, index: int, committed: CommittedOffset) -> None:
        """Keep a commit; it replaces the one before it."""
        topics = self.by_group.get(group_id)
        if topics is None:
            topics = self.by_group[group_id] = {}
        partitions = topics.get(topic)
        if partitions is None:
            partitions = topics[topic] = {}
        if index not in partitions:
            self.count += 1
        partitions[index] = committed

    def remove(self, group_id: str, topic: str, index: int) -> None:
        """Forget a commit, if there is one."""
        topics = self.by_group.get(group_id, NO_TOPICS)
        partitions = topics.get(topic)
        if partitions is None or partitions.pop(index, None) is None:
            return
        self.count -= 1
        if not partitions:
            del topics[topic]
            if not topics:
                del self.by_group[group_id]
