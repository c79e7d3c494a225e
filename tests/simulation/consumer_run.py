"""A consumer group and consumers of both protocols through an eventful life, then a quiet end.

Chance chooses what happens next; after each event the model is held against what everybody reads.
The bench holds memory against the log at each step. At the end everybody behaves, and the group
must come to rest with every partition read by exactly one of its subscribers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_records import new_group
from logserver.broker.groups.classic_state import STABLE
from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.consumer_step import Step
from logserver.broker.groups.migration import release, upgrade
from logserver.broker.groups.offset_group import OffsetGroup
from logwire.errors import Refusal
from tests.broker.groups.consumer_bench import GROUP, ConsumerBench
from tests.simulation.consumer_model import Consumer, NewConsumer, OldConsumer, Pair

TOPICS = ("a1", "a2", "b")
CONSUMERS_COUNT_MAX = 6
QUIET_ROUNDS_MAX = 60


class Door(ConsumerBench):
    """The bench with the part of the handlers: which kind of group takes a request."""

    def step(self, event: Any) -> None:
        """An empty group gives way to the kind that is asked for; a classic one is upgraded."""
        group = self.groups[GROUP]
        name = type(event).__name__
        if name == "ConsumerHeartbeat" and not isinstance(group, ConsumerGroup):
            self._upgrade(group, event)
            return
        if name == "Join" and isinstance(group, ConsumerGroup) and group.empty:
            self.records += [*group.tombstones(), new_group(GROUP, self.now.wall_ms)]
            self.groups[GROUP] = ClassicGroup(GROUP)
        super().step(event)

    def _upgrade(self, group: Any, event: Any) -> None:
        if event.request["member_epoch"]:
            raise Refusal(69)  # GROUP_ID_NOT_FOUND
        made = ConsumerGroup(GROUP, self.cluster)
        step = Step(made, self.now)
        if group.empty:
            step.delete_records(group.tombstones())
        else:
            upgrade(step, group)
        made_effects = made.step(event, self.now)
        if isinstance(group, ClassicGroup):
            step.add(release(group))
        step.replace(made)
        self.perform([*made.finish(step), *made_effects])

    def restart(self) -> None:
        """A coordinator takes over with nothing but the log."""
        loaded = self.load().get(GROUP, OffsetGroup(GROUP))
        if isinstance(loaded, OffsetGroup):
            loaded = ConsumerGroup(GROUP, self.cluster)
        if isinstance(loaded, ConsumerGroup):
            loaded.cluster = self.cluster
        self.groups[GROUP] = loaded
        self.wake_ms = None
        self.perform(loaded.resume(self.now))


class ConsumerRun:
    """One life. `seed` decides everything; `migrates` lets classic consumers take part."""

    def __init__(self, seed: int, *, migrates: bool) -> None:
        self.random = Random(seed)
        interval_ms = self.random.choice((0, 0, 1000))
        self.bench = Door(assignment_interval_ms=interval_ms)
        self.migrates = migrates
        self.consumers: list[Consumer] = []
        self.crashed: list[Consumer] = []
        self.waiting: list[NewConsumer] = []  # static ones that will be back
        self.names_count = 0
        self.epoch = 0
        self.events_count = 0
        for topic in TOPICS[:2]:
            self.bench.cluster.create(topic, self.random.randrange(1, 6))
        self.events: list[tuple[int, Callable[[], None]]] = [
            (60, self.beat),
            (6, self.lose_an_answer),
            (15, self.beat_all),
            (12, self.pass_time),
            (2, self.fall_silent),
            (8, self.join),
            (3, self.leave),
            (3, self.leave_for_a_while),
            (3, self.come_back),
            (2, self.crash),
            (3, self.turn_stubborn),
            (3, self.resubscribe),
            (3, self.change_topics),
            (2, self.bench.restart) if not migrates else (1, self.restart_quietly),
        ]

    def run(self, events_count: int) -> None:
        """So many events, then the quiet end."""
        for _ in range(events_count):
            weights = [weight for weight, _ in self.events]
            (event,) = self.random.choices([event for _, event in self.events], weights)
            event()
            self.check()
            self.events_count += 1
        self.come_to_rest()

    # What must hold

    def check(self) -> None:
        """Nobody reads what another one reads, and epochs go on."""
        known = dict(self.bench.cluster.topics.values())
        readers: dict[Pair, Consumer] = {}
        for consumer in [*self.consumers, *self.crashed]:
            if consumer.may_be_out or consumer.lost_count:
                continue
            for pair in consumer.reading:
                other = readers.setdefault(pair, consumer)
                if pair[0] in known:
                    assert other is consumer, f"{pair} is read by {consumer.name}, {other.name}"
        group = self.bench.groups[GROUP]
        if isinstance(group, ConsumerGroup) and not group.empty:
            state = group.state
            assert state.assignment_epoch <= state.epoch
            assert all(m.member_epoch <= state.epoch for m in state.members.values())

    def come_to_rest(self) -> None:
        """Everybody behaves from now on: the group settles, and every partition is read once."""
        for consumer in self.consumers:
            if isinstance(consumer, NewConsumer):
                consumer.stubborn = False
        self.bench.pass_time(30_000)
        for _ in range(QUIET_ROUNDS_MAX):
            for consumer in self.consumers:
                consumer.beat()
                self.check()
            self.bench.pass_time(3_000)
        wanted = {
            (topic_id, partition)
            for name, (topic_id, count) in self.bench.cluster.topics.items()
            if any(self.reads(consumer, name) for consumer in self.consumers)
            for partition in range(count)
        }
        read = [pair for consumer in self.consumers for pair in consumer.reading]
        assert len(read) == len(set(read)), "read twice at rest"
        assert set(read) == wanted, f"unread at rest: {wanted - set(read)}"
        group = self.bench.groups[GROUP]
        if isinstance(group, ConsumerGroup) and self.consumers:
            assert group.state_name == "Stable"

    def reads(self, consumer: Consumer, topic: str) -> bool:
        """Whether the consumer subscribes to a topic."""
        if isinstance(consumer, NewConsumer) and consumer.regex:
            return topic.startswith("a")
        return topic in consumer.topics

    # What happens

    def one(self) -> Consumer | None:
        """Any consumer."""
        return self.random.choice(self.consumers) if self.consumers else None

    def one_new(self) -> NewConsumer | None:
        """Any consumer of the new protocol."""
        found = [c for c in self.consumers if isinstance(c, NewConsumer)]
        return self.random.choice(found) if found else None

    def beat(self) -> None:
        if (consumer := self.one()) is not None:
            consumer.beat()

    def lose_an_answer(self) -> None:
        if (consumer := self.one_new()) is not None:
            consumer.beat(lost=True)

    def beat_all(self) -> None:
        for consumer in list(self.consumers):
            consumer.beat()

    def pass_time(self) -> None:
        self.bench.pass_time(self.random.choice((1, 100, 1000, 4000)))

    def fall_silent(self) -> None:
        """All of them, for longer than some sessions last."""
        self.bench.pass_time(self.random.choice((9_000, 20_000, 46_000)))

    def topics(self) -> list[str]:
        return self.random.choice((["a1"], ["a1", "a2"], ["a1", "a2", "b"], ["b"]))

    def join(self) -> None:
        if len(self.consumers) >= CONSUMERS_COUNT_MAX:
            return
        self.names_count += 1
        name = f"m{self.names_count}"
        instance = f"i{self.names_count}" if self.random.random() < 0.3 else None
        consumer: Consumer
        if self.migrates and self.random.random() < 0.5:
            consumer = OldConsumer(self.bench, name, self.topics())
        else:
            regex = "a." if self.random.random() < 0.3 else None
            consumer = NewConsumer(self.bench, name, self.topics(), instance, regex)
        self.consumers.append(consumer)
        consumer.beat()

    def leave(self) -> None:
        if (consumer := self.one()) is not None:
            self.consumers.remove(consumer)
            assert isinstance(consumer, NewConsumer | OldConsumer)
            consumer.leave()

    def leave_for_a_while(self) -> None:
        consumer = self.one_new()
        if consumer is not None and consumer.instance is not None and consumer.joined:
            self.consumers.remove(consumer)
            self.waiting.append(consumer)
            consumer.leave(-2)

    def come_back(self) -> None:
        """Under a new id, or the old one."""
        if not self.waiting:
            return
        old = self.waiting.pop()
        self.names_count += 1
        name = self.random.choice((old.name, f"m{self.names_count}"))
        consumer = NewConsumer(self.bench, name, old.topics, old.instance, old.regex)
        self.consumers.append(consumer)
        consumer.beat()

    def crash(self) -> None:
        """It does nothing any more, but reads on as long as it may."""
        if (consumer := self.one()) is not None:
            self.consumers.remove(consumer)
            self.crashed.append(consumer)

    def turn_stubborn(self) -> None:
        if (consumer := self.one_new()) is not None:
            consumer.stubborn = not consumer.stubborn

    def resubscribe(self) -> None:
        consumer = self.one_new()
        if consumer is not None and consumer.regex is None and consumer.joined:
            consumer.topics = self.topics()

    def change_topics(self) -> None:
        cluster = self.bench.cluster
        name = self.random.choice(TOPICS)
        if name not in cluster.topics:
            cluster.create(name, self.random.randrange(1, 6))
        elif self.random.random() < 0.5:
            cluster.grow(name, cluster.topics[name][1] + 1)
        else:
            cluster.delete(name)

    def restart_quietly(self) -> None:
        """A restart, unless a classic group is between generations: that is not written down."""
        group = self.bench.groups[GROUP]
        if isinstance(group, ClassicGroup) and group.state != STABLE:
            return
        self.bench.restart()
        for consumer in [*self.consumers, *self.crashed]:
            if not consumer.may_be_out:
                consumer.heard()  # sessions begin anew
