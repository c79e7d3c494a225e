"""The lives of consumer groups, lived by Apache Kafka 4.3.1 and by us: every answer is the same.

Members of both protocols join, lie about their epochs and their partitions, confirm, leave, come
back; chance decides, with the same dice for both servers. What a member knows comes from its
server's answers, so one difference would show in all that follows. Groups use the range assignor,
whose result depends on names alone; the uniform one is held by its own properties
(`tests/broker/groups/test_uniform.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from logwire.messages import Message
from logwire.messages.consumer_protocol import encode_subscription
from perf import servers
from tests.compat.differential import Wire, compared, placeholder

SEED = int(os.environ.get("LOGSERVER_TEST_SEED", "20260402"))
STORIES_COUNT = int(os.environ.get("LOGSERVER_TEST_STORIES", "20"))
EVENTS_COUNT = 45
TOPICS = {"a": 4, "b": 3, "c": 1}
SETTINGS = {
    "offsets.topic.num.partitions": "1",
    "group.consumer.assignment.interval.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.assignors": "range",
}
MEMBER_ID_REQUIRED = 79
MEMBERS = ("m1", "m2", "m3")
OLD_MEMBERS = ("o1", "o2")


class Life:
    """One group on one server: what its members know of it, by their names."""

    def __init__(self, wire: Wire, group: str) -> None:
        self.wire = wire
        self.group = group
        self.epochs: dict[str, int] = {}
        self.owned: dict[str, list[Message]] = {}

    def heartbeat(self, name: str, epoch: int, **fields: Any) -> Message:
        """ConsumerGroupHeartbeat."""
        request = {
            "group_id": self.group,
            "member_id": name,
            "member_epoch": epoch,
            "rebalance_timeout_ms": -1,
            **fields,
        }
        answer = self.wire.ask(68, 1, request)
        if answer["error_code"] == 0:
            self.epochs[name] = answer["member_epoch"]
            if answer["assignment"] is not None:
                self.owned[name] = answer["assignment"]["topic_partitions"]
        return answer

    def old(self, key: int, version: int, name: str, **fields: Any) -> Message:
        """A request of a member of the classic protocol; a consumer group takes its own id."""
        request = {"group_id": self.group, "member_id": name, **fields}
        if key == 13:
            member = {"member_id": request.pop("member_id"), "group_instance_id": None}
            request["members"] = [member]
        answer = self.wire.ask(key, version, request)
        if key == 11 and answer["error_code"] == 0:
            self.epochs[name] = answer["generation_id"]
        return answer

    def told(self, answer: Message) -> Any:
        """An answer with names for topic ids; member ids are the clients' own and are kept."""
        seen = compared(answer, self.wire)
        if answer.get("error_code") != MEMBER_ID_REQUIRED:
            seen["member_id"] = answer.get("member_id")
        for row, raw in zip(seen.get("groups", ()), answer.get("groups", ()), strict=True):
            row["members"] = sorted(
                f"{m['member_id']}: {compared(m, self.wire)}" for m in raw.get("members", ())
            )
        return seen


@pytest.fixture(scope="module")
def wires(kafka_jars: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Wire]]:
    """Kafka and our server, both fresh, with the topics and a coordinator."""
    root = tmp_path_factory.mktemp("differential")
    kafka = servers.Kafka(root / "kafka", Path(kafka_jars).parent, SETTINGS)
    ours = servers.Logserver(root / "ours", servers.HERE.parent, SETTINGS)
    made = [Wire(*kafka.address), Wire(*ours.address)]
    try:
        kafka.start()
        ours.start()
        for wire in made:
            prepare(wire)
        yield made
    finally:
        for wire in made:
            wire.close()
        kafka.kill()
        ours.stop()


def prepare(wire: Wire) -> None:
    """Make the topics, and wait until there is a coordinator that answers."""
    for name, count in TOPICS.items():
        topic = {"name": name, "num_partitions": count, "replication_factor": 1}
        request = {"topics": [{**topic, "assignments": [], "configs": []}], "timeout_ms": 10_000}
        (row,) = wire.ask(19, 7, request)["topics"]
        assert row["error_code"] == 0, row
    for _ in range(500):
        wire.ask(10, 4, {"key_type": 0, "coordinator_keys": ["warm"]})
        life = Life(wire, "warm")
        answer = join(life, "m1", ["c"], None)
        if answer.get("error_code") == 0 and life.owned["m1"] and len(wire.topics()) >= 4:
            return
        if "error_code" in answer and answer["error_code"] == 0:
            life.heartbeat("m1", -1)
    pytest.fail("the coordinator does not answer")


def join(life: Life, name: str, topics: list[str], instance: str | None) -> Message:
    """A first heartbeat."""
    return life.heartbeat(
        name,
        0,
        instance_id=instance,
        rebalance_timeout_ms=60_000,
        subscribed_topic_names=topics,
        topic_partitions=[],
    )


