"""What members of a classic group are answered, field by field as Kafka fills them.

A refused request says no more than it must: generation -1, no protocol, no leader. Before version
7 of JoinGroup the name of the protocol may not be null (KIP-559); before version 3 of LeaveGroup
one member leaves, and its error is that of the whole (KIP-345).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from logwire import errors

if TYPE_CHECKING:
    from logserver.broker.groups.classic_events import Leaver
    from logserver.broker.groups.classic_roster import Member
    from logserver.broker.groups.classic_state import ClassicState
    from logwire.messages import Message

# From these versions of JoinGroup on a new member has to ask twice (KIP-394), no protocol is told
# as null (KIP-559), and a leader may be told not to assign (KIP-814).
MEMBER_ID_REQUIRED_VERSION = 4
NULL_PROTOCOL_VERSION = 7
SKIP_ASSIGNMENT_VERSION = 9

LEAVE_MANY_VERSION = 3


def join_refused(api_version: int, member_id: str, code: int) -> Message:
    """A JoinGroup that did not succeed."""
    protocol_name = None if api_version >= NULL_PROTOCOL_VERSION else ""
    return {"error_code": code, "member_id": member_id, "protocol_name": protocol_name}


def joined(group: ClassicState, member: Member, *, skip_assignment: bool = False) -> Message:
    """The current generation; the leader also hears who is in it, with their metadata."""
    name = group.protocol_name
    leads = member.member_id == group.roster.leader_id
    return {
        "error_code": errors.NONE,
        "generation_id": group.generation,
        "protocol_type": group.protocol_type,
        "protocol_name": name,
        "leader": group.roster.leader_id,
        "skip_assignment": skip_assignment,
        "member_id": member.member_id,
        "members": _members(group.roster, name or "") if leads else [],
    }


def _members(members: Iterable[Member], protocol_name: str) -> list[Message]:
    return [
        {
            "member_id": member.member_id,
            "group_instance_id": member.instance_id,
            "metadata": member.protocols[protocol_name],
        }
        for member in members
    ]


def joined_as_follower(group: ClassicState, member: Member, leader_id: str | None) -> Message:
    """The current generation for one who shall not assign, whoever leads."""
    return {**joined(group, member), "leader": leader_id or "", "members": []}


def synced(group: ClassicState, member: Member) -> Message:
    """What the member shall work on."""
    return {
        "error_code": errors.NONE,
        "protocol_type": group.protocol_type,
        "protocol_name": group.protocol_name,
        "assignment": member.assignment,
    }


def left(api_version: int, leavers: list[Leaver], codes: list[int]) -> Message:
    """How each of those who leave fared."""
    if api_version < LEAVE_MANY_VERSION:
        return {"error_code": next((code for code in codes if code), errors.NONE)}
    members = [
        {
            "member_id": leaver.member_id,
            "group_instance_id": leaver.instance_id,
            "error_code": code,
        }
        for leaver, code in zip(leavers, codes, strict=True)
    ]
    return {"error_code": errors.NONE, "members": members}
