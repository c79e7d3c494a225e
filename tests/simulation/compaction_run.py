"""A compacted log that loses its power again and again, and an oracle that knows every record.

As in `power`, one run is a chain of lives on one simulated disk, played from one seed; every
operation on a file counts, and at a chosen one the power is cut: in the middle of an append, of a
look at the records, of a swap, of a start that finishes a swap. Beside what a server does with any
log, this one compacts: a job yields an output, the log takes it in by steps with other work in
between, the cleaner is killed, the checkpoint is written or lost, the log start moves, old files
go.

The oracle's promises:
    a reader from the log start learns of each key what was written last of it, below the log's end;
    what is read is what was appended, at its offset, in order, with its time;
    the log reaches at least to the last offset that was acknowledged;
    the producers' memory is that of what was appended, nothing is quarantined, appends go on,
    `verify` has no findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from logserver.config import TopicConfig
from logserver.storage import cleanable, cleaner_checkpoint, swap, swap_files
from logserver.storage.compaction import Compaction
from logserver.storage.compaction_output import Cleaned
from logserver.storage.log import Log
from logserver.storage.sync import SyncTask
from logwire.batch import Record, decode_batch, encode_batch, iterate_batches
from tests.simulation.power import Lives
from tests.storage.bench import TOPIC_ID
from tests.storage.directory_bench import DATA

NAME = "compacted-0"


class Appended(NamedTuple):
    """A record as it was appended, and the batch that it was in."""

    record: Record
    producer: tuple[int, int, int]  # id, epoch, base sequence of the batch
    batch_end: int


class CompactionRun(Lives):
    """A compacted log. Planted bugs override a step, or patch what the life calls."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.appended: list[Appended] = []
        self.acknowledged_offset = 0
        self.config = TopicConfig(
            cleanup_policy=("compact",),
            segment_bytes=self.random.choice((700, 1500, 4000)),
            index_interval_bytes=300,
            delete_retention_ms=self.random.choice((0, 500, 5000)),
            file_delete_delay_ms=self.random.choice((0, 1000)),
        )
        self.map_bytes = self.random.choice((64 * 24, 1 << 16))
        self.task: SyncTask | None = None
        self.job: Compaction | None = None
        self.outputs: Iterator[Cleaned] | None = None
        self.swaps_count = self.finished_count = 0
        self.checkpoint_offset = 0
        self.log: Log

    # Lives

    def forget_work(self) -> None:
        self.task = self.job = self.outputs = None

    def start(self) -> None:
        self.open_directory()
        interrupted = self.has_a_decided_swap()
        self.log = self.directory.open_log(NAME, self.config, topic_id=TOPIC_ID, now_ms=self.now_ms)
        self.finished_count += interrupted
        kept = cleaner_checkpoint.read(self.files, DATA).get(NAME, 0)
        self.checkpoint_offset = cleanable.believed_checkpoint(self.log, kept)
        self.check()
        self.verify()

    def has_a_decided_swap(self) -> bool:
        """Whether the last life ended within a swap."""
        path = f"{DATA}/{NAME}"
        names = self.files.list_directory(path) if self.files.exists(path) else []
        return any(name.endswith(".digest" + swap_files.SWAP_SUFFIX) for name in names)

    def check(self) -> None:
        """The promises."""
        log = self.log
        assert log.recovery.quarantine is None, log.recovery.quarantine
        assert log.end_offset >= self.acknowledged_offset, (
            log.end_offset,
            self.acknowledged_offset,
        )
        self.appended = [a for a in self.appended if a.record.offset < log.end_offset]
        assert not self.appended or self.appended[-1].batch_end == log.end_offset
        self.acknowledged_offset = log.end_offset
        start = log.log_start_offset
        by_offset = {a.record.offset: a.record for a in self.appended}
        found: dict[bytes | None, bytes | None] = {}
        last = start - 1
        for record in self.read():
            assert record == by_offset[record.offset], "another record than was appended"
            assert record.offset > last, "offsets rise"
            last = record.offset
            found[record.key] = record.value
        wanted = {r.key: r.value for o, r in by_offset.items() if o >= start}
        known = {key: value for key, value in found.items() if value is not None}
        assert known == {key: value for key, value in wanted.items() if value is not None}
        self.check_producers()

    def check_producers(self) -> None:
        """Epoch and next sequence of everybody who wrote."""
        wanted = {}
        for appended in self.appended:
            producer_id, epoch, base_sequence = appended.producer
            if producer_id >= 0:
                wanted[producer_id] = (epoch, base_sequence)
        for producer_id, (epoch, base_sequence) in wanted.items():
            entry = self.log.producers.entries[producer_id]
            assert (entry.epoch, entry.batches[-1][0]) == (epoch, base_sequence), producer_id

    def read(self) -> Iterator[Record]:
        """Every record from the log start, slice by slice."""
        log = self.log
        offset = log.log_start_offset
        while (piece := log.read(offset, 2000, log.end_offset)) is not None:
            data = piece.read()
            for position, header in iterate_batches(data):
                batch = data[position : position + header.batch_length + 12]
                for record in decode_batch(batch):
                    if record.offset >= log.log_start_offset:
                        yield record
            assert piece.next_offset > offset
            offset = piece.next_offset
            piece.release()

    # Work

    def actions(self) -> list[Callable[[], None]]:
        return (
            [self.append] * 12
            + [self.begin_commit] * 4
            + [self.finish_commit] * 5
            + [self.maintain] * 8
            + [self.write_mark] * 2
            + [self.compact] * 8
            + [self.roll, self.release, self.write_checkpoint]
            + ([self.kill_cleaner, self.trim, self.stop] if self.random.random() < 0.1 else [])
        )

    def append(self) -> None:
        """A batch of some producer with few keys and some tombstones."""
        log, random = self.log, self.random
        count, producer_id = random.randint(1, 5), random.randrange(-1, 3)
        entry = log.producers.entries.get(producer_id)
        producer = (producer_id, 0, entry.next_sequence if entry else 0)
        if producer_id < 0:
            producer = (-1, -1, -1)
        records = []
        for number in range(count):
            key = b"key %d" % random.randrange(12)
            value = None if random.random() < 0.2 else random.randbytes(random.choice((5, 60, 200)))
            records.append((key, value, (), self.now_ms + number))
        batch = encode_batch(
            records,
            codec=random.randrange(5),
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
        )
        base_offset = log.end_offset
        for number, (key, value, headers, timestamp_ms) in enumerate(records):
            # Before it: the bytes may reach the disk before a cut within this very append.
            record = Record(base_offset + number, timestamp_ms, key, value, headers)
            self.appended.append(Appended(record, producer, base_offset + count))
        youngest_ms = self.now_ms + count - 1
        log.append(memoryview(batch), count - 1, youngest_ms, self.now_ms)
        if producer_id >= 0:
            last = producer[2] + count - 1
            log.producers.update(*producer, last, base_offset, base_offset + count - 1, youngest_ms)

    def begin_commit(self) -> None:
        """Take what is unsynced."""
        if self.task is None:
            self.task = self.log.begin_sync()

    def finish_commit(self) -> None:
        """Run the task that is in flight, and answer."""
        if self.task is not None:
            self.task.run()
            self.log.synced(self.task)
            self.task = None
            self.acknowledged_offset = self.log.durable_offset
            self.directory.note_durable([self.log], self.now_ms)

    def maintain(self) -> None:
        """The chores of the log."""
        self.maintain_log(self.log)

    def roll(self) -> None:
        """As segment.ms would."""
        self.log.roll(self.now_ms)

    def compact(self) -> None:
        """Begin a job, or take its next output, or end it."""
        if self.log.swap is not None:
            return
        if self.outputs is None:
            found = cleanable.measure(self.log, self.checkpoint_offset, self.now_ms)
            job = cleanable.job_of(self.log, found, self.now_ms, self.map_bytes, 0.9, seed=3)
            swap_files.remove_cleaned(self.files, self.log.directory)
            self.job = Compaction(self.files, self.log.directory, job, lambda _: None)
            self.outputs = self.job.outputs()
        try:
            cleaned = next(self.outputs, None)
        except FileNotFoundError:
            self.kill_cleaner()  # the log start has moved meanwhile
            return
        if cleaned is not None:
            swap.offer(self.log, cleaned, self.now_ms, self.was_put_in)
            return
        assert self.job is not None
        self.checkpoint_offset = self.job.end_offset
        self.job = self.outputs = None

    def was_put_in(self, error: str) -> None:
        """The log has taken an output, or it has not."""
        if error:
            self.kill_cleaner()
        else:
            self.swaps_count += 1

    def kill_cleaner(self) -> None:
        """What it has offered goes in; the rest is nobody's."""
        self.job = self.outputs = None

    def write_checkpoint(self) -> None:
        """How far the log is compacted."""
        cleaner_checkpoint.write(self.files, DATA, {NAME: self.checkpoint_offset})

    def release(self) -> None:
        """Free what was replaced."""
        chore = swap.release(self.log, self.now_ms)
        if chore is not None:
            chore[1](chore[0]())

    def trim(self) -> None:
        """DeleteRecords."""
        start, end = self.log.log_start_offset, self.log.durable_offset
        self.log.trim(self.random.randint(start, start + (end - start) // 3))

    def stop(self) -> None:
        """A clean stop and the start after it."""
        self.finish_commit()
        self.forget_work()
        self.directory.close(clean=True)
        self.acknowledged_offset = self.log.end_offset
        self.start()
