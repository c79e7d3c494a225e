"""Requests that make no sense, thousands of them: an answer each, and the group stays whole.

After every request the bench holds the log against memory and each partition against two owners;
a refusal must not have written anything.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from logserver.broker.groups.consumer_group import ConsumerGroup
from logwire import errors
from logwire.messages import Message
from tests.broker.groups.consumer_bench import GROUP, ConsumerBench

SEEDS = range(12)
REQUESTS_COUNT = 250

MEMBERS = ("m1", "m2", "m3", "classic-1", "classic-2", "", "\u00e9" * 40)
INSTANCES = (None, None, None, "i1", "i2")
EPOCHS = (0, 0, 1, 2, 3, 4, 5, 7, -1, -2, 2**31 - 1)
TOPICS = ("a", "b", "none", "", "a" * 200)
REGEXES = (None, None, "", "a|b", ".*", "(", "(a|b)*a(a|b){9}", "a{1001}", "[", "\\pL")
ASSIGNORS = (None, "uniform", "range")

KNOWN_CODES = {
    errors.NONE,
    errors.UNKNOWN_MEMBER_ID,
    errors.FENCED_MEMBER_EPOCH,
    errors.FENCED_INSTANCE_ID,
    errors.UNRELEASED_INSTANCE_ID,
    errors.INVALID_REGULAR_EXPRESSION,
    errors.GROUP_MAX_SIZE_REACHED,
    errors.ILLEGAL_GENERATION,
    errors.INCONSISTENT_GROUP_PROTOCOL,
    errors.MEMBER_ID_REQUIRED,
    errors.REBALANCE_IN_PROGRESS,
    errors.UNKNOWN_SERVER_ERROR,
}


class Hostile:
    """A peer that says anything."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bench = ConsumerBench(size_max=6, downgrades=seed < 3)
        self.ids = [self.bench.cluster.create(name, 3) for name in ("a", "b")]

    def owned(self) -> list[Message] | None:
        """Partitions that are anybody's or nobody's."""
        if self.random.random() < 0.3:
            return None
        topics = [*self.ids, bytes(16), b"\xff" * 16]
        return [
            {
                "topic_id": self.random.choice(topics),
                "partitions": [self.random.choice((0, 1, 2, 3, -1, 2**31 - 1)) for _ in range(2)],
            }
            for _ in range(self.random.randrange(3))
        ]

    def names(self) -> list[str]:
        """Topics that exist or not, some twice."""
        return [self.random.choice(TOPICS) for _ in range(self.random.randrange(4))]

    def heartbeat(self) -> int:
        """ConsumerGroupHeartbeat."""
        choose = self.random.choice
        names = None if self.random.random() < 0.4 else self.names()
        return self.bench.beat(
            choose(MEMBERS),
            choose(EPOCHS),
            instance_id=choose(INSTANCES),
            rack_id=choose((None, "r")),
            rebalance_timeout_ms=choose((-1, 0, 1, 60_000, 2**31 - 1)),
            subscribed_topic_names=names,
            subscribed_topic_regex=choose(REGEXES),
            server_assignor=choose(ASSIGNORS),
            topic_partitions=self.owned(),
        ).code

    def join(self) -> int:
        """JoinGroup."""
        choose = self.random.choice
        fields: dict[str, Any] = {"instance": choose(INSTANCES), "session_ms": choose((1, 10_000))}
        if self.random.random() < 0.2:
            fields["protocols"] = choose(({}, {"range": b""}, {"x": b"\0\x7f\xff\xff\xff\xff"}))
        version = choose((0, 3, 9))
        return self.bench.classic_join(
            choose(MEMBERS), *self.names(), version=version, **fields
        ).code

    def other(self) -> int:
        """SyncGroup, Heartbeat or LeaveGroup."""
        choose = self.random.choice
        member_id, instance = choose(MEMBERS), choose(INSTANCES)
        kind = self.random.randrange(3)
        if kind == 0:
            return self.bench.sync(member_id, choose(EPOCHS), instance=instance).code
        if kind == 1:
            return self.bench.classic_beat(member_id, choose(EPOCHS), instance)
        return max(self.bench.leave((member_id, instance)))

    def turn(self) -> int:
        """Any of it; sometimes a topic or time changes."""
        if self.random.random() < 0.05:
            self.bench.pass_time(self.random.choice((1, 1000, 50_000)))
        if self.random.random() < 0.03:
            self.bench.cluster.grow("a", self.bench.cluster.topics["a"][1] + 1)
        return self.random.choice((self.heartbeat, self.heartbeat, self.join, self.other))()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_asked_is_answered_and_the_group_stays_whole(seed: int) -> None:
    """With a code that Kafka gives; the bench looks after the rest."""
    hostile = Hostile(seed)
    codes: set[int] = set()
    for _ in range(REQUESTS_COUNT):
        if not isinstance(hostile.bench.groups[GROUP], ConsumerGroup):
            return  # its last member of the new protocol has left: the classic machine has it now
        codes.add(hostile.turn())
        assert codes <= KNOWN_CODES, seed
    assert len(codes) > 5, "most was refused for one reason"


def test_a_group_of_thousands_is_settled_in_bounded_steps() -> None:
    """Each member's records once; nothing grows with the square of the members."""
    bench = ConsumerBench(assignment_interval_ms=1000)
    bench.cluster.create("a", 2000)
    bench.check = lambda: None  # type: ignore[method-assign]  # it looks at every member
    epochs: dict[str, int] = {}
    for number in range(2000):
        epochs[f"m{number}"] = bench.join(f"m{number}", "a")["member_epoch"]
    bench.pass_time(1000)
    for _ in range(2):
        for name in epochs:
            asked = bench.beat(name, epochs[name], topic_partitions=[])
            assert asked.code == errors.NONE
            epochs[name] = asked["member_epoch"]
    assert len(bench.records) < 12 * 2000
    sizes = [sum(map(len, member.assigned.values())) for member in bench.state.members.values()]
    assert sizes == [1] * 2000
