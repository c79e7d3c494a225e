"""Which machine a record of `__consumer_offsets` belongs to, when a coordinator is loaded.

The table below is the only place that knows all kinds of groups by the names of their records. A
record makes the group it is about, if it is not there yet; a tombstone never makes one. A group of
another kind under the same id gives way to a value (it was migrated) and ignores a tombstone (the
one that its predecessor left behind).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.consumer_group import ConsumerGroup

if TYPE_CHECKING:
    from logserver.broker.groups.effects import Group
    from logwire.messages import Message

KINDS: dict[str, Callable[[str], Group]] = {
    "GroupMetadata": ClassicGroup,
    "ConsumerGroupMetadata": ConsumerGroup,
    "ConsumerGroupPartitionMetadata": ConsumerGroup,
    "ConsumerGroupMemberMetadata": ConsumerGroup,
    "ConsumerGroupTargetAssignmentMetadata": ConsumerGroup,
    "ConsumerGroupTargetAssignmentMember": ConsumerGroup,
    "ConsumerGroupCurrentMemberAssignment": ConsumerGroup,
    "ConsumerGroupRegularExpression": ConsumerGroup,
}
"""Record name -> class of the group it is part of; called with the group id."""


def apply_record(groups: dict[str, Group], name: str, key: Message, value: Message | None) -> None:
    """Apply one record to the group it is about; a name without a row changes nothing."""
    kind = KINDS.get(name)
    if kind is None:
        return
    group_id = key["group"] if "group" in key else key["group_id"]  # classic, newer kinds
    group = groups.get(group_id)
    if group is None or type(group) is not kind:
        if value is None:
            return
        group = groups[group_id] = kind(group_id)
    group.apply(name, key, value)
    if group.gone:
        del groups[group_id]
