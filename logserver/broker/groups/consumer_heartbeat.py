"""ConsumerGroupHeartbeat: joining, living, confirming and leaving are one request (KIP-848).

    member epoch   0   join, or begin anew: everything is said, nothing is owned
                  >0   live; what is null has not changed; topic_partitions is what is owned now
                  -1   leave
                  -2   leave for a while: a static member's partitions wait for it

An epoch that is not the member's is fenced, with one exception: the answer with the new epoch may
have been lost, so the previous epoch passes as long as the member owns nothing it should not.

A static member comes back with a new member id and takes over what its predecessor was meant to
own. It can do so only when that one has left with -2; otherwise two processes would share a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from logserver.broker.groups.consumer_leave import fence, leave_for_a_while
from logserver.broker.groups.consumer_member import (
    JOIN_EPOCH,
    LEAVE_EPOCH,
    LEAVE_STATIC_EPOCH,
    Member,
    Owned,
)
from logserver.broker.groups.consumer_regex import check_regex, find_topics
from logserver.broker.groups.reconciliation import require_known_state
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from logserver.broker.groups.consumer_state import ConsumerState
    from logserver.broker.groups.consumer_step import Step
    from logserver.broker.peer import Deferred
    from logwire.messages import Message


class ConsumerHeartbeat(NamedTuple):
    """ConsumerGroupHeartbeat, its request as decoded and checked for what no group is needed.

    `new_member_id` is for a member that does not bring an id of its own, as version 0 allows.
    """

    deferred: Deferred
    request: Message
    new_member_id: str
    client_id: str
    client_host: str


def heartbeat(step: Step, event: ConsumerHeartbeat) -> None:
    """Take one heartbeat and answer it. Raises Refusal with nothing changed."""
    request = event.request
    if request["member_epoch"] in (LEAVE_EPOCH, LEAVE_STATIC_EPOCH):
        _leave(step, event)
        return
    member_id = request["member_id"] or event.new_member_id
    _check_size(step, member_id)
    known = _find(step, request, member_id)
    require_known_state(known, request["topic_partitions"])
    regex = request.get("subscribed_topic_regex")
    if regex and regex != known.topic_regex and regex not in step.state.regexes:
        check_regex(regex)
    if regex or request["subscribed_topic_names"]:
        require_room(step, known, _told(known, event))
    # From here on nothing is refused.
    joins = request["member_epoch"] == JOIN_EPOCH
    if joins and known.instance_id is not None and known.instance_id == request["instance_id"]:
        known = replace_static(step, known, member_id)
    member = _told(known, event)
    if member != known or member_id not in step.state.members:
        step.write_member(member)
    changed = _subscribe(step, known, member)
    reason = "a member joins" if joins else "a member subscribes to other topics"
    step.refresh_epoch(changed, reason, member_id)
    step.refresh_target()
    resubscribed = (member.topic_names, member.topic_regex) != (
        known.topic_names,
        known.topic_regex,
    )
    owned = request["topic_partitions"]
    reconciled = step.approach(member, resubscribed=resubscribed, owned=owned)
    _begin_session(step, known, member_id)
    response: Message = {
        "error_code": errors.NONE,
        "member_id": member_id,
        "member_epoch": reconciled.member_epoch,
        "heartbeat_interval_ms": step.settings.heartbeat_interval_ms,
    }
    if _wants_assignment(request) or reconciled.assigned != known.assigned:
        response["assignment"] = _assignment(reconciled.assigned)
    step.answer(event.deferred, response)


def _begin_session(step: Step, known: Member, member_id: str) -> None:
    """The member lives; what it may have owed as a classic one it does not owe any more."""
    deadlines = step.group.deadlines
    deadlines.sessions.set(member_id, step.now.uptime_ms + step.settings.session_timeout_ms)
    if known.classic is not None:
        deadlines.joins.drop(member_id)
        deadlines.syncs.drop(member_id)


def _check_size(step: Step, member_id: str) -> None:
    state, size_max = step.state, step.settings.size_max
    if len(state.members) >= size_max and member_id not in state.members:
        raise Refusal(
            errors.GROUP_MAX_SIZE_REACHED,
            f"The consumer group has reached its maximum capacity of {size_max} members.",
        )


def require_room(step: Step, known: Member, member: Member) -> None:
    """Raises Refusal (GROUP_MAX_SIZE_REACHED) where the group would get too heavy with `member`.

    All of it is in memory, and a record that no segment can hold would end in a reload.
    """
    held_bytes = step.state.size_bytes
    if known.member_id in step.state.members:
        held_bytes -= known.size_bytes()
    limit = step.settings.metadata_bytes_max
    if held_bytes + member.size_bytes() > limit:
        raise Refusal(
            errors.GROUP_MAX_SIZE_REACHED,
            f"The members of the consumer group may not take more than {limit} bytes together.",
        )


def _find(step: Step, request: Message, member_id: str) -> Member:
    """The member that the request speaks for, or whose place it takes. Raises Refusal."""
    epoch, instance_id = request["member_epoch"], request["instance_id"]
    if instance_id is not None:
        return _find_static(step.state, request, member_id)
    if epoch == JOIN_EPOCH and member_id not in step.state.members:
        return Member(member_id)
    member = known_member(step, member_id)
    check_epoch(member, epoch, request["topic_partitions"])
    return member


def _find_static(state: ConsumerState, request: Message, member_id: str) -> Member:
    epoch, instance_id = request["member_epoch"], request["instance_id"]
    member = state.static_member(instance_id)
    if epoch != JOIN_EPOCH:
        member = known_static(member, member_id, instance_id)
        check_epoch(member, epoch, request["topic_partitions"])
        return member
    if member is None:
        return state.members.get(member_id) or Member(member_id)
    if member.classic is None and member.member_epoch != LEAVE_STATIC_EPOCH:
        raise Refusal(
            errors.UNRELEASED_INSTANCE_ID,
            f"Static member {member_id} with instance id {instance_id} cannot join the group "
            f"because the instance id is owned by {member.member_id} member.",
        )
    return member


def known_member(step: Step, member_id: str) -> Member:
    """The member with this id. Raises Refusal (UNKNOWN_MEMBER_ID)."""
    member = step.state.members.get(member_id)
    if member is None:
        raise Refusal(
            errors.UNKNOWN_MEMBER_ID,
            f"Member {member_id} is not a member of group {step.group.group_id}.",
        )
    return member


def known_static(member: Member | None, member_id: str, instance_id: str) -> Member:
    """The static member, if it is this one. Raises Refusal."""
    if member is None:
        raise Refusal(errors.UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
    if member.member_id != member_id:
        raise Refusal(
            errors.FENCED_INSTANCE_ID,
            f"Static member {member_id} with instance id {instance_id} was fenced by member "
            f"{member.member_id}.",
        )
    return member


def check_epoch(member: Member, epoch: int, owned: list[Message] | None) -> None:
    """Raises Refusal (FENCED_MEMBER_EPOCH) for an epoch that is not the member's."""
    if epoch in (JOIN_EPOCH, member.member_epoch):
        return
    if epoch == member.previous_epoch < member.member_epoch and member.owns_only(owned):
        return
    size = "greater" if epoch > member.member_epoch else "smaller"
    raise Refusal(
        errors.FENCED_MEMBER_EPOCH,
        f"The consumer group member has a {size} member epoch ({epoch}) than the one known by the "
        f"group coordinator ({member.member_epoch}). The member must abandon all its partitions "
        "and rejoin.",
    )


