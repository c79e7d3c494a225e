"""JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14): from requests to events.

A handler checks what does not depend on the group, finds the group, and hands it an event. The
group answers through `Context.defer`, now or later. Groups of another kind take the same events: a
group that moves to KIP-848 still serves its classic members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from logserver.broker.groups.classic_answers import LEAVE_MANY_VERSION, join_refused, left
from logserver.broker.groups.classic_events import Heartbeat, Join, Leave, Leaver, Sync
from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_records import new_group
from logserver.broker.groups.classic_state import Limits
from logserver.broker.groups.effects import Persist
from logserver.broker.groups.offset_group import OffsetGroup
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.classic_events import Protocols
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.groups.effects import Group
    from logserver.broker.peer import Context
    from logserver.config import BrokerConfig
    from logwire.messages import Message

# Clients cut their reasons at so many characters (KIP-800); history keeps no more.
REASON_CHARACTERS_MAX = 255

# So much is kept of the name that a client gives itself. A member id begins with it, and a record
# must be able to hold it: a string ends at 32,767 bytes, and what is no UTF-8 is longer as text.
NAME_CHARACTERS_MAX = 255

# In version 0 a member has as long to join as its session lasts.
REBALANCE_TIMEOUT_VERSION = 1

# From this version on a SyncGroup must say what protocol it is about (KIP-559).
SYNC_PROTOCOL_VERSION = 5


def limits_of(config: BrokerConfig) -> Limits:
    """What the configuration says about classic groups."""
    return Limits(
        initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
        size_max=config.group_max_size,
        pending_count_max=config.group_pending_members_max,
        metadata_bytes_max=config.group_metadata_max_bytes,
    )


def client_of(context: Context) -> tuple[str, str]:
    """Client id and host of who asks, as a group keeps and shows them."""
    # Java prints an address with a slash before it.
    return (context.client_id or "")[:NAME_CHARACTERS_MAX], f"/{context.client_host}"


def handle_join_group(broker: Broker, request: Message, context: Context) -> Message | None:
    """A member joins; its answer may have to wait for the others."""
    try:
        _join(broker, request, context)
    except Refusal as refusal:
        return join_refused(context.api_version, request["member_id"], refusal.code)
    return None


def _join(broker: Broker, request: Message, context: Context) -> None:
    """Raises Refusal: INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, no such group, no coordinator."""
    config = broker.config
    group_id, session_timeout_ms = request["group_id"], request["session_timeout_ms"]
    if not group_id:
        raise Refusal(errors.INVALID_GROUP_ID)
    shortest_ms, longest_ms = (
        config.group_min_session_timeout_ms,
        config.group_max_session_timeout_ms,
    )
    if not shortest_ms <= session_timeout_ms <= longest_ms:
        raise Refusal(errors.INVALID_SESSION_TIMEOUT)
    coordinator = broker.coordinators.of(group_id)
    group = coordinator.groups.get(group_id)
    if group is None and request["member_id"]:
        raise Refusal(errors.UNKNOWN_MEMBER_ID)
    event = _join_event(broker, request, context)
    now = broker.coordinators.now(context.now_ms)
    if isinstance(group, ClassicGroup):
        group.limits = limits_of(config)
    elif group is None or group.empty:
        made = ClassicGroup(group_id, limits_of(config))
        effects = made.step(event, now)
        if made.roster.members or made.roster.pending:
            coordinator.groups[group_id] = made
            made_records = [
                *(group.tombstones() if group else ()),
                new_group(group_id, now.wall_ms),
            ]
            effects.append(Persist(made_records))
        coordinator.perform(made, effects, now)
        return
    coordinator.perform(group, group.step(event, now), now)


def _join_event(broker: Broker, request: Message, context: Context) -> Join:
    session_timeout_ms = request["session_timeout_ms"]
    rebalance_timeout_ms = request["rebalance_timeout_ms"]
    if context.api_version < REBALANCE_TIMEOUT_VERSION:
        rebalance_timeout_ms = session_timeout_ms
    instance_id = request["group_instance_id"]
    client_id, client_host = client_of(context)
    name = client_id if instance_id is None else instance_id[:NAME_CHARACTERS_MAX]
    protocols: Protocols = {}
    for protocol in request["protocols"]:
        protocols.setdefault(protocol["name"], protocol["metadata"])
    return Join(
        context.defer(),
        context.api_version,
        request["member_id"],
        instance_id,
        f"{name}-{UUID(int=broker.random.getrandbits(128), version=4)}",
        client_id,
        client_host,
        session_timeout_ms,
        rebalance_timeout_ms,
        request["protocol_type"],
        protocols,
        (request["reason"] or "")[:REASON_CHARACTERS_MAX],
    )


def handle_sync_group(broker: Broker, request: Message, context: Context) -> None:
    """A member asks for its part. Raises Refusal: no such group, no coordinator, no protocol."""
    if context.api_version >= SYNC_PROTOCOL_VERSION and (
        request["protocol_type"] is None or request["protocol_name"] is None
    ):
        raise Refusal(errors.INCONSISTENT_GROUP_PROTOCOL)
    coordinator, group = _group_of(broker, request)
    assignments = {part["member_id"]: part["assignment"] for part in request["assignments"]}
    event = Sync(
        context.defer(),
        request["generation_id"],
        request["member_id"],
        request["group_instance_id"],
        request["protocol_type"],
        request["protocol_name"],
        assignments,
    )
    now = broker.coordinators.now(context.now_ms)
    coordinator.perform(group, group.step(event, now), now)


def handle_heartbeat(broker: Broker, request: Message, context: Context) -> Message | None:
    """A member lives. Raises Refusal: no such group, no coordinator."""
    try:
        coordinator, group = _group_of(broker, request)
    except Refusal as refusal:
        if refusal.code == errors.COORDINATOR_LOAD_IN_PROGRESS:
            return {"error_code": errors.NONE}  # nothing is lost: sessions begin after loading
        raise
    event = Heartbeat(
        context.defer(),
        request["generation_id"],
        request["member_id"],
        request["group_instance_id"],
    )
    now = broker.coordinators.now(context.now_ms)
    coordinator.perform(group, group.step(event, now), now)
    return None


def handle_leave_group(broker: Broker, request: Message, context: Context) -> Message | None:
    """Members go. Raises Refusal: no coordinator."""
    leavers = _leavers(request, context)
    coordinator = broker.coordinators.of(request["group_id"])
    group = coordinator.groups.get(request["group_id"])
    if group is None or isinstance(group, OffsetGroup):
        return left(context.api_version, leavers, [errors.UNKNOWN_MEMBER_ID] * len(leavers))
    event = Leave(context.defer(), context.api_version, leavers)
    now = broker.coordinators.now(context.now_ms)
    coordinator.perform(group, group.step(event, now), now)
    return None


def _leavers(request: Message, context: Context) -> list[Leaver]:
    """Before version 3 one member leaves (KIP-345)."""
    if context.api_version < LEAVE_MANY_VERSION:
        return [Leaver(request["member_id"], None, "")]
    return [
        Leaver(
            member["member_id"],
            member["group_instance_id"],
            (member["reason"] or "")[:REASON_CHARACTERS_MAX],
        )
        for member in request["members"]
    ]


def _group_of(broker: Broker, request: Message) -> tuple[Coordinator, Group]:
    coordinator = broker.coordinators.of(request["group_id"])
    group = coordinator.groups.get(request["group_id"])
    if group is None or isinstance(group, OffsetGroup):
        raise Refusal(errors.UNKNOWN_MEMBER_ID)
    return coordinator, group
