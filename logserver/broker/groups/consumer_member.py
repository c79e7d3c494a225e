"""A member of a consumer group: who it is, what it wants, and how far it has come.

    STABLE                 it has what it was meant to have at its epoch
    UNREVOKED_PARTITIONS   it was told to give partitions up and has not confirmed it
    UNRELEASED_PARTITIONS  it waits for partitions that another member has not given up yet

A member is a value: a step makes a new one. Two records of `__consumer_offsets` hold it:
ConsumerGroupMemberMetadata what it said of itself, ConsumerGroupCurrentMemberAssignment its epochs
and partitions. The functions below translate both ways.

A partition carries the epoch at which it was assigned to the member. A commit that was sent in an
older epoch is still good for a partition that was the member's then and ever since (KIP-1251).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from logwire.messages import Message

STABLE, UNREVOKED_PARTITIONS, UNRELEASED_PARTITIONS = 0, 1, 2
STATES = (STABLE, UNREVOKED_PARTITIONS, UNRELEASED_PARTITIONS)
UNKNOWN_STATE = 127

JOIN_EPOCH = 0
LEAVE_EPOCH = -1
LEAVE_STATIC_EPOCH = -2  # the static member will come back: its partitions wait for it

# What a member, and each name or protocol it says, takes beside its texts: objects, entries.
MEMBER_BYTES = 1000
NAME_BYTES = 100

Owned = Mapping[bytes, Mapping[int, int]]
"""Topic id -> partition -> epoch of its assignment; no topic without partitions."""

NONE_OWNED: Owned = {}


class ClassicMetadata(NamedTuple):
    """What a member that speaks the classic protocol said in its JoinGroup; best protocol first."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


class Member(NamedTuple):
    """`assigned` is what it may read, `revoking` what it may own until it says otherwise."""

    member_id: str
    member_epoch: int = JOIN_EPOCH
    previous_epoch: int = -1
    state: int = STABLE
    assigned: Owned = NONE_OWNED
    revoking: Owned = NONE_OWNED
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topic_names: frozenset[str] = frozenset()
    topic_regex: str = ""
    rebalance_timeout_ms: int = -1
    assignor: str | None = None
    classic: ClassicMetadata | None = None

    def advance(self, epoch: int, state: int, assigned: Owned, revoking: Owned) -> Member:
        """The member in its next state; what was its epoch is its previous one."""
        return self._replace(
            member_epoch=epoch,
            previous_epoch=self.member_epoch,
            state=state,
            assigned=assigned,
            revoking=revoking,
        )

    def size_bytes(self) -> int:
        """What it takes in memory, roughly, as far as the client decides it."""
        texts = (self.member_id, self.instance_id or "", self.rack_id or "", self.topic_regex)
        protocols = () if self.classic is None else self.classic.protocols
        said = [len(name) for name in self.topic_names]
        said += [len(name) + len(metadata) for name, metadata in protocols]
        return MEMBER_BYTES + sum(map(len, texts)) + sum(said) + NAME_BYTES * len(said)

    def owns_only(self, owned: Iterable[Message] | None) -> bool:
        """Whether all that a request says the member owns (None: it does not say) is assigned."""
        return owned is not None and all(
            partition in self.assigned.get(bytes(topic["topic_id"]), ())
            for topic in owned
            for partition in topic["partitions"]
        )


def without_epochs(owned: Owned) -> dict[bytes, frozenset[int]]:
    """The partitions alone."""
    return {topic_id: frozenset(partitions) for topic_id, partitions in owned.items()}


def with_epoch(partitions: Mapping[bytes, Iterable[int]], epoch: int) -> Owned:
    """The same epoch for all partitions."""
    return {topic_id: dict.fromkeys(numbers, epoch) for topic_id, numbers in partitions.items()}


def union(one: Owned, other: Owned) -> Owned:
    """The partitions of both."""
    return {t: {**one.get(t, {}), **other.get(t, {})} for t in dict.fromkeys((*one, *other))}


def metadata_fields(member: Member) -> Message:
    """The value of its ConsumerGroupMemberMetadata record."""
    classic = member.classic
    return {
        "instance_id": member.instance_id,
        "rack_id": member.rack_id,
        "client_id": member.client_id,
        "client_host": member.client_host,
        "subscribed_topic_names": sorted(member.topic_names),
        "subscribed_topic_regex": member.topic_regex,
        "rebalance_timeout_ms": member.rebalance_timeout_ms,
        "server_assignor": member.assignor,
        "classic_member_metadata": None
        if classic is None
        else {
            "session_timeout_ms": classic.session_timeout_ms,
            "supported_protocols": [
                {"name": name, "metadata": metadata} for name, metadata in classic.protocols
            ],
        },
    }


def with_metadata(member: Member, value: Message) -> Member:
    """The member with what a ConsumerGroupMemberMetadata record says of it."""
    classic = value["classic_member_metadata"]
    return member._replace(
        instance_id=value["instance_id"],
        rack_id=value["rack_id"],
        client_id=value["client_id"],
        client_host=value["client_host"],
        topic_names=frozenset(value["subscribed_topic_names"]),
        topic_regex=value["subscribed_topic_regex"] or "",
        rebalance_timeout_ms=value["rebalance_timeout_ms"],
        assignor=value["server_assignor"],
        classic=None
        if classic is None
        else ClassicMetadata(
            classic["session_timeout_ms"],
            tuple((row["name"], bytes(row["metadata"])) for row in classic["supported_protocols"]),
        ),
    )


def assignment_fields(member: Member) -> Message:
    """The value of its ConsumerGroupCurrentMemberAssignment record."""
    return {
        "member_epoch": member.member_epoch,
        "previous_member_epoch": member.previous_epoch,
        "state": member.state,
        "assigned_partitions": _rows(member.assigned),
        "partitions_pending_revocation": _rows(member.revoking),
    }


def with_assignment(member: Member, value: Message) -> Member:
    """The member with what a ConsumerGroupCurrentMemberAssignment record says of it."""
    epoch = value["member_epoch"]
    return member._replace(
        member_epoch=epoch,
        previous_epoch=value["previous_member_epoch"],
        state=value["state"] if value["state"] in STATES else UNKNOWN_STATE,
        assigned=_owned(value["assigned_partitions"], epoch),
        revoking=_owned(value["partitions_pending_revocation"], epoch),
    )


def _rows(owned: Owned) -> list[Message]:
    return [
        {
            "topic_id": topic_id,
            "partitions": sorted(partitions),
            "assignment_epochs": [partitions[number] for number in sorted(partitions)],
        }
        for topic_id, partitions in owned.items()
    ]


def _owned(rows: list[Message], member_epoch: int) -> Owned:
    owned: dict[bytes, Mapping[int, int]] = {}
    for row in rows:
        numbers, epochs = row["partitions"], row["assignment_epochs"]
        if epochs is None or len(epochs) != len(numbers):
            # Written before Kafka 4.3: the member's own epoch is what is known.
            epochs = [max(member_epoch, 0)] * len(numbers)
        owned[bytes(row["topic_id"])] = dict(zip(numbers, epochs, strict=True))
    return owned
