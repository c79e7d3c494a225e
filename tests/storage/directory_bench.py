"""A log directory on a bench: produce with idempotent producers, commit, maintain, stop, start.

The server's part of the protocol with storage, without a server: one thread does everything, in the
order in which loop and helpers would do it.
"""

from __future__ import annotations

from random import Random

from logserver.config import TopicConfig, load
from logserver.storage.directory import LogDirectory
from logserver.storage.files import Files
from logserver.storage.log import Log
from logserver.storage.mark import MarkWrite
from logserver.storage.producers import advance_sequence
from logserver.storage.simulated_files import MemoryFiles
from logwire import errors
from logwire.batch import encode_batch

DATA = "data"
TOPIC_ID = bytes(range(16))
NOW_MS = 1_700_000_000_000


class DirectoryBench:
    """An open log directory and the clock of its server."""

    def __init__(self, files: Files | None = None, **settings: int) -> None:
        self.files: Files = MemoryFiles() if files is None else files
        self.settings = {"segment_bytes": 4000, "index_interval_bytes": 300, **settings}
        self.now_ms = NOW_MS
        self.directory = self.open()

    def open(self) -> LogDirectory:
        """Lock, identify, read the mark."""
        config = load({"log.dir": DATA, "node.id": "1"})
        return LogDirectory.open(self.files, config, now_ms=self.now_ms, random=Random(1))

    def log(self, name: str = "t-0", topic_id: bytes = TOPIC_ID) -> Log:
        """Open a log, or give the open one."""
        if name in self.directory.logs:
            return self.directory.logs[name]
        config = TopicConfig(**self.settings)  # type: ignore[arg-type]
        return self.directory.open_log(name, config, topic_id=topic_id, now_ms=self.now_ms)

    def commit(self, *logs: Log) -> None:
        """One group commit over these logs, or all."""
        chosen = logs or tuple(self.directory.logs.values())
        tasks = [task for task in (log.begin_sync() for log in chosen) if task is not None]
        for task in tasks:
            task.run()
        for task in tasks:
            task.log.synced(task)
        self.directory.note_durable([task.log for task in tasks], self.now_ms)

    def maintain(self) -> None:
        """Everything that is to be done off the loop."""
        for log in list(self.directory.logs.values()):
            while log.wants_maintenance:
                for run, finish in log.maintenance():
                    finish(run())

    def mark(self, *, force: bool = True) -> MarkWrite | None:
        """Write the mark if it is due."""
        write = self.directory.begin_mark(self.now_ms, force=force)
        if write is not None:
            write.run()
            self.directory.mark_written()
        return write

    def stop(self, *, clean: bool = True) -> None:
        """Stop; an unclean stop is a kill."""
        self.directory.close(clean=clean)

    def restart(self, *, clean: bool = True) -> None:
        """Stop and start."""
        self.stop(clean=clean)
        self.directory = self.open()


def produce(
    log: Log,
    count: int,
    now_ms: int = NOW_MS,
    *,
    producer: tuple[int, int, int] = (-1, -1, -1),
    value_bytes: int = 50,
    codec: int = 0,
) -> bytes:
    """Append one batch as the broker does: check, append, update; the bytes as stored."""
    producer_id, epoch, first = producer
    value = (b"%d-%d." % (producer_id, first) * (value_bytes // 4 + 1))[:value_bytes]
    records = [(b"k%d" % i, value, (), now_ms + i) for i in range(count)]
    batch = encode_batch(
        records,
        codec=codec,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=first,
    )
    last = advance_sequence(first, count - 1) if producer_id >= 0 else -1
    if producer_id >= 0:
        assert log.producers.check(producer_id, epoch, first, last) == (errors.NONE, -1)
    max_timestamp_ms = now_ms + count - 1
    base_offset = log.append(memoryview(batch), count - 1, max_timestamp_ms, now_ms)
    if producer_id >= 0:
        last_offset = base_offset + count - 1
        log.producers.update(
            producer_id, epoch, first, last, base_offset, last_offset, max_timestamp_ms
        )
    return bytes(batch)


def stored(log: Log) -> bytes:
    """Every byte of a log's batches, from its start to its end."""
    pieces, offset = [], log.log_start_offset
    while (piece := log.read(offset, 1 << 20, log.end_offset)) is not None:
        pieces.append(piece.read())
        offset = piece.next_offset
        piece.release()
    return b"".join(pieces)


def filled(segments_count: int = 3, files: Files | None = None, **settings: int) -> DirectoryBench:
    """A directory with one log of that many segments, mixed sizes and codecs, cleanly stopped."""
    bench = DirectoryBench(files, **settings)
    log = bench.log()
    sequences = dict.fromkeys(range(3), 0)
    number = 0
    while len(log.segments) < segments_count or log.active.size_bytes < 1000:
        producer, count = number % 3, number % 5 + 1
        produce(
            log,
            count,
            bench.now_ms + number * 10,
            producer=(producer, 0, sequences[producer]),
            value_bytes=number * 7 % 60,
            codec=number % 5,
        )
        sequences[producer] += count
        number += 1
        bench.commit()
        bench.maintain()
        if number % 10 == 0:
            bench.mark()
    bench.mark()
    return bench
