"""Clients of a classic group that behave, die, come back, retry, lie; and a model that watches.

Some clients follow the protocol; between their requests others send what no client would. After
every event the machine and the model must be in the same state and must have answered the same
requests with the same words.
"""

from __future__ import annotations

from random import Random
from typing import Any

from logserver.broker.groups.classic_state import Limits
from tests.broker.groups.classic_bench import GroupBench, Request
from tests.simulation.classic_model import Answer, ClassicModel, ModelJoin

# Metadata of one byte: what looks like more, and is no subscription, makes Kafka's coordinator fail
# with UNKNOWN_SERVER_ERROR (it does not expect the size of an array to be nonsense).
PROTOCOLS: tuple[dict[str, bytes], ...] = (
    {"range": b"r"},
    {"range": b"c"},
    {"range": b"r", "sticky": b"s"},
    {"sticky": b"s", "range": b"r"},
    {"sticky": b"s"},
    {},
)
PROTOCOL_WEIGHTS = (30, 3, 6, 6, 1, 1)
INSTANCES = ("i", "j", "k")
SESSIONS_MS = (6_000, 10_000, 45_000)
REBALANCES_MS = (5_000, 20_000, 60_000)
STEPS_MS = (0, 1, 500, 1_000, 3_000, 6_000, 20_000)
STEP_WEIGHTS = (2, 2, 4, 6, 6, 1, 1)

# What can happen, and how often.
KINDS = {
    "new": 10,
    "static": 10,
    "join": 14,
    "sync": 14,
    "beat": 6,
    "follow": 14,
    "live": 10,
    "time": 16,
    "leave": 3,
    "commit": 2,
    "restart": 1,
}


def summary(request: Request) -> Answer:
    """An answer as the model says it."""
    answer = request.answer
    assert answer is not None
    code = answer["error_code"]
    if request.api_key == 13:
        return tuple(row["error_code"] for row in answer["members"])
    if request.api_key == 12:
        return (code,)
    if request.api_key == 14:
        return (code,) if code else (0, answer["assignment"])
    if code:
        return (code, answer["member_id"])
    seen = tuple(row["member_id"] for row in answer["members"])
    about = (answer["generation_id"], answer["protocol_name"], answer["leader"])
    return (0, answer["member_id"], *about, seen, answer["skip_assignment"])


