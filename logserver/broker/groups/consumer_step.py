"""One step of a consumer group: what it writes, and the moves that all events have in common.

A step looks first and refuses first; then it writes records, each of which is applied to the state
in the same breath (`write`), so what is computed later in the step sees what was written before.
At the end the records go to the log as one batch, with the answers behind it.

    refresh_epoch   members or topics are not what they were: the next group epoch
    refresh_target  the epoch has no target assignment yet: make it, at most once an interval
    approach        bring one member nearer to its target (`reconciliation`)

Reference: Apache Kafka 4.3.1's GroupMetadataManager, and KIP-848.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.assignors import (
    NOTHING,
    Assignment,
    Assignor,
    GroupSpec,
    MemberSpec,
    assign_range,
)
from logserver.broker.groups.cluster import group_hash
from logserver.broker.groups.consumer_member import (
    STABLE,
    UNREVOKED_PARTITIONS,
    Member,
    assignment_fields,
    metadata_fields,
)
from logserver.broker.groups.consumer_state import MEMBER_RECORDS, Resolved, target_fields
from logserver.broker.groups.effects import Answer, Effect, Note, Now, Persist, Record, Replace
from logserver.broker.groups.reconciliation import Goal, reconcile
from logserver.broker.groups.uniform import assign_uniform
from logwire.messages.group_records import encode_key, encode_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from logserver.broker.groups.consumer_group import ConsumerGroup
    from logserver.broker.groups.effects import Group
    from logserver.broker.peer import Deferred
    from logwire.messages import Message

ASSIGNORS: dict[str, Assignor] = {"uniform": assign_uniform, "range": assign_range}


class Step:
    """One step being made. `effects` gives what follows from it."""

    __slots__ = ("_effects", "_records", "cluster", "group", "now", "replaced", "settings", "state")

    def __init__(self, group: ConsumerGroup, now: Now) -> None:
        self.group = group
        self.state = group.state
        self.cluster = group.cluster
        self.settings = group.cluster.settings(group.group_id)
        self.now = now
        self.replaced = False
        self._records: list[Record] = []
        self._effects: list[Effect] = []

    def effects(self) -> list[Effect]:
        """All of it; the records as one and first, before those of a group that takes over."""
        persist = [Persist(self._records)] if self._records else []
        return [*persist, *self._effects]

    # What a step leaves behind

    def answer(self, deferred: Deferred, response: Message) -> None:
        """Answer a request with the end of this step."""
        self._effects.append(Answer(deferred, response))

    def add(self, effects: Iterable[Effect]) -> None:
        """What another machine asks for in the same step."""
        self._effects += effects

    def note(self, reason: str, member_id: str) -> None:
        """A line of the group's history, with the epoch that is in force now."""
        self._effects.append(Note(reason, member_id, self.state.epoch))

    def write(self, name: str, value: Message | None, **key: str) -> None:
        """Write one record of the group and apply it; None deletes."""
        self._write(name, {"group_id": self.group.group_id, **key}, value)

    def _write(self, name: str, key: Message, value: Message | None) -> None:
        self.state.apply(name, key, value)
        encoded = None if value is None else encode_value(name, 0, value)
        self._records.append((encode_key(name, key), encoded))

    def write_member(self, member: Member) -> None:
        """What the member says of itself."""
        fields = metadata_fields(member)
        self.write("ConsumerGroupMemberMetadata", fields, member_id=member.member_id)

    def write_assignment(self, member: Member) -> None:
        """What the member owns, and in which epoch."""
        fields = assignment_fields(member)
        self.write("ConsumerGroupCurrentMemberAssignment", fields, member_id=member.member_id)

    def write_target(self, member_id: str, target: Assignment) -> None:
        """What the member is meant to own."""
        fields = target_fields(target)
        self.write("ConsumerGroupTargetAssignmentMember", fields, member_id=member_id)

    def write_resolved(self, regex: str, resolved: Resolved) -> None:
        """What a regular expression matches."""
        fields = {
            "topics": sorted(resolved.topics),
            "version": resolved.version,
            "timestamp": resolved.wall_ms,
        }
        self.write("ConsumerGroupRegularExpression", fields, regular_expression=regex)

    def erase_member(self, member_id: str) -> None:
        """Delete all records of a member, and its deadlines."""
        for name in MEMBER_RECORDS:
            self.write(name, None, member_id=member_id)
        self.group.deadlines.drop(member_id)

    def erase_unused_regexes(self) -> None:
        """Delete what was found for expressions that no member uses any more."""
        for regex in [regex for regex in self.state.resolved if regex not in self.state.regexes]:
            self.write("ConsumerGroupRegularExpression", None, regular_expression=regex)

    def delete_records(self, records: Iterable[Record]) -> None:
        """Delete what a group of another kind has in the log under the same id."""
        self._records += records

    def begin_at(self, epoch: int) -> None:
        """Begin a group that was of another kind: its members have what they are meant to own."""
        self.write("ConsumerGroupMetadata", {"epoch": epoch, "metadata_hash": self._topics_hash()})
        assignment = {"assignment_epoch": epoch, "assignment_timestamp": 0}
        self.write("ConsumerGroupTargetAssignmentMetadata", assignment)

    def erase_group(self) -> None:
        """Delete everything the group has in the log."""
        for name, key in self.state.keys(self.group.group_id):
            self._write(name, key, None)

    def replace(self, group: Group) -> None:
        """Another machine has the group's id from the end of this step on."""
        self.replaced = True
        self._effects.append(Replace(group))

    # Epochs

    def refresh_epoch(self, changed: bool, reason: str, member_id: str) -> None:
        """Begin the next group epoch if members `changed`, or topics did since the last look."""
        state = self.state
        version = self.cluster.version
        if not changed and version == self.group.seen_version:
            return
        metadata_hash = self._topics_hash()
        if metadata_hash != state.metadata_hash and not changed:
            changed, reason, member_id = True, "topics changed", ""
        self.group.seen_version = version
        if changed:
            epoch = state.epoch + 1
            fields = {"epoch": epoch, "metadata_hash": metadata_hash}
            self.write("ConsumerGroupMetadata", fields)
            self.note(reason, member_id)
        if state.has_partition_metadata:
            self.write("ConsumerGroupPartitionMetadata", None)

    def _topics_hash(self) -> int:
        """What the topics are that the group subscribes to, in one number."""
        hashes = ((name, self.cluster.topic_hash(name)) for name in self.state.topics())
        return group_hash((name, number) for name, number in hashes if number is not None)

    def refresh_target(self) -> None:
        """Make the target assignment of this epoch, unless the last one is too young."""
        state, group = self.state, self.group
        if state.assignment_epoch >= state.epoch:
            return
        last_ms = group.assigned_uptime_ms
        if last_ms is not None and (
            self.now.uptime_ms < last_ms + self.settings.assignment_interval_ms
        ):
            return
        preferred = state.preferred_assignor(self.settings.assignors[0])
        targets = ASSIGNORS[preferred](self._spec())
        for member_id in state.members:
            target = targets.get(member_id, NOTHING)
            if target != state.targets.get(member_id):
                self.write_target(member_id, target)
        fields = {
            "assignment_epoch": state.epoch,
            "assignment_timestamp": self.now.wall_ms,
        }
        self.write("ConsumerGroupTargetAssignmentMetadata", fields)
        group.assigned_uptime_ms = self.now.uptime_ms

    def _spec(self) -> GroupSpec:
        """The group as an assignor sees it: only topics that exist."""
        state, cluster = self.state, self.cluster
        ids = {name: cluster.topic_id(name) for name in state.topics()}
        counts = {
            topic_id: cluster.partition_count(topic_id)
            for topic_id in ids.values()
            if topic_id is not None
        }
        # Members with one subscription share one set: a group has few different ones.
        sets: dict[tuple[frozenset[str], str], frozenset[bytes]] = {}
        specs: dict[str, MemberSpec] = {}
        for member_id, member in state.members.items():
            choice = member.topic_names, member.topic_regex
            topic_ids = sets.get(choice)
            if topic_ids is None:
                found = (ids[name] for name in state.topics_of(member))
                topic_ids = frozenset(topic_id for topic_id in found if topic_id is not None)
                sets[choice] = topic_ids
            target = _existing(state.target_of(member_id), counts)
            specs[member_id] = MemberSpec(member.instance_id, topic_ids, target)
        return GroupSpec(specs, counts, state.alike)

    # Members

    def topic_ids_of(self, member: Member) -> set[bytes]:
        """The topics a member subscribes to, as far as they exist."""
        ids = (self.cluster.topic_id(name) for name in self.state.topics_of(member))
        return {topic_id for topic_id in ids if topic_id is not None}

    def approach(
        self, member: Member, *, resubscribed: bool, owned: list[Message] | None
    ) -> Member:
        """Bring a member nearer to its target, if it is not there; returns it as it is now."""
        state = self.state
        epoch, member_id = state.assignment_epoch, member.member_id
        if not resubscribed and member.state == STABLE and member.member_epoch == epoch:
            return member

        def is_free(topic_id: bytes, partition: int) -> bool:
            return state.owner(topic_id, partition) in (None, member_id)

        target, topic_ids = state.target_of(member_id), self.topic_ids_of(member)
        goal = Goal(epoch, target, topic_ids, resubscribed, is_free, owned)
        reconciled = reconcile(member, goal)
        if reconciled == member:
            return member
        self.write_assignment(reconciled)
        if reconciled.classic is None:
            if reconciled.state == UNREVOKED_PARTITIONS:
                due_ms = self.now.uptime_ms + reconciled.rebalance_timeout_ms
                self.group.deadlines.rebalances.set(member_id, due_ms)
            else:
                self.group.deadlines.rebalances.drop(member_id)
        return reconciled


def _existing(target: Assignment, counts: Mapping[bytes, int]) -> Assignment:
    """The part of a target that still exists: a topic of an old log may be smaller here."""
    return {
        topic_id: partitions
        if max(partitions) < counts[topic_id]
        else frozenset(number for number in partitions if number < counts[topic_id])
        for topic_id, partitions in target.items()
        if partitions and topic_id in counts
    }
