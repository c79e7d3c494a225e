"""JoinGroup: who comes to a classic group, and who comes again.

Four kinds come:

    without an id, dynamic   is given one and asked to come again with it (KIP-394); a client that
                             retries is then one member, not many
    pending                  comes with that id: a new member
    without an id, static    new, or a restarted process: it takes over the place of its instance id
                             (KIP-345), and while the group is stable nobody else hears of it
    a member                 comes to the rebalance, or begins one: with other protocols than before
                             it must, and the leader always may

Reference: Apache Kafka's GroupMetadataManager, `classicGroupJoin`. Where a member joins while it
waits in a join already, Kafka forgets the first request; here it is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups import classic_answers as answers
from logserver.broker.groups.classic_rebalance import because, maybe_complete_join, rebalance
from logserver.broker.groups.classic_roster import Member, ParkedJoin, size_bytes
from logserver.broker.groups.classic_state import DEAD, EMPTY, PREPARING, STABLE, ClassicState
from logwire import errors

if TYPE_CHECKING:
    from logserver.broker.groups.classic_events import Join

# A new member does not know its id and cannot send heartbeats while its join is parked: after so
# long it is taken for gone, and should ask again (Kafka: the same five minutes, fixed as well).
NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000


def join(group: ClassicState, event: Join) -> None:
    """Take a JoinGroup; its answer may have to wait for the others."""
    if group.state == DEAD:
        _refuse(group, event, errors.COORDINATOR_NOT_AVAILABLE, event.member_id)
    elif not _has_room(group, event):
        # A rebalance does not wait for it any more; a generation keeps those it began with.
        if group.state == PREPARING or event.member_id not in group.roster:
            group.remove(event.member_id, errors.GROUP_MAX_SIZE_REACHED)
        _refuse(group, event, errors.GROUP_MAX_SIZE_REACHED, "")
        maybe_complete_join(group)
    elif not _is_understood(group, event):
        _refuse(group, event, errors.INCONSISTENT_GROUP_PROTOCOL, event.member_id)
    elif event.member_id in group.roster.pending:
        _join_pending(group, event)
    elif event.member_id:
        _join_again(group, event)
    elif event.instance_id is not None:
        _join_static(group, event, event.instance_id)
    elif event.api_version >= answers.MEMBER_ID_REQUIRED_VERSION:
        _give_id(group, event)
    else:
        _add(group, event, event.new_member_id)


def _has_room(group: ClassicState, event: Join) -> bool:
    """Members have room; others as long as the group is neither full nor too heavy.

    During a rebalance only those count that have joined it: the last to come are too many.
    """
    roster, limits = group.roster, group.limits
    member = roster.members.get(event.member_id)
    held_bytes = roster.size_bytes - (member.size_bytes() if member is not None else 0)
    joining_bytes = size_bytes(event.new_member_id, event.instance_id, event.protocols)
    if held_bytes + joining_bytes > limits.metadata_bytes_max:
        return False
    if group.state == EMPTY:
        return True
    if group.state == PREPARING:
        waits = member is not None and member.parked_join is not None
        return waits or roster.joining_count < limits.size_max
    return member is not None or len(roster) < limits.size_max


def _is_understood(group: ClassicState, event: Join) -> bool:
    if group.state == EMPTY:
        return bool(event.protocol_type and event.protocols)
    return event.protocol_type == group.protocol_type and group.roster.supports(event.protocols)


def _give_id(group: ClassicState, event: Join) -> None:
    if len(group.roster.pending) >= group.limits.pending_count_max:
        _refuse(group, event, errors.GROUP_MAX_SIZE_REACHED, "")
        return
    member_id = event.new_member_id
    group.roster.pending.add(member_id)
    group.sessions.set(member_id, group.now.uptime_ms + event.session_timeout_ms)
    _refuse(group, event, errors.MEMBER_ID_REQUIRED, member_id)


def _join_pending(group: ClassicState, event: Join) -> None:
    if event.instance_id is None:
        _add(group, event, event.member_id)
    else:
        # Pending members are not static; Kafka trips over one that is, and says just that.
        _refuse(group, event, errors.UNKNOWN_SERVER_ERROR, event.member_id)


def _add(group: ClassicState, event: Join, member_id: str) -> None:
    member = Member(
        member_id,
        event.instance_id,
        event.client_id,
        event.client_host,
        event.session_timeout_ms,
        event.rebalance_timeout_ms,
        event.protocols,
    )
    member.is_new = True
    if group.state == PREPARING and group.previous_state == EMPTY:
        group.member_added = True
    if not len(group.roster):
        group.protocol_type = event.protocol_type
    group.roster.add(member)
    group.roster.park_join(member, ParkedJoin(event.deferred, event.api_version))
    group.sessions.set(member_id, group.now.uptime_ms + NEW_MEMBER_JOIN_TIMEOUT_MS)
    rebalance(group, because("a member joins", event.reason), member_id)


def _join_again(group: ClassicState, event: Join) -> None:
    member_id = event.member_id
    code = group.check_member(member_id, event.instance_id)
    if code:
        _refuse(group, event, code, member_id)
        return
    member = group.roster[member_id]
    leads = member_id == group.roster.leader_id
    if (
        group.state == PREPARING
        or not member.offers(event.protocols)
        or (group.state == STABLE and leads)  # it wants to assign anew
    ):
        what = "the leader joins again" if leads else "a member joins again"
        group.roster.update(member, event)
        _park(group, member, event)
        rebalance(group, because(what, event.reason), member_id)
    else:
        # Nothing is new; perhaps the answer got lost.
        group.answer(event.deferred, answers.joined(group, member))


def _join_static(group: ClassicState, event: Join, instance_id: str) -> None:
    old_member_id = group.roster.static_member_id(instance_id)
    if old_member_id is None:
        _add(group, event, event.new_member_id)
        return
    former_leader_id = group.roster.leader_id
    member = _take_over(group, event, old_member_id)
    if group.state == STABLE and group.roster.select_protocol() == group.protocol_name:
        _answer_returned(group, event, member, former_leader_id)
    else:
        _park(group, member, event)
        rebalance(group, because("a static member returns", event.reason), member.member_id)


def _take_over(group: ClassicState, event: Join, old_member_id: str) -> Member:
    """Put the restarted process in the place of the one before it, which is fenced."""
    member = group.roster[old_member_id]
    group.refuse_parked(member, errors.FENCED_INSTANCE_ID, old_member_id)
    group.sessions.drop(old_member_id)
    group.roster.rename(member, event.new_member_id)
    group.roster.update(member, event)
    member.client_id, member.client_host = event.client_id, event.client_host
    if old_member_id in group.unsynced:
        group.unsynced.discard(old_member_id)
        group.unsynced.add(member.member_id)
    group.renew_session(member)
    return member


def _answer_returned(
    group: ClassicState, event: Join, member: Member, former_leader_id: str | None
) -> None:
    """A static member is back and the assignment holds: nobody else needs to know.

    If it leads it must not assign anew. From version 9 on it is told so (KIP-814); before, it is
    made to believe that it follows the one it was.
    """
    leads = member.member_id == group.roster.leader_id
    if event.api_version >= answers.SKIP_ASSIGNMENT_VERSION:
        answer = answers.joined(group, member, skip_assignment=leads)
    else:
        answer = answers.joined_as_follower(group, member, former_leader_id)
    group.persist()
    group.answer(event.deferred, answer)


def _park(group: ClassicState, member: Member, event: Join) -> None:
    before = group.roster.park_join(member, ParkedJoin(event.deferred, event.api_version))
    if before is not None:
        code = errors.REBALANCE_IN_PROGRESS
        refusal = answers.join_refused(before.api_version, member.member_id, code)
        group.answer(before.deferred, refusal)


def _refuse(group: ClassicState, event: Join, code: int, member_id: str) -> None:
    group.answer(event.deferred, answers.join_refused(event.api_version, member_id, code))
