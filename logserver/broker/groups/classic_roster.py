"""The members of a classic group: who is in it, who waits, who leads, what they can agree on.

Counts are kept as members come and go, so that no question about a group of ten thousand asks each
of them; only what concerns every member anyway (a vote, a new generation) walks through all.

A *pending* member (KIP-394) has been given an id and has not joined with it: it counts for nobody
but the rebalance, which waits for it. A *static* member (KIP-345) is known by its instance id and
keeps its place, and its assignment, when it comes back under a new member id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logserver.broker.groups.classic_events import Join, Protocols
    from logserver.broker.peer import Deferred


# What a member, and each protocol it offers, takes beside its texts: objects, deadlines, entries.
MEMBER_BYTES = 500
PROTOCOL_BYTES = 100


class ParkedJoin(NamedTuple):
    """A JoinGroup that waits for the end of the rebalance."""

    deferred: Deferred
    api_version: int


class Member:
    """One member. `parked_join`, `parked_sync`: its request that waits for an answer.

    `is_new`: it has never heard of its id, so it cannot send heartbeats while it waits.
    """

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "instance_id",
        "is_new",
        "member_id",
        "parked_join",
        "parked_sync",
        "protocols",
        "rebalance_timeout_ms",
        "session_timeout_ms",
    )

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        client_id: str,
        client_host: str,
        session_timeout_ms: int,
        rebalance_timeout_ms: int,
        protocols: Protocols,
        assignment: bytes = b"",
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client_id = client_id
        self.client_host = client_host
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.protocols = protocols
        self.assignment = assignment
        self.is_new = False
        self.parked_join: ParkedJoin | None = None
        self.parked_sync: Deferred | None = None

    @property
    def waits(self) -> bool:
        """Whether it has a request here that is not answered yet."""
        return self.parked_join is not None or self.parked_sync is not None

    def offers(self, protocols: Protocols) -> bool:
        """Whether it joined with exactly these protocols, in this order."""
        return list(self.protocols.items()) == list(protocols.items())

    def size_bytes(self) -> int:
        """What it takes in memory, roughly."""
        return size_bytes(self.member_id, self.instance_id, self.protocols)


def size_bytes(member_id: str, instance_id: str | None, protocols: Protocols) -> int:
    """What such a member takes in memory, roughly."""
    offered = sum(len(name) + len(data) + PROTOCOL_BYTES for name, data in protocols.items())
    return MEMBER_BYTES + len(member_id) + len(instance_id or "") + offered


class Roster:
    """All members of a group, by member id; `leader_id` is None exactly when nobody ever joined."""

    __slots__ = (
        "_protocol_counts",
        "_static",
        "joining_count",
        "leader_id",
        "members",
        "pending",
        "size_bytes",
    )

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.pending: set[str] = set()
        self.leader_id: str | None = None
        self.joining_count = 0  # members with a parked join
        self.size_bytes = 0
        self._static: dict[str, str] = {}
        self._protocol_counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self.members

    def __getitem__(self, member_id: str) -> Member:
        return self.members[member_id]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    @property
    def static_count(self) -> int:
        return len(self._static)

    def static_member_id(self, instance_id: str) -> str | None:
        """The member id under which an instance is known now."""
        return self._static.get(instance_id)

    # Coming and going

    def add(self, member: Member) -> None:
        """A member joins; the first one leads."""
        self.members[member.member_id] = member
        self.pending.discard(member.member_id)
        if member.instance_id is not None:
            self._static[member.instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self._count(member, 1)

    def remove(self, member_id: str) -> Member | None:
        """A member, or a pending one, goes; another leads if it did. Its requests stay parked."""
        self.pending.discard(member_id)
        member = self.members.pop(member_id, None)
        if member is None:
            return None
        self._count(member, -1)
        self.joining_count -= member.parked_join is not None
        if member.instance_id is not None:
            del self._static[member.instance_id]
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        return member

    def rename(self, member: Member, new_member_id: str) -> None:
        """A static member has come back: same place, same assignment, leader if it was."""
        assert member.instance_id is not None
        assert member.parked_join is None
        self._count(member, -1)
        del self.members[member.member_id]
        if self.leader_id == member.member_id:
            self.leader_id = new_member_id
        self._static[member.instance_id] = new_member_id
        member.member_id = new_member_id
        self.members[new_member_id] = member
        self._count(member, 1)

    def update(self, member: Member, join: Join) -> None:
        """A member joins again with what it can do now."""
        self._count(member, -1)
        member.protocols = join.protocols
        member.session_timeout_ms = join.session_timeout_ms
        member.rebalance_timeout_ms = join.rebalance_timeout_ms
        self._count(member, 1)

    def _count(self, member: Member, sign: int) -> None:
        counts = self._protocol_counts
        for name in member.protocols:
            count = counts.get(name, 0) + sign
            if count:
                counts[name] = count
            else:
                del counts[name]
        self.size_bytes += sign * member.size_bytes()

    # Waiting

    def park_join(self, member: Member, parked: ParkedJoin | None) -> ParkedJoin | None:
        """Hold (or let go of, with None) a member's join; returns the one held so far."""
        before, member.parked_join = member.parked_join, parked
        self.joining_count += (parked is not None) - (before is not None)
        return before

    @property
    def all_joined(self) -> bool:
        """Every member waits in a join, and nobody is pending."""
        return self.joining_count == len(self.members) and not self.pending

    # Agreeing

    def supports(self, protocols: Protocols) -> bool:
        """Whether one of these protocols is offered by every member there is."""
        counts, all_count = self._protocol_counts, len(self.members)
        return any(counts.get(name, 0) == all_count for name in protocols)

    def select_protocol(self) -> str:
        """The protocol most members like best among those that all offer; ties: first voted for."""
        everyone = len(self.members)
        candidates = {name for name, count in self._protocol_counts.items() if count == everyone}
        votes: dict[str, int] = {}
        for member in self.members.values():
            vote = next(name for name in member.protocols if name in candidates)
            votes[vote] = votes.get(vote, 0) + 1
        return max(votes, key=votes.__getitem__)

    def elect_leader(self) -> bool:
        """Keep the leader if it has joined, else take one who has; False: nobody has."""
        leader = self.members.get(self.leader_id) if self.leader_id is not None else None
        if leader is not None and leader.parked_join is not None:
            return True
        joined = (member for member in self.members.values() if member.parked_join is not None)
        member = next(joined, None)
        if member is None:
            return False
        self.leader_id = member.member_id
        return True

    def rebalance_timeout_ms(self) -> int:
        """How long a rebalance waits: as long as the most patient member allows."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)
