"""What a group asks of its coordinator: the vocabulary between pure machines and the log.

A group is a machine without broker, clock or randomness:

    effects = group.step(event, now)        it has changed itself and says what follows from that
    coordinator.perform(group, effects, now)

    group.apply(name, key, value)           one record of `__consumer_offsets`, at load

The order of effects does not matter: the records of all `Persist` of one step are one batch (whole
or absent after any crash), and no `Answer` of the step leaves before that batch is durable.

Property: what `apply` makes of the records of all steps equals what the steps made of the group,
as far as it is kept over a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from logwire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logserver.broker.groups.offset_store import Commit
    from logserver.broker.peer import Deferred

Record = tuple[bytes, bytes | None]
"""Encoded key and value of one record of `__consumer_offsets`; None deletes (a tombstone)."""


class Now(NamedTuple):
    """Two clocks: `uptime_ms` never jumps and measures, `wall_ms` may jump and only stamps."""

    uptime_ms: int
    wall_ms: int


class Tick(NamedTuple):
    """The event of time itself: what `Wake` asked for has come."""


class Unload(NamedTuple):
    """The event that this broker looks after the group no more: who waits is sent away."""


class Answer(NamedTuple):
    """Complete a deferred request; at the latest when the records of this step are durable."""

    deferred: Deferred
    response: Message


class Persist(NamedTuple):
    """Records that must be in the log before anything of this step is told."""

    records: list[Record]


class Wake(NamedTuple):
    """Step the group with `Tick` at this uptime. The newest counts; None calls it off."""

    due_uptime_ms: int | None


class Replace(NamedTuple):
    """Another machine has the group's id from now on: it is new, or changes its kind."""

    group: Group


class Note(NamedTuple):
    """A line of the group's history: why it rebalanced, through whom, into which generation."""

    reason: str
    member_id: str
    generation: int


Effect = Answer | Persist | Wake | Replace | Note


class Group(Protocol):
    """What coordinator and offsets need of a group of any kind.

    Error codes are numbers of `logwire.errors`, 0 for none.
    """

    group_id: str

    @property
    def kind(self) -> str:
        """The type that ListGroups tells: "classic" or "consumer"."""

    @property
    def state_name(self) -> str:
        """The state that ListGroups tells, in Kafka's words."""

    @property
    def protocol_type(self) -> str | None:
        """What its members have in common: "consumer", "connect"; None where nobody ever was."""

    def step(self, event: Any, now: Now) -> list[Effect]:
        """Take an event; returns what follows from it."""

    def apply(self, name: str, key: Message, value: Message | None) -> None:
        """Take one record of the log, as load finds it; None is a tombstone."""

    def resume(self, now: Now) -> list[Effect]:
        """Everything was applied and the group is served from now on: sessions begin anew."""

    @property
    def gone(self) -> bool:
        """The group's own record was deleted: it is dropped from the coordinator."""

    @property
    def empty(self) -> bool:
        """It has no members: it may be deleted, and dies once its last offset has expired."""

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        api_version: int,
        commits: Sequence[Commit],
    ) -> int:
        """Whether this member may commit; `generation` is the member epoch in KIP-848 groups."""

    def check_fetch(self, member_id: str | None, member_epoch: int) -> int:
        """Whether this member may read offsets (versions 9 and up tell who asks)."""

    def check_offset_delete(self) -> int:
        """Whether offsets may be deleted at all; those of subscribed topics never may."""

    def committed(self, member_id: str, now: Now) -> list[Effect]:
        """The member has committed: in classic groups that counts as a heartbeat."""

    def subscribed(self, topic: str) -> bool:
        """Whether a member reads this topic; its offsets are kept and cannot be deleted."""

    def expiry_start_ms(self, commit_ms: int) -> int | None:
        """From when on the retention of an offset committed then counts; None: not at all."""

    def tombstones(self) -> list[Record]:
        """The records that delete the group itself (offsets are not the group's)."""
