"""Consumers beside a consumer group: what each reads, and what the group may do to it.

A consumer knows what it was told and nothing else. It stops reading before it says so, and starts
when it is told. Some are slow to stop, lose answers, crash. The model is what follows for all:

- nobody is put out who was in time: heartbeats within the session, revocations within its time
- no partition is read by two consumers, unless one of them is late and has not heard of it yet
- epochs never go back
"""

from __future__ import annotations

from typing import Any

from logwire import errors
from logwire.messages import Message
from logwire.messages.consumer_protocol import (
    decode_assignment,
    decode_subscription,
    encode_assignment,
)
from tests.broker.groups.consumer_bench import REBALANCE_MS, SESSION_MS, Asked, ConsumerBench

CLASSIC_SESSION_MS = 10_000
CLASSIC_REBALANCE_MS = 30_000
OUT = (errors.UNKNOWN_MEMBER_ID, errors.FENCED_MEMBER_EPOCH, errors.FENCED_INSTANCE_ID)

Pair = tuple[bytes, int]


class Consumer:
    """What both kinds have in common. `reading` is what it reads at this moment."""

    session_ms = SESSION_MS
    rebalance_ms = REBALANCE_MS

    def __init__(self, bench: ConsumerBench, name: str, topics: list[str]) -> None:
        self.bench = bench
        self.name = name
        self.topics = topics
        self.reading: set[Pair] = set()
        self.heard_ms = bench.now.uptime_ms  # when the group last heard of it
        self.told_ms: int | None = None  # since when it owes the group something
        self.lost_count = 0  # answers in a row that it has not seen
        self.lost_ms = 0  # when the first of them was given
        self.joined = False

    @property
    def may_be_out(self) -> bool:
        """Whether it is late with anything, so that the group may have given it up."""
        now_ms = self.bench.now.uptime_ms
        if now_ms >= self.heard_ms + self.session_ms:
            return True
        return self.told_ms is not None and now_ms >= self.told_ms + self.rebalance_ms

    def beat(self, *, lost: bool = False) -> None:
        """Do what a consumer does now and then; with `lost` the answer does not arrive."""
        raise NotImplementedError

    def heard(self, at_ms: int | None = None) -> None:
        """The group has heard of it, and knows it: now, or when it gave an answer."""
        self.heard_ms = self.bench.now.uptime_ms if at_ms is None else at_ms

    def put_out(self, code: int) -> None:
        """It has heard that it is out: it reads nothing any more."""
        late = self.may_be_out or self.lost_count > 1
        assert late or not self.joined, f"{self.name} was put out with {code} and was in time"
        self.reading = set()
        self.told_ms = None
        self.joined = False


class NewConsumer(Consumer):
    """A consumer of KIP-848. `stubborn`: it does not stop reading what it is told to give up."""

    def __init__(
        self,
        bench: ConsumerBench,
        name: str,
        topics: list[str],
        instance: str | None = None,
        regex: str | None = None,
    ) -> None:
        super().__init__(bench, name, topics)
        self.instance = instance
        self.regex = regex
        self.epoch = 0
        self.stubborn = False

    def beat(self, *, lost: bool = False) -> None:
        """One heartbeat; with `lost` its answer does not arrive."""
        owned: dict[bytes, list[int]] = {}
        for topic_id, partition in sorted(self.reading):
            owned.setdefault(topic_id, []).append(partition)
        rows = [{"topic_id": t, "partitions": p} for t, p in owned.items()]
        asked = self.bench.beat(
            self.name,
            self.epoch,
            instance_id=self.instance,
            rebalance_timeout_ms=REBALANCE_MS,
            subscribed_topic_names=None if self.regex else self.topics,
            subscribed_topic_regex=self.regex,
            topic_partitions=rows,
        )
        if asked.code == errors.NONE:
            self.heard()
        if asked.code == errors.NONE and self.epoch == 0 and not lost:
            self.joined = True
        if lost:
            if not self.lost_count:
                self.lost_ms = self.bench.now.uptime_ms
            self.lost_count += 1
            return
        if asked.code:
            assert asked.code in (*OUT, errors.UNRELEASED_INSTANCE_ID, errors.GROUP_ID_NOT_FOUND)
            self.put_out(asked.code)
            self.epoch = 0
            return
        # The group counts from its first answer, even if that was lost.
        told_ms = self.lost_ms if self.lost_count else self.bench.now.uptime_ms
        self.lost_count = 0
        assert asked["member_epoch"] >= self.epoch, "an epoch went back"
        self.epoch = asked["member_epoch"]
        self._take(asked, told_ms)

    def _take(self, asked: Asked, told_ms: int) -> None:
        assignment = asked.assignment
        if assignment is None:
            return
        told = {(t, p) for t, numbers in assignment.items() for p in numbers}
        if not self.reading - told:
            self.told_ms = None  # this very request has confirmed it
        elif self.told_ms is None:
            self.told_ms = told_ms
        self.reading = self.reading | told if self.stubborn else told

    def leave(self, epoch: int = -1) -> None:
        """It stops, and says so."""
        self.reading = set()
        if self.epoch:
            self.bench.beat(self.name, epoch, instance_id=self.instance)
        self.epoch, self.joined = 0, False


