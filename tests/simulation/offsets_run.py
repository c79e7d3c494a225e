"""Committed offsets through kills and power cuts, beside a model: a list of states, per partition.

Every change of a coordinator's offsets is one more state in the list of its partition of
`__consumer_offsets`; a sync makes the newest state the oldest that may ever be seen again. After a
kill the newest state must be there; after a power cut one that is not older than the last sync,
without the offsets of topics that the metadata log does not have (any more).
"""

from __future__ import annotations

from random import Random

from logserver.broker.groups.coordinators import partition_of
from logserver.broker.groups.expiry import MINUTE_MS, expire
from tests.broker.groups.offsets_bench import OffsetsBench
from tests.storage.compaction_bench import compact_log

GROUPS = tuple(f"group-{number}" for number in range(6))
TOPICS = ("a", "b")
PARTITIONS_COUNT = 3
COORDINATORS_COUNT = 4
RETENTION_MS = 10_080 * MINUTE_MS

# (group, topic, topic id, partition) -> (offset, commit time)
State = dict[tuple[str, str, bytes, int], tuple[int, int]]


class OffsetsRun:
    """One bench after the other, and what their coordinators may hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bench = OffsetsBench({"log.segment.bytes": "1048576"})
        for topic in TOPICS:
            self.bench.create(topic, PARTITIONS_COUNT)
        self.bench.sync()
        self.states: list[list[State]] = [[{}] for _ in range(COORDINATORS_COUNT)]
        self.commits_count = 0

    def play(self, steps_count: int) -> None:
        """Random steps, one power cut or kill among ten."""
        steps = [self.commit] * 12 + [self.delete_offsets] * 2 + [self.sync] * 4
        steps += [self.let_time_pass, self.replace_topic, self.kill, self.cut_power]
        steps += [self.compact] * 2
        for _ in range(steps_count):
            self.random.choice(steps)()

    # Steps

    def commit(self) -> None:
        """Some partitions of one topic for one group."""
        group_id, topic = self.random.choice(GROUPS), self.random.choice(TOPICS)
        indexes = self.random.sample(range(PARTITIONS_COUNT), self.random.randint(1, 3))
        offsets = {index: self.random.randrange(1000) for index in indexes}
        assert set(self.bench.commit(offsets, topic, group_id=group_id)) == {0}
        topic_id, now_ms = self.bench.topic_id(topic), self.bench.now_ms
        state = self.new_state(group_id)
        for index, offset in offsets.items():
            state[group_id, topic, topic_id, index] = (offset, now_ms)
        self.commits_count += 1

    def delete_offsets(self) -> None:
        """OffsetDelete of one partition, whether there is an offset or not."""
        group_id, topic = self.random.choice(GROUPS), self.random.choice(TOPICS)
        index = self.random.randrange(PARTITIONS_COUNT)
        partitions = [{"partition_index": index}]
        topics = [{"name": topic, "partitions": partitions}]
        self.bench.call(47, 0, {"group_id": group_id, "topics": topics})
        state = self.new_state(group_id)
        state.pop((group_id, topic, self.bench.topic_id(topic), index), None)

    def let_time_pass(self) -> None:
        """Three days; offsets expire after seven."""
        self.bench.now_ms += 3 * 24 * 60 * MINUTE_MS
        for index, coordinator in self.bench.broker.coordinators.by_index.items():
            order = list(coordinator.groups)
            expire(coordinator, RETENTION_MS, self.bench.now_ms)
            newest = self.states[index][-1]
            oldest_ms = self.bench.now_ms - RETENTION_MS
            # Each group is a batch of its own: a power cut may come between any two.
            for group_id in order:
                gone = [k for k, v in newest.items() if k[0] == group_id and v[1] <= oldest_ms]
                newest = {key: value for key, value in newest.items() if key not in gone}
                self.states[index].append(newest)

    def replace_topic(self) -> None:
        """Delete a topic and make one of the same name."""
        topic = self.random.choice(TOPICS)
        coordinators = self.bench.broker.coordinators.by_index
        orders = [list(coordinators[n].offsets.by_group) for n in range(COORDINATORS_COUNT)]
        self.bench.delete(topic)
        self.bench.create(topic, PARTITIONS_COUNT)
        for states, order in zip(self.states, orders, strict=True):
            newest = states[-1]
            for group_id in order:
                newest = {k: v for k, v in newest.items() if k[:2] != (group_id, topic)}
                states.append(newest)

    def compact(self) -> None:
        """One coordinator's log, up to where it is now; nothing that counts changes."""
        self.sync()
        index = self.random.randrange(COORDINATORS_COUNT)
        log = self.bench.broker.coordinators.by_index[index].partition.log
        log.roll(self.bench.now_ms)
        self.bench.sync()
        self.bench.run_chores()
        compact_log(log, self.bench.now_ms)

    def sync(self) -> None:
        """What was answered is durable."""
        self.bench.sync()
        self.states = [[states[-1]] for states in self.states]

    def kill(self) -> None:
        """The process dies, what it wrote is there."""
        self.bench.restart(clean=False)
        self.states = [[states[-1]] for states in self.states]
        self.check()

    def cut_power(self) -> None:
        """The machine dies: everything since the last sync may be there or not."""
        before_ms = self.bench.now_ms
        self.bench = self.bench.power_cut(self.random)
        self.bench.now_ms = before_ms + 1000
        self.check()
        self.bench.sync()

    # The model

    def new_state(self, group_id: str) -> State:
        """A copy of the newest state of a group's coordinator, to be changed."""
        states = self.states[partition_of(group_id, COORDINATORS_COUNT)]
        states.append(dict(states[-1]))
        return states[-1]

    def check(self) -> None:
        """Each coordinator holds one of the states it may hold; it is the only one from now on."""
        image = self.bench.broker.image
        for index, coordinator in self.bench.broker.coordinators.by_index.items():
            found: State = {
                (group_id, topic, committed.topic_id, partition): committed[:1] + committed[3:4]
                for group_id, topics in coordinator.offsets.by_group.items()
                for topic, partitions in topics.items()
                for partition, committed in partitions.items()
            }
            possible = [
                {key: value for key, value in state.items() if key[2] in image.topics}
                for state in self.states[index]
            ]
            assert found in possible, f"coordinator {index}: {found} is none of {possible}"
            assert set(coordinator.groups) >= {key[0] for key in found}
            self.states[index] = [found]
        for topic in TOPICS:
            if topic not in image.topics_by_name:
                self.bench.create(topic, PARTITIONS_COUNT)
