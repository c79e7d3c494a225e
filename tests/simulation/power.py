"""A log directory that loses its power, again and again, and an oracle that knows what it promised.

`Lives` is a chain of lives on one simulated disk, played from one seed. Every operation on a file
counts; at a chosen one the power is cut (`CuttingFiles`), also in the middle of a helper's task, of
a roll, of a clean stop or of a recovery. The next life starts from one of the legal disk states,
and the oracle compares. `Run` plays a server's part with storage: appends by idempotent producers
on durable and relaxed topics, group commits whose task is begun and finished with other work in
between, writes of the mark, maintenance, retention, clean stops.

The oracle's promises, per partition (P2 prefix, P1 ack):
    what is there is a prefix of what was appended, byte for byte but for nothing;
    it reaches at least to the last offset that was acknowledged as durable;
    nothing is quarantined; the producers' memory is exactly that of the prefix, also where
    retention has removed the batches;
    appends go on; `verify` has no findings.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from logserver.config import TopicConfig, load
from logserver.storage.directory import LogDirectory
from logserver.storage.log import Log
from logserver.storage.producers import ProducerStates
from logserver.storage.simulated_files import Directory, Inode, RecordingFiles
from logserver.storage.sync import SyncTask
from logserver.storage.verify import verify_directory
from logwire.batch import HEADER
from tests.storage.directory_bench import DATA, NOW_MS, produce, stored

PARTITIONS = ("durable-0", "durable-1", "relaxed-0")


class PowerCut(BaseException):
    """The power is gone. Not an Exception: nothing may catch it on its way out."""


class CuttingFiles(RecordingFiles):
    """A recording file system that loses power before its `cut_at`-th operation."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        super().__init__(capacity_bytes)
        self.operations_count = 0
        self.cut_at = -1

    def count(self) -> None:
        """One more operation."""
        self.operations_count += 1
        if self.operations_count == self.cut_at:
            raise PowerCut

    def note_write(self, inode: Inode, position: int, data: bytes | bytearray | memoryview) -> None:
        super().note_write(inode, position, data)
        self.count()

    def note_size(self, inode: Inode, size_bytes: int) -> None:
        super().note_size(inode, size_bytes)
        self.count()

    def note_datasync(self, inode: Inode) -> None:
        self.count()
        super().note_datasync(inode)

    def note_name(
        self, directory: Directory, source: str | None, target: str | None, node: Inode | Directory
    ) -> None:
        super().note_name(directory, source, target, node)
        self.count()

    def sync_directory(self, path: str) -> None:
        self.count()
        super().sync_directory(path)

    def sync_file_system(self, path: str) -> None:
        self.count()
        super().sync_file_system(path)

    def after_cut(self, random: Random) -> CuttingFiles:
        """A new file system in one of the states that the cut may have left."""
        files = CuttingFiles(self.capacity_bytes)
        files.root = self.power_cut(random).root
        return files


class Partition:
    """What the oracle knows of one partition."""

    def __init__(self, name: str, topic_id: bytes) -> None:
        self.name = name
        self.topic_id = topic_id
        self.batches: list[bytes] = []  # as stored, in order
        self.acknowledged_offset = 0
        self.start_offset = 0

    @property
    def durable(self) -> bool:
        """Whether acks=all waits for the sync."""
        return self.name.startswith("durable")

    def prefix(self, end_offset: int) -> list[bytes]:
        """The batches before `end_offset`, which must be a boundary."""
        kept = [data for data in self.batches if base_offset_of(data) < end_offset]
        assert not kept or next_offset_of(kept[-1]) == end_offset, "the end is within a batch"
        return kept


def base_offset_of(data: bytes) -> int:
    """The base offset of a stored batch."""
    return int.from_bytes(data[:8], "big")


def next_offset_of(data: bytes) -> int:
    """The offset behind a stored batch."""
    header = HEADER.unpack_from(data)
    return int(header[0] + header[6] + 1)


