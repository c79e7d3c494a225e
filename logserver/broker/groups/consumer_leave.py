"""Members of a consumer group go: for good, or for a while.

Who has gone owns nothing any more: what it had is free at once, and the group goes to its next
epoch. Who was the last to speak the new protocol, among members that speak the classic one, leaves
a classic group behind (`migration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from logserver.broker.groups.consumer_member import (
    LEAVE_STATIC_EPOCH,
    NONE_OWNED,
    Member,
    with_epoch,
)
from logserver.broker.groups.migration import can_downgrade, downgrade

if TYPE_CHECKING:
    from logserver.broker.groups.consumer_step import Step


def fence(step: Step, members: Sequence[Member], reason: str) -> None:
    """These members go; the others share what they had, each from its next heartbeat on."""
    if not members:
        return
    who = members[0].member_id
    if len(members) > 1:
        reason = f"{reason} ({len(members)} members)"
    if can_downgrade(step, members):
        downgrade(step, members, f"{reason}: the group is classic again", who)
        return
    for member in members:
        step.erase_member(member.member_id)
    step.erase_unused_regexes()
    step.refresh_epoch(True, reason, who)


def leave_for_a_while(step: Step, member: Member) -> None:
    """A static member will be back before its session ends: its partitions wait for it.

    What it owned it may own again; a commit of an earlier life is not refused for its epoch.
    """
    step.group.deadlines.rebalances.drop(member.member_id)
    assigned = with_epoch(member.assigned, 0)
    step.write_assignment(
        member._replace(member_epoch=LEAVE_STATIC_EPOCH, assigned=assigned, revoking=NONE_OWNED)
    )
