"""The deadlines of a consumer group's members: four kinds, and the nearest of all.

    sessions    no heartbeat for so long: the member is taken for dead
    rebalances  it was told to give up partitions and has not said that it did
    joins       a member of the classic protocol was told to join again and has not
    syncs       it has joined and has not asked for its assignment

All in ms of `Now.uptime_ms`. None outlives a restart: sessions and rebalances begin anew then.
"""

from __future__ import annotations

from logserver.broker.groups.deadlines import Deadlines


class MemberDeadlines:
    """Deadlines by member id, one set for each kind."""

    __slots__ = ("joins", "rebalances", "sessions", "syncs")

    def __init__(self) -> None:
        self.sessions = Deadlines()
        self.rebalances = Deadlines()
        self.joins = Deadlines()
        self.syncs = Deadlines()

    def _kinds(self) -> tuple[tuple[str, Deadlines], ...]:
        return (
            ("the session of a member has run out", self.sessions),
            ("a member did not give up partitions in time", self.rebalances),
            ("a classic member did not join in time", self.joins),
            ("a classic member did not sync in time", self.syncs),
        )

    def drop(self, member_id: str) -> None:
        """The member has no deadlines any more."""
        for _, deadlines in self._kinds():
            deadlines.drop(member_id)

    def next_due_ms(self) -> int | None:
        """When to look again; None: nothing is due."""
        due = (deadlines.next_due_ms() for _, deadlines in self._kinds())
        return min((due_ms for due_ms in due if due_ms is not None), default=None)

    def expire(self, uptime_ms: int) -> tuple[str, str] | None:
        """Take the next deadline that has come: who missed it, and what it means."""
        for reason, deadlines in self._kinds():
            member_id = deadlines.expire(uptime_ms)
            if member_id is not None:
                return member_id, reason
        return None