class ClassicRun:
    """One group over its life; `step` is one event. Everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        delay_ms = self.random.choice((0, 500, 3_000))
        limits = Limits(delay_ms, size_max=self.random.choice((3, 6, 2**31 - 1)))
        self.bench = GroupBench()
        self.bench.group.limits = limits
        self.model = ClassicModel(limits)
        self.requests: list[Request] = []
        self.open: list[int] = []  # requests that wait
        self.compared_count = 0
        self.names: list[tuple[str, str | None]] = []  # ids that clients were given, newest last
        self.restarts_count = 0

    # Events

    def step(self) -> None:
        """One event of some kind; then both sides must agree."""
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        getattr(self, kind)()
        self.compare()

    def follow(self) -> None:
        """Everybody, or some, do what the protocol asks for next: join, or sync."""
        state, members = self.model.state, list(self.model.members)
        self.random.shuffle(members)
        for one in members[: self.random.choice((len(members), len(members), 2))]:
            if state == "PreparingRebalance" and one.join is None:
                self.ask_to_join(one.name, one.instance, dict(one.protocols))
            elif state == "CompletingRebalance" and one.name in self.model.unsynced:
                self.ask_to_sync(one.name, self.model.generation)
        for name in list(self.model.pending):
            self.ask_to_join(name, None)

    def live(self) -> None:
        """Everybody sends a heartbeat."""
        for one in list(self.model.members):
            self.send_heartbeat(one.name, one.instance, self.model.generation)

    def new(self) -> None:
        """Somebody comes who was never here."""
        self.ask_to_join("", None)

    def static(self) -> None:
        """A process with an instance id (re)starts."""
        self.ask_to_join("", self.random.choice(INSTANCES))

    def join(self) -> None:
        """Somebody who has an id joins with it; mostly one that can."""
        name, instance = self.somebody()
        self.ask_to_join(name, instance)

    def ask_to_join(
        self, name: str, instance: str | None, protocols: dict[str, bytes] | None = None
    ) -> None:
        """JoinGroup on both sides."""
        random = self.random
        if protocols is None:
            protocols = random.choices(PROTOCOLS, PROTOCOL_WEIGHTS)[0]
        version = random.choice((3, 5, 8, 9, 9, 9))
        kind = random.choices(("consumer", "connect", ""), (100, 1, 1))[0]
        fields: dict[str, Any] = {
            "instance": instance,
            "protocols": protocols,
            "session_ms": random.choice(SESSIONS_MS),
            "rebalance_ms": random.choice(REBALANCES_MS),
            "type": kind,
        }
        request = self.bench.join(name, version=version, **fields)
        ask = ModelJoin(
            len(self.requests),
            version,
            name,
            instance,
            self.bench.fresh_name,
            fields["session_ms"],
            fields["rebalance_ms"],
            kind,
            list(fields["protocols"].items()),
        )
        self.model.join(ask)
        self.requests.append(request)
        if not name:
            self.names.append((self.bench.fresh_name, instance))

    def sync(self) -> None:
        """Somebody syncs; the leader shares out, names a stranger, and forgets one now and then."""
        name, _ = self.somebody()
        self.ask_to_sync(name, self.generation())

    def ask_to_sync(self, name: str, generation: int) -> None:
        """SyncGroup on both sides."""
        parts = {one.name: f"{one.name}@{generation}".encode() for one in self.model.members}
        if parts and self.random.random() < 0.2:
            parts.popitem()
        parts["stranger"] = b"nothing"
        token = len(self.requests)
        self.requests.append(self.bench.sync(name, dict(parts), generation=generation))
        self.model.sync(token, name, generation, parts)

    def beat(self) -> None:
        """Heartbeat."""
        name, instance = self.somebody()
        self.send_heartbeat(name, instance, self.generation())

    def send_heartbeat(self, name: str, instance: str | None, generation: int) -> None:
        """Heartbeat on both sides."""
        token = len(self.requests)
        self.requests.append(self.bench.beating(name, generation, instance))
        self.model.heartbeat(token, name, instance, generation)

    def commit(self) -> None:
        """A commit of a member was taken."""
        name, _ = self.somebody()
        self.bench.perform(self.bench.group.committed(name, self.bench.now))
        self.model.commit(name)

    def leave(self) -> None:
        """LeaveGroup, of one or of some, by id or by instance id."""
        leavers = [self.somebody() for _ in range(self.random.choice((1, 1, 1, 3)))]
        if self.random.random() < 0.3:
            leavers.append(("", self.random.choice(INSTANCES)))
        token = len(self.requests)
        self.requests.append(self.bench.leave(*leavers))
        self.model.leave(token, leavers)

    def time(self) -> None:
        """The clock goes on."""
        ms = self.random.choices(STEPS_MS, STEP_WEIGHTS)[0]
        self.bench.pass_time(ms)
        self.model.pass_time(self.model.now_ms + ms)

    def restart(self) -> None:
        """The broker dies; what it had not answered it never will."""
        if self.model.saved is None or self.random.random() < 0.5:
            return
        self.restarts_count += 1
        limits, self.bench = self.bench.group.limits, self.bench.reloaded()
        self.bench.group.limits = limits
        answers, self.model = self.model.answers, self.model.reload(self.bench.now.uptime_ms)
        self.model.answers = answers
        self.open = []

    # Choices

    def somebody(self) -> tuple[str, str | None]:
        """Mostly a member or pending; sometimes somebody of the past, sometimes a lie."""
        random = self.random
        present: list[tuple[str, str | None]] = [
            (one.name, one.instance) for one in self.model.members
        ]
        present += [(name, None) for name in self.model.pending]
        waiting = [
            (one.name, one.instance)
            for one in self.model.members
            if (one.join is None and self.model.state == "PreparingRebalance")
            or one.name in self.model.unsynced
        ]
        dice = random.random()
        if dice < 0.5 and waiting:
            return random.choice(waiting)
        if dice < 0.9 and present:
            return random.choice(present)
        if dice < 0.97 and self.names:
            name, instance = random.choice(self.names[-20:])
            return name, instance
        return random.choice((("stranger", None), ("stranger", "i"), ("", None)))

    def generation(self) -> int:
        """Mostly the present one."""
        return self.model.generation - (self.random.random() < 0.05)

    # The watch

    def compare(self) -> None:
        """Same state, same members, same answers."""
        group, model = self.bench.group, self.model
        ours = (group.state, group.generation, group.roster.leader_id, group.protocol_name)
        assert ours == (model.state, model.generation, model.leader, model.protocol)
        assert list(group.roster.members) == [one.name for one in model.members]
        assert group.roster.pending == set(model.pending)
        self.open += range(self.compared_count, len(self.requests))
        self.compared_count = len(self.requests)
        for token in self.open:
            request = self.requests[token]
            assert request.waits == (token not in model.answers), f"request {token}"
            if not request.waits:
                assert summary(request) == model.answers[token], f"request {token}"
        self.open = [token for token in self.open if self.requests[token].waits]

    def settle(self) -> None:
        """A quiet hour: nobody is left waiting, and nobody who is silent is left in."""
        self.bench.pass_time(3_600_000)
        self.model.pass_time(self.model.now_ms + 3_600_000)
        self.compare()
        assert not self.open
        assert self.bench.group.state == "Empty"
        assert self.bench.wake_ms is None
