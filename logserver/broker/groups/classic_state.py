"""What a classic group is: its state, its members, its deadlines; and the questions others ask.

How it changes stands in the modules above this one, each of which teaches its part:

    classic_group       the machine: which event does what; heartbeats, leaving, time
    classic_join        who comes, and who comes again
    classic_rebalance   from one generation to the next

Times are `Now.uptime_ms`, but for `state_since_ms`. All deadlines stand here, and one `Wake` effect
stands for the nearest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from logserver.broker.groups import classic_records as records
from logserver.broker.groups.classic_answers import join_refused
from logserver.broker.groups.classic_roster import Roster
from logserver.broker.groups.deadlines import Deadlines
from logserver.broker.groups.effects import Answer, Effect, Now, Persist, Record, Wake
from logwire import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logserver.broker.groups.classic_roster import Member
    from logserver.broker.groups.offset_store import Commit
    from logserver.broker.peer import Deferred
    from logwire.messages import Message

EMPTY = "Empty"
PREPARING = "PreparingRebalance"
COMPLETING = "CompletingRebalance"
STABLE = "Stable"
DEAD = "Dead"

CONSUMER = "consumer"


class Limits(NamedTuple):
    """What the broker's configuration says about classic groups; the reasons stand there."""

    initial_rebalance_delay_ms: int = 3000
    size_max: int = 2**31 - 1
    pending_count_max: int = 50_000
    metadata_bytes_max: int = 64 * 1024 * 1024


class InitialDelay(NamedTuple):
    """The wait of an empty group for more members: this turn of it, and what may still follow."""

    delay_ms: int
    remaining_ms: int


