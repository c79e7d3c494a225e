"""What can happen to a group by the classic protocol (KIP-62): one tuple for each request.

`deferred` is where the answer goes; the machine hands it back in an `Answer` effect, exactly once,
now or later. Whatever is not the machine's to invent comes with the event: the id that a member
without one would get, the limits of the broker, who the client is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from logserver.broker.peer import Deferred

Protocols = dict[str, bytes]
"""Name -> metadata of the protocols (for consumers: assignors) a member can use, best first."""


class Join(NamedTuple):
    """JoinGroup. `member_id` is empty for a new member, which may then get `new_member_id`."""

    deferred: Deferred
    api_version: int
    member_id: str
    instance_id: str | None
    new_member_id: str
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    reason: str


class Sync(NamedTuple):
    """SyncGroup. Only the leader sends `assignments` (member id -> bytes)."""

    deferred: Deferred
    generation: int
    member_id: str
    instance_id: str | None
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


class Heartbeat(NamedTuple):
    """Heartbeat."""

    deferred: Deferred
    generation: int
    member_id: str
    instance_id: str | None


class Leaver(NamedTuple):
    """One member of a LeaveGroup; an administrator may name it by its instance id alone."""

    member_id: str
    instance_id: str | None
    reason: str


class Leave(NamedTuple):
    """LeaveGroup."""

    deferred: Deferred
    api_version: int
    leavers: list[Leaver]
