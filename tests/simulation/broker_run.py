"""A whole broker that lives and dies, and a model of dicts and lists that knows what it promised.

One `BrokerRun` is a chain of lives on one simulated disk, played from one seed. A life is requests
through `dispatch` (produce with and without idempotence, fetch, create, delete, grow, alter, trim)
between the steps of the server: group commits and relaxed syncs that begin, run and end with other
work in between, chores of a helper, ticks, clean stops. At some operation on a file the power is
cut or the process killed, also in the middle of a request, a sync, a chore, a stop or a start.

What the model holds against it, seen from outside only:
    an answer names the offset where the batch is, also that of a repeated batch;
    a fetch gives whole batches, byte for byte, from the one that was asked for on;
    after a start the topics are those after some change, none that was answered is missing;
    a partition holds a prefix of what was appended, all of it after a kill;
    what acks=all on a durable topic answered and what a consumer of it saw is there.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from logserver.broker.commit import CommitTask
from logserver.broker.image import TOPIC_RESOURCE
from logserver.storage.directory import LOCK_FILE
from logwire import errors
from logwire.batch import encode_batch, iterate_batches
from tests.broker.data_bench import RELAXED, DataBench
from tests.broker.fake_peer import FakeReply
from tests.simulation.broker_model import Batch, Partition, State, Topic, is_state, same
from tests.simulation.power import CuttingFiles, PowerCut
from tests.storage.bench import run_chores
from tests.storage.directory_bench import stored

NAMES = ("a", "b", "c")
SEGMENT_BYTES = "2500"


class BrokerRun(DataBench):
    """A chain of lives. Planted bugs patch what the broker calls."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.states: list[State] = [{}]
        self.answered = 0  # the newest state that some client was told of
        self.doubtful: State | None = None  # the change within whose request the life ended
        self.model: dict[tuple[bytes, int], Partition] = {}
        self.altered: set[bytes] = set()  # topics that were relaxed at some time
        self.removed: set[bytes | None] = set()  # topics that a start did not find any more
        self.pending: list[tuple[FakeReply, Callable[[FakeReply], None]]] = []
        self.commits: list[tuple[CommitTask, list[OSError | None]]] = []
        self.background: list[tuple[Callable[[], object], Callable[[object], None]]] = []
        self.serial = self.altered_count = 0
        self.lives_count = self.lost_count = 0
        self.alive = False
        super().__init__(files=CuttingFiles())
        self.alive = True

    # Lives

    @property
    def disk(self) -> CuttingFiles:
        """The file system of this life."""
        assert isinstance(self.files, CuttingFiles)
        return self.files

    def live_and_die(self, operations_max: int) -> None:
        """One life: start, compare, work, and an end after some operations on files."""
        disk = self.disk
        disk.cut_at = disk.operations_count + self.random.randint(1, operations_max)
        try:
            self.live()
            while True:
                self.step()
        except PowerCut:
            self.die()

    def live(self) -> None:
        """Start unless it runs already."""
        if not self.alive:
            self.now_ms += 1  # the bench's topic ids come from it: never twice the same
            self.start()
            self.compare()
            self.alive = True

    def die(self) -> None:
        """The power is cut, or only the process is killed."""
        self.lives_count += 1
        was_alive, self.alive = self.alive, False
        self.pending.clear()
        self.commits.clear()
        self.background.clear()
        if self.random.random() < 0.7:
            self.lost_count += 1
            self.files = self.disk.after_cut(self.random)
            for partition in self.model.values():
                partition.cached = 0
        else:
            self.disk.cut_at = -1
            lock = self.disk.open(f"/data/{LOCK_FILE}")
            lock.inode.locked = False
            for partition in self.model.values() if was_alive else ():
                partition.cached = max((b.end for b in partition.batches if b.sure), default=0)

    def stop(self) -> None:
        """A clean stop and the start after it: nothing at all is lost."""
        while self.commits:
            self.end_commit()
        while self.background:
            self.run_chore()
        self.settle()
        self.pending.clear()
        self.alive = False
        self.directory.close(clean=True)
        self.answered = len(self.states) - 1
        for partition in self.model.values():
            partition.promised = partition.end
        self.live()
        assert self.directory.clean

    # What a start must find

    def compare(self) -> None:
        """Hold the broker after its start against the model, and take over what it found."""
        image = self.broker.image
        found = {
            topic.name: Topic(
                topic.topic_id,
                len(topic.partitions),
                image.topic_configs(topic.name)["flush.messages"] == "1",
            )
            for topic in image.topics.values()
        }
        candidates = self.states[self.answered :]
        if self.doubtful is not None:
            candidates.append(self.doubtful)
        matching = [number for number, state in enumerate(candidates) if is_state(found, state)]
        assert matching, (found, candidates)
        self.forget_lost(found, self.states[: self.answered] + candidates[: matching[-1] + 1])
        self.states, self.answered, self.doubtful = [found], 0, None
        for name, topic in found.items():
            assert topic.topic_id is not None
            if not topic.durable:
                self.altered.add(topic.topic_id)
            for index in range(topic.partition_count):
                self.compare_partition(name, topic.topic_id, index)

    def forget_lost(self, found: State, kept: list[State]) -> None:
        """Partitions whose making was never durable: nobody was told of anything in them."""
        counts = {topic.topic_id: topic.partition_count for topic in found.values()}
        once = {topic.topic_id for state in kept for topic in state.values()}
        for (topic_id, index), partition in list(self.model.items()):
            if topic_id in self.removed:
                continue
            if topic_id not in once or index >= counts.get(topic_id, index + 1):
                assert not partition.promised, (topic_id, index, partition.promised)
                assert not partition.seen, (topic_id, index, partition.seen)
                del self.model[topic_id, index]
        self.removed |= once - set(counts)

    def compare_partition(self, name: str, topic_id: bytes, index: int) -> None:
        """A prefix, byte for byte, that holds what was promised."""
        log = self.broker.partitions[topic_id, index].log
        partition = self.partition_of(topic_id, index)
        where = f"{name}-{index}"
        end, start = log.end_offset, log.log_start_offset
        assert end >= partition.promised, f"{where} ends at {end}, promised {partition.promised}"
        assert end >= partition.cached, f"{where} ends at {end}, cached were {partition.cached}"
        assert end >= partition.seen, f"{where} ends at {end}, a consumer saw {partition.seen}"
        partition.batches = [batch for batch in partition.batches if batch.end <= end]
        assert partition.end == end, f"{where} ends at {end}, within a batch"
        # A trim within which the life ended may have been done.
        assert partition.start <= start <= end, f"{where} starts at {start}"
        kept = stored(log)
        expected = [batch for batch in partition.batches if batch.end > start]
        headers = list(iterate_batches(kept))
        assert [header.base_offset for _, header in headers] == [b.base for b in expected], where
        for (position, _), batch in zip(headers, expected, strict=True):
            assert same(kept[position : position + len(batch.data)], batch), where
        partition.promised, partition.start = end, start
        for batch in partition.batches:
            batch.sure = True

    # Work

    def step(self) -> None:
        """One random thing, and what the server does at the end of a turn."""
        self.now_ms += self.random.choice((0, 0, 1, 100, 700))
        self.broker.uptime_ms = self.now_ms
        topics = self.states[-1]
        actions = [self.begin_commit] * 4 + [self.end_commit] * 5 + [self.run_chore] * 4
        actions += [self.begin_relaxed, self.upkeep, self.tick, self.expire]
        if topics:
            actions += [self.produce] * 12 + [self.repeat] * 3 + [self.consume] * 6
            actions += [self.trim, self.alter, self.grow, self.remove_topic]
        if len(topics) < len(NAMES):
            actions.append(self.make_topic)
        if self.random.random() < 0.1:
            actions.append(self.stop)
        self.random.choice(actions)()
        self.broker.wake_waiting()
        self.settle()

    def settle(self) -> None:
        """Look at the answers that have come."""
        waiting, self.pending = self.pending, []
        for reply, check in waiting:
            if reply.answer is None:
                self.pending.append((reply, check))
            else:
                check(reply)
        if not self.pending:
            self.peer.answers.clear()

    def choose(self) -> tuple[str, Topic, int, Partition]:
        """Some partition."""
        name, topic = self.random.choice(sorted(self.states[-1].items()))
        assert topic.topic_id is not None
        index = self.random.randrange(topic.partition_count)
        return name, topic, index, self.partition_of(topic.topic_id, index)

    def partition_of(self, topic_id: bytes, index: int) -> Partition:
        """The model of a partition, whether its topic lives or not."""
        return self.model.setdefault((topic_id, index), Partition())

    # Produce

    def produce(self) -> None:
        """One new batch."""
        name, topic, index, partition = self.choose()
        self.serial += 1
        count, producer_id = self.random.randint(1, 4), self.random.choice((-1, 7, 8))
        before = partition.of_producer(producer_id) if producer_id >= 0 else []
        sequence = -1
        if producer_id >= 0:
            sequence = before[-1].sequence + before[-1].end - before[-1].base if before else 0
        value = b"%d." % self.serial + b"v" * self.random.choice((0, 50, 400))
        data = bytes(
            encode_batch(
                [(b"%d" % number, value, (), self.now_ms) for number in range(count)],
                producer_id=producer_id,
                producer_epoch=0 if producer_id >= 0 else -1,
                base_sequence=sequence,
            )
        )
        batch = Batch(partition.end, count, data, (producer_id, sequence))
        partition.batches.append(batch)  # before: the life may end within the request
        self.send_batch(name, topic, index, batch)
        batch.sure = True
        assert self.routed(name, index).end_offset == batch.end

    def repeat(self) -> None:
        """A batch of an idempotent producer once more, as after a lost answer."""
        name, topic, index, partition = self.choose()
        known = partition.of_producer(self.random.choice((7, 8)))
        known = [batch for batch in known if batch.end > partition.start]  # the rest is forgotten
        if known:
            self.send_batch(name, topic, index, self.random.choice(known))

    def send_batch(self, name: str, topic: Topic, index: int, batch: Batch) -> None:
        """Send it and remember what its answer would promise."""
        acks = self.random.choice((-1, -1, 1))
        reply = self.send(name, batch.data, index, acks)
        assert topic.topic_id is not None
        partition, altered_count = self.partition_of(topic.topic_id, index), self.altered_count

        def check(answered: FakeReply) -> None:
            answer = self.sent(answered)
            assert answer == (errors.NONE, batch.base), f"{name}-{index} at {batch.base}: {answer}"
            if acks == -1 and topic.durable and self.altered_count == altered_count:
                partition.promised = max(partition.promised, batch.end)

        self.pending.append((reply, check))

    def routed(self, name: str, index: int) -> Any:
        """The log that serves a partition."""
        return self.broker.routes[name][index].log

    # Fetch

    def consume(self) -> None:
        """A fetch somewhere in the log, or at its end, where it waits."""
        name, topic, index, partition = self.choose()
        offset = self.random.randint(partition.start, partition.end)
        if self.random.random() < 0.5:
            offset = self.broker.routes[name][index].high_watermark
        limit = self.random.choice((1, 1000, 1 << 20))
        reply = self.poll(
            (name, index, offset),
            partition_max_bytes=limit,
            min_bytes=self.random.choice((1, 1, 3000)),
            max_wait_ms=self.random.choice((0, 500)),
        )
        assert topic.topic_id is not None
        topic_id = topic.topic_id
        self.pending.append((reply, lambda r: self.check_fetch(r, name, topic_id, index, offset)))

    def check_fetch(
        self, reply: FakeReply, name: str, topic_id: bytes, index: int, offset: int
    ) -> None:
        """Every batch is the one that was appended there, and none is left out."""
        row = self.fetched(reply)[name, index]
        partition = self.partition_of(topic_id, index)
        code = row["error_code"]
        if code == errors.UNKNOWN_TOPIC_OR_PARTITION:
            now = self.states[-1].get(name)
            assert now is None or now.topic_id != topic_id
            return
        if code == errors.OFFSET_OUT_OF_RANGE:
            assert offset < partition.start
            return
        assert code == errors.NONE, code
        assert row["high_watermark"] <= partition.end
        records = bytes(row["records"] or b"")
        by_base = {batch.base: batch for batch in partition.batches}
        next_offset = offset
        for position, header in iterate_batches(records):
            batch = by_base[header.base_offset]
            assert batch.base <= next_offset < batch.end
            assert same(records[position : position + len(batch.data)], batch)
            next_offset = batch.end
        assert not records or next_offset <= row["high_watermark"]
        if records and topic_id not in self.altered:
            partition.seen = max(partition.seen, next_offset)

    # Topics

    def change(self, api_key: int, version: int, request: dict[str, Any], after: State) -> None:
        """A request that makes `after` of the present state."""
        self.doubtful = after
        reply = self.ask(api_key, version, request)
        self.doubtful = None
        image = self.broker.image
        self.states.append(
            {n: t._replace(topic_id=image.topics_by_name[n].topic_id) for n, t in after.items()}
        )
        number = len(self.states) - 1
        rows = {19: "topics", 20: "responses", 37: "results", 44: "responses"}[api_key]

        def check(answered: FakeReply) -> None:
            (row,) = self.read(api_key, version, answered)[rows]
            assert row["error_code"] == errors.NONE, row
            self.answered = max(self.answered, number)

        self.pending.append((reply, check))

    def make_topic(self) -> None:
        """A topic under a free name, maybe one that was used before."""
        name = self.random.choice([name for name in NAMES if name not in self.states[-1]])
        count, durable = self.random.choice((1, 1, 2, 5)), self.random.random() < 0.6
        configs = {
            "flush.messages": "1" if durable else RELAXED,
            "internal.segment.bytes": SEGMENT_BYTES,
            "file.delete.delay.ms": self.random.choice(("0", "1000")),
        }
        topic = {"name": name, "num_partitions": count, "replication_factor": 1, "assignments": []}
        entries = [{"name": key, "value": value} for key, value in configs.items()]
        after = {**self.states[-1], name: Topic(None, count, durable)}
        self.change(19, 7, {"topics": [{**topic, "configs": entries}]}, after)
        if not durable:
            self.altered.add(self.broker.image.topics_by_name[name].topic_id)

    def remove_topic(self) -> None:
        """A topic goes; whoever waits on it hears so."""
        name = self.choose()[0]
        after = {other: topic for other, topic in self.states[-1].items() if other != name}
        self.change(20, 6, {"topics": [{"name": name, "topic_id": bytes(16)}]}, after)

    def grow(self) -> None:
        """One partition more."""
        name, topic, _, _ = self.choose()
        if topic.partition_count < 7:
            after = {
                **self.states[-1],
                name: topic._replace(partition_count=topic.partition_count + 1),
            }
            row = {"name": name, "count": topic.partition_count + 1, "assignments": None}
            self.change(37, 2, {"topics": [row], "validate_only": False}, after)

    def alter(self) -> None:
        """Durable becomes relaxed, or relaxed durable."""
        name, topic, _, _ = self.choose()
        assert topic.topic_id is not None
        self.altered.add(topic.topic_id)
        self.altered_count += 1
        value = RELAXED if topic.durable else "1"
        config = {"name": "flush.messages", "config_operation": 0, "value": value}
        resource = {"resource_type": TOPIC_RESOURCE, "resource_name": name, "configs": [config]}
        after = {**self.states[-1], name: topic._replace(durable=not topic.durable)}
        self.change(44, 1, {"resources": [resource], "validate_only": False}, after)

    def trim(self) -> None:
        """DeleteRecords up to some offset below the high watermark; durable when answered."""
        name, _, index, partition = self.choose()
        high_watermark = self.broker.routes[name][index].high_watermark
        offset = self.random.randint(partition.start, high_watermark)
        row = {"partition_index": index, "offset": offset}
        reply = self.ask(21, 2, {"topics": [{"name": name, "partitions": [row]}]})
        (row,) = self.read(21, 2, reply)["topics"][0]["partitions"]
        assert (row["error_code"], row["low_watermark"]) == (errors.NONE, offset)
        partition.start = offset

    # What the server does

    def begin_commit(self) -> None:
        """A durable group, as the loop does after a turn."""
        self.took(self.broker.commit.begin())

    def begin_relaxed(self) -> None:
        """What `flush.ms` or a roll asks for."""
        self.took(self.broker.commit.begin_relaxed(self.now_ms))

    def took(self, task: CommitTask | None) -> None:
        """A task for a helper."""
        if task is not None:
            self.commits.append((task, []))

    def end_commit(self) -> None:
        """The helper runs a task, or the loop hears that it has run."""
        if not self.commits:
            return
        task, result = number = self.random.choice(self.commits)
        if not result:
            result.append(task.run())
        else:
            self.commits.remove(number)
            self.broker.finish_commit(task, result[0], self.now_ms)

    def upkeep(self) -> None:
        """Seals and preallocation."""
        self.background += self.broker.take_upkeep()

    def tick(self) -> None:
        """The mark, removals, retention."""
        self.background += self.broker.tick(self.now_ms)
        self.broker.retention(self.now_ms)

    def run_chore(self) -> None:
        """The oldest chore of the helper, and its end on the loop."""
        if self.background:
            run_chores([self.background.pop(0)])

    def expire(self) -> None:
        """Fetches have waited long enough."""
        self.broker.waits.expire(self.broker, self.now_ms)
