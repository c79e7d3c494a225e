"""A log on a bench: one object with the verbs that the storage tests are written in.

`write sync maintain reopen cut flip lose_unsynced` and `read_all`. The file system is any `Files`,
in memory unless told otherwise; batches are real ones, made by `logwire.batch`.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from logserver.config import TopicConfig
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import Files
from logserver.storage.log import Log
from logserver.storage.maintenance import Chore
from logserver.storage.mark import MarkEntry
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from logwire.batch import encode_batch, iterate_batches

TOPIC_ID = bytes(range(16))
DIRECTORY = "data/topic-0"


class Written(NamedTuple):
    """A batch as it was appended; `data` is what must come back, stamped."""

    base_offset: int
    last_offset: int
    max_timestamp_ms: int
    data: bytes


def make_batch(
    count: int = 1, value_bytes: int = 100, timestamp_ms: int = 1000, codec: int = 0
) -> bytearray:
    """A batch of `count` records; the last one is the youngest, one ms per record."""
    records = [
        (None, bytes([index % 251]) * value_bytes, (), timestamp_ms + index)
        for index in range(count)
    ]
    return encode_batch(records, codec=codec)


class LogBench:
    """One log, and what stops and starts it."""

    def __init__(self, files: Files | None, config: TopicConfig) -> None:
        self.files: Files = MemoryFiles() if files is None else files
        self.config = config
        self.now_ms = 1_000_000
        if not self.files.is_directory("data"):
            self.files.make_directory("data")
            self.files.sync_directory("")
        self.log = self.open(clean=False)

    def open(self, *, clean: bool, mark: MarkEntry | None = None) -> Log:
        """Open the log of the bench's directory."""
        return Log.open(
            self.files,
            DIRECTORY,
            self.config,
            topic_id=TOPIC_ID,
            now_ms=self.now_ms,
            clean=clean,
            mark=mark,
        )

    def maintain(self) -> None:
        """Everything that wants to be done off the loop, until nothing is left."""
        while self.log.wants_maintenance:
            run_chores(self.log.maintenance())

    def reopen(self, *, clean: bool = True) -> None:
        """Stop and start; an unclean stop closes nothing properly."""
        self.log.close(clean=clean)
        if clean:
            self.files.sync_file_system("data")
        mark = MarkEntry(TOPIC_ID, *self.log.durable_end()) if clean else None
        self.log = self.open(clean=clean, mark=mark)

    def read_all(self, max_bytes: int = 1 << 20) -> list[bytes]:
        """Every batch from the log start to the end, read slice by slice."""
        found, offset = [], self.log.log_start_offset
        while (piece := self.log.read(offset, max_bytes, self.log.end_offset)) is not None:
            found += batches_in(piece.read())
            offset = piece.next_offset
            piece.release()
        return found

    def names(self) -> list[str]:
        """The files of the log's directory."""
        return self.files.list_directory(self.log.directory)


class Bench(LogBench):
    """One log and what was written to it."""

    def __init__(self, files: Files | None = None, **settings: int) -> None:
        super().__init__(files, TopicConfig(**settings))  # type: ignore[arg-type]
        self.written: list[Written] = []
        self.marks = [MarkEntry(TOPIC_ID, *self.log.durable_end())]

    def write(
        self, count: int = 1, value_bytes: int = 100, timestamp_ms: int = 1000, codec: int = 0
    ) -> Written:
        """Append one batch of `count` records."""
        batch = make_batch(count, value_bytes, timestamp_ms, codec)
        youngest_ms = timestamp_ms + count - 1
        base_offset = self.log.append(memoryview(batch), count - 1, youngest_ms, self.now_ms)
        written = Written(base_offset, base_offset + count - 1, youngest_ms, bytes(batch))
        self.written.append(written)
        return written

    def write_many(self, batches_count: int, **settings: int) -> None:
        """Append several equal batches, one ms younger each."""
        timestamp_ms = settings.pop("timestamp_ms", 1000)
        for index in range(batches_count):
            self.write(timestamp_ms=timestamp_ms + index, **settings)

    def sync(self) -> None:
        """One group commit."""
        task = self.log.begin_sync()
        if task is not None:
            task.run()
            self.log.synced(task)
            self.marks.append(MarkEntry(TOPIC_ID, *self.log.durable_end()))

    def lose_unsynced(self, random: Random) -> None:
        """Cut the power and start again on what the disk has, with one of the marks since."""
        assert isinstance(self.files, RecordingFiles)
        self.files = self.files.power_cut(random)
        self.log = self.open(clean=False, mark=random.choice(self.marks))

    def cut(self, name: str, size_bytes: int) -> None:
        """Shorten a file of the (closed) log."""
        file = self.files.open(f"{DIRECTORY}/{name}")
        file.truncate(size_bytes)
        file.datasync()

    def flip(self, name: str, bit: int) -> None:
        """Flip one bit of a file of the log."""
        file = self.files.open(f"{DIRECTORY}/{name}")
        byte = file.pread(1, bit // 8)[0] ^ (1 << bit % 8)
        file.pwrite(bytes([byte]), bit // 8)
        file.datasync()

    def kept(self) -> list[bytes]:
        """What of the written batches `read_all` should give."""
        start = self.log.log_start_offset
        return [batch.data for batch in self.written if batch.last_offset >= start]


def run_chores(chores: list[Chore]) -> int:
    """What a helper thread does with chores, one after the other; how many there were."""
    for run, finish in chores:
        try:
            result = run()
        except OSError as error:
            result = error
        finish(result)
    return len(chores)


def batches_in(data: bytes) -> list[bytes]:
    """The whole batches that `data` must consist of."""
    found = [
        data[position : position + header.batch_length + 12]
        for position, header in iterate_batches(data)
    ]
    assert b"".join(found) == data, "a slice ends within a batch"
    return found


def counting_bench(**settings: int) -> tuple[Bench, FailingFiles]:
    """A bench whose file calls are counted."""
    files = FailingFiles(MemoryFiles())
    return Bench(files, **settings), files
