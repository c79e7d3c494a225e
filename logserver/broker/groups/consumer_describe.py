"""A consumer group in words for whoever asks: ConsumerGroupDescribe (KIP-848).

What a member has is told with what it has not confirmed to have given up: it may still read it.
Topics that do not exist any more are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.consumer_member import union
from logwire import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from logserver.broker.groups.cluster import Cluster
    from logserver.broker.groups.consumer_group import ConsumerGroup
    from logserver.broker.groups.consumer_member import Member
    from logwire.messages import Message

# READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, as bits of Kafka's AclOperation: what
# there is for groups of any kind, and nobody is denied anything yet.
GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
NOT_ASKED = -(2**31)

CLASSIC_MEMBER, CONSUMER_MEMBER = 0, 1


def described(group: ConsumerGroup, *, authorized: bool) -> Message:
    """One group, its members (the newest first) with what they have and are meant to have."""
    state, cluster = group.state, group.cluster
    default = cluster.settings(group.group_id).assignors[0]
    return {
        "error_code": errors.NONE,
        "group_id": group.group_id,
        "group_state": group.state_name,
        "group_epoch": state.epoch,
        "assignment_epoch": state.assignment_epoch,
        "assignor_name": state.preferred_assignor(default),
        "members": [_member(group, member) for member in reversed(state.members.values())],
        "authorized_operations": GROUP_OPERATIONS if authorized else NOT_ASKED,
    }


def not_found(group_id: str, code: int, message: str | None) -> Message:
    """A group that cannot be described, and why."""
    return {"error_code": code, "error_message": message, "group_id": group_id}


def _member(group: ConsumerGroup, member: Member) -> Message:
    owned = union(member.assigned, member.revoking)
    target = group.state.target_of(member.member_id)
    return {
        "member_id": member.member_id,
        "instance_id": member.instance_id,
        "rack_id": member.rack_id,
        "member_epoch": member.member_epoch,
        "client_id": member.client_id,
        "client_host": member.client_host,
        "subscribed_topic_names": sorted(member.topic_names),
        "subscribed_topic_regex": member.topic_regex,
        "assignment": _assignment(group.cluster, owned),
        "target_assignment": _assignment(group.cluster, target),
        "member_type": CONSUMER_MEMBER if member.classic is None else CLASSIC_MEMBER,
    }


def _assignment(cluster: Cluster, partitions: Mapping[bytes, Iterable[int]]) -> Message:
    rows = [
        {"topic_id": topic_id, "topic_name": name, "partitions": sorted(numbers)}
        for topic_id, numbers in partitions.items()
        if (name := cluster.topic_name(topic_id)) is not None
    ]
    return {"topic_partitions": rows}
