"""A classic group in the plainest words: the rules of Kafka's group coordinator, one after another.

It looks at every member at every step, keeps no counts and no heap, and knows nothing of messages:
each request is a number, and `answers` says what it was answered. Where the machine is clever the
model is slow; where they differ one of the two is wrong.

    join answered   (0, member id, generation, protocol, leader, members seen, skips assignment)
    refused         (code, member id)
    sync answered   (0, part)   refused (code,)      heartbeat (code,)     leave (codes)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from logserver.broker.groups.classic_join import NEW_MEMBER_JOIN_TIMEOUT_MS
from logserver.broker.groups.classic_state import Limits
from logwire import errors

Answer = tuple[Any, ...]


@dataclass
class ModelMember:
    """A member; `join` and `sync` are its requests that wait, `due_ms` the end of its session."""

    name: str
    instance: str | None
    protocols: list[tuple[str, bytes]]
    session_ms: int
    rebalance_ms: int
    due_ms: int | None
    new: bool = True
    join: int | None = None
    sync: int | None = None
    part: bytes = b""


@dataclass
class ModelJoin:
    """What a JoinGroup says."""

    token: int
    version: int
    name: str
    instance: str | None
    fresh_name: str
    session_ms: int
    rebalance_ms: int
    kind: str
    protocols: list[tuple[str, bytes]]


@dataclass
class ClassicModel:
    """The group."""

    limits: Limits
    state: str = "Empty"
    before: str = "Empty"
    generation: int = 0
    kind: str | None = None
    protocol: str | None = None
    leader: str | None = None
    members: list[ModelMember] = field(default_factory=list)
    pending: dict[str, int] = field(default_factory=dict)
    unsynced: set[str] = field(default_factory=set)
    join_due_ms: int | None = None
    sync_due_ms: int | None = None
    delay: tuple[int, int] | None = None
    newcomer: bool = False
    now_ms: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    saved: ClassicModel | None = None

    # Requests

    def join(self, ask: ModelJoin) -> None:
        """JoinGroup."""
        me = self.find(ask.name)
        if not self.has_room(me):
            self.drop(ask.name, errors.GROUP_MAX_SIZE_REACHED)
            self.answers[ask.token] = (errors.GROUP_MAX_SIZE_REACHED, "")
            self.end_if_all_came()
        elif not self.understands(ask):
            self.answers[ask.token] = (errors.INCONSISTENT_GROUP_PROTOCOL, ask.name)
        elif ask.name in self.pending:
            if ask.instance is not None:
                self.answers[ask.token] = (errors.UNKNOWN_SERVER_ERROR, ask.name)
            else:
                self.add(ask, ask.name)
        elif ask.name:
            code = self.stranger(ask.name, ask.instance)
            if code or me is None:
                self.answers[ask.token] = (code, ask.name)
            else:
                self.come_again(me, ask)
        elif ask.instance is not None:
            self.join_static(ask)
        elif ask.version >= 4:
            self.pending[ask.fresh_name] = self.now_ms + ask.session_ms
            self.answers[ask.token] = (errors.MEMBER_ID_REQUIRED, ask.fresh_name)
        else:
            self.add(ask, ask.fresh_name)

    def come_again(self, me: ModelMember, ask: ModelJoin) -> None:
        """A member joins again: only news begin a rebalance, or the leader of a stable group."""
        leads = me.name == self.leader
        same = me.protocols == ask.protocols
        quiet = self.state == "CompletingRebalance" or (self.state == "Stable" and not leads)
        if quiet and same:
            self.tell(me, ask.token, skips=False)
        else:
            self.take_words(me, ask)
            self.wait(me, ask.token)
            self.rebalance()

    def join_static(self, ask: ModelJoin) -> None:
        """A static member without an id takes the place of the one with its instance id."""
        me = next((one for one in self.members if one.instance == ask.instance), None)
        if me is None:
            self.add(ask, ask.fresh_name)
            return
        self.give_up(me, errors.FENCED_INSTANCE_ID, me.name)
        was_leader = self.leader
        if self.leader == me.name:
            self.leader = ask.fresh_name
        if me.name in self.unsynced:
            self.unsynced = (self.unsynced - {me.name}) | {ask.fresh_name}
        self.members.remove(me)
        self.members.append(me)
        me.name = ask.fresh_name
        self.take_words(me, ask)
        me.due_ms = self.now_ms + me.session_ms
        if self.state == "Stable" and self.vote() == self.protocol:
            self.save()
            if ask.version >= 9:
                self.tell(me, ask.token, skips=me.name == self.leader)
            else:
                told = (0, me.name, self.generation, self.protocol, was_leader, (), False)
                self.answers[ask.token] = told
        else:
            self.wait(me, ask.token)
            self.rebalance()

    def sync(self, token: int, name: str, generation: int, parts: dict[str, bytes]) -> None:
        """SyncGroup."""
        me = self.find(name)
        if me is None:
            self.answers[token] = (errors.UNKNOWN_MEMBER_ID,)
        elif generation != self.generation:
            self.answers[token] = (errors.ILLEGAL_GENERATION,)
        elif self.state == "PreparingRebalance":
            self.answers[token] = (errors.REBALANCE_IN_PROGRESS,)
        else:
            self.unsynced.discard(name)
            if not self.unsynced:
                self.sync_due_ms = None
            if self.state == "Stable":
                self.answers[token] = (0, me.part)
                return
            if me.sync is not None:
                self.answers[me.sync] = (errors.REBALANCE_IN_PROGRESS,)
            me.sync = token
            if name == self.leader:
                self.share_out(parts)

    def share_out(self, parts: dict[str, bytes]) -> None:
        """The leader's word."""
        self.state, self.before = "Stable", self.state
        for one in self.members:
            one.part = parts.get(one.name, b"")
            if one.sync is not None:
                self.answers[one.sync] = (0, one.part)
                one.sync = None
                one.due_ms = self.now_ms + one.session_ms
        self.save()

    def heartbeat(self, token: int, name: str, instance: str | None, generation: int) -> None:
        """Heartbeat."""
        code = self.stranger(name, instance)
        if not code and generation != self.generation:
            code = errors.ILLEGAL_GENERATION
        me = self.find(name)
        if not code and me is not None:
            me.due_ms = self.now_ms + me.session_ms
            if self.state == "PreparingRebalance":
                code = errors.REBALANCE_IN_PROGRESS
        self.answers[token] = (code,)

    def commit(self, name: str) -> None:
        """A commit that was taken counts as a heartbeat."""
        me = self.find(name)
        if me is not None and self.state in ("Stable", "PreparingRebalance"):
            me.due_ms = self.now_ms + me.session_ms

    def leave(self, token: int, leavers: list[tuple[str, str | None]]) -> None:
        """LeaveGroup."""
        codes = []
        for name, instance in leavers:
            if not name and instance is not None:
                found = [one.name for one in self.members if one.instance == instance]
                codes.append(errors.NONE if found else errors.UNKNOWN_MEMBER_ID)
                if found:
                    self.drop(found[0], errors.UNKNOWN_MEMBER_ID)
                continue
            code = errors.NONE if name in self.pending else self.stranger(name, instance)
            codes.append(code)
            if not code:
                self.drop(name, errors.UNKNOWN_MEMBER_ID)
        self.answers[token] = tuple(codes)
        if errors.NONE in codes and self.state != "Empty":
            self.rebalance()

    # Time

    def pass_time(self, until_ms: int) -> None:
        """Do what is due until then, in its order."""
        while True:
            dues = [self.join_due_ms, self.sync_due_ms, *self.pending.values()]
            dues += [one.due_ms for one in self.members]
            soonest_ms = min((due for due in dues if due is not None), default=None)
            if soonest_ms is None or soonest_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, soonest_ms)
            self.do_what_is_due()
        self.now_ms = until_ms

    def do_what_is_due(self) -> None:
        """The joining, the syncing, then sessions."""
        if self.join_due_ms is not None and self.join_due_ms <= self.now_ms:
            self.end_of_joining()
        if self.sync_due_ms is not None and self.sync_due_ms <= self.now_ms:
            self.sync_due_ms = None
            for name in sorted(self.unsynced):
                self.drop(name, errors.UNKNOWN_MEMBER_ID)
            self.begin()
        while True:
            sessions = [(due_ms, name) for name, due_ms in self.pending.items()]
            sessions += [(one.due_ms, one.name) for one in self.members if one.due_ms is not None]
            due = sorted(entry for entry in sessions if entry[0] <= self.now_ms)
            if not due:
                return
            self.end_of_session(due[0][1])

    def end_of_session(self, name: str) -> None:
        """A member that waits for the group is forgiven, unless it has never been answered."""
        me = self.find(name)
        if me is not None and not me.new and (me.join is not None or me.sync is not None):
            me.due_ms = None
            return
        self.drop(name, errors.UNKNOWN_MEMBER_ID)
        if self.state == "PreparingRebalance":
            if self.all_came():
                self.end()
        elif me is not None:
            self.begin()

    def end_of_joining(self) -> None:
        """A group that was empty waits again as long as somebody new has come."""
        if self.delay is not None and self.newcomer and self.delay[1] > 0:
            turn_ms, left_ms = self.delay
            self.newcomer = False
            next_ms = min(self.limits.initial_rebalance_delay_ms, left_ms)
            self.delay = (next_ms, max(left_ms - turn_ms, 0))
            self.join_due_ms = self.now_ms + next_ms
        else:
            self.end()

    # The rebalance

    def rebalance(self) -> None:
        """Something has changed."""
        if self.state == "PreparingRebalance":
            self.end_if_all_came()
        else:
            self.begin()

    def begin(self) -> None:
        """Everybody has to join."""
        if self.state == "CompletingRebalance":
            for one in self.members:
                one.part = b""
                if one.sync is not None:
                    self.answers[one.sync] = (errors.REBALANCE_IN_PROGRESS,)
                    one.sync = None
                    one.due_ms = self.now_ms + one.session_ms
        self.unsynced, self.sync_due_ms = set(), None
        self.state, self.before = "PreparingRebalance", self.state
        patience_ms = max((one.rebalance_ms for one in self.members), default=0)
        if self.before == "Empty":
            wait_ms = self.limits.initial_rebalance_delay_ms
            self.newcomer, self.delay = False, (wait_ms, max(patience_ms - wait_ms, 0))
            self.join_due_ms = self.now_ms + wait_ms
        elif self.all_came():
            self.end()
        else:
            self.join_due_ms = self.now_ms + patience_ms

    def end_if_all_came(self) -> None:
        """But an empty group's delay is never cut short."""
        if self.state == "PreparingRebalance" and self.before != "Empty" and self.all_came():
            self.end()

    def end(self) -> None:
        """The next generation."""
        self.join_due_ms = self.delay = None
        for one in list(self.members):
            if one.join is None and one.instance is None:
                self.drop(one.name, errors.UNKNOWN_MEMBER_ID)
        here = [one.name for one in self.members if one.join is not None]
        if self.members and not here:
            patience_ms = max(one.rebalance_ms for one in self.members)
            self.join_due_ms = self.now_ms + patience_ms
            return
        self.generation += 1
        self.before = self.state
        if not self.members:
            self.state, self.protocol = "Empty", None
            self.save()
            return
        if self.leader not in here:
            self.leader = here[0]
        self.state, self.protocol = "CompletingRebalance", self.vote()
        self.unsynced = {one.name for one in self.members}
        self.sync_due_ms = self.now_ms + max(one.rebalance_ms for one in self.members)
        for one in self.members:
            one.due_ms, one.new = self.now_ms + one.session_ms, False
            if one.join is not None:
                self.tell(one, one.join, skips=False)
                one.join = None

    # Words

    def find(self, name: str) -> ModelMember | None:
        """A member by its id."""
        return next((one for one in self.members if one.name == name), None)

    def stranger(self, name: str, instance: str | None) -> int:
        """Why this is no member, or NONE."""
        if instance is not None:
            owner = next((one.name for one in self.members if one.instance == instance), None)
            if owner is None:
                return errors.UNKNOWN_MEMBER_ID
            if owner != name:
                return errors.FENCED_INSTANCE_ID
        return errors.NONE if self.find(name) else errors.UNKNOWN_MEMBER_ID

    def has_room(self, me: ModelMember | None) -> bool:
        """Whether one more can be in, or this one again."""
        if self.state == "Empty":
            return True
        if self.state == "PreparingRebalance":
            came_count = sum(one.join is not None for one in self.members)
            return (me is not None and me.join is not None) or came_count < self.limits.size_max
        return me is not None or len(self.members) < self.limits.size_max

    def understands(self, ask: ModelJoin) -> bool:
        """Whether the group and the newcomer have a language in common."""
        if self.state == "Empty":
            return bool(ask.kind and ask.protocols)
        common = [
            name
            for name, _ in ask.protocols
            if all(name in [theirs for theirs, _ in one.protocols] for one in self.members)
        ]
        return ask.kind == self.kind and bool(common)

    def vote(self) -> str:
        """Each member votes for its best of those that all know; ties: voted for first."""
        votes = [
            next(
                name
                for name, _ in one.protocols
                if all(name in [theirs for theirs, _ in other.protocols] for other in self.members)
            )
            for one in self.members
        ]
        return max(dict.fromkeys(votes), key=votes.count)

    def all_came(self) -> bool:
        """Nobody is missing."""
        return not self.pending and all(one.join is not None for one in self.members)

    def add(self, ask: ModelJoin, name: str) -> None:
        """A new member."""
        if self.state == "PreparingRebalance" and self.before == "Empty":
            self.newcomer = True
        if not self.members:
            self.kind, self.leader = ask.kind, name
        self.pending.pop(name, None)
        due_ms = self.now_ms + NEW_MEMBER_JOIN_TIMEOUT_MS
        me = ModelMember(
            name, ask.instance, ask.protocols, ask.session_ms, ask.rebalance_ms, due_ms
        )
        me.join = ask.token
        self.members.append(me)
        self.rebalance()

    def drop(self, name: str, code: int) -> None:
        """A member goes."""
        self.pending.pop(name, None)
        self.unsynced.discard(name)
        me = self.find(name)
        if me is not None:
            self.give_up(me, code, "")
            self.members.remove(me)
            if self.leader == name:
                self.leader = self.members[0].name if self.members else None

    def give_up(self, me: ModelMember, code: int, name: str) -> None:
        """Refuse what a member waits for."""
        if me.join is not None:
            self.answers[me.join] = (code, name)
        if me.sync is not None:
            self.answers[me.sync] = (code,)
        me.join = me.sync = None

    def wait(self, me: ModelMember, token: int) -> None:
        """Its join waits, in place of an earlier one."""
        if me.join is not None:
            self.answers[me.join] = (errors.REBALANCE_IN_PROGRESS, me.name)
        me.join = token

    def take_words(self, me: ModelMember, ask: ModelJoin) -> None:
        """What a member says of itself when it joins again."""
        me.protocols = ask.protocols
        me.session_ms, me.rebalance_ms = ask.session_ms, ask.rebalance_ms

    def tell(self, me: ModelMember, token: int, *, skips: bool) -> None:
        """The present generation; the leader sees the members."""
        leads = me.name == self.leader
        seen = tuple(one.name for one in self.members) if leads else ()
        told = (0, me.name, self.generation, self.protocol, self.leader, seen, skips)
        self.answers[token] = told

    def save(self) -> None:
        """What a restart would find."""
        self.saved = None
        image = copy.deepcopy(self)
        image.pending, image.unsynced, image.answers = {}, set(), {}
        image.join_due_ms = image.sync_due_ms = image.delay = None
        for one in image.members:
            one.join = one.sync = None
            one.new = False
            one.protocols = [(name, data) for name, data in one.protocols if name == self.protocol]
        self.saved = image

    def reload(self, now_ms: int) -> ClassicModel:
        """The group after a restart."""
        assert self.saved is not None
        image = copy.deepcopy(self.saved)
        image.now_ms, image.saved = now_ms, self.saved
        image.before = "Empty"
        for one in image.members:
            one.due_ms = now_ms + one.session_ms
        return image