class Lives:
    """A chain of lives: who it is about says how one starts, what is done in it, and what dies."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.files = CuttingFiles()
        self.now_ms = NOW_MS
        self.cuts_count = 0
        self.directory: LogDirectory

    def start(self) -> None:
        """Open everything that should be there and compare it with the oracle."""
        raise NotImplementedError

    def actions(self) -> list[Callable[[], None]]:
        """What a server does, each as often as it is likely."""
        raise NotImplementedError

    def forget_work(self) -> None:
        """What was under way died with its process."""
        raise NotImplementedError

    def work(self) -> None:
        """One random thing that a server does, a little later."""
        self.now_ms += self.random.randint(0, 300)
        self.random.choice(self.actions())()

    def survive(self, times: int, operations_max: tuple[int, ...]) -> None:
        """Lose power so often, each time after some operations, and start once more."""
        for _ in range(times):
            self.live_and_die(self.random.choice(operations_max))
        self.files.cut_at = -1
        self.start()

    def live_and_die(self, operations_max: int) -> None:
        """One life: start, check, work, and a power cut after some operations."""
        files = self.files
        files.cut_at = files.operations_count + self.random.randint(1, operations_max)
        try:
            self.start()
            while True:
                self.work()
        except PowerCut:
            self.cuts_count += 1
            self.forget_work()
            self.files = files.after_cut(self.random)

    def open_directory(self) -> None:
        """As a server does when it starts."""
        config = load({"log.dir": DATA})
        self.directory = LogDirectory.open(self.files, config, now_ms=self.now_ms, random=Random(1))

    def verify(self) -> None:
        """There is nothing that `logserver verify` would tell."""
        findings = list(verify_directory(self.files, DATA))
        findings = [finding for finding in findings if finding.kind != "mark"]  # a torn slot
        assert not findings, findings

    def maintain_log(self, log: Log) -> None:
        """The chores of a log in any order, as helpers would run them."""
        if log.wants_maintenance:
            chores = log.maintenance()
            self.random.shuffle(chores)
            for run, finish in chores:
                finish(run())

    def write_mark(self) -> None:
        """The mark, if it is due."""
        write = self.directory.begin_mark(self.now_ms, force=self.random.random() < 0.5)
        if write is not None:
            write.run()
            self.directory.mark_written()


class Run(Lives):
    """A server's logs. Planted bugs override `begin_commit`, or patch what the life calls."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.partitions = {
            name: Partition(name, bytes([number]) * 16) for number, name in enumerate(PARTITIONS)
        }
        self.config = TopicConfig(
            segment_bytes=self.random.choice((1500, 4000, 20_000)),
            index_interval_bytes=300,
            retention_bytes=self.random.choice((-1, -1, 6000)),
        )
        self.tasks: list[SyncTask] = []
        self.clean_starts_count = 0

    # Lives

    def forget_work(self) -> None:
        self.tasks.clear()

    def start(self) -> None:
        self.open_directory()
        self.clean_starts_count += self.directory.clean
        for partition in self.partitions.values():
            self.check(partition, self.open_log(partition))
        self.verify()

    def open_log(self, partition: Partition) -> Log:
        """Open or make a partition's log."""
        return self.directory.open_log(
            partition.name, self.config, topic_id=partition.topic_id, now_ms=self.now_ms
        )

    def check(self, partition: Partition, log: Log) -> None:
        """The promises."""
        found = log.recovery
        assert found.quarantine is None, (partition.name, found.quarantine)
        assert log.end_offset >= partition.acknowledged_offset, (
            f"{partition.name} ends at {log.end_offset}, "
            f"acknowledged up to {partition.acknowledged_offset}"
        )
        kept = partition.prefix(log.end_offset)
        readable = [data for data in kept if next_offset_of(data) > log.log_start_offset]
        assert stored(log) == b"".join(readable), f"{partition.name} holds other bytes"
        expected = ProducerStates()
        for data in kept:
            expected.replay(HEADER.unpack_from(data))
        assert remembered(log.producers) == remembered(expected), partition.name
        partition.batches = kept
        partition.acknowledged_offset = log.end_offset

    # Work

    def actions(self) -> list[Callable[[], None]]:
        return (
            [self.append] * 12
            + [self.begin_commit] * 4
            + [self.finish_commit] * 5
            + [self.maintain] * 3
            + [self.write_mark] * 2
            + [self.retain]
            + ([self.stop] if self.random.random() < 0.1 else [])
        )

    def append(self) -> None:
        """A batch of some producer; the broker's order: check, append, update."""
        partition = self.random.choice(list(self.partitions.values()))
        log = self.directory.logs[partition.name]
        producer_id, count = self.random.randrange(4), self.random.randint(1, 5)
        entry = log.producers.entries.get(producer_id)
        epoch = entry.epoch if entry else 0
        first = entry.next_sequence if entry else 0
        if self.random.random() < 0.03:
            epoch, first = epoch + 1, 0
        batch_end = log.end_offset + count
        # The bytes may reach the disk before a cut within this very append: known before.
        data = self.peek(log, partition, count, (producer_id, epoch, first))
        assert next_offset_of(data) == batch_end

    def peek(
        self, log: Log, partition: Partition, count: int, producer: tuple[int, int, int]
    ) -> bytes:
        """Append, and tell the oracle also when the power is cut within the append."""
        size = self.random.choice((10, 100, 100, 700))
        written: list[bytes] = []
        segment_write = log.append

        def append(batch: memoryview, delta: int, max_timestamp_ms: int, now_ms: int) -> int:
            try:
                return segment_write(batch, delta, max_timestamp_ms, now_ms)
            finally:
                written.append(bytes(batch))

        try:
            return produce(
                _Appender(log, append),  # type: ignore[arg-type]
                count,
                self.now_ms,
                producer=producer,
                value_bytes=size,
                codec=self.random.randrange(5),
            )
        finally:
            if written and base_offset_of(written[0]) == self.end_of(partition):
                partition.batches.append(written[0])

    @staticmethod
    def end_of(partition: Partition) -> int:
        """The offset behind the last batch that the oracle knows."""
        return next_offset_of(partition.batches[-1]) if partition.batches else 0

    def begin_commit(self) -> None:
        """Take the unsynced logs; answers wait."""
        if not self.tasks:
            logs = self.directory.logs.values()
            self.tasks = [task for task in (log.begin_sync() for log in logs) if task is not None]

    def finish_commit(self) -> None:
        """Run the task that is in flight, publish, answer."""
        for task in self.tasks:
            task.run()
        self.publish()

    def publish(self) -> None:
        """Answer what the task covers."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.log.synced(task)
            partition = self.partitions[task.log.name]
            if partition.durable:
                partition.acknowledged_offset = task.log.durable_offset
        self.directory.note_durable([task.log for task in tasks], self.now_ms)

    def maintain(self) -> None:
        """The chores of some log."""
        self.maintain_log(self.directory.logs[self.random.choice(PARTITIONS)])

    def retain(self) -> None:
        """Retention by bytes."""
        for log in self.directory.logs.values():
            log.retention(self.now_ms)

    def stop(self) -> None:
        """A clean stop and the start after it."""
        self.finish_commit()
        self.directory.close(clean=True)
        for partition in self.partitions.values():
            partition.acknowledged_offset = self.end_of(partition)
        self.start()


class _Appender:
    """A log whose `append` is told to the oracle even when the power goes in the middle."""

    def __init__(self, log: Log, append: object) -> None:
        self.producers = log.producers
        self.append = append


def remembered(states: ProducerStates) -> dict[int, tuple[object, ...]]:
    """What `check` looks at, by producer."""
    return {i: (e.epoch, e.next_sequence, *e.batches) for i, e in states.entries.items()}
