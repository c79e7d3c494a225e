"""DescribeGroups (15), ListGroups (16), DeleteGroups (42): what tools ask about groups of any kind.

A group without members that never had any (it only stores offsets) is shown as an empty classic
group. A KIP-848 group is listed, and deleted, like every other, but described by API 69: here it is
no group, as in Kafka (up to version 5 "Dead" without an error, from 6 on GROUP_ID_NOT_FOUND,
KIP-1043).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.classic_state import DEAD, EMPTY, STABLE, ClassicState
from logserver.broker.groups.consumer_describe import GROUP_OPERATIONS, NOT_ASKED
from logserver.broker.groups.coordinator import LOADING
from logserver.broker.groups.offset_group import OffsetGroup
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.classic_roster import Member
    from logserver.broker.groups.effects import Group
    from logserver.broker.peer import Context
    from logwire.messages import Message

NOT_FOUND_VERSION = 6


def handle_describe_groups(broker: Broker, request: Message, context: Context) -> Message:
    """Each group by itself, also what is wrong with it."""
    operations = GROUP_OPERATIONS if request["include_authorized_operations"] else NOT_ASKED
    rows = [_describe(broker, group_id, context) for group_id in dict.fromkeys(request["groups"])]
    for row in rows:
        if not row["error_code"]:
            row["authorized_operations"] = operations
    return {"groups": rows}


def _describe(broker: Broker, group_id: str, context: Context) -> Message:
    row: Message = {"error_code": errors.NONE, "group_id": group_id, "members": []}
    try:
        group = broker.coordinators.holding(group_id).groups.get(group_id)
    except Refusal as refusal:
        return {**row, "error_code": refusal.code}
    if isinstance(group, OffsetGroup):
        return {**row, "group_state": EMPTY}
    if isinstance(group, ClassicState):
        stable = group.state == STABLE
        protocol = group.protocol_name if stable else None
        return {
            **row,
            "group_state": group.state,
            "protocol_type": group.protocol_type or "",
            "protocol_data": protocol or "",
            "members": [_member(member, protocol) for member in group.roster],
        }
    row["group_state"] = DEAD
    if context.api_version >= NOT_FOUND_VERSION:
        row["error_code"] = errors.GROUP_ID_NOT_FOUND
        found = "not found" if group is None else "is not a classic group"
        row["error_message"] = f"Group {group_id} {found}."
    return row


def _member(member: Member, protocol_name: str | None) -> Message:
    """Between generations no protocol is chosen: whose metadata would it be?"""
    return {
        "member_id": member.member_id,
        "group_instance_id": member.instance_id,
        "client_id": member.client_id,
        "client_host": member.client_host,
        "member_metadata": b"" if protocol_name is None else member.protocols[protocol_name],
        "member_assignment": member.assignment,
    }


def handle_list_groups(broker: Broker, request: Message, _context: Context) -> Message:
    """All groups of this broker whose state and type are asked for (none named: all).

    Raises Refusal: COORDINATOR_LOAD_IN_PROGRESS, as long as one coordinator is loaded.
    """
    states = {state.strip().lower() for state in request["states_filter"]}
    types = {kind.lower() for kind in request["types_filter"]}
    rows = []
    for coordinator in broker.coordinators.by_index.values():
        if coordinator.state == LOADING:
            raise Refusal(errors.COORDINATOR_LOAD_IN_PROGRESS)
        for group in coordinator.groups.values():
            row = _listed(group)
            if states and row["group_state"].lower() not in states:
                continue
            if types and row["group_type"].lower() not in types:
                continue
            rows.append(row)
    # Nobody promises an order, but clients were seen to expect that of Kafka: newer kinds first.
    rows.sort(key=lambda row: row["group_type"] == "classic")
    return {"error_code": errors.NONE, "groups": rows}


def _listed(group: Group) -> Message:
    return {
        "group_id": group.group_id,
        "protocol_type": group.protocol_type or "",
        "group_state": group.state_name,
        "group_type": group.kind,
    }


def handle_delete_groups(broker: Broker, request: Message, context: Context) -> Message:
    """Delete groups that nobody is in, with their offsets; a name twice is one group."""
    names = dict.fromkeys(request["groups_names"])
    rows = [{"group_id": name, "error_code": _delete(broker, name, context)} for name in names]
    return {"results": rows}


def _delete(broker: Broker, group_id: str, context: Context) -> int:
    try:
        coordinator = broker.coordinators.holding(group_id)
    except Refusal as refusal:
        return refusal.code
    group = coordinator.groups.get(group_id)
    if group is None:
        return errors.GROUP_ID_NOT_FOUND
    if not group.empty:
        return errors.NON_EMPTY_GROUP
    code = coordinator.delete(group, context.now_ms)
    context.after_sync = context.after_sync or coordinator.unsettled
    return code
