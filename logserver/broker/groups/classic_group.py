"""The machine of a classic group: all join, one leads, the leader assigns, all sync (KIP-62).

             join                    all have joined,            the leader's sync
    EMPTY ---------> PREPARING ---- or time is over ---> COMPLETING ------------> STABLE
      ^               |     ^                                |                      |
      +-- nobody left +     +-- somebody joins, changes, leaves, dies -------------+

In PREPARING joins are parked, heartbeats hear REBALANCE_IN_PROGRESS, and commits of the old
generation are taken. In COMPLETING syncs are parked until the leader's brings the assignment. What
outlives a restart is written when a generation is STABLE, when it is EMPTY, and when a static
member comes back under a new id; the rest is found again by everybody joining anew.

The reference is Apache Kafka 4.3 (`GroupMetadataManager`): the same code for the same request in
the same state. It differs where Kafka forgets somebody: a request that a later one of the same
member replaces is answered, and so is the parked sync of a member that leaves; a static member
keeps its duty to sync under its new id, and tells its new host; a member turned away because the
group is full is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from logserver.broker.groups import classic_answers as answers
from logserver.broker.groups.classic_events import Heartbeat, Join, Leave, Leaver, Sync
from logserver.broker.groups.classic_join import join
from logserver.broker.groups.classic_rebalance import (
    because,
    complete_join,
    join_time_is_over,
    prepare,
    rebalance,
    sync,
    sync_time_is_over,
)
from logserver.broker.groups.classic_state import (
    DEAD,
    EMPTY,
    PREPARING,
    STABLE,
    ClassicState,
)
from logserver.broker.groups.deadlines import Deadlines
from logserver.broker.groups.effects import Tick, Unload
from logwire import errors

if TYPE_CHECKING:
    from logserver.broker.groups.effects import Effect, Now


class ClassicGroup(ClassicState):
    """A group as its coordinator drives it (the protocol `effects.Group`)."""

    __slots__ = ()

    def step(self, event: Any, now: Now) -> list[Effect]:
        """Take an event of `classic_events` or a `Tick`; returns what follows from it."""
        self.now = now
        STEPS[type(event)](self, event)
        return self.take_effects()

    def resume(self, now: Now) -> list[Effect]:
        """Loaded: every member has a whole session to show that it lives."""
        self.now = now
        for member in self.roster:
            self.renew_session(member)
        return self.take_effects()

    def committed(self, member_id: str, now: Now) -> list[Effect]:
        """A commit is as good as a heartbeat, but for members that still owe a sync."""
        self.now = now
        if self.state in (STABLE, PREPARING) and member_id in self.roster:
            self.renew_session(self.roster[member_id])
        return self.take_effects()


def heartbeat(group: ClassicState, event: Heartbeat) -> None:
    """A member lives; it hears whether it has to join."""
    code = group.check_member(event.member_id, event.instance_id, event.generation)
    if code == errors.NONE:
        group.renew_session(group.roster[event.member_id])
        if group.state == PREPARING:
            code = errors.REBALANCE_IN_PROGRESS
    group.answer(event.deferred, {"error_code": code})


def leave(group: ClassicState, event: Leave) -> None:
    """Members go; the others share what they had."""
    if group.state == DEAD:
        group.answer(event.deferred, {"error_code": errors.COORDINATOR_NOT_AVAILABLE})
        return
    codes = [_leave_one(group, leaver) for leaver in event.leavers]
    group.answer(event.deferred, answers.left(event.api_version, event.leavers, codes))
    gone = [leaver for leaver, code in zip(event.leavers, codes, strict=True) if not code]
    if gone and group.state != EMPTY:
        who = gone[0].member_id or gone[0].instance_id or ""
        what = "a member leaves" if len(gone) == 1 else f"{len(gone)} members leave"
        rebalance(group, because(what, gone[0].reason), who)


def _leave_one(group: ClassicState, leaver: Leaver) -> int:
    member_id = leaver.member_id
    if not member_id and leaver.instance_id is not None:
        # An administrator removes a static member by the only name it knows (KIP-345).
        member_id = group.roster.static_member_id(leaver.instance_id) or ""
    elif member_id not in group.roster.pending:
        code = group.check_member(member_id, leaver.instance_id)
        if code:
            return code
    if not member_id:
        return errors.UNKNOWN_MEMBER_ID
    group.remove(member_id)
    return errors.NONE


def tick(group: ClassicState, _event: Tick) -> None:
    """Time has come for something: for all that is due."""
    uptime_ms = group.now.uptime_ms
    group.woken()
    if group.join_due_ms is not None and group.join_due_ms <= uptime_ms:
        join_time_is_over(group)
    if group.sync_due_ms is not None and group.sync_due_ms <= uptime_ms:
        sync_time_is_over(group)
    while (member_id := group.sessions.expire(uptime_ms)) is not None:
        _expire_session(group, member_id)


def _expire_session(group: ClassicState, member_id: str) -> None:
    member = group.roster.members.get(member_id)
    if member is not None and member.waits and not member.is_new:
        return  # it owes nothing while it waits for us; its next session begins with the answer
    group.remove(member_id)
    if group.state == PREPARING:
        if group.roster.all_joined:
            complete_join(group)
    elif member is not None:
        prepare(group, "the session of a member has run out", member_id)


def unload(group: ClassicState, _event: Unload) -> None:
    """This broker coordinates the group no more."""
    for member in group.roster:
        group.refuse_parked(member, errors.NOT_COORDINATOR, member.member_id)
    group.sessions = Deadlines()
    group.join_due_ms = group.sync_due_ms = None
    group.state = DEAD


STEPS: dict[type, Callable[[ClassicState, Any], None]] = {
    Heartbeat: heartbeat,
    Join: join,
    Sync: sync,
    Leave: leave,
    Tick: tick,
    Unload: unload,
}
