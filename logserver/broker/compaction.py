"""Which log is compacted next, and what becomes of the outcome.

The work is done by a process of its own (`server.cleaner`), one log at a time. Here it is decided:

    begin     the dirtiest log that is worth it (`storage.cleanable`) becomes a job
    offered   an output of the job is put into the log, in order, by the log's maintenance
    finished  when all are in, the checkpoint moves on, durably
    failed    the log rests for a while, longer each time; one with a batch that is not valid is
              not compacted again before a restart

If an output cannot be put in, the rest of the job is dropped with it: a tombstone must not go
before everything that it deletes has gone.

Nothing is compacted while the wall clock is not to be believed (`ClockGuard`): a clock that jumps
years ahead would let tombstones go before their time.

Source: Kafka's LogCleanerManager (4.3.1).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from logserver.storage import cleanable, cleaner_checkpoint, swap
from logserver.storage.files import is_passing
from logserver.storage.segment import CorruptSegmentError

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.storage.cleanable import Cleanable
    from logserver.storage.compaction import Job
    from logserver.storage.compaction_output import Cleaned
    from logserver.storage.log import Log
    from logserver.storage.maintenance import Chore

logger = logging.getLogger(__name__)

REST_MS = 60_000  # after the first failure; doubled by each further one
REST_MS_MAX = 3_600_000
SEED_BITS = 63
# Logs looked at in one turn of the loop: some 3 us each.
LOOKS_COUNT = 500


class Order(NamedTuple):
    """A job and the log that it is for."""

    directory: str
    topic_id: bytes
    job: Job


class Work(NamedTuple):
    """The job under way. `outputs` wait to be put in."""

    partition: Partition
    outputs: deque[Cleaned]


class Compactions:
    """The compaction of all logs of one log directory; everything here belongs to the loop.

    `dirty_ratio_max` is that of the dirtiest log at the last look, `last_error` the newest reason
    for which a job ended badly.
    """

    __slots__ = (
        "_best",
        "_broker",
        "_end_offset",
        "_failures",
        "_is_read",
        "_kept",
        "_left",
        "_offsets",
        "_ratio_best",
        "_ratio_max",
        "_replaced",
        "_resting",
        "_spoilt",
        "dirty_ratio_max",
        "failures_count",
        "last_error",
        "last_error_ms",
        "read_bytes",
        "runs_count",
        "work",
        "written_bytes",
    )

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._kept: dict[str, int] = {}  # what the checkpoint says on the device, once `_is_read`
        self._is_read = False
        self._offsets: dict[Log, int] = {}  # first dirty offsets
        self._failures: dict[Log, int] = {}
        self._resting: dict[Log, int] = {}  # until this uptime
        self._spoilt: set[Log] = set()
        self._replaced: set[Log] = set()  # with old segments whose space is to be freed
        self._end_offset: int | None = None
        self._left: list[Partition] = []  # to be looked at before the dirtiest is known
        self._best: Partition | None = None
        self._ratio_best = self._ratio_max = 0.0
        self.work: Work | None = None
        self.dirty_ratio_max = 0.0
        self.runs_count = self.failures_count = self.read_bytes = self.written_bytes = 0
        self.last_error = ""
        self.last_error_ms = 0

    # Choosing

    def begin(self, now_ms: int) -> Order | None:
        """Return the next job, None when no log is worth it or not all were looked at yet.

        One job at a time. A call looks at `LOOKS_COUNT` logs; `looking` says that more are left.
        """
        assert self.work is None
        broker = self._broker
        trusted = broker.clock_guard.trusts(now_ms)
        if not trusted or not broker.config.log_cleaner_enable or broker.commit.fenced:
            self._left.clear()
            return None
        if not self._left:
            self._left = [p for p in broker.partitions.values() if p.config.compacts]
            self._best = None
            self._ratio_max = 0.0
        looked_at, self._left = self._left[-LOOKS_COUNT:], self._left[:-LOOKS_COUNT]
        for partition in looked_at:
            self._look(partition, now_ms)
        if self._left:
            return None
        self.dirty_ratio_max = self._ratio_max
        best, self._best = self._best, None
        if best is None or not self._may_begin(best):
            return None
        found = self._measure(best, now_ms)  # as it is now
        if found is None or self._is_overstated(best.log, found.first_dirty_offset):
            return None
        return self._order(best, found, now_ms)

    @property
    def looking(self) -> bool:
        """Whether the next call of `begin` goes on where the last one stopped."""
        return bool(self._left)

    def _look(self, partition: Partition, now_ms: int) -> None:
        if not (partition.config.compacts and self._may_begin(partition)):
            return
        found = self._measure(partition, now_ms)
        if found is not None:
            if found.is_worth_it(partition.config.min_cleanable_dirty_ratio) and (
                self._best is None or found.ratio > self._ratio_best
            ):
                self._best, self._ratio_best = partition, found.ratio
            self._ratio_max = max(self._ratio_max, found.ratio)

    def _order(self, partition: Partition, found: Cleanable, now_ms: int) -> Order:
        broker, log = self._broker, partition.log
        self.work = Work(partition, deque())
        self._end_offset = None
        job = cleanable.job_of(
            log,
            found,
            now_ms,
            broker.config.log_cleaner_dedupe_buffer_size,
            broker.config.log_cleaner_io_buffer_load_factor,
            broker.random.getrandbits(SEED_BITS),
            broker.config.disk_reserve_bytes,
        )
        return Order(log.directory, log.topic_id, job)

    def _may_begin(self, partition: Partition) -> bool:
        log = partition.log
        return not (
            log.fenced
            or log.swap is not None
            or log in self._spoilt
            or self._broker.uptime_ms < self._resting.get(log, 0)
        )

    def _measure(self, partition: Partition, now_ms: int) -> Cleanable | None:
        """Look at one log; roll its active segment when compaction waits for that."""
        log = partition.log
        try:
            if cleanable.roll_overdue(log, now_ms):
                self._broker.upkeep.append(partition)
            return cleanable.measure(log, self._first_dirty(log), now_ms)
        except (OSError, CorruptSegmentError) as error:
            self._fail(log, f"{log.name}: {error}", now_ms)
            return None

    def _first_dirty(self, log: Log) -> int:
        offset = self._offsets.get(log)
        if offset is None:
            if not self._is_read:
                directory = self._broker.directory
                self._kept = cleaner_checkpoint.read(directory.files, directory.path)
                self._is_read = True
            offset = cleanable.believed_checkpoint(log, self._kept.get(log.name, 0))
            self._offsets[log] = offset
        return offset

    def _is_overstated(self, log: Log, first_dirty_offset: int) -> bool:
        """Whether the checkpoint says more of a log than is true; then it is corrected first.

        It may be that of an older log of the same name. `sparse-below` disproves it until the first
        job begins, and confirms it from then on, also if that job is cut off.
        """
        if self._kept.get(log.name, 0) <= first_dirty_offset:
            return False
        self._offsets[log] = first_dirty_offset
        self._write_checkpoint()
        return True

    # What becomes of it

    def is_void(self) -> bool:
        """Whether the job under way is for nothing: the log was deleted, fenced, reconfigured."""
        work = self.work
        return work is not None and (
            bool(work.partition.log.fenced) or not work.partition.config.compacts
        )

    def offered(self, cleaned: Cleaned, now_ms: int) -> None:
        """An output is finished; it is put in when those before it are."""
        if self.work is not None:
            self.work.outputs.append(cleaned)
            self._put_in(now_ms)

    def finished(self, end_offset: int, read_bytes: int, written_bytes: int, now_ms: int) -> None:
        """The job has offered all that it had to."""
        self.read_bytes += read_bytes
        self.written_bytes += written_bytes
        if self.work is not None:
            self._end_offset = end_offset
            self._put_in(now_ms)

    def failed(self, sentence: str, now_ms: int, *, spoilt: bool = False) -> None:
        """The job has ended badly; what was put in until now stays in."""
        work = self.work
        if work is None:
            return
        if spoilt:
            self._spoilt.add(work.partition.log)
        if not self.is_void():
            self._fail(work.partition.log, f"{work.partition.log.name}: {sentence}", now_ms)
        self._end(work)

    def _put_in(self, now_ms: int) -> None:
        work = self.work
        assert work is not None
        log = work.partition.log
        if log.swap is not None:
            return
        if work.outputs:
            cleaned = work.outputs.popleft()
            swap.offer(
                log,
                cleaned,
                now_ms,
                lambda error: self._was_put_in(work, error, now_ms),
                lambda: self._broker.upkeep.append(work.partition),
            )
        elif self._end_offset is not None:
            self.runs_count += 1
            self._failures.pop(log, None)
            self._offsets[log] = self._end_offset
            self._end(work)
            self._write_checkpoint()

    def _was_put_in(self, work: Work, error: str, now_ms: int) -> None:
        self._replaced.add(work.partition.log)
        if self.work is not work:
            return  # the job was given up meanwhile
        if error:
            self.failed(error, now_ms)
        else:
            self._put_in(now_ms)

    def _end(self, work: Work) -> None:
        work.outputs.clear()
        self.work = None

    def _fail(self, log: Log, sentence: str, now_ms: int) -> None:
        self.failures_count += 1
        self.last_error, self.last_error_ms = sentence, now_ms
        failures = self._failures[log] = self._failures.get(log, 0) + 1
        rest_ms = min(REST_MS << failures - 1, REST_MS_MAX)
        self._resting[log] = self._broker.uptime_ms + rest_ms
        logger.warning(
            "compaction of %s; %s",
            sentence,
            "not before a restart again; run `logserver verify`"
            if log in self._spoilt
            else f"again in {rest_ms // 1000} s",
        )

    # Time

    def tick(self, now_ms: int) -> list[Chore]:
        """Once a second: free the space of old segments that nobody reads any more."""
        chores = []
        for log in list(self._replaced):
            chore = swap.release(log, now_ms)
            if chore is not None:
                chores.append(chore)
            if not log.replaced or log.deleted_ms is not None:
                self._replaced.discard(log)
        return chores

    def forget(self, log: Log) -> None:
        """The log is deleted."""
        for known in (self._offsets, self._failures, self._resting):
            known.pop(log, None)
        self._spoilt.discard(log)
        if self.work is not None and self.work.partition.log is log:
            self._end(self.work)

    def _write_checkpoint(self) -> None:
        directory = self._broker.directory
        served = {partition.log.name for partition in self._broker.partitions.values()}
        offsets = {name: offset for name, offset in self._kept.items() if name in served}
        offsets |= {log.name: offset for log, offset in self._offsets.items()}

        def run() -> None:
            cleaner_checkpoint.write(directory.files, directory.path, offsets)

        def finish(result: object) -> None:
            if not isinstance(result, OSError):
                self._kept = offsets
            elif not is_passing(result):
                self._broker.fence(result)

        self._broker.due.append((run, finish))

    def figures(self) -> dict[str, int]:
        """For the statistics page; the ratio in thousandths."""
        return {
            "compactions": self.runs_count,
            "compaction_failures": self.failures_count,
            "compaction_read_bytes": self.read_bytes,
            "compaction_written_bytes": self.written_bytes,
            "compaction_dirty_ratio": round(self.dirty_ratio_max * 1000),
            "compaction_last_error_time_ms": self.last_error_ms,
            "partitions_uncleanable": len(self._spoilt),
        }
