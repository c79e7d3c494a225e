"""The machine of a consumer group: the server assigns, each member converges alone (KIP-848).

    Empty         no members
    Assigning     members or topics changed: the group epoch is ahead of the assignment epoch
    Reconciling   some member is not at the assignment epoch, or has not got or given up everything
    Stable        everybody has what it is meant to have

Three epochs tell how far everybody is: the group's (what is wanted), the assignment's (what was
decided), each member's (what it does). Nothing waits for everybody: a slow member delays only those
who wait for its partitions.

The parts: `consumer_state` what is kept, `consumer_heartbeat` and `consumer_classic` the requests
of both protocols, `reconciliation` the way of one member, `uniform` and `assignors` the
assignments, `migration` the way to and from classic groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from logserver.broker.groups import classic_events, consumer_classic
from logserver.broker.groups.cluster import NO_CLUSTER, Cluster
from logserver.broker.groups.consumer_deadlines import MemberDeadlines
from logserver.broker.groups.consumer_heartbeat import ConsumerHeartbeat, heartbeat
from logserver.broker.groups.consumer_leave import fence
from logserver.broker.groups.consumer_member import STABLE, UNREVOKED_PARTITIONS, Member
from logserver.broker.groups.consumer_regex import RegexSearch, advance_search
from logserver.broker.groups.consumer_state import ConsumerState
from logserver.broker.groups.consumer_step import Step
from logserver.broker.groups.effects import Effect, Now, Record, Tick, Unload, Wake
from logwire import errors
from logwire.messages.group_records import encode_key

if TYPE_CHECKING:
    from logserver.broker.groups.offset_store import Commit
    from logwire.messages import Message

# From this version on OffsetCommit carries a member epoch.
MEMBER_EPOCH_VERSION = 9


class ConsumerGroup:
    """One group, as its coordinator drives it (the protocol `effects.Group`).

    `cluster` is what it sees of the world, `seen_version` the one its epoch was made for;
    `assigned_uptime_ms` is when it last made an assignment. Neither outlives a restart.
    """

    __slots__ = (
        "_armed_ms",
        "assigned_uptime_ms",
        "cluster",
        "deadlines",
        "group_id",
        "regex_search",
        "seen_version",
        "state",
    )

    kind = "consumer"
    protocol_type = "consumer"

    def __init__(self, group_id: str, cluster: Cluster = NO_CLUSTER) -> None:
        self.group_id = group_id
        self.cluster = cluster
        self.state = ConsumerState()
        self.deadlines = MemberDeadlines()
        self.regex_search = RegexSearch()
        self.seen_version = -1
        self.assigned_uptime_ms: int | None = None
        self._armed_ms: int | None = None

    # Steps

    def step(self, event: Any, now: Now) -> list[Effect]:
        """Take an event of `consumer_heartbeat` or `classic_events`, or a `Tick`.

        Raises Refusal for a ConsumerHeartbeat that is refused: nothing has changed then.
        """
        step = Step(self, now)
        STEPS[type(event)](step, event)
        return self.finish(step)

    def resume(self, now: Now) -> list[Effect]:
        """Loaded: every member has a whole session, and a whole time to give up partitions."""
        step = Step(self, now)
        for member in self.state.members.values():
            session_ms = step.settings.session_timeout_ms
            if member.classic is not None:
                session_ms = member.classic.session_timeout_ms
            self.deadlines.sessions.set(member.member_id, now.uptime_ms + session_ms)
            if member.state == UNREVOKED_PARTITIONS and member.classic is None:
                due_ms = now.uptime_ms + member.rebalance_timeout_ms
                self.deadlines.rebalances.set(member.member_id, due_ms)
        return self.finish(step)

    def finish(self, step: Step) -> list[Effect]:
        """The effects of a step, the next wake-up included if it has changed."""
        effects = step.effects()
        if step.replaced:
            return effects  # the group in our place has asked for its own
        due = (self.deadlines.next_due_ms(), self.regex_search.next_slice_ms)
        due_ms = min((at_ms for at_ms in due if at_ms is not None), default=None)
        if due_ms != self._armed_ms:
            self._armed_ms = due_ms
            effects.append(Wake(due_ms))
        return effects

    def tick(self, step: Step) -> None:
        """Time has come for something: for all that is due."""
        self._armed_ms = None
        slice_ms = self.regex_search.next_slice_ms
        if slice_ms is not None and slice_ms <= step.now.uptime_ms and advance_search(step):
            step.refresh_epoch(True, "topics of a regular expression were found", "")
        late: dict[str, str] = {}
        while (missed := self.deadlines.expire(step.now.uptime_ms)) is not None:
            late.setdefault(*missed)
        if late:
            reason = next(iter(late.values()))
            fence(step, [self.state.members[member_id] for member_id in late], reason)

    def committed(self, _member_id: str, _now: Now) -> list[Effect]:
        """A commit is no heartbeat here."""
        return []

    # The log

    def apply(self, name: str, key: Message, value: Message | None) -> None:
        """Take one record of the log, as load finds it."""
        self.state.apply(name, key, value)

    def tombstones(self) -> list[Record]:
        """The records that delete the group."""
        keys = self.state.keys(self.group_id)
        return [(encode_key(name, key), None) for name, key in keys]

    # What others ask

    @property
    def gone(self) -> bool:
        """Its own record was deleted."""
        return self.state.gone

    @property
    def empty(self) -> bool:
        """It has no members."""
        return not self.state.members

    @property
    def state_name(self) -> str:
        """Its state, in Kafka's words; looks at every member."""
        state = self.state
        if not state.members:
            return "Empty"
        if state.epoch > state.assignment_epoch:
            return "Assigning"
        epoch = state.assignment_epoch
        settled = all(m.state == STABLE and m.member_epoch == epoch for m in state.members.values())
        return "Stable" if settled else "Reconciling"

    def subscribed(self, topic: str) -> bool:
        """Whether a member reads the topic."""
        state = self.state
        return topic in state.names or any(topic in r.topics for r in state.resolved.values())

    def expiry_start_ms(self, commit_ms: int) -> int | None:
        """The retention of an offset runs from its commit."""
        return commit_ms

    def check_offset_delete(self) -> int:
        """Offsets of topics that nobody reads may be deleted at any time."""
        return errors.NONE

    def check_commit(
        self,
        member_id: str,
        _instance_id: str | None,
        generation: int,
        api_version: int,
        commits: Sequence[Commit],
    ) -> int:
        """Whether the member may commit for these partitions, in this epoch or an older one.

        An older epoch will do for a partition that has been the member's ever since (KIP-1251).
        """
        if generation < 0 and self.empty:
            return errors.NONE  # from outside of the group
        member = self.state.members.get(member_id)
        if member is None:
            return errors.UNKNOWN_MEMBER_ID
        if member.classic is None and api_version < MEMBER_EPOCH_VERSION:
            return errors.UNSUPPORTED_VERSION
        if generation == member.member_epoch:
            return errors.NONE
        if generation < member.member_epoch:
            owned = (self._assignment_epoch(member, topic, index) for topic, index, _ in commits)
            if all(epoch is not None and generation >= epoch for epoch in owned):
                return errors.NONE
        return _stale(member)

    def _assignment_epoch(self, member: Member, topic: str, index: int) -> int | None:
        topic_id = self.cluster.topic_id(topic) or b""
        epoch = member.assigned.get(topic_id, {}).get(index)
        return member.revoking.get(topic_id, {}).get(index) if epoch is None else epoch

    def check_fetch(self, member_id: str | None, member_epoch: int) -> int:
        """Whether the member may read offsets; who names no member may."""
        if member_id is None and member_epoch < 0:
            return errors.NONE
        member = self.state.members.get(member_id or "")
        if member is None:
            return errors.UNKNOWN_MEMBER_ID
        return errors.NONE if member_epoch == member.member_epoch else _stale(member)


def _stale(member: Member) -> int:
    """An epoch that is not the member's, in the words of its protocol."""
    return errors.STALE_MEMBER_EPOCH if member.classic is None else errors.ILLEGAL_GENERATION


def _tick(step: Step, _event: Tick) -> None:
    step.group.tick(step)


def _unload(step: Step, _event: Unload) -> None:
    """Nobody waits in a consumer group; its deadlines are another coordinator's from now on."""
    step.group.deadlines = MemberDeadlines()
    step.group.regex_search = RegexSearch()


STEPS: dict[type, Callable[[Step, Any], None]] = {
    ConsumerHeartbeat: heartbeat,
    classic_events.Join: consumer_classic.join,
    classic_events.Sync: consumer_classic.sync,
    classic_events.Heartbeat: consumer_classic.heartbeat,
    classic_events.Leave: consumer_classic.leave,
    Tick: _tick,
    Unload: _unload,
}
