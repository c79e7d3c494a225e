"""Members of a consumer group that speak the classic protocol: JoinGroup to LeaveGroup (KIP-848).

While a group moves from one protocol to the other it has members of both kinds. A classic member
gets no leader and computes nothing: its assignment is the server's, cut into the steps it knows.

    Heartbeat   REBALANCE_IN_PROGRESS when there is something for it to do: join
    JoinGroup   it says what it owns and wants; it gets its epoch, as a generation, at once
    SyncGroup   it gets its partitions

A member that was told to join, or joined and was told to sync, has its rebalance timeout to do so.
Its session is as long as it asked for in its JoinGroup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.classic_answers import MEMBER_ID_REQUIRED_VERSION, join_refused, left
from logserver.broker.groups.consumer_heartbeat import (
    known_member,
    known_static,
    replace_static,
    require_room,
)
from logserver.broker.groups.consumer_leave import fence
from logserver.broker.groups.consumer_member import (
    UNRELEASED_PARTITIONS,
    UNREVOKED_PARTITIONS,
    ClassicMetadata,
    Member,
    without_epochs,
)
from logserver.broker.groups.consumer_regex import find_topics
from logserver.broker.groups.migration import (
    can_downgrade,
    classic_assignment,
    downgrade,
    protocol_version,
)
from logserver.broker.groups.reconciliation import require_known_state
from logwire import errors
from logwire.errors import ProtocolError, Refusal
from logwire.messages.consumer_protocol import decode_subscription

if TYPE_CHECKING:
    from logserver.broker.groups.classic_events import Heartbeat, Join, Leave, Leaver, Sync
    from logserver.broker.groups.consumer_step import Step
    from logwire.messages import Message

CONSUMER = "consumer"


def join(step: Step, event: Join) -> None:
    """Take a JoinGroup and answer it at once: nobody waits for anybody in a consumer group."""
    try:
        response = _join(step, event)
    except Refusal as refusal:
        response = join_refused(event.api_version, "", refusal.code)
    step.answer(event.deferred, response)


def _join(step: Step, event: Join) -> Message:
    member_id = event.member_id or event.new_member_id
    _check_join(step, event, member_id)
    if _must_bring_id(event):
        return join_refused(event.api_version, member_id, errors.MEMBER_ID_REQUIRED)
    known, replaces = _find(step, event, member_id)
    subscription = _subscription(event)
    owned = _owned(step, subscription)
    require_known_state(known, owned)
    require_room(step, known, _told(known, event, subscription))
    # From here on nothing is refused.
    if replaces:
        known = replace_static(step, known, member_id)
    member = _told(known, event, subscription)
    if member != known or member_id not in step.state.members:
        step.write_member(member)
    resubscribed = (member.topic_names, member.topic_regex) != (
        known.topic_names,
        known.topic_regex,
    )
    if known.topic_regex:
        step.erase_unused_regexes()
    found = find_topics(step)
    step.refresh_epoch(resubscribed or found, "a classic member joins", member_id)
    epoch = _advance(step, member, event, owned, resubscribed=resubscribed)
    return {
        "error_code": errors.NONE,
        "generation_id": epoch,
        "protocol_type": CONSUMER,
        "protocol_name": next(iter(event.protocols)),
        "leader": "",
        "member_id": member_id,
        "members": [],
    }


def _told(known: Member, event: Join, subscription: Message) -> Member:
    """The member with what it says of itself."""
    return known._replace(
        instance_id=event.instance_id if event.instance_id is not None else known.instance_id,
        rack_id=subscription.get("rack_id") or known.rack_id,
        rebalance_timeout_ms=event.rebalance_timeout_ms,
        client_id=event.client_id,
        client_host=event.client_host,
        topic_names=frozenset(subscription["topics"]),
        topic_regex="",
        classic=ClassicMetadata(event.session_timeout_ms, tuple(event.protocols.items())),
    )


def _advance(
    step: Step, member: Member, event: Join, owned: list[Message], *, resubscribed: bool
) -> int:
    """Bring the member to its target, or the group to the classic protocol; returns its epoch."""
    state, deadlines = step.state, step.group.deadlines
    member_id, now_ms = member.member_id, step.now.uptime_ms
    if can_downgrade(step, ()):
        # The last member of the consumer protocol came back as a classic one.
        if state.assignment_epoch == state.epoch:
            member = step.approach(member, resubscribed=resubscribed, owned=owned)
        # Kafka looks at the epochs only; but who has not given up yet what another one is meant
        # to own would go on reading it.
        settled = step.group.state_name == "Stable"
        reason = "" if settled else "the group is classic again and not settled"
        downgrade(step, (), reason, member_id)
        return member.member_epoch
    step.refresh_target()
    member = step.approach(member, resubscribed=resubscribed, owned=owned)
    deadlines.rebalances.drop(member_id)
    deadlines.joins.drop(member_id)
    deadlines.sessions.set(member_id, now_ms + event.session_timeout_ms)
    deadlines.syncs.set(member_id, now_ms + event.rebalance_timeout_ms)
    return member.member_epoch


def _check_join(step: Step, event: Join, member_id: str) -> None:
    """Raises Refusal for a member that this group, or no group, can take."""
    state, settings = step.state, step.settings
    if not settings.upgrades and not settings.downgrades:
        raise Refusal(errors.INCONSISTENT_GROUP_PROTOCOL)
    if len(state.members) >= settings.size_max and member_id not in state.members:
        raise Refusal(errors.GROUP_MAX_SIZE_REACHED)
    known = any(state.classic_protocols[name] == state.classic_count for name in event.protocols)
    if event.protocol_type != CONSUMER or not known:
        raise Refusal(errors.INCONSISTENT_GROUP_PROTOCOL)


def _subscription(event: Join) -> Message:
    """What the member wants to read. Raises Refusal."""
    try:
        return decode_subscription(next(iter(event.protocols.values())))[1]
    except ProtocolError:
        raise Refusal(errors.UNKNOWN_SERVER_ERROR) from None


def _must_bring_id(event: Join) -> bool:
    """Whether the member is to come again with the id that it is given now (KIP-394)."""
    return (
        not event.member_id
        and event.instance_id is None
        and event.api_version >= MEMBER_ID_REQUIRED_VERSION
    )


def _find(step: Step, event: Join, member_id: str) -> tuple[Member, bool]:
    """The member that joins, and whether it takes the place of another. Raises Refusal."""
    state = step.state
    if event.instance_id is None:
        return state.members.get(member_id) or Member(member_id), False
    static = state.static_member(event.instance_id)
    if event.member_id:
        return known_static(static, member_id, event.instance_id), False
    if static is None:
        return Member(member_id), False
    return static, True


def _owned(step: Step, subscription: Message) -> list[Message]:
    """What the member says it owns, by topic id; what exists no more is left out."""
    rows = subscription.get("owned_partitions") or ()
    return [
        {"topic_id": topic_id, "partitions": row["partitions"]}
        for row in rows
        if (topic_id := step.cluster.topic_id(row["topic"])) is not None
    ]


def _classic_member(
    step: Step, member_id: str, instance_id: str | None, generation: int
) -> tuple[Member, ClassicMetadata]:
    """The member, if it speaks the classic protocol and is in this generation. Raises Refusal."""
    if instance_id is None:
        member = known_member(step, member_id)
    else:
        static = step.state.static_member(instance_id)
        member = known_static(static, member_id, instance_id)
    if member.classic is None:
        raise Refusal(errors.UNKNOWN_MEMBER_ID)
    if member.member_epoch != generation:
        raise Refusal(errors.ILLEGAL_GENERATION)
    return member, member.classic


def sync(step: Step, event: Sync) -> None:
    """Tell a member its partitions."""
    try:
        response = _sync(step, event)
    except Refusal as refusal:
        response = {"error_code": refusal.code}
    step.answer(event.deferred, response)


def _sync(step: Step, event: Sync) -> Message:
    member_id, deadlines = event.member_id, step.group.deadlines
    member, classic = _classic_member(step, member_id, event.instance_id, event.generation)
    name, metadata = classic.protocols[0]
    if event.protocol_type not in (None, CONSUMER) or event.protocol_name not in (None, name):
        raise Refusal(errors.INCONSISTENT_GROUP_PROTOCOL)
    if step.state.assignment_epoch > member.member_epoch and member.state != UNREVOKED_PARTITIONS:
        _expect_join(step, member)
        raise Refusal(errors.REBALANCE_IN_PROGRESS)
    deadlines.syncs.drop(member_id)
    deadlines.sessions.set(member_id, step.now.uptime_ms + classic.session_timeout_ms)
    version = protocol_version(metadata)
    return {
        "error_code": errors.NONE,
        "protocol_type": event.protocol_type,
        "protocol_name": event.protocol_name,
        "assignment": classic_assignment(step.cluster, without_epochs(member.assigned), version),
    }


def heartbeat(step: Step, event: Heartbeat) -> None:
    """A member lives; it hears whether there is something for it to do."""
    try:
        member, classic = _classic_member(
            step, event.member_id, event.instance_id, event.generation
        )
    except Refusal as refusal:
        step.answer(event.deferred, {"error_code": refusal.code})
        return
    due_ms = step.now.uptime_ms + classic.session_timeout_ms
    step.group.deadlines.sessions.set(member.member_id, due_ms)
    code = errors.NONE
    if _has_to_join(step, member):
        code = errors.REBALANCE_IN_PROGRESS
        _expect_join(step, member)
    step.answer(event.deferred, {"error_code": code})


def _has_to_join(step: Step, member: Member) -> bool:
    if member.member_epoch < step.state.assignment_epoch or member.state == UNREVOKED_PARTITIONS:
        return True
    return member.state == UNRELEASED_PARTITIONS and not _waits(step, member)


def _waits(step: Step, member: Member) -> bool:
    """Whether another member still owns something that this one is meant to own."""
    return any(
        partition not in member.assigned.get(topic_id, ())
        and step.state.owner(topic_id, partition) is not None
        for topic_id, numbers in step.state.target_of(member.member_id).items()
        for partition in numbers
    )


def _expect_join(step: Step, member: Member) -> None:
    """The member is told to join: from now on, if it was not told before, it has so long."""
    joins = step.group.deadlines.joins
    if member.member_id not in joins:
        joins.set(member.member_id, step.now.uptime_ms + member.rebalance_timeout_ms)


def leave(step: Step, event: Leave) -> None:
    """Members go, of either protocol; an administrator may name static ones by instance id."""
    leaving: dict[str, Member] = {}
    codes: list[int] = []
    for leaver in event.leavers:
        try:
            member = _leaver(step, leaver)
            leaving[member.member_id] = member
            codes.append(errors.NONE)
        except Refusal as refusal:
            codes.append(refusal.code)
    step.answer(event.deferred, left(event.api_version, event.leavers, codes))
    fence(step, list(leaving.values()), "a member leaves")


def _leaver(step: Step, leaver: Leaver) -> Member:
    if leaver.instance_id is None:
        return known_member(step, leaver.member_id)
    static = step.state.static_member(leaver.instance_id)
    if static is not None and not leaver.member_id:
        return static
    return known_static(static, leaver.member_id, leaver.instance_id)