def replace_static(step: Step, old: Member, member_id: str) -> Member:
    """A static member has come back under a new id: what was the old one's is now its own."""
    target = step.state.target_of(old.member_id)
    step.erase_member(old.member_id)
    new = old._replace(member_id=member_id, member_epoch=JOIN_EPOCH, previous_epoch=0)
    step.write_member(new)
    step.write_target(member_id, target)
    step.write_assignment(new)
    return new


def _told(known: Member, event: ConsumerHeartbeat) -> Member:
    """The member with what it says of itself."""
    request = event.request
    changes = {
        field: request[said]
        for field, said in (
            ("instance_id", "instance_id"),
            ("rack_id", "rack_id"),
            ("assignor", "server_assignor"),
        )
        if request[said] is not None
    }
    if request["subscribed_topic_names"] is not None:
        changes["topic_names"] = frozenset(request["subscribed_topic_names"])
    if request.get("subscribed_topic_regex") is not None:
        changes["topic_regex"] = request["subscribed_topic_regex"]
    if request["rebalance_timeout_ms"] != -1:
        changes["rebalance_timeout_ms"] = request["rebalance_timeout_ms"]
    return known._replace(
        client_id=event.client_id, client_host=event.client_host, classic=None, **changes
    )


def _subscribe(step: Step, known: Member, member: Member) -> bool:
    """Follow a new subscription; whether it is known by now that the topics are others."""
    names_changed = member.topic_names != known.topic_names
    regex_changed = member.topic_regex != known.topic_regex
    if regex_changed:
        step.erase_unused_regexes()
    found = find_topics(step)
    resolved = not member.topic_regex or member.topic_regex in step.state.resolved
    return names_changed or found or (regex_changed and resolved)


def _wants_assignment(request: Message) -> bool:
    """Whether the answer must hold the assignment: to a join, and when everything was said."""
    if request["member_epoch"] == JOIN_EPOCH:
        return True
    subscribed = (request["subscribed_topic_names"], request.get("subscribed_topic_regex"))
    return (
        request["rebalance_timeout_ms"] != -1
        and subscribed != (None, None)
        and request["topic_partitions"] is not None
    )


def _assignment(assigned: Owned) -> Message:
    rows = [
        {"topic_id": topic_id, "partitions": sorted(partitions)}
        for topic_id, partitions in assigned.items()
    ]
    return {"topic_partitions": rows}


def _leave(step: Step, event: ConsumerHeartbeat) -> None:
    request = event.request
    member_id, instance_id = request["member_id"], request["instance_id"]
    if instance_id is None:
        member = known_member(step, member_id)
    else:
        static = step.state.static_member(instance_id)
        member = known_static(static, member_id, instance_id)
    if instance_id is not None and request["member_epoch"] == LEAVE_STATIC_EPOCH:
        leave_for_a_while(step, member)
    else:
        fence(step, [member], "a member leaves")
    response = {"member_id": member_id, "member_epoch": request["member_epoch"]}
    step.answer(event.deferred, {"error_code": errors.NONE, **response})
