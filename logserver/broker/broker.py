"""The broker: partitions by name and by id, and what a turn of the loop has to follow up.

The broker acts only when called: `dispatch.handle` for a request, `tick` for the clock,
`finish_commit` when a sync has ended. What these leave to be done (partitions whose waiters must be
woken, dirty logs, logs that want maintenance) stands in plain lists that the server looks at once
per turn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.commit import CommitTask, GroupCommit
from logserver.broker.fetch import FetchWaits, wake
from logserver.broker.partition import Partition
from logserver.broker.sessions import SessionCache

if TYPE_CHECKING:
    from random import Random

    from logserver.config import BrokerConfig
    from logserver.storage.directory import LogDirectory

logger = logging.getLogger(__name__)

DISK_FULL = "the disk is full: records are refused until space is free again"
FENCED = "the log directory is fenced after a disk error: restart once the disk is mended"


class Counters:
    """Plain integers, counted on the hot path and copied to the statistics page."""

    __slots__ = (
        "control_requests",
        "fetch_bytes",
        "fetch_parked",
        "fetch_requests",
        "produce_bytes",
        "produce_duplicates",
        "produce_records",
        "produce_refused",
        "produce_requests",
        "syncs",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    control_requests: int
    fetch_bytes: int
    fetch_parked: int
    fetch_requests: int
    produce_bytes: int
    produce_duplicates: int
    produce_records: int
    produce_refused: int
    produce_requests: int
    syncs: int


class Broker:
    """All partitions of one log directory and what is asked of them.

    `routes` is the hot look-up: topic name (str) or topic id (16 bytes) -> partition index ->
    Partition. `woken` are partitions whose high watermark moved while somebody waits;
    `upkeep` are partitions whose log wants maintenance off the loop.
    """

    def __init__(self, config: BrokerConfig, directory: LogDirectory, random: Random) -> None:
        self.config = config
        self.directory = directory
        self.random = random
        self.routes: dict[str | bytes, dict[int, Partition]] = {}
        self.partitions: dict[tuple[bytes, int], Partition] = {}
        self.commit = GroupCommit(self.fence)
        self.waits = FetchWaits()
        self.sessions = SessionCache(config.max_incremental_fetch_session_cache_slots, random)
        self.counters = Counters()
        self.woken: list[Partition] = []
        self.upkeep: list[Partition] = []
        self.writable = True
        self.unwritable_reason = ""
        self.refusal_message: str | None = None

    # What produce and fetch report.

    def appended(self, partition: Partition, size_bytes: int, count: int, now_ms: int) -> None:
        """A batch of `count` records is at the tail: note who must hear of it."""
        counters = self.counters
        counters.produce_bytes += size_bytes
        counters.produce_records += count
        if not partition.dirty:
            self.mark_dirty(partition, now_ms)
        log = partition.log
        if not partition.durable:
            partition.high_watermark = log.end_offset
            if partition.parked:
                self.woken.append(partition)
        if log.wants_maintenance:
            self.upkeep.append(partition)

    def mark_dirty(self, partition: Partition, now_ms: int) -> None:
        """The partition holds bytes that no started sync covers."""
        if not partition.dirty:
            partition.dirty = True
            partition.dirty_since_ms = now_ms
            (self.commit.dirty if partition.durable else self.commit.relaxed).append(partition)

    def wake_waiting(self) -> None:
        """Answer the fetches that waited for what this turn appended or synced."""
        while self.woken:
            woken = self.woken
            self.woken = []
            for partition in woken:
                if partition.parked:
                    wake(self, partition)

    def finish_commit(
        self, task: CommitTask, error: OSError | None, now_ms: int, *, relaxed: bool = False
    ) -> None:
        """A sync task has ended: publish what it made durable and answer who waited."""
        self.counters.syncs += 1
        outcome = self.commit.finish(task, error, relaxed=relaxed)
        self.woken.extend(outcome.advanced)
        if error is None:
            self.directory.note_durable([p.log for p in task.partitions], now_ms)
        for partition in task.partitions:
            if partition.log.wants_maintenance:
                self.upkeep.append(partition)

    # Sickness.

    def fence(self, error: OSError) -> None:
        """The first sync error is the last: no write and no sync from now on, until a restart."""
        if not self.directory.fenced:
            logger.critical("log directory fenced: %s", error)
        self.directory.fence(error)
        self.commit.fenced = True
        self.writable = False
        self.unwritable_reason = FENCED

    def disk_filled(self) -> None:
        """Refuse produce before the write; fetches, deletes and control requests go on."""
        if self.writable:
            logger.error("%s", DISK_FULL)
            self.writable = False
            self.unwritable_reason = DISK_FULL

    def check_disk(self) -> None:
        """Follow the free space across `disk.reserve.bytes`, both ways (called every second)."""
        if self.commit.fenced:
            return
        if self.directory.free_bytes() < self.config.disk_reserve_bytes:
            self.disk_filled()
        elif not self.writable:
            logger.info("the disk has space again: records are accepted")
            self.writable = True
            self.unwritable_reason = ""
