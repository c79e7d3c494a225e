"""ConsumerGroupHeartbeat (68) and ConsumerGroupDescribe (69): from requests to groups (KIP-848).

A heartbeat is checked here as far as no group is needed. One that joins may make the group, take
the place of an empty group of another kind, or turn a classic group into a consumer group; all of
that is written in one batch with what the join itself writes, and none of it if it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_requests import client_of
from logserver.broker.groups.consumer_describe import described, not_found
from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.consumer_heartbeat import ConsumerHeartbeat, heartbeat
from logserver.broker.groups.consumer_member import (
    JOIN_EPOCH,
    LEAVE_EPOCH,
    LEAVE_STATIC_EPOCH,
)
from logserver.broker.groups.consumer_step import Step
from logserver.broker.groups.migration import release, upgrade
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.groups.effects import Effect, Group, Now
    from logserver.broker.peer import Context
    from logwire.messages import Message

# From this version on a member brings an id of its own making (KIP-1082).
MEMBER_ID_VERSION = 1


def handle_consumer_group_heartbeat(
    broker: Broker, request: Message, context: Context
) -> Message | None:
    """A member joins, lives or leaves. Raises Refusal: the request or the coordinator."""
    if not _is_served(broker):
        return {"error_code": errors.UNSUPPORTED_VERSION}
    check_request(request, context.api_version, broker.config.group_consumer_assignors)
    group_id = request["group_id"]
    coordinator = broker.coordinators.of(group_id)
    now = broker.coordinators.now(context.now_ms)
    group = coordinator.groups.get(group_id)
    if request["member_epoch"] != JOIN_EPOCH and not isinstance(group, ConsumerGroup):
        raise Refusal(errors.GROUP_ID_NOT_FOUND, _missing(group, group_id))
    deferred = context.defer()
    event = ConsumerHeartbeat(
        deferred,
        request,
        str(UUID(int=broker.random.getrandbits(128), version=4)),
        *client_of(context),
    )
    try:
        group, effects = _take(broker, group, event, now)
    except Refusal as refusal:
        deferred.complete({"error_code": refusal.code, "error_message": refusal.message})
        return None
    coordinator.perform(group, effects, now)
    return None


def _is_served(broker: Broker) -> bool:
    """Whether the feature `group.version` and the configuration say that there are such groups."""
    enabled = "consumer" in broker.config.group_coordinator_rebalance_protocols
    return enabled and broker.image.features.get("group.version", 0) >= 1


def _missing(group: Group | None, group_id: str) -> str:
    if group is None:
        return f"Consumer group {group_id} not found."
    return f"Group {group_id} is not a consumer group."


def _take(
    broker: Broker, group: Group | None, event: ConsumerHeartbeat, now: Now
) -> tuple[Group, list[Effect]]:
    """Let the group take the event, in the kind that it needs. Raises Refusal: nothing changed."""
    if isinstance(group, ConsumerGroup):
        return group, group.step(event, now)
    made = ConsumerGroup(event.request["group_id"], broker.coordinators.cluster)
    step = Step(made, now)
    if isinstance(group, ClassicGroup) and not group.empty:
        upgrade(step, group)
    elif group is not None:
        step.delete_records(group.tombstones())
    heartbeat(step, event)
    if isinstance(group, ClassicGroup):
        step.add(release(group))
    step.replace(made)
    return made, made.finish(step)


def check_request(request: Message, api_version: int, assignors: tuple[str, ...]) -> None:
    """Raises Refusal (INVALID_REQUEST, UNSUPPORTED_ASSIGNOR) in Kafka's order and words."""
    epoch = request["member_epoch"]
    named = {"GroupId": "group_id", "InstanceId": "instance_id", "RackId": "rack_id"}
    if api_version >= MEMBER_ID_VERSION or epoch > JOIN_EPOCH or epoch == LEAVE_EPOCH:
        named = {"MemberId": "member_id", **named}
    for name, field in named.items():
        if request[field] is not None and not request[field].strip():
            raise Refusal(errors.INVALID_REQUEST, f"{name} can't be empty.")
    if epoch == JOIN_EPOCH:
        _check_join(request)
    elif epoch == LEAVE_STATIC_EPOCH:
        if request["instance_id"] is None:
            raise Refusal(errors.INVALID_REQUEST, "InstanceId can't be null.")
    elif epoch < LEAVE_STATIC_EPOCH:
        raise Refusal(errors.INVALID_REQUEST, "MemberEpoch is invalid.")
    assignor = request["server_assignor"]
    if assignor is not None and assignor not in assignors:
        raise Refusal(
            errors.UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {assignor} is not supported. Supported assignors: "
            f"{', '.join(assignors)}.",
        )


def _check_join(request: Message) -> None:
    problem = ""
    if request["rebalance_timeout_ms"] == -1:
        problem = "RebalanceTimeoutMs must be provided in first request."
    elif request["topic_partitions"] is None or request["topic_partitions"]:
        problem = "TopicPartitions must be empty when (re-)joining."
    elif (request["subscribed_topic_names"], request.get("subscribed_topic_regex")) == (None, None):
        problem = (
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
            "(re-)joining."
        )
    if problem:
        raise Refusal(errors.INVALID_REQUEST, problem)


def handle_consumer_group_describe(broker: Broker, request: Message, context: Context) -> Message:
    """What each of these groups is and what its members have; refusals group by group."""
    context.after_sync = True  # nobody is told of what may still vanish
    group_ids = dict.fromkeys(request["group_ids"])
    groups = [_describe(broker, group_id, request) for group_id in group_ids]
    return {"groups": groups}


def _describe(broker: Broker, group_id: str, request: Message) -> Message:
    if not _is_served(broker):
        return not_found(group_id, errors.UNSUPPORTED_VERSION, None)
    try:
        coordinator: Coordinator = broker.coordinators.of(group_id)
    except Refusal as refusal:
        return not_found(group_id, refusal.code, refusal.message)
    group = coordinator.groups.get(group_id)
    if not isinstance(group, ConsumerGroup):
        text = f"Group {group_id} is not a consumer group."
        if group is None:
            text = f"Group {group_id} not found."
        return not_found(group_id, errors.GROUP_ID_NOT_FOUND, text)
    return described(group, authorized=request["include_authorized_operations"])
