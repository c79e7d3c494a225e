"""A bench for the machine of a classic group: verbs for its members, a clock that jumps.

The machine is pure, so there is no broker here: requests are events, answers are found under the
request that asked. Each answer must encode in the version of its request, be given exactly once,
and each record must decode to what the machine holds.
"""

from __future__ import annotations

from typing import Any, cast

from logserver.broker.groups.classic_events import Heartbeat, Join, Leave, Leaver, Sync
from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_state import Limits
from logserver.broker.groups.effects import Answer, Note, Now, Persist, Tick, Unload, Wake
from logwire.messages import Message, encode_response
from logwire.messages.group_records import decode_key, decode_value

GROUP = "group"
WALL_MS = 1_700_000_000_000
SESSION_MS = 10_000
REBALANCE_MS = 60_000

RANGE = {"range": b"r"}
BOTH = {"range": b"r", "sticky": b"s"}


class Request:
    """One request, and its answer once there is one. Stands for the deferred place of an answer."""

    def __init__(self, api_key: int, api_version: int) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.answer: Message | None = None

    def take(self, response: Message) -> None:
        """The answer has come."""
        assert self.answer is None, "answered twice"
        encode_response(self.api_key, self.api_version, response)
        self.answer = response

    @property
    def waits(self) -> bool:
        """Nobody has answered yet."""
        return self.answer is None

    @property
    def code(self) -> int:
        """The error code of the answer."""
        assert self.answer is not None, "no answer yet"
        return cast(int, self.answer["error_code"])

    def __getitem__(self, name: str) -> Any:
        assert self.answer is not None, "no answer yet"
        return self.answer[name]


class GroupBench:
    """One group. `log` holds the decoded values of its records, newest last."""

    def __init__(self, **limits: int) -> None:
        self.group = ClassicGroup(GROUP, Limits(**limits))
        self.now = Now(0, WALL_MS)
        self.wake_ms: int | None = None
        self.log: list[Message | None] = []
        self.notes: list[Note] = []
        self.wakes_count = 0
        self._ids = 0

    def perform(self, effects: list[Any]) -> None:
        """What the coordinator would do, checked."""
        for effect in effects:
            if isinstance(effect, Answer):
                cast(Request, effect.deferred).take(effect.response)
            elif isinstance(effect, Persist):
                for key, value in effect.records:
                    assert decode_key(key) == ("GroupMetadata", {"group": GROUP})
                    decoded = None if value is None else decode_value("GroupMetadata", value)[1]
                    self.log.append(decoded)
            elif isinstance(effect, Wake):
                self.wake_ms = effect.due_uptime_ms
                self.wakes_count += 1
            else:
                self.notes.append(effect)

    def step(self, event: Any) -> None:
        """Give the machine an event."""
        self.perform(self.group.step(event, self.now))

    @property
    def fresh_name(self) -> str:
        """The id that the last join would get if it had none."""
        return f"new-{self._ids}"

    # Verbs

    def join(self, member_id: str = "", *, version: int = 9, **fields: Any) -> Request:
        """JoinGroup. `fields` are those of the event that differ from the usual."""
        request = Request(11, version)
        self._ids += 1
        event = Join(
            cast(Any, request),
            version,
            member_id,
            fields.get("instance"),
            self.fresh_name,
            fields.get("client", "client"),
            fields.get("host", "/host"),
            fields.get("session_ms", SESSION_MS),
            fields.get("rebalance_ms", REBALANCE_MS),
            fields.get("type", "consumer"),
            fields.get("protocols", RANGE),
            fields.get("reason", ""),
        )
        self.step(event)
        return request

    def come(self, **fields: Any) -> tuple[str, Request]:
        """A new dynamic member joins as clients do: asks for an id, joins with it."""
        member_id = str(self.join(**fields)["member_id"])
        return member_id, self.join(member_id, **fields)

    def sync(self, member_id: str, parts: dict[str, bytes] | None = None, **fields: Any) -> Request:
        """SyncGroup. Fields: generation, instance, type, name."""
        request = Request(14, 5)
        event = Sync(
            cast(Any, request),
            fields.get("generation", self.group.generation),
            member_id,
            fields.get("instance"),
            fields.get("type", self.group.protocol_type),
            fields.get("name", self.group.protocol_name),
            parts or {},
        )
        self.step(event)
        return request

    def beat(
        self, member_id: str, generation: int | None = None, instance: str | None = None
    ) -> int:
        """Heartbeat; its error code."""
        at = self.group.generation if generation is None else generation
        return self.beating(member_id, at, instance).code

    def beating(self, member_id: str, generation: int, instance: str | None = None) -> Request:
        """Heartbeat."""
        request = Request(12, 4)
        self.step(Heartbeat(cast(Any, request), generation, member_id, instance))
        return request

    def leave(self, *leavers: str | tuple[str, str | None], version: int = 5) -> Request:
        """LeaveGroup of member ids, or of (member id, instance id)."""
        request = Request(13, version)
        pairs = [(leaver, None) if isinstance(leaver, str) else leaver for leaver in leavers]
        self.step(Leave(cast(Any, request), version, [Leaver(*pair, "") for pair in pairs]))
        return request

    def unload(self) -> None:
        """The broker looks after the group no more."""
        self.step(Unload())

    def pass_time(self, ms: int) -> None:
        """Let the clocks go on; the machine is woken exactly when it asked for it."""
        until_ms = self.now.uptime_ms + ms
        while self.wake_ms is not None and self.wake_ms <= until_ms:
            due_ms = max(self.wake_ms, self.now.uptime_ms)
            self.now = Now(due_ms, WALL_MS + due_ms)
            self.wake_ms = None
            self.step(Tick())
        self.now = Now(until_ms, WALL_MS + until_ms)

    # What tests begin with

    def stable(self, count: int = 2, **fields: Any) -> list[str]:
        """Bring `count` dynamic members to STABLE in one generation; the first one leads."""
        comers = [self.come(**fields) for _ in range(count)]
        self.settle()
        ids = [member_id for member_id, _ in comers]
        self.sync_all(ids)
        return ids

    def settle(self) -> None:
        """Let the initial delay pass, with whatever it is extended by."""
        for _ in range(100):
            if self.group.state != "PreparingRebalance":
                return
            self.pass_time(self.group.limits.initial_rebalance_delay_ms)

    def sync_all(self, ids: list[str]) -> list[Request]:
        """Everybody syncs, the leader last, each with its own id as its part."""
        leader_id = self.group.roster.leader_id
        parts = {member_id: member_id.encode() for member_id in ids}
        requests = [self.sync(member_id) for member_id in ids if member_id != leader_id]
        assert leader_id is not None
        return [*requests, self.sync(leader_id, parts)]

    def reloaded(self) -> GroupBench:
        """Another bench with the group as its last record says it."""
        bench = GroupBench()
        bench.now, bench.log, bench._ids = self.now, self.log[-1:], self._ids
        bench.group.apply("GroupMetadata", {"group": GROUP}, self.log[-1])
        bench.perform(bench.group.resume(bench.now))
        return bench
