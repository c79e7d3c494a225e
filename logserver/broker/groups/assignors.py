"""Who should read what: the server-side assignors of KIP-848, `uniform` and `range`.

An assignor is a function of a `GroupSpec` to the target assignment. It sees the members, what they
subscribe to and what they were meant to own until now, and nothing of what they own at this moment:
how the members get from here to there is `reconciliation`'s business.

    uniform   every member gets the same number of partitions, give or take one, and keeps what it
              was meant to own before (`uniform`)
    range     topic by topic, consecutive partitions to members in the order of their names: members
              that read several topics get the same partition numbers of each. Not sticky

Kafka's classes: UniformAssignor and RangeAssignor of the group coordinator; `group.consumer.
assignors` says which are offered, the first one of it being the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

Assignment = Mapping[bytes, frozenset[int]]
"""Topic id (16 bytes) -> partitions; no topic without partitions."""

NOTHING: Assignment = {}


class MemberSpec(NamedTuple):
    """One member: the ids of existing topics it subscribes to, and its target until now."""

    instance_id: str | None
    topic_ids: AbstractSet[bytes]
    target: Assignment


class GroupSpec(NamedTuple):
    """All members by id; `partition_counts` of every topic that one of them subscribes to.

    `alike`: all members subscribe to the same topics, which makes the work a lot easier.
    """

    members: Mapping[str, MemberSpec]
    partition_counts: Mapping[bytes, int]
    alike: bool


Assignor = Callable[[GroupSpec], dict[str, Assignment]]


def assign_range(spec: GroupSpec) -> dict[str, Assignment]:
    """Consecutive partitions of each topic to its subscribers, static members first, by name."""
    order = sorted(spec.members, key=lambda member_id: _name(member_id, spec.members[member_id]))
    shares: dict[str, dict[bytes, frozenset[int]]] = {member_id: {} for member_id in order}
    for topic_id, count in spec.partition_counts.items():
        readers = [name for name in order if topic_id in spec.members[name].topic_ids]
        if not readers:
            continue
        quota, extra = divmod(count, len(readers))
        start = 0
        for position, member_id in enumerate(readers):
            end = start + quota + (position < extra)
            if start < end:
                shares[member_id][topic_id] = frozenset(range(start, end))
            start = end
    return dict(shares)


def _name(member_id: str, member: MemberSpec) -> tuple[bool, str]:
    # A static member keeps its place through restarts: its instance id is its name.
    if member.instance_id is not None:
        return False, member.instance_id
    return True, member_id
