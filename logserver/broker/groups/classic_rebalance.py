"""From one generation of a classic group to the next (KIP-62, KIP-134).

    prepare          why, and who must join by when
      complete_join  all have joined, or time is over: a new generation, with a leader
        assign       the leader has said who does what: stable

A group that was empty waits a moment for more members, so that a fleet that starts together does
not rebalance once for each of its members (KIP-134: `group.initial.rebalance.delay.ms`); as long as
somebody comes in each turn of that moment it is begun anew, up to the rebalance timeout.

Reference: Apache Kafka's GroupMetadataManager, `prepareRebalance` and what it calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups import classic_answers as answers
from logserver.broker.groups.classic_state import (
    COMPLETING,
    EMPTY,
    PREPARING,
    STABLE,
    ClassicState,
    InitialDelay,
)
from logserver.broker.groups.effects import Note
from logwire import errors

if TYPE_CHECKING:
    from logserver.broker.groups.classic_events import Sync
    from logserver.broker.groups.classic_roster import Member
    from logwire.messages import Message


def because(what: str, reason: str) -> str:
    """A line of history: what happened, and the reason that the client gave (KIP-800), if any."""
    return f"{what}: {reason}" if reason else what


def rebalance(group: ClassicState, reason: str, member_id: str) -> None:
    """Begin a rebalance, or see whether the one under way can end now."""
    if group.state == PREPARING:
        maybe_complete_join(group)
    else:
        prepare(group, reason, member_id)


def prepare(group: ClassicState, reason: str, member_id: str) -> None:
    """Begin to wait for everybody's join; an empty group waits for more to come."""
    group.effects.append(Note(reason, member_id, group.generation))
    if group.state == COMPLETING:
        drop_assignments(group, errors.REBALANCE_IN_PROGRESS)
    group.unsynced.clear()
    group.sync_due_ms = None
    timeout_ms = group.roster.rebalance_timeout_ms()
    was_empty = group.state == EMPTY
    group.transition(PREPARING)
    if was_empty:
        delay_ms = group.limits.initial_rebalance_delay_ms
        group.member_added = False
        group.initial_delay = InitialDelay(delay_ms, max(timeout_ms - delay_ms, 0))
        group.join_due_ms = group.now.uptime_ms + delay_ms
    elif group.roster.all_joined:
        complete_join(group)
    else:
        group.join_due_ms = group.now.uptime_ms + timeout_ms


def maybe_complete_join(group: ClassicState) -> None:
    """End the joining early if all are here; never the delay of a group that was empty."""
    if group.state == PREPARING and group.previous_state != EMPTY and group.roster.all_joined:
        complete_join(group)


def join_time_is_over(group: ClassicState) -> None:
    """What `join_due_ms` stood for has come."""
    initial = group.initial_delay
    if initial is None or not (group.member_added and initial.remaining_ms):
        complete_join(group)
        return
    group.member_added = False
    delay_ms = min(group.limits.initial_rebalance_delay_ms, initial.remaining_ms)
    remaining_ms = max(initial.remaining_ms - initial.delay_ms, 0)
    group.initial_delay = InitialDelay(delay_ms, remaining_ms)
    group.join_due_ms = group.now.uptime_ms + delay_ms


def complete_join(group: ClassicState) -> None:
    """Begin the next generation with who has joined; it is empty if nobody has.

    Static members that have not come stay in: they keep their part until their session ends.
    """
    roster = group.roster
    group.join_due_ms = group.initial_delay = None
    if roster.joining_count < len(roster):
        absent = [m.member_id for m in roster if m.parked_join is None and m.instance_id is None]
        for member_id in absent:
            group.remove(member_id)
    if len(roster) and not roster.elect_leader():
        # Only static members are left and none of them has come: their sessions decide.
        group.join_due_ms = group.now.uptime_ms + roster.rebalance_timeout_ms()
        return
    group.generation += 1
    group.unsynced.clear()
    if len(roster):
        group.protocol_name = roster.select_protocol()
        group.transition(COMPLETING)
        for member in roster:
            _begin_generation(group, member)
        group.sync_due_ms = group.now.uptime_ms + roster.rebalance_timeout_ms()
    else:
        group.protocol_name = None
        group.transition(EMPTY)
        group.persist()


def _begin_generation(group: ClassicState, member: Member) -> None:
    parked = group.roster.park_join(member, None)
    if parked is not None:
        group.answer(parked.deferred, answers.joined(group, member))
    group.renew_session(member)
    member.is_new = False
    group.unsynced.add(member.member_id)


def sync(group: ClassicState, event: Sync) -> None:
    """SyncGroup: a member wants its part; the leader brings everybody's."""
    code = _check_sync(group, event)
    if code:
        group.answer(event.deferred, {"error_code": code})
        return
    member = group.roster[event.member_id]
    group.unsynced.discard(event.member_id)
    if not group.unsynced:
        group.sync_due_ms = None
    if group.state == STABLE:
        group.answer(event.deferred, answers.synced(group, member))
        return
    _answer_sync(group, member, {"error_code": errors.REBALANCE_IN_PROGRESS})  # it asked before
    member.parked_sync = event.deferred
    if event.member_id == group.roster.leader_id:
        assign(group, event.assignments)


def _check_sync(group: ClassicState, event: Sync) -> int:
    code = group.check_member(event.member_id, event.instance_id, event.generation)
    if code:
        return code
    # None: an older version of the request, which does not say.
    if event.protocol_type not in (None, group.protocol_type):
        return errors.INCONSISTENT_GROUP_PROTOCOL
    if event.protocol_name is not None and group.protocol_name not in (None, event.protocol_name):
        return errors.INCONSISTENT_GROUP_PROTOCOL
    return errors.REBALANCE_IN_PROGRESS if group.state == PREPARING else errors.NONE


def assign(group: ClassicState, assignments: dict[str, bytes]) -> None:
    """The leader has spoken: who waits gets its part, and nothing if it was not named."""
    size_bytes = group.roster.size_bytes + sum(map(len, assignments.values()))
    if size_bytes > group.limits.metadata_bytes_max:
        # Kafka's code where the record of a group is too large for the log.
        drop_assignments(group, errors.UNKNOWN_SERVER_ERROR)
        prepare(group, "the assignment is too large", group.roster.leader_id or "")
        return
    group.transition(STABLE)
    for member in group.roster:
        member.assignment = assignments.get(member.member_id, b"")
        _answer_sync(group, member, answers.synced(group, member))
    group.persist()


def drop_assignments(group: ClassicState, code: int) -> None:
    """There will be no assignment in this generation: who waits for it hears `code`."""
    for member in group.roster:
        member.assignment = b""
        _answer_sync(group, member, {"error_code": code})


def _answer_sync(group: ClassicState, member: Member, response: Message) -> None:
    deferred, member.parked_sync = member.parked_sync, None
    if deferred is not None:
        group.answer(deferred, response)
        group.renew_session(member)  # it may have run out unseen while the member waited


def sync_time_is_over(group: ClassicState) -> None:
    """Who took the generation and never asked for its part is out."""
    group.sync_due_ms = None
    late = sorted(group.unsynced)
    assert late, "the time to sync ends with the last sync"
    for member_id in late:
        group.remove(member_id)
    prepare(group, f"{len(late)} members did not sync in time", late[0])
