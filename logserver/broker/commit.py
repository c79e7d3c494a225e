"""Group commit: one sync in flight, everything else collects behind it.

Theory. A device needs some 100 microseconds for a sync whatever it covers. So no request syncs:
each append marks its partition dirty and each answer that promises durability joins `waiting`.
As soon as something is dirty and nothing is in flight, `begin` takes all of both; the task runs
in a helper thread (it only sits in `fdatasync`, which releases the interpreter lock), and
`finish`, back on the loop, raises the high watermarks and completes the answers. What arrived
meanwhile forms the next group. At one request in flight this costs nothing extra, at 64 it
divides the syncs by 64.

Why no offset is compared: a waiter joins after its bytes were appended, and `begin` takes every
dirty partition; so a task covers every waiter it takes.

Relaxed partitions (`flush.messages` > 1) are synced by the same task shape on a second helper,
when `flush.messages`, `flush.ms` or a roll is reached: nobody waits for them, so they go gently.

A failed sync fences: see storage. The waiters of that group hear KAFKA_STORAGE_ERROR, so does who
comes after them, and no later sync is begun. The kernel tells an error to one caller only, so two
rules keep it from the wrong ear: a partition is never in two tasks at once, and a log that was
fenced on its own (a seal, a trim or an append failed) fails the group that holds bytes of it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple, Protocol

from logserver.storage.sync import run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from logserver.broker.partition import Partition
    from logserver.storage.log import Log, SyncTask


class Waiter(Protocol):
    """An answer that may leave only when the group commit that covers it has ended."""

    def synced(self) -> None:
        """The bytes are durable: answer with success."""

    def failed(self) -> None:
        """The sync failed: answer with KAFKA_STORAGE_ERROR, or close."""


class CommitTask:
    """The syncs of one group. `run` belongs to a helper thread, the rest to the loop."""

    __slots__ = ("partitions", "relaxed", "tasks", "waiters")

    def __init__(self, waiters: list[Waiter], *, relaxed: bool) -> None:
        self.relaxed = relaxed  # nobody waits for it
        self.partitions: list[Partition] = []
        self.tasks: list[SyncTask] = []
        self.waiters = waiters

    def add(self, partition: Partition, *, rolled: bool = False) -> None:
        """Sync this partition, too; `rolled`: without its active segment."""
        partition.syncing = True
        self.partitions.append(partition)
        task = partition.log.begin_sync(rolled=rolled)
        if task is not None:
            self.tasks.append(task)

    def run(self) -> OSError | None:
        """Sync every file of the group, side by side; the error of the first that fails, if any."""
        try:
            run_all(self.tasks, gently=self.relaxed)
        except OSError as error:
            return error
        return None

    def sickness(self) -> OSError | None:
        """Why nothing of this group may be called durable although its syncs went well."""
        for partition in self.partitions:
            log = partition.log
            if log.fenced and log.deleted_ms is None and log.durable_offset < log.end_offset:
                return OSError(errno.EIO, log.fenced)
        return None


class Outcome(NamedTuple):
    """What a finished commit changed: the partitions whose high watermark moved."""

    advanced: list[Partition]
    error: OSError | None


class GroupCommit:
    """The durable promise of a log directory: who is dirty, who waits, what is in flight."""

    __slots__ = (
        "_fence",
        "covered_count",
        "dirty",
        "fenced",
        "in_flight",
        "relaxed",
        "waiting",
    )

    def __init__(self, fence: Callable[[OSError], None]) -> None:
        self.dirty: list[Partition] = []
        self.relaxed: list[Partition] = []
        self.waiting: list[Waiter] = []
        self.in_flight = False
        self.covered_count = 0  # waiters of the task in flight
        self.fenced = False
        self._fence = fence

    def begin(self) -> CommitTask | None:
        """Take all dirty durable partitions and all waiters; None when there is nothing to do.

        None, too, while a relaxed sync of one of them is in flight (its topic was altered
        meanwhile): `finish` of that one makes way. When fenced, who waits is told so.
        """
        if self.fenced:
            self.dirty.clear()
            self._refuse_waiting()
            return None
        if self.in_flight or not (self.dirty or self.waiting):
            return None
        if any(partition.syncing for partition in self.dirty):
            # It was relaxed a moment ago and its relaxed sync is in flight. Two threads never sync
            # one log: the kernel tells a write-back error to one of them only.
            return None
        partitions = self.dirty
        waiters = self.waiting
        self.dirty = []
        self.waiting = []
        task = self._task(partitions, waiters, relaxed=False)
        self.in_flight = True
        self.covered_count = len(waiters)
        return task

    def forget(self, partition: Partition) -> None:
        """The partition is deleted: its bytes need no sync any more."""
        if partition.dirty:
            partition.dirty = False
            for listed in (self.dirty, self.relaxed):
                if partition in listed:
                    listed.remove(partition)

    def begin_relaxed(self, uptime_ms: int, *, everything: bool = False) -> CommitTask | None:
        """Take the relaxed partitions whose `flush.ms`, `flush.messages` or a roll is reached.

        A roll asks for what has rolled (see `sync.begin`); the rest is as young as the roll.
        """
        if self.fenced or not self.relaxed:
            return None
        idle = [p for p in self.relaxed if not p.syncing]
        due = {p for p in idle if everything or _is_due(p, uptime_ms)}
        self.relaxed = [p for p in self.relaxed if p not in due]
        rolled = [p for p in idle if p not in due and _has_rolled(p.log)]
        if not (due or rolled):
            return None
        task = self._task([p for p in idle if p in due], [], relaxed=True)
        for partition in rolled:
            partition.dirty_since_ms = uptime_ms
            task.add(partition, rolled=True)
        return task

    def _task(
        self, partitions: list[Partition], waiters: list[Waiter], *, relaxed: bool
    ) -> CommitTask:
        task = CommitTask(waiters, relaxed=relaxed)
        for partition in partitions:
            partition.dirty = False
            task.add(partition)
        return task

    def finish(self, task: CommitTask, error: OSError | None) -> Outcome:
        """Publish what `task` made durable, or fence; completes its waiters either way."""
        if not task.relaxed:
            self.in_flight = False
            self.covered_count = 0
        for partition in task.partitions:
            partition.syncing = False
        error = error or task.sickness()
        if error is not None:
            self._fail(task, error)
            return Outcome([], error)
        for sync in task.tasks:
            sync.log.synced(sync)
        advanced = [p for p in task.partitions if p.advance()]
        for waiter in task.waiters:
            waiter.synced()
        return Outcome(advanced, None)

    def _fail(self, task: CommitTask, error: OSError) -> None:
        for sync in task.tasks:
            sync.log.synced(sync, error)
        # The kernel tells a write-back error once and calls the next sync a success; so this
        # directory is never synced again and nobody who waits is told that it was.
        self.fenced = True
        self._fence(error)
        for waiter in task.waiters:
            waiter.failed()
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        refused, self.waiting = self.waiting, []
        for waiter in refused:
            waiter.failed()


def _has_rolled(log: Log) -> bool:
    return log.active.base_offset > log.durable_offset


def _is_due(partition: Partition, uptime_ms: int) -> bool:
    config = partition.config
    log = partition.log
    return (
        uptime_ms - partition.dirty_since_ms >= config.flush_ms
        or log.end_offset - log.durable_offset >= config.flush_messages
    )
