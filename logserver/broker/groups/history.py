"""Why a group rebalanced, through whom: the last lines of it, for as long as the process lives.

A member id says little to people, and one that has left cannot be asked about any more. So a line
keeps the member's client id and host as they were when it was written, or, of a member that has
gone in this very step, as an earlier line has them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.consumer_group import ConsumerGroup

if TYPE_CHECKING:
    from logserver.broker.groups.effects import Group, Note

# Lines kept for each group: some hours of a fleet that redeploys, 300 bytes each.
HISTORY_LINES_MAX = 50


class Rebalance(NamedTuple):
    """One line. `generation` is that of the group as it began (of a KIP-848 group the epoch);
    `client_id` and `client_host` are empty where nobody knows them any more."""

    time_ms: int
    reason: str
    member_id: str
    client_id: str
    client_host: str
    generation: int


class History:
    """The lines of one group, and how many there were since the start."""

    __slots__ = ("count", "lines")

    def __init__(self) -> None:
        self.lines: deque[Rebalance] = deque(maxlen=HISTORY_LINES_MAX)
        self.count = 0

    def add(self, group: Group, note: Note, wall_ms: int) -> None:
        """Write down what a step of the group has noted."""
        member_id = note.member_id
        client_id, client_host = _client(group, member_id) or self._remembered(member_id)
        self.lines.append(
            Rebalance(wall_ms, note.reason, member_id, client_id, client_host, note.generation)
        )
        self.count += 1

    def _remembered(self, member_id: str) -> tuple[str, str]:
        lines = (line for line in reversed(self.lines) if line.member_id == member_id)
        return next(((line.client_id, line.client_host) for line in lines), ("", ""))


def _client(group: Group, member_id: str) -> tuple[str, str] | None:
    """Client id and host of a member that is in the group now."""
    if isinstance(group, ConsumerGroup):
        consumer = group.state.members.get(member_id)
        return None if consumer is None else (consumer.client_id, consumer.client_host)
    if isinstance(group, ClassicGroup):
        classic = group.roster.members.get(member_id)
        return None if classic is None else (classic.client_id, classic.client_host)
    return None
