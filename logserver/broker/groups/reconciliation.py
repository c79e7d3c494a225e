"""How one member gets from what it owns to what it is meant to own: no barrier, no leader.

Theory (KIP-848). The target assignment may change at any time. Each member moves towards it alone:

    1. it is told to give up what it owns and shall not own any more; it stays in its epoch
       (UNREVOKED_PARTITIONS) until a heartbeat says, by leaving them out, that it has done so
    2. then it takes the epoch of the target, and with it those of its new partitions that nobody
       else owns; while some are still owned it waits (UNRELEASED_PARTITIONS) and takes them later
    3. it has everything: STABLE

    owned before \\ target        revoking     told to stop, still the member's
    owned before n target        assigned
    target \\ owned, free         assigned     at the target's epoch
    target \\ owned, not free     unreleased   asked for again at each heartbeat

Invariant: a partition is never in `assigned` or `revoking` of two members. It holds because a
partition leaves `revoking` only when its owner has said so, and enters `assigned` only when
nobody else owns it.

Kafka's class: org.apache.kafka.coordinator.group.modern.consumer.CurrentAssignmentBuilder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from logserver.broker.groups.assignors import Assignment
from logserver.broker.groups.consumer_member import (
    NONE_OWNED,
    STABLE,
    UNKNOWN_STATE,
    UNRELEASED_PARTITIONS,
    UNREVOKED_PARTITIONS,
    Member,
    Owned,
    union,
)
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message


class Goal(NamedTuple):
    """Where a member shall get to, and what it must know to go there.

    `topic_ids`: the existing topics it subscribes to, `resubscribed`: these have just changed.
    `is_free(topic id, partition)`: no other member owns it. `owned`: what the member says it owns,
    as in ConsumerGroupHeartbeat; None when it says nothing.
    """

    epoch: int
    target: Assignment
    topic_ids: AbstractSet[bytes]
    resubscribed: bool
    is_free: Callable[[bytes, int], bool]
    owned: Collection[Message] | None


def require_known_state(member: Member, owned: Collection[Message] | None) -> None:
    """Raises Refusal (FENCED_MEMBER_EPOCH) for a member in a state that only a newer server knows.

    It has to give up everything and to join again.
    """
    if member.state == UNKNOWN_STATE and (owned is None or owned):
        raise Refusal(
            errors.FENCED_MEMBER_EPOCH,
            "The consumer group member is in a unknown state. The member must abandon all its "
            "partitions and rejoin.",
        )


def reconcile(member: Member, goal: Goal) -> Member:
    """The member one step nearer to its target; the same object when it can do nothing now.

    It must have passed `require_known_state`.
    """
    if member.state == UNKNOWN_STATE:
        assert goal.owned is not None
        assert not goal.owned
        return _approach(member, goal, goal.epoch)
    if member.state == STABLE and member.member_epoch == goal.epoch:
        return _drop_unsubscribed(member, goal) if goal.resubscribed else member
    if member.state == UNREVOKED_PARTITIONS and _still_owns(goal.owned, member.revoking):
        return _drop_unsubscribed(member, goal) if goal.resubscribed else member
    return _approach(member, goal, member.member_epoch)


def _still_owns(owned: Collection[Message] | None, partitions: Owned) -> bool:
    """Whether the member owns one of these partitions, as far as anybody knows."""
    if owned is None:
        return True
    return any(
        partition in partitions.get(bytes(topic["topic_id"]), ())
        for topic in owned
        for partition in topic["partitions"]
    )


def _drop_unsubscribed(member: Member, goal: Goal) -> Member:
    """Give up at once what the member does not subscribe to any more; its target comes later."""
    dropped = {t: owned for t, owned in member.assigned.items() if t not in goal.topic_ids}
    if not dropped:
        return member
    kept = {t: owned for t, owned in member.assigned.items() if t in goal.topic_ids}
    revoking = union(member.revoking, dropped)
    if _still_owns(goal.owned, revoking):
        return member.advance(member.member_epoch, UNREVOKED_PARTITIONS, kept, revoking)
    return member.advance(member.member_epoch, member.state, kept, member.revoking)


def _approach(member: Member, goal: Goal, epoch: int) -> Member:
    """Compare what is owned with the target; `epoch` is the member's if it must revoke first."""
    kept: dict[bytes, dict[int, int]] = {}
    revoking: dict[bytes, dict[int, int]] = {}
    gained: dict[bytes, dict[int, int]] = {}
    unreleased = False
    for topic_id in dict.fromkeys((*goal.target, *member.assigned)):
        target = goal.target.get(topic_id, frozenset())
        if topic_id not in goal.topic_ids:
            target = frozenset()
        owned = member.assigned.get(topic_id, {})
        _put(kept, topic_id, {p: e for p, e in owned.items() if p in target})
        _put(revoking, topic_id, {p: e for p, e in owned.items() if p not in target})
        wanted = target.difference(owned)
        free = {p: goal.epoch for p in sorted(wanted) if goal.is_free(topic_id, p)}
        _put(gained, topic_id, free)
        unreleased |= len(free) < len(wanted)
    if revoking and _still_owns(goal.owned, revoking):
        return member.advance(epoch, UNREVOKED_PARTITIONS, kept, revoking)
    state = UNRELEASED_PARTITIONS if unreleased else STABLE
    return member.advance(goal.epoch, state, union(kept, gained), NONE_OWNED)


def _put(owned: dict[bytes, dict[int, int]], topic_id: bytes, partitions: dict[int, int]) -> None:
    if partitions:
        owned[topic_id] = partitions
