"""A bench for the machine of a consumer group: topics that change, members that behave, a clock.

After every step two things are held against what is kept: a machine that was loaded from the
records of all steps so far has the same state, and no partition is owned by two members. So each
test of a behaviour is a test of these as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from logserver.broker.groups.classic_events import Heartbeat, Join, Leave, Leaver, Sync
from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.cluster import Settings, topic_hash
from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.consumer_heartbeat import ConsumerHeartbeat
from logserver.broker.groups.consumer_state import ConsumerState
from logserver.broker.groups.effects import Answer, Note, Now, Persist, Replace, Tick, Wake
from logserver.broker.groups.replay import apply_record
from logwire.errors import Refusal
from logwire.messages import Message, decode_request, encode_request, encode_response
from logwire.messages.consumer_protocol import encode_subscription
from logwire.messages.group_records import decode_key, decode_value

GROUP = "group"
WALL_MS = 1_700_000_000_000
SESSION_MS = 45_000
REBALANCE_MS = 60_000
NO_VALUE = -1


class FakeCluster:
    """Topics by name: id and partitions. `create`, `grow` and `delete` move the version."""

    def __init__(self, **settings: Any) -> None:
        self.topics: dict[str, tuple[bytes, int]] = {}
        self.version = 1
        self.names_version = 1
        self.group_settings = Settings(**{"assignment_interval_ms": 0, **settings})
        self._ids = 0

    def create(self, name: str, partition_count: int = 4) -> bytes:
        """A new topic; returns its id."""
        self._ids += 1
        topic_id = self._ids.to_bytes(16, "big")
        self.topics[name] = topic_id, partition_count
        self.version += 1
        self.names_version = self.version
        return topic_id

    def grow(self, name: str, partition_count: int) -> None:
        """More partitions."""
        self.topics[name] = self.topics[name][0], partition_count
        self.version += 1

    def delete(self, name: str) -> None:
        """The topic is gone."""
        del self.topics[name]
        self.version += 1
        self.names_version = self.version

    def topic_id(self, name: str) -> bytes | None:
        return self.topics[name][0] if name in self.topics else None

    def topic_name(self, topic_id: bytes) -> str | None:
        return next((name for name, (known, _) in self.topics.items() if known == topic_id), None)

    def partition_count(self, topic_id: bytes) -> int:
        name = self.topic_name(topic_id)
        return 0 if name is None else self.topics[name][1]

    def topic_names(self) -> Iterable[str]:
        return self.topics

    def topic_hash(self, name: str) -> int | None:
        return topic_hash(name, *self.topics[name]) if name in self.topics else None

    def settings(self, _group_id: str) -> Settings:
        return self.group_settings


class Asked:
    """One request and its answer; stands for the deferred place of an answer."""

    def __init__(self, api_key: int, version: int) -> None:
        self.api_key = api_key
        self.version = version
        self.answer: Message | None = None
        self.answered_ms = 0

    def take(self, response: Message) -> None:
        """The answer has come, once, and can be encoded."""
        assert self.answer is None, "answered twice"
        encode_response(self.api_key, self.version, response)
        self.answer = response

    def __getitem__(self, name: str) -> Any:
        assert self.answer is not None, "no answer yet"
        return self.answer[name]

    @property
    def code(self) -> int:
        """The error code at the top."""
        return int(self["error_code"])

    @property
    def assignment(self) -> dict[bytes, list[int]] | None:
        """Topic id -> partitions, as told to a member of the consumer protocol."""
        assert self.answer is not None, "no answer yet"
        told = self.answer.get("assignment")
        if told is None:
            return None
        return {row["topic_id"]: row["partitions"] for row in told["topic_partitions"]}


class ConsumerBench:
    """One group that begins empty. `records` is its log, `groups` what a coordinator would have."""

    def __init__(self, **settings: Any) -> None:
        self.cluster = FakeCluster(**settings)
        self.groups: dict[str, Any] = {GROUP: ConsumerGroup(GROUP, self.cluster)}
        self.now = Now(0, WALL_MS)
        self.wake_ms: int | None = None
        self.records: list[tuple[bytes, bytes | None]] = []
        self.notes: list[Note] = []
        self.shadow: dict[str, Any] = {}  # what a coordinator that only reads the log has
        self._shadowed_count = 0
        self._ids_count = 0

    def _next_id(self) -> int:
        self._ids_count += 1
        return self._ids_count

    @property
    def group(self) -> ConsumerGroup:
        """The group, while it is a consumer group."""
        group = self.groups[GROUP]
        assert isinstance(group, ConsumerGroup)
        return group

    @property
    def state(self) -> ConsumerState:
        """What is kept of it."""
        return self.group.state

    def perform(self, effects: list[Any]) -> None:
        """What the coordinator would do, then what must hold."""
        for effect in effects:
            if isinstance(effect, Answer):
                asked = cast(Asked, effect.deferred)
                asked.take(effect.response)
                asked.answered_ms = self.now.uptime_ms
            elif isinstance(effect, Persist):
                self.records += effect.records
            elif isinstance(effect, Wake):
                self.wake_ms = effect.due_uptime_ms
            elif isinstance(effect, Replace):
                self.groups[effect.group.group_id] = effect.group
            else:
                assert isinstance(effect, Note)
                self.notes.append(effect)
        self.check()

    def check(self) -> None:
        """The log says what memory says, and every partition has one owner."""
        group = self.groups[GROUP]
        apply_records(self.shadow, self.records[self._shadowed_count :])
        self._shadowed_count = len(self.records)
        loaded = self.shadow.get(GROUP)
        if isinstance(group, ConsumerGroup):
            if self.records:
                assert isinstance(loaded, ConsumerGroup)
                assert kept(loaded.state) == kept(group.state)
            owners_are_unique(group.state)
        elif self.records:
            assert type(loaded) is type(group)

    def load(self) -> dict[str, Any]:
        """The groups that a coordinator makes of the records so far."""
        groups: dict[str, Any] = {}
        apply_records(groups, self.records)
        return groups

    def names(self, since: int = 0) -> list[str]:
        """The kinds of the records from one on, `-` before the name of a tombstone."""
        return [
            ("-" if value is None else "") + str(decode_key(key)[0]).replace("ConsumerGroup", "")
            for key, value in self.records[since:]
        ]

    def step(self, event: Any) -> None:
        """Give the group an event."""
        self.perform(self.groups[GROUP].step(event, self.now))

    def pass_time(self, ms: int) -> None:
        """Let time go by; the group is woken as it asked."""
        end_ms = self.now.uptime_ms + ms
        while self.wake_ms is not None and self.wake_ms <= end_ms:
            self.now = Now(max(self.now.uptime_ms, self.wake_ms), self.now.wall_ms)
            self.wake_ms = None
            self.step(Tick())
        self.now = Now(end_ms, WALL_MS + end_ms)

    # Verbs of the consumer protocol

    def beat(self, member_id: str, epoch: int, *, version: int = 1, **fields: Any) -> Asked:
        """ConsumerGroupHeartbeat; `fields` are the request's, null where they are not given.

        A refusal leaves the answer that the handler would give.
        """
        request = {
            "group_id": GROUP,
            "member_id": member_id,
            "member_epoch": epoch,
            "rebalance_timeout_ms": NO_VALUE,
            **fields,
        }
        decoded = decode_request(68, version, encode_request(68, version, request))
        asked = Asked(68, version)
        event = ConsumerHeartbeat(cast(Any, asked), decoded, f"new-{self._next_id()}", "c", "/h")
        before = len(self.records)
        try:
            self.step(event)
        except Refusal as refusal:
            assert len(self.records) == before, "refused, and written"
            self.check()
            asked.take({"error_code": refusal.code, "error_message": refusal.message})
        return asked

    def join(self, member_id: str, *topics: str, **fields: Any) -> Asked:
        """The first heartbeat of a member."""
        full: Message = {
            "rebalance_timeout_ms": REBALANCE_MS,
            "topic_partitions": [],
            "subscribed_topic_names": list(topics),
            **fields,
        }
        return self.beat(member_id, 0, **full)

    # Verbs of the classic protocol

    def classic_join(
        self, member_id: str = "", *topics: str, version: int = 9, **fields: Any
    ) -> Asked:
        """JoinGroup; `owned`: topic -> partitions, as cooperative consumers say them."""
        owned = [{"topic": t, "partitions": p} for t, p in fields.pop("owned", {}).items()]
        subscription = {"topics": list(topics), "owned_partitions": owned, "generation_id": -1}
        metadata = encode_subscription(subscription)
        asked = Asked(11, version)
        event = Join(
            cast(Any, asked),
            version,
            member_id,
            fields.get("instance"),
            f"classic-{self._next_id()}",
            "classic",
            "/h",
            fields.get("session_ms", 10_000),
            fields.get("rebalance_ms", 30_000),
            fields.get("protocol_type", "consumer"),
            fields.get("protocols", {"range": metadata}),
            "",
        )
        self.step(event)
        return asked

    def sync(self, member_id: str, generation: int, **fields: Any) -> Asked:
        """SyncGroup."""
        asked = Asked(14, 5)
        event = Sync(
            cast(Any, asked),
            generation,
            member_id,
            fields.get("instance"),
            fields.get("protocol_type", "consumer"),
            fields.get("protocol_name", "range"),
            fields.get("assignments", {}),
        )
        self.step(event)
        return asked

    def classic_beat(self, member_id: str, generation: int, instance: str | None = None) -> int:
        """Heartbeat; its code."""
        asked = Asked(12, 4)
        self.step(Heartbeat(cast(Any, asked), generation, member_id, instance))
        return asked.code

    def leave(self, *leavers: tuple[str, str | None]) -> list[int]:
        """LeaveGroup of (member id, instance id); the code of each."""
        asked = Asked(13, 5)
        self.step(Leave(cast(Any, asked), 5, [Leaver(*leaver, "") for leaver in leavers]))
        return [row["error_code"] for row in asked["members"]]


def apply_records(groups: dict[str, Any], records: list[tuple[bytes, bytes | None]]) -> None:
    """Apply encoded records to groups, as a coordinator does that loads."""
    for key, value in records:
        name, fields = decode_key(key)
        assert name is not None
        decoded = None if value is None else decode_value(name, value)[1]
        apply_record(groups, name, fields, decoded)


def kept(state: ConsumerState) -> dict[str, Any]:
    """All of a state, comparable; what is in it for nobody is left out."""
    return {name: getattr(state, name) for name in ConsumerState.__slots__}


def owners_are_unique(state: ConsumerState) -> None:
    """Each partition is assigned to or being revoked from one member, and its owner is known."""
    seen: dict[tuple[bytes, int], str] = {}
    for member in state.members.values():
        for owned in (member.assigned, member.revoking):
            for topic_id, partitions in owned.items():
                assert partitions, "a topic without partitions"
                for partition in partitions:
                    other = seen.setdefault((topic_id, partition), member.member_id)
                    assert other == member.member_id, f"{partition} has two owners"
                    assert state.owner(topic_id, partition) == member.member_id
    assert sum(map(len, state.owners.values())) == len(seen)


class Client:
    """A consumer that does what it is told: one heartbeat at a time, gives up what it must.

    `owned`: topic id -> partitions that it reads now. `obeys` False: it never gives anything up.
    """

    def __init__(
        self,
        bench: ConsumerBench,
        member_id: str,
        *topics: str,
        regex: str | None = None,
        instance: str | None = None,
    ) -> None:
        self.bench = bench
        self.member_id = member_id
        self.topics = list(topics) if topics or regex is None else None
        self.regex = regex
        self.instance = instance
        self.epoch = 0
        self.owned: dict[bytes, set[int]] = {}
        self.obeys = True
        self.code = 0

    def beat(self) -> int:
        """One heartbeat with everything in it; returns the error code."""
        asked = self.bench.beat(
            self.member_id,
            self.epoch,
            instance_id=self.instance,
            rebalance_timeout_ms=REBALANCE_MS,
            subscribed_topic_names=self.topics,
            subscribed_topic_regex=self.regex,
            topic_partitions=[
                {"topic_id": topic_id, "partitions": sorted(partitions)}
                for topic_id, partitions in self.owned.items()
                if partitions
            ],
        )
        self.code = asked.code
        if self.code:
            self.owned, self.epoch = {}, 0
        else:
            self.epoch = asked["member_epoch"]
            self._take(asked.assignment)
        return self.code

    def _take(self, assignment: dict[bytes, list[int]] | None) -> None:
        if assignment is None:
            return
        wanted = {topic_id: set(partitions) for topic_id, partitions in assignment.items()}
        if not self.obeys:
            for topic_id, partitions in self.owned.items():
                wanted.setdefault(topic_id, set()).update(partitions)
        self.owned = wanted

    def leave(self, epoch: int = -1) -> None:
        """Go, for good or (-2) for a while."""
        self.bench.beat(self.member_id, epoch, instance_id=self.instance)
        self.owned, self.epoch = {}, 0

    @property
    def count(self) -> int:
        """How many partitions it reads."""
        return sum(map(len, self.owned.values()))


def settle(bench: ConsumerBench, clients: list[Client], rounds_max: int = 20) -> int:
    """Let all clients send heartbeats until the group is stable; returns the rounds it took."""
    for turn in range(rounds_max):
        if bench.group.state_name == "Stable":
            return turn
        for client in clients:
            client.beat()
    raise AssertionError(f"not stable after {rounds_max} rounds: {bench.group.state_name}")


def is_classic(group: object) -> ClassicGroup:
    """The group, which must be a classic one by now."""
    assert isinstance(group, ClassicGroup)
    return group
