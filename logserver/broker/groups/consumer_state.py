"""What is kept of a consumer group over a restart, and what follows from it.

Nothing here changes but by `apply` of a record, whether the record is read from the log or about to
be written to it. So what a restart finds cannot differ from what was: both were made by the same
lines. The counts (who subscribes to what, who owns what) are made from the members as they change.

    ConsumerGroupMetadata                  group epoch, hash of the topics
    ConsumerGroupMemberMetadata            a member: what it said of itself
    ConsumerGroupTargetAssignmentMetadata  assignment epoch, when it was made
    ConsumerGroupTargetAssignmentMember    what a member is meant to own
    ConsumerGroupCurrentMemberAssignment   a member: its epoch and what it owns
    ConsumerGroupRegularExpression         the topics that a regular expression was found to match
    ConsumerGroupPartitionMetadata         written by Kafka before 4.1; only noted, to be deleted

A log that is half compacted can show an older owner of a partition after the newer one, until the
record in which the older lets go; while it is loaded the later record therefore wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from logserver.broker.groups.assignors import NOTHING, Assignment
from logserver.broker.groups.consumer_member import (
    LEAVE_EPOCH,
    NONE_OWNED,
    Member,
    Owned,
    with_assignment,
    with_metadata,
)
from logwire.messages import Message

# Kafka begins both counters at 1: the first member brings the group to epoch 2.
FIRST_EPOCH = 1

# The records of one member, in the order in which they are deleted.
MEMBER_RECORDS = (
    "ConsumerGroupCurrentMemberAssignment",
    "ConsumerGroupTargetAssignmentMember",
    "ConsumerGroupMemberMetadata",
)


class Resolved(NamedTuple):
    """The topics a regular expression matched, when (wall clock) and in which cluster version."""

    topics: frozenset[str]
    version: int
    wall_ms: int


class ConsumerState:
    """The persisted part of a consumer group. `gone`: it was deleted.

    `names`, `regexes`, `assignors`: how many members chose each. `static_members`: instance id ->
    member id. `owners`: topic id -> partition -> member id. `classic_protocols`: how many of the
    `classic_count` members that speak the classic protocol know each of its assignors.
    `size_bytes`: what the members take in memory, roughly.
    """

    __slots__ = (
        "assignment_epoch",
        "assignment_wall_ms",
        "assignors",
        "classic_count",
        "classic_protocols",
        "epoch",
        "gone",
        "has_partition_metadata",
        "members",
        "metadata_hash",
        "names",
        "owners",
        "regexes",
        "resolved",
        "size_bytes",
        "static_members",
        "targets",
    )

    def __init__(self) -> None:
        self.epoch = FIRST_EPOCH
        self.metadata_hash = 0
        self.assignment_epoch = FIRST_EPOCH
        self.assignment_wall_ms = 0
        self.members: dict[str, Member] = {}
        self.targets: dict[str, Assignment] = {}
        self.resolved: dict[str, Resolved] = {}
        self.has_partition_metadata = False
        self.gone = False
        self.names: Counter[str] = Counter()
        self.regexes: Counter[str] = Counter()
        self.assignors: Counter[str] = Counter()
        self.static_members: dict[str, str] = {}
        self.owners: dict[bytes, dict[int, str]] = {}
        self.classic_count = 0
        self.classic_protocols: Counter[str] = Counter()
        self.size_bytes = 0

    def apply(self, name: str, key: Message, value: Message | None) -> None:
        """Apply one record; None deletes. A kind that is not of this group changes nothing."""
        if name == "ConsumerGroupMetadata":
            self.gone = value is None
            if value is not None:
                self.epoch = value["epoch"]
                self.metadata_hash = value["metadata_hash"]
        elif name == "ConsumerGroupMemberMetadata":
            self._apply_member(key["member_id"], value)
        elif name == "ConsumerGroupTargetAssignmentMetadata":
            self.assignment_epoch = -1 if value is None else value["assignment_epoch"]
            self.assignment_wall_ms = 0 if value is None else value["assignment_timestamp"]
        elif name == "ConsumerGroupTargetAssignmentMember":
            self._apply_target(key["member_id"], value)
        elif name == "ConsumerGroupCurrentMemberAssignment":
            self._apply_assignment(key["member_id"], value)
        elif name == "ConsumerGroupRegularExpression":
            self._apply_regex(key["regular_expression"], value)
        elif name == "ConsumerGroupPartitionMetadata":
            self.has_partition_metadata = value is not None

    def _apply_member(self, member_id: str, value: Message | None) -> None:
        old = self.members.get(member_id)
        if value is None:
            if old is not None:
                self._replace(old, None)
        else:
            self._replace(old, with_metadata(old or Member(member_id), value))

    def _apply_assignment(self, member_id: str, value: Message | None) -> None:
        old = self.members.get(member_id)
        if value is not None:
            self._replace(old, with_assignment(old or Member(member_id), value))
        elif old is not None:
            left = old.advance(LEAVE_EPOCH, old.state, NONE_OWNED, NONE_OWNED)
            self._replace(old, left._replace(previous_epoch=LEAVE_EPOCH))

    def _apply_target(self, member_id: str, value: Message | None) -> None:
        if value is None:
            self.targets.pop(member_id, None)
        else:
            self.targets[member_id] = {
                bytes(row["topic_id"]): frozenset(row["partitions"])
                for row in value["topic_partitions"]
            }

    def _apply_regex(self, regex: str, value: Message | None) -> None:
        if value is None:
            self.resolved.pop(regex, None)
        else:
            topics = frozenset(value["topics"])
            self.resolved[regex] = Resolved(topics, value["version"], value["timestamp"])

    def keys(self, group_id: str) -> list[tuple[str, Message]]:
        """Name and key of every record that the group has in the log, its own record last."""
        of_group = {"group_id": group_id}
        keys = [
            (name, {**of_group, "member_id": member_id})
            for member_id in dict.fromkeys((*self.members, *self.targets))
            for name in MEMBER_RECORDS
        ]
        for regex in self.resolved:
            key = {**of_group, "regular_expression": regex}
            keys.append(("ConsumerGroupRegularExpression", key))
        keys.append(("ConsumerGroupTargetAssignmentMetadata", of_group))
        if self.has_partition_metadata:
            keys.append(("ConsumerGroupPartitionMetadata", of_group))
        keys.append(("ConsumerGroupMetadata", of_group))
        return keys

    # What follows from the members.

    def _replace(self, old: Member | None, new: Member | None) -> None:
        if old is not None:
            self._count(old, -1)
            if new is None:
                del self.members[old.member_id]
        if new is not None:
            self._count(new, 1)
            self.members[new.member_id] = new
        self._own(old, new)

    def _count(self, member: Member, by: int) -> None:
        self.size_bytes += by * member.size_bytes()
        for name in member.topic_names:
            _add(self.names, name, by)
        if member.topic_regex:
            _add(self.regexes, member.topic_regex, by)
        if member.assignor is not None:
            _add(self.assignors, member.assignor, by)
        if member.instance_id is not None:
            if by > 0:
                self.static_members[member.instance_id] = member.member_id
            elif self.static_members.get(member.instance_id) == member.member_id:
                del self.static_members[member.instance_id]
        if member.classic is not None:
            self.classic_count += by
            for protocol, _ in member.classic.protocols:
                _add(self.classic_protocols, protocol, by)

    def _own(self, old: Member | None, new: Member | None) -> None:
        owners = self.owners
        if old and new and (old.assigned, old.revoking) == (new.assigned, new.revoking):
            return
        if old is not None:
            for topic_id, partition in _partitions(old.assigned, old.revoking):
                numbers = owners.get(topic_id, {})
                if numbers.get(partition) == old.member_id:
                    del numbers[partition]
                    if not numbers:
                        del owners[topic_id]
        if new is not None:
            for topic_id, partition in _partitions(new.assigned, new.revoking):
                owners.setdefault(topic_id, {})[partition] = new.member_id

    def owner(self, topic_id: bytes, partition: int) -> str | None:
        """The member that owns a partition or has not confirmed yet that it does not."""
        return self.owners.get(topic_id, {}).get(partition)

    def target_of(self, member_id: str) -> Assignment:
        """What a member is meant to own."""
        return self.targets.get(member_id, NOTHING)

    def static_member(self, instance_id: str) -> Member | None:
        """The member that has this instance id now."""
        member_id = self.static_members.get(instance_id)
        return None if member_id is None else self.members.get(member_id)

    def topics_of(self, member: Member) -> frozenset[str]:
        """The names a member subscribes to: by name, and by what its expression was found to be."""
        resolved = self.resolved.get(member.topic_regex)
        return member.topic_names if resolved is None else member.topic_names | resolved.topics

    def topics(self) -> set[str]:
        """The names that any member subscribes to; some may not exist."""
        return set(self.names).union(*(resolved.topics for resolved in self.resolved.values()))

    @property
    def alike(self) -> bool:
        """Whether all members subscribe to the same topics: all by name, or all by one regex."""
        size = len(self.members)
        if self.regexes:
            return not self.names and all(count == size for count in self.regexes.values())
        return all(count == size for count in self.names.values())

    def preferred_assignor(self, default: str) -> str:
        """The assignor that most members ask for."""
        return max(self.assignors, key=self.assignors.__getitem__, default=default)


def _add(counts: Counter[str], name: str, by: int) -> None:
    counts[name] += by
    if not counts[name]:
        del counts[name]


def _partitions(*parts: Owned) -> Iterable[tuple[bytes, int]]:
    for part in parts:
        for topic_id, numbers in part.items():
            for partition in numbers:
                yield topic_id, partition


def target_fields(target: Mapping[bytes, frozenset[int]]) -> Message:
    """The value of a ConsumerGroupTargetAssignmentMember record."""
    rows = [{"topic_id": t, "partitions": sorted(numbers)} for t, numbers in target.items()]
    return {"topic_partitions": rows}
