"""A compacted log on a bench: keyed writes, whole jobs, and a model of sixty lines beside them.

The server's part without a server: `compact` measures the log, runs the job on the same files, and
offers each output to the log, chores and all. `latest` is what every key must read as.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from logserver.config import TopicConfig
from logserver.storage import cleanable, sparse, swap
from logserver.storage.compaction import Compaction, Job
from logserver.storage.compaction_output import Cleaned
from logserver.storage.files import Files
from logserver.storage.log import Log
from logwire.batch import Record, decode_batch, encode_batch, iterate_batches
from tests.storage.bench import LogBench, run_chores

Pair = tuple[bytes | None, bytes | None]


def no_pace(_: int) -> None:
    """As fast as it goes."""


def compact_log(log: Log, now_ms: int, checkpoint_offset: int = 0) -> int:
    """One round of compaction over any log, chores included; the next first dirty offset."""
    found = cleanable.measure(log, checkpoint_offset, now_ms)
    job = cleanable.job_of(log, found, now_ms, 1 << 20, 0.9, seed=7)
    work = Compaction(log.files, log.directory, job, no_pace)
    ends: list[str] = []
    for cleaned in work.outputs():
        swap.offer(log, cleaned, now_ms, ends.append)
        while log.swap is not None:
            run_chores(swap.chores(log))
        assert ends.pop() == ""
    return work.end_offset


class CompactionBench(LogBench):
    """One compacted log, what was written to it, and its cleaner's memory."""

    def __init__(self, files: Files | None = None, **settings: int) -> None:
        given = {"segment_bytes": 2000, "index_interval_bytes": 300, **settings}
        config = TopicConfig(cleanup_policy=("compact",), **given)  # type: ignore[arg-type]
        super().__init__(files, config)
        self.checkpoint_offset = 0
        self.written: list[tuple[int, bytes | None, bytes | None]] = []
        self.ends: list[str] = []  # how offered outputs ended

    def write(
        self,
        *pairs: Pair,
        codec: int = 0,
        producer: tuple[int, int, int] = (-1, -1, -1),
        timestamp_ms: int | None = None,
        log_append_time: bool = False,
    ) -> int:
        """Append one batch of (key, value) and return its base offset."""
        first_ms = self.now_ms if timestamp_ms is None else timestamp_ms
        records = [(key, value, (), first_ms + i) for i, (key, value) in enumerate(pairs)]
        batch = encode_batch(
            records,
            codec=codec,
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
            log_append_time=log_append_time,
        )
        youngest_ms = first_ms + len(pairs) - 1
        base = self.log.append(memoryview(batch), len(pairs) - 1, youngest_ms, self.now_ms)
        if producer[0] >= 0:
            last = producer[2] + len(pairs) - 1
            end = base + len(pairs) - 1
            self.log.producers.update(*producer, last, base, end, youngest_ms)
        self.written += [(base + i, key, value) for i, (key, value) in enumerate(pairs)]
        return base

    def write_keys(self, names: Iterable[int], value: bytes = b"v" * 60) -> None:
        """One batch for each key, with values that tell the offset."""
        for name in names:
            self.write((b"k%d" % name, b"%d " % self.log.end_offset + value))

    def settle(self) -> None:
        """Commit and do all maintenance."""
        self.log.sync()
        self.maintain()

    def roll(self) -> None:
        """End the active segment and seal it."""
        self.log.roll(self.now_ms)
        self.settle()

    def job(self, map_bytes: int = 1 << 20) -> Job:
        """What a cleaner would be asked to do now."""
        found = cleanable.measure(self.log, self.checkpoint_offset, self.now_ms)
        return cleanable.job_of(self.log, found, self.now_ms, map_bytes, 0.9, seed=7)

    def compact(self, map_bytes: int = 1 << 20) -> Compaction:
        """One whole round: every output is put in; the checkpoint follows."""
        work = Compaction(self.files, self.log.directory, self.job(map_bytes), no_pace)
        for cleaned in work.outputs():
            self.put_in(cleaned)
            assert self.ends[-1] == ""
        self.checkpoint_offset = work.end_offset
        return work

    def put_in(self, cleaned: Cleaned) -> None:
        """Offer one output and do what it asks for."""
        swap.offer(self.log, cleaned, self.now_ms, self.ends.append)
        self.settle()

    # Reading

    def batches(self) -> list[bytes]:
        """Every batch, in many slices."""
        return self.read_all(max_bytes=1000)

    def records(self) -> list[Record]:
        """Every record of every batch."""
        return [record for data in self.batches() for record in decode_batch(data)]

    def latest(self) -> dict[bytes, bytes]:
        """What a reader of the whole log knows of each key."""
        known: dict[bytes, bytes] = {}
        for record in self.records():
            assert record.key is not None
            if record.value is None:
                known.pop(record.key, None)
            else:
                known[record.key] = record.value
        return known

    def expected(self) -> dict[bytes, bytes]:
        """What was written last of each key, tombstones taken as such."""
        known: dict[bytes, bytes] = {}
        for _, key, value in self.written:
            if key is None:
                continue
            if value is None:
                known.pop(key, None)
            else:
                known[key] = value
        return known

    def is_sparse_below(self) -> int:
        """What the log says of its gaps."""
        return sparse.read(self.files, self.log.directory)


def headers_of(data: bytes) -> list[tuple[int, int, int, int]]:
    """(base offset, last offset, attributes, record count) of each batch."""
    return [
        (h.base_offset, h.base_offset + h.last_offset_delta, h.attributes, h.record_count)
        for _, h in iterate_batches(data)
    ]


def random_writes(bench: CompactionBench, random: Random, batches_count: int) -> None:
    """Batches of all codecs, few keys, some tombstones, some producers."""
    sequences: dict[int, int] = {}
    for _ in range(batches_count):
        pairs: list[Pair] = []
        for _ in range(random.randint(1, 6)):
            key = b"key %d" % random.randrange(25) * random.choice((1, 1, 9))
            value = None if random.random() < 0.15 else random.randbytes(random.randrange(150))
            pairs.append((key, value))
        producer = (-1, -1, -1)
        if random.random() < 0.5:
            producer_id = random.randrange(3)
            producer = (producer_id, 0, sequences.get(producer_id, 0))
            sequences[producer_id] = producer[2] + len(pairs)
        bench.now_ms += random.randrange(50)
        bench.write(*pairs, codec=random.choice((0, 0, 1, 2, 3, 4)), producer=producer)