class Story:
    """One group's life, told to both servers by the same dice."""

    def __init__(self, wires: list[Wire], seed: int) -> None:
        self.random = Random(seed)
        self.lives = [Life(wire, f"g{seed}") for wire in wires]
        self.instances = {"m3": "i3"} if seed % 2 else {}
        self.told: list[str] = []

    def both(self, what: str, ask: Any) -> None:
        """Ask both; their answers must be the same."""
        answers = [ask(life) for life in self.lives]
        theirs, ours = (life.told(answer) for life, answer in zip(self.lives, answers, strict=True))
        self.told.append(f"{what}: {theirs}")
        assert ours == theirs, "\n".join(self.told[-12:])
        sentences = [answer.get("error_message") for answer in answers]
        assert sentences[0] == sentences[1], (what, sentences)

    def live(self) -> None:
        """It begins with a member that stays, so that it stays a consumer group."""
        self.both("base joins", lambda life: join(life, "base", ["a", "b"], None))
        events = (
            self.beat, self.beat, self.beat, self.lie, self.enter, self.enter, self.go,
            self.subscribe, self.look, self.old_join, self.old_go_on, self.old_go_on, self.commit,
        )  # fmt: skip
        for _ in range(EVENTS_COUNT):
            self.random.choice(events)()

    def member(self) -> str:
        return self.random.choice(("base", *MEMBERS))

    def topics(self) -> list[str]:
        return self.random.choice((["a"], ["a", "b"], ["b", "c"], ["a", "none"], ["c"]))

    def beat(self) -> None:
        """A member does as it is told, and says so; or says nothing."""
        name, silent = self.member(), self.random.random() < 0.3
        self.both(
            f"{name} beats{' silently' if silent else ''}",
            lambda life: life.heartbeat(
                name,
                life.epochs.get(name, 1),
                instance_id=self.instances.get(name),
                topic_partitions=None if silent else life.owned.get(name, []),
            ),
        )

    def lie(self) -> None:
        """Another epoch, partitions that are not its own, an instance id that it has not."""
        name = self.member()
        by = self.random.choice((-1, -1, 1, 3))
        partitions = self.random.choice(([], [0], [0, 1, 2, 3]))
        owned = [{"topic_id": placeholder("a"), "partitions": partitions}] if partitions else []
        instance = self.random.choice((self.instances.get(name), "i3", "i9"))
        self.both(
            f"{name} lies by {by}, {partitions}, {instance}",
            lambda life: life.heartbeat(
                name,
                max(life.epochs.get(name, 1) + by, 1),
                instance_id=instance,
                topic_partitions=owned,
            ),
        )

    def enter(self) -> None:
        name, topics = self.random.choice(MEMBERS), self.topics()
        instance = self.instances.get(name)
        self.both(f"{name} joins {topics}", lambda life: join(life, name, topics, instance))

    def go(self) -> None:
        name = self.random.choice(MEMBERS)
        epoch = self.random.choice((-1, -2)) if name in self.instances else -1
        instance = self.instances.get(name)
        self.both(
            f"{name} goes ({epoch})",
            lambda life: life.heartbeat(name, epoch, instance_id=instance),
        )

    def subscribe(self) -> None:
        name, topics = self.member(), self.topics()
        full = self.random.random() < 0.5
        self.both(
            f"{name} wants {topics}",
            lambda life: life.heartbeat(
                name,
                life.epochs.get(name, 1),
                instance_id=self.instances.get(name),
                subscribed_topic_names=topics,
                rebalance_timeout_ms=60_000 if full else -1,
                topic_partitions=life.owned.get(name, []),
            ),
        )

    def look(self) -> None:
        group = self.lives[0].group
        operations = {"include_authorized_operations": self.random.random() < 0.5}
        self.both(
            "describe", lambda life: life.wire.ask(69, 1, {"group_ids": [group], **operations})
        )

    def commit(self) -> None:
        """Offsets, in the member's epoch or another one."""
        name, by = self.member(), self.random.choice((0, 0, -1, 1))
        partition = {"partition_index": self.random.randrange(4), "committed_offset": 7}
        topics = [{"name": "a", "partitions": [{**partition, "committed_metadata": ""}]}]
        self.both(
            f"{name} commits {by}, {partition}",
            lambda life: life.wire.ask(
                8,
                9,
                {
                    "group_id": life.group,
                    "generation_id_or_member_epoch": life.epochs.get(name, 1) + by,
                    "member_id": name,
                    "topics": topics,
                },
            ),
        )

    # Members of the classic protocol

    def old_join(self) -> None:
        name, topics = self.random.choice(("", *OLD_MEMBERS)), self.topics()
        metadata = encode_subscription({"topics": topics, "owned_partitions": []})
        self.both(
            f"{name} joins {topics}",
            lambda life: life.old(
                11,
                9,
                name,
                session_timeout_ms=45_000,
                rebalance_timeout_ms=60_000,
                protocol_type="consumer",
                protocols=[{"name": "range", "metadata": metadata}],
            ),
        )

    def old_go_on(self) -> None:
        """Sync, heartbeat, or leave; now and then in another generation."""
        name = self.random.choice(OLD_MEMBERS)
        by = self.random.choice((0, 0, 0, 1))
        kind = self.random.choice((12, 12, 14, 14, 14, 13))
        more: dict[str, Any] = {}
        if kind == 14:
            more = {"protocol_type": "consumer", "protocol_name": "range", "assignments": []}

        def ask(life: Life) -> Message:
            fields = dict(more)
            if kind != 13:
                fields["generation_id"] = life.epochs.get(name, 0) + by
            return life.old(kind, {12: 4, 13: 5, 14: 5}[kind], name, **fields)

        self.both(f"{name} asks {kind} by {by}", ask)


def test_groups_live_the_same_lives_on_both_servers(wires: list[Wire]) -> None:
    """Codes, epochs, assignments, states: all of every answer, sentences included."""
    print(f"seeds {SEED} to {SEED + STORIES_COUNT - 1}")
    for number in range(STORIES_COUNT):
        Story(wires, SEED + number).live()