class OldConsumer(Consumer):
    """A consumer of the classic protocol, eager: it stops reading before each join.

    It leads when it is told to, and then gives each topic's partitions to its readers in turn.
    """

    session_ms = CLASSIC_SESSION_MS
    rebalance_ms = CLASSIC_REBALANCE_MS

    def __init__(
        self, bench: ConsumerBench, name: str, topics: list[str], instance: str | None = None
    ) -> None:
        super().__init__(bench, name, topics)
        self.instance = instance
        self.member_id = ""
        self.generation = -1
        self.pending: Asked | None = None

    def beat(self, *, lost: bool = False) -> None:
        """Do what is to be done next: hear an answer, join, sync, or live."""
        del lost  # its requests are a conversation; the new protocol is the one that forgives
        if self.pending is not None:
            if self.pending.answer is None:
                self.heard()  # it waits there: the group knows
            else:
                asked, self.pending = self.pending, None
                self._joined(asked) if asked.api_key == 11 else self._synced(asked)
        elif self.generation < 0:
            self._join()
        else:
            self._live()

    def _join(self) -> None:
        self.reading = set()
        self._wait(
            self.bench.classic_join(
                self.member_id,
                *self.topics,
                instance=self.instance,
                session_ms=self.session_ms,
                rebalance_ms=self.rebalance_ms,
            )
        )

    def _wait(self, asked: Asked) -> None:
        self.pending = asked
        if asked.answer is not None:
            self.beat()

    def _joined(self, asked: Asked) -> None:
        if asked.code == errors.MEMBER_ID_REQUIRED:
            self.member_id = asked["member_id"]
            self._join()
        elif asked.code == errors.NONE:
            self.heard(asked.answered_ms)
            self.joined = True
            self.told_ms = None
            self.member_id = asked["member_id"]
            self.generation = asked["generation_id"]
            parts = self._lead(asked) if asked["leader"] == self.member_id else {}
            self._wait(
                self.bench.sync(
                    self.member_id, self.generation, instance=self.instance, assignments=parts
                )
            )
        else:
            self._again(asked.code)

    def _lead(self, asked: Asked) -> dict[str, bytes]:
        readers = {row["member_id"]: subscription_of(row) for row in asked["members"]}
        parts: dict[str, dict[str, list[int]]] = {member_id: {} for member_id in readers}
        for topic, (_, count) in self.bench.cluster.topics.items():
            who = sorted(member_id for member_id, topics in readers.items() if topic in topics)
            for partition in range(count if who else 0):
                parts[who[partition % len(who)]].setdefault(topic, []).append(partition)
        return {member_id: assignment_bytes(part) for member_id, part in parts.items()}

    def _synced(self, asked: Asked) -> None:
        if asked.code:
            self._again(asked.code)
            return
        # A classic group that is stable takes a sync for no sign of life, as in Kafka.
        assignment = decode_assignment(asked["assignment"])[1] if asked["assignment"] else {}
        topics = self.bench.cluster.topics
        self.reading = {
            (topics[row["topic"]][0], partition)
            for row in assignment.get("assigned_partitions", ())
            for partition in row["partitions"]
            if row["topic"] in topics
        }

    def _live(self) -> None:
        code = self.bench.classic_beat(self.member_id, self.generation, self.instance)
        if code in (errors.NONE, errors.REBALANCE_IN_PROGRESS):
            self.heard()
        if code:
            self._again(code)

    def _again(self, code: int) -> None:
        """Something has changed: join anew, as somebody else if it is not known any more."""
        if code in OUT:
            self.put_out(code)
            self.member_id = ""
        self.reading = set()
        if self.generation >= 0 and code == errors.REBALANCE_IN_PROGRESS and self.told_ms is None:
            self.told_ms = self.bench.now.uptime_ms
        self.generation = -1

    def leave(self) -> None:
        """It stops, and says so."""
        self.reading = set()
        if self.joined:
            self.bench.leave((self.member_id, None))
        self.joined, self.generation, self.member_id, self.pending = False, -1, "", None


def subscription_of(row: Message) -> list[str]:
    """The topics of a member, from what its leader is told."""
    topics: list[str] = decode_subscription(row["metadata"])[1]["topics"]
    return topics


def assignment_bytes(part: dict[str, list[int]]) -> bytes:
    """What a leader says about one member."""
    rows: list[Any] = [{"topic": topic, "partitions": numbers} for topic, numbers in part.items()]
    return encode_assignment({"assigned_partitions": rows})
