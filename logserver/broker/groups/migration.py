"""A group changes its kind while it works: classic to consumer and back (KIP-848).

    upgrade     the first member of the consumer protocol comes to a classic group of consumers: all
                its members become members of a consumer group that happen to speak the classic
                protocol, owning what their leader had given them
    downgrade   the last member of the consumer protocol leaves such a group: the others are a
                classic group again, at the same generation, with what they own

Nobody stops reading for it. Classic members notice nothing but a rebalance. The records of the old
kind are deleted and those of the new kind written in one batch, so that a restart finds one of the
two. `group.consumer.migration.policy` says which ways are open. An empty group just gives way.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import TYPE_CHECKING

from logserver.broker.groups.assignors import Assignment
from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_rebalance import prepare
from logserver.broker.groups.classic_roster import Member as ClassicMember
from logserver.broker.groups.classic_state import CONSUMER, STABLE, Limits
from logserver.broker.groups.consumer_member import (
    ClassicMetadata,
    Member,
    union,
    with_epoch,
    without_epochs,
)
from logserver.broker.groups.effects import Answer, Effect
from logwire import errors
from logwire.errors import ProtocolError, Refusal
from logwire.messages.consumer_protocol import (
    VERSION_MAX,
    decode_assignment,
    decode_subscription,
    encode_assignment,
)
from logwire.primitives import INT16

if TYPE_CHECKING:
    from logserver.broker.groups.cluster import Cluster
    from logserver.broker.groups.consumer_step import Step


# Classic to consumer


def check_upgrade(step: Step, classic: ClassicGroup) -> None:
    """Raises Refusal (GROUP_ID_NOT_FOUND) where a classic group must stay what it is."""
    settings = step.settings
    if not settings.upgrades:
        raise _stays(classic, "because online upgrade is disabled")
    if classic.protocol_type != CONSUMER:
        raise _stays(classic, "because the group does not use the consumer embedded protocol")
    if len(classic.roster) > settings.size_max:
        raise _stays(classic, "because the group size exceeds the consumer group maximum size")


def _stays(classic: ClassicGroup, why: str) -> Refusal:
    text = f"Cannot upgrade classic group {classic.group_id} to consumer group {why}."
    return Refusal(errors.GROUP_ID_NOT_FOUND, text)


def upgrade(step: Step, classic: ClassicGroup) -> None:
    """Make the group of `step` what the classic group is; that one is only read.

    Raises Refusal (GROUP_ID_NOT_FOUND) if it cannot be. The step's group must be thrown away then.
    """
    check_upgrade(step, classic)
    step.delete_records(classic.tombstones())
    taken: set[tuple[bytes, int]] = set()
    for old in classic.roster:
        member = _upgraded(step.cluster, classic, old, taken)
        step.write_member(member)
        step.write_target(member.member_id, without_epochs(member.assigned))
        step.write_assignment(member)
        due_ms = step.now.uptime_ms + old.session_timeout_ms
        step.group.deadlines.sessions.set(member.member_id, due_ms)
    step.begin_at(classic.generation)


def release(classic: ClassicGroup) -> list[Effect]:
    """Answer who waits in a classic group that was upgraded: join again, nobody waits here."""
    for member in classic.roster:
        classic.refuse_parked(member, errors.REBALANCE_IN_PROGRESS, member.member_id)
    return [effect for effect in classic.take_effects() if isinstance(effect, Answer)]


def _upgraded(
    cluster: Cluster,
    classic: ClassicGroup,
    old: ClassicMember,
    taken: set[tuple[bytes, int]],
) -> Member:
    try:
        protocol = classic.protocol_name or next(iter(old.protocols))
        subscription = decode_subscription(old.protocols[protocol])[1]
        partitions = _assigned(cluster, old.assignment, taken)
    except (ProtocolError, KeyError) as error:
        raise _stays(classic, "because the embedded consumer protocol is malformed") from error
    if partitions is None:
        raise _stays(
            classic,
            "because an unsupported custom assignor is in use. Please refer to the documentation "
            "or switch to a default assignor before re-attempting the upgrade",
        )
    return Member(
        old.member_id,
        classic.generation,
        classic.generation,
        assigned=with_epoch(partitions, classic.generation),
        instance_id=old.instance_id,
        rack_id=subscription.get("rack_id") or None,
        client_id=old.client_id,
        client_host=old.client_host,
        topic_names=frozenset(subscription["topics"]),
        rebalance_timeout_ms=old.rebalance_timeout_ms,
        classic=ClassicMetadata(old.session_timeout_ms, tuple(old.protocols.items())),
    )


def _assigned(
    cluster: Cluster, assignment: bytes, taken: set[tuple[bytes, int]]
) -> dict[bytes, list[int]] | None:
    """What a leader gave a member, by topic id; None where a custom assignor has its own data.

    A partition that the leader gave to two members by mistake stays the first one's.
    """
    if not assignment:
        return {}
    fields = decode_assignment(assignment)[1]
    if fields["user_data"]:
        return None
    partitions: dict[bytes, list[int]] = {}
    for row in fields["assigned_partitions"]:
        topic_id = cluster.topic_id(row["topic"])
        if topic_id is None:
            continue
        free = [number for number in row["partitions"] if (topic_id, number) not in taken]
        taken.update((topic_id, number) for number in free)
        if free:
            partitions[topic_id] = free
    return partitions


# Consumer to classic


def can_downgrade(step: Step, leaving: Collection[Member]) -> bool:
    """Whether those who stay when these have left all speak the classic protocol, and may."""
    state, settings = step.state, step.settings
    staying_count = len(state.members) - len(leaving)
    classic_count = state.classic_count - sum(member.classic is not None for member in leaving)
    return 0 < staying_count == classic_count <= settings.classic_size_max and settings.downgrades


def downgrade(step: Step, leaving: Collection[Member], reason: str, who: str) -> None:
    """Put a classic group in the place of the group; with a `reason` it rebalances at once.

    Without one everybody must have what it is meant to own.
    """
    classic = _downgraded(step, {member.member_id for member in leaving})
    step.erase_group()
    classic.persist()
    for member in classic.roster:
        classic.renew_session(member)
    if reason:
        prepare(classic, reason, who)
    step.replace(classic)
    step.add(classic.take_effects())


def _downgraded(step: Step, leaving: set[str]) -> ClassicGroup:
    state = step.state
    classic = ClassicGroup(step.group.group_id, Limits(size_max=step.settings.classic_size_max))
    classic.now = step.now
    classic.protocol_type = CONSUMER
    classic.generation = state.epoch
    for member in state.members.values():
        if member.member_id not in leaving:
            classic.roster.add(_classic_member(member))
    classic.protocol_name = protocol = classic.roster.select_protocol()
    for old in classic.roster:
        member = state.members[old.member_id]
        version = protocol_version(old.protocols[protocol])
        # What it has and not what it is meant to have, as Kafka says: until it has joined again it
        # goes on reading, and the group may be upgraded before that.
        has = without_epochs(union(member.assigned, member.revoking))
        old.assignment = classic_assignment(step.cluster, has, version)
    classic.transition(STABLE)
    return classic


def _classic_member(member: Member) -> ClassicMember:
    assert member.classic is not None
    return ClassicMember(
        member.member_id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.classic.session_timeout_ms,
        member.rebalance_timeout_ms,
        dict(member.classic.protocols),
    )


# What classic members are told


def protocol_version(metadata: bytes) -> int:
    """The version of the consumer protocol that a member's metadata are written in."""
    try:
        return max(0, min(int(INT16.unpack_from(metadata)[0]), VERSION_MAX))
    except struct.error:
        return 0


def classic_assignment(cluster: Cluster, partitions: Assignment, version: int) -> bytes:
    """Partitions as a classic leader would have written them, for a member's SyncGroup."""
    rows = [
        {"topic": name, "partitions": sorted(numbers)}
        for topic_id, numbers in partitions.items()
        if (name := cluster.topic_name(topic_id)) is not None
    ]
    return encode_assignment({"assigned_partitions": rows, "user_data": None}, version)