class ClassicState:
    """One group. Changed by the modules above; everything here only looks, answers, or loads.

    `limits` are set by whoever creates the group or hands it a join. `unsynced` are the members of
    this generation that have not asked for their assignment. `state_since_ms` is wall clock, -1
    where an old record did not say.
    """

    __slots__ = (
        "_armed_ms",
        "_subscribed",
        "effects",
        "generation",
        "gone",
        "group_id",
        "initial_delay",
        "join_due_ms",
        "limits",
        "member_added",
        "now",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "roster",
        "sessions",
        "state",
        "state_since_ms",
        "sync_due_ms",
        "unsynced",
    )

    kind = "classic"

    def __init__(self, group_id: str, limits: Limits | None = None) -> None:
        self.group_id = group_id
        self.limits = limits or Limits()
        self.state = self.previous_state = EMPTY
        self.state_since_ms = -1
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.generation = 0
        self.gone = False
        self.roster = Roster()
        self.unsynced: set[str] = set()
        self.member_added = False
        self.initial_delay: InitialDelay | None = None
        self.sessions = Deadlines()
        self.join_due_ms: int | None = None
        self.sync_due_ms: int | None = None
        self.effects: list[Effect] = []
        self.now = Now(0, 0)
        self._armed_ms: int | None = None
        self._subscribed: frozenset[str] | None = None

    # What others ask

    @property
    def state_name(self) -> str:
        """The state as tools show it."""
        return self.state

    @property
    def empty(self) -> bool:
        """Nobody is in it, and no rebalance is under way that somebody could come out of."""
        return self.state == EMPTY

    def check_member(
        self, member_id: str, instance_id: str | None, generation: int | None = None
    ) -> int:
        """Whether this is a member, by the instance id if it has one, of this generation."""
        if self.state == DEAD:
            return errors.COORDINATOR_NOT_AVAILABLE
        if instance_id is not None:
            known = self.roster.static_member_id(instance_id)
            if known is not None and known != member_id:
                return errors.FENCED_INSTANCE_ID
            if known is None:
                return errors.UNKNOWN_MEMBER_ID
        if member_id not in self.roster:
            return errors.UNKNOWN_MEMBER_ID
        if generation is not None and generation != self.generation:
            return errors.ILLEGAL_GENERATION
        return errors.NONE

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        _api_version: int,
        _commits: Sequence[Commit],
    ) -> int:
        """Whether a commit is taken; a negative generation: from outside of the group."""
        if generation < 0 and self.state == EMPTY:
            return errors.NONE
        code = self.check_member(member_id, instance_id, generation)
        if code == errors.NONE and self.state == COMPLETING:
            return errors.REBALANCE_IN_PROGRESS
        return code

    def check_fetch(self, _member_id: str | None, _member_epoch: int) -> int:
        """Anybody may read the offsets of a classic group."""
        return errors.GROUP_ID_NOT_FOUND if self.state == DEAD else errors.NONE

    def check_offset_delete(self) -> int:
        """Whether offsets may be deleted: who is no consumer does not say what it reads."""
        if self.state == DEAD:
            return errors.GROUP_ID_NOT_FOUND
        if self.state == EMPTY or self.protocol_type == CONSUMER:
            return errors.NONE
        return errors.NON_EMPTY_GROUP

    def subscribed(self, topic: str) -> bool:
        """Whether a consumer reads the topic; yes, where consumers do not say it in Kafka's way."""
        if self.protocol_type != CONSUMER:
            return False
        topics = self._subscribed_topics()
        return topics is None or topic in topics

    def expiry_start_ms(self, commit_ms: int) -> int | None:
        """The retention of offsets runs from the leaving of the last member, or from the commit."""
        if self.protocol_type is None:
            return commit_ms  # nobody ever joined: it only stores offsets
        if self.state == EMPTY:
            return commit_ms if self.state_since_ms < 0 else self.state_since_ms
        told = self.protocol_type == CONSUMER and self._subscribed_topics() is not None
        return commit_ms if self.state == STABLE and told else None

    def _subscribed_topics(self) -> frozenset[str] | None:
        if self._subscribed is None:
            self._subscribed = records.subscribed_topics(self.protocol_name, self.roster)
        return self._subscribed

    # The log

    def tombstones(self) -> list[Record]:
        """The record that deletes the group."""
        return [records.tombstone(self.group_id)]

    def apply(self, _name: str, _key: Message, value: Message | None) -> None:
        """Become what a GroupMetadata record says."""
        if value is None:
            self.gone = True
            return
        self.roster = records.roster_of(value)
        self.state = STABLE if len(self.roster) else EMPTY
        self.generation = value["generation"]
        self.protocol_type = value["protocol_type"] or None
        self.protocol_name = value["protocol"]
        self.state_since_ms = value["current_state_timestamp"]
        self._subscribed = None

    def record(self) -> Record:
        """The record that says what the group is now; between generations there is none to say."""
        assert self.state in (EMPTY, STABLE)
        return records.record_of(self)

    def persist(self) -> None:
        """Write down what the group is now."""
        self.effects.append(Persist([self.record()]))

    # Pieces of a step

    def transition(self, state: str) -> None:
        """Enter a state; whoever calls knows that it may follow the present one."""
        self.previous_state, self.state = self.state, state
        self.state_since_ms = self.now.wall_ms
        self._subscribed = None

    def renew_session(self, member: Member) -> None:
        """The member has shown that it lives."""
        self.sessions.set(member.member_id, self.now.uptime_ms + member.session_timeout_ms)

    def answer(self, deferred: Deferred, response: Message) -> None:
        """Answer a request, in this step."""
        self.effects.append(Answer(deferred, response))

    def refuse_parked(self, member: Member, code: int, member_id: str) -> None:
        """Answer what a member has parked; `member_id` is what the answer to its join tells."""
        parked = self.roster.park_join(member, None)
        if parked is not None:
            self.answer(parked.deferred, join_refused(parked.api_version, member_id, code))
        deferred, member.parked_sync = member.parked_sync, None
        if deferred is not None:
            self.answer(deferred, {"error_code": code})

    def remove(self, member_id: str, code: int = errors.UNKNOWN_MEMBER_ID) -> None:
        """Take out a member, or a pending one; what it has parked is answered with `code`."""
        member = self.roster.members.get(member_id)
        if member is not None:
            self.refuse_parked(member, code, "")
        self.roster.remove(member_id)
        self.sessions.drop(member_id)
        self.unsynced.discard(member_id)

    def woken(self) -> None:
        """The `Wake` asked for has come; the next one is not asked for yet."""
        self._armed_ms = None

    def take_effects(self) -> list[Effect]:
        """What the step has left to do, the next wake-up included if it has changed."""
        due_ms = self.sessions.next_due_ms()
        for other_ms in (self.join_due_ms, self.sync_due_ms):
            if other_ms is not None and (due_ms is None or other_ms < due_ms):
                due_ms = other_ms
        if due_ms != self._armed_ms:
            self._armed_ms = due_ms
            self.effects.append(Wake(due_ms))
        effects, self.effects = self.effects, []
        return effects
