"""The broker: partitions by name and by id, and what a turn of the loop has to follow up.

The broker acts only when called: `dispatch.handle` for a request, `tick` for the clock,
`finish_commit` when a sync has ended. What these leave to be done (partitions whose waiters must be
woken, dirty logs, logs that want maintenance) stands in plain lists that the server looks at once
per turn.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from logserver.broker.commit import CommitTask, GroupCommit
from logserver.broker.compaction import Compactions
from logserver.broker.directories import (
    METADATA_DIRECTORY,
    is_unwritten,
    reconcile,
    require_credible,
)
from logserver.broker.fetch import FetchWaits, wake
from logserver.broker.groups.coordinators import OFFSETS_TOPIC, Coordinators
from logserver.broker.image import Image
from logserver.broker.key_check import KeyChecks
from logserver.broker.metadata_log import (
    METADATA_CONFIG,
    METADATA_TOPIC,
    METADATA_TOPIC_ID,
    MetadataLog,
)
from logserver.broker.partition import Partition
from logserver.broker.sessions import SessionCache
from logserver.broker.telemetry.telemetry import Telemetry
from logserver.broker.timers import Timers
from logserver.config import topic_config
from logserver.storage import checkpoint
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import is_passing
from logserver.storage.retention import ClockGuard

if TYPE_CHECKING:
    from random import Random

    from logserver.broker.image import Topic
    from logserver.config import BrokerConfig
    from logserver.storage.directory import LogDirectory
    from logserver.storage.log import Log
    from logserver.storage.maintenance import Chore
    from logwire.produce_codec import RecordErrors

logger = logging.getLogger(__name__)

# Kafka's API keys end at 94; a key that is not served is never counted.
API_KEYS_COUNT = 128

DISK_FULL = "the disk is full: records are refused until space is free again"
FENCED = "the log directory is fenced after a disk error: restart once the disk is mended"


class Counters:
    """Plain integers, counted on the hot path and copied to the statistics page.

    `requests` counts by API key, `errors` by error code (one answer can carry several).
    """

    __slots__ = (
        "appended_batches",
        "appended_bytes",
        "appended_records",
        "duplicate_batches",
        "errors",
        "fetched_bytes",
        "fetches_parked",
        "requests",
        "sync_failures",
        "syncs",
    )

    def __init__(self) -> None:
        self.requests = [0] * API_KEYS_COUNT
        self.errors: dict[int, int] = {}
        self.appended_batches = 0
        self.appended_records = 0
        self.appended_bytes = 0
        self.duplicate_batches = 0
        self.fetched_bytes = 0
        self.fetches_parked = 0
        self.syncs = 0
        self.sync_failures = 0

    def count_error(self, code: int) -> None:
        """One more answer with this error code."""
        self.errors[code] = self.errors.get(code, 0) + 1


class Broker:
    """All partitions of one log directory and what is asked of them. Made by `open`.

    `routes` is the hot look-up: topic name (str) or topic id (16 bytes) -> partition index ->
    Partition. `woken` are partitions whose high watermark moved while somebody waits;
    `uptime_ms` is a clock that never jumps, set before each call by whoever drives the broker:
    what lasts is measured with it; `now_ms` arguments are the wall clock, which only stamps.
    `upkeep` are partitions whose log wants maintenance off the loop, `due` is other work for there;
    `deleted` are logs whose space is freed when `file.delete.delay.ms` is over and nobody sends
    from them any more.
    """

    def __init__(
        self, config: BrokerConfig, directory: LogDirectory, metadata: Log, random: Random
    ) -> None:
        self.config = config
        self.directory = directory
        self.random = random
        self.cluster_id = directory.cluster_id
        self.image = Image()
        self.metadata_log = MetadataLog(metadata, self.image)
        self.metadata_partition = Partition(
            METADATA_TOPIC, METADATA_TOPIC_ID, 0, metadata, METADATA_CONFIG
        )
        self.routes: dict[str | bytes, dict[int, Partition]] = {}
        self.partitions: dict[tuple[bytes, int], Partition] = {}
        self.partitions_by_name: dict[tuple[str, int], Partition] = {}
        self.commit = GroupCommit(self.fence)
        self.key_checks = KeyChecks(self)
        self.waits = FetchWaits()
        self.timers = Timers()
        self.telemetry = Telemetry(self.image, self.timers)
        self.coordinators = Coordinators(self)
        self.compactions = Compactions(self)
        self.clock_guard = ClockGuard()
        self.sessions = SessionCache(config.max_incremental_fetch_session_cache_slots, random)
        self.counters = Counters()
        self.woken: list[Partition] = []
        self.upkeep: list[Partition] = []
        self.due: list[Chore] = []
        self.deleted: list[Log] = []
        self.writable = True
        self.unwritable_reason = ""
        self.refusal_message: str | RecordErrors | None = None
        self.free_bytes = 0
        self.uptime_ms = 0

    @classmethod
    def open(
        cls, config: BrokerConfig, directory: LogDirectory, random: Random, now_ms: int
    ) -> Broker:
        """Replay the metadata log and open every partition it names.

        Raises StorageError, OSError: the directory cannot be served.
        """
        metadata = directory.open_log(
            METADATA_DIRECTORY, METADATA_CONFIG, topic_id=METADATA_TOPIC_ID, now_ms=now_ms
        )
        _tell(metadata)
        require_credible(directory, metadata)
        broker = cls(config, directory, metadata, random)
        broker.config = config.with_dynamic(broker.image.broker_configs(config.node_id))
        broker.metadata_log.on_append(broker.metadata_appended)
        broker.metadata_log.ensure_features(now_ms)
        # At once, if this is the first start: an empty metadata log beside partition directories
        # is taken for a lost one, and a power cut in the first second would leave just that.
        metadata.sync()
        reconcile(directory, broker.image, now_ms)
        for topic in broker.image.topics.values():
            for index in topic.partitions:
                broker.open_partition(topic, index, now_ms)
        broker.check_disk()
        return broker

    # Topics come and go.

    def create_partition(self, topic: Topic, index: int, now_ms: int) -> Partition:
        """Make the log of a new partition that the image has, and serve it.

        What a creation or removal that failed has left under its name is set aside first; a start
        has done so already (`directories`). Raises OSError, StorageError, CheckpointError.
        """
        name = f"{topic.name}-{index}"
        path = f"{self.directory.path}/{name}"
        if name not in self.directory.logs and self.directory.files.is_directory(path):
            found = checkpoint.read_topic_id(self.directory.files, path)
            if found is not None and found != topic.topic_id:
                self.directory.discard(name, now_ms)
            elif found is None and not is_unwritten(self.directory, name):
                raise StorageError(
                    Kind.UNUSABLE,
                    f"{path} holds records and nobody says whose. Look at it with "
                    "`logserver dump`, then move it away.",
                )
        return self.open_partition(topic, index, now_ms)

    def open_partition(self, topic: Topic, index: int, now_ms: int) -> Partition:
        """Open or make the log of a partition that the image has, and serve it.

        Raises OSError, StorageError, CheckpointError.
        """
        config = topic_config(self.config, self.image.topic_configs(topic.name))
        log = self.directory.open_log(
            f"{topic.name}-{index}", config, topic_id=topic.topic_id, now_ms=now_ms
        )
        _tell(log)
        partition = Partition(topic.name, topic.topic_id, index, log, config)
        self.partitions[topic.topic_id, index] = partition
        self.partitions_by_name[topic.name, index] = partition
        route = self.routes.setdefault(topic.topic_id, {})
        route[index] = partition
        self.routes[topic.name] = route
        if topic.name == OFFSETS_TOPIC:
            self.coordinators.add(partition)
        return partition

    def drop_partition(self, topic_id: bytes, index: int, now_ms: int) -> None:
        """Serve a partition no more; its space is freed later. Who waits on it hears so.

        Raises OSError when its directory cannot be renamed; it is not served all the same.
        """
        partition = self.partitions.pop((topic_id, index))
        del self.partitions_by_name[partition.name, index]
        route = self.routes[topic_id]
        del route[index]
        if not route:
            del self.routes[topic_id]
            del self.routes[partition.name]
        self.commit.forget(partition)
        self.key_checks.forget(partition)
        self.compactions.forget(partition.log)
        if partition.name == OFFSETS_TOPIC:
            self.coordinators.remove(index)
        self.woken.append(partition)
        try:
            self.deleted.append(self.directory.delete_log(f"{partition.name}-{index}", now_ms))
        except OSError as error:
            if not is_passing(error):
                self.fence(error)
            raise

    def reconfigure(self, topic: Topic) -> None:
        """The configuration of a topic has changed in the image: its partitions follow."""
        config = topic_config(self.config, self.image.topic_configs(topic.name))
        for partition in self.routes.get(topic.topic_id, {}).values():
            dirty = partition.dirty
            self.commit.forget(partition)
            partition.reconfigure(config)
            if dirty:
                self.mark_dirty(partition)
            self.woken.append(partition)

    def reconfigure_broker(self) -> None:
        """The dynamic configuration of this broker has changed in the image."""
        dynamic = self.image.broker_configs(self.config.node_id)
        self.config = self.config.with_dynamic(dynamic)
        for topic in self.image.topics.values():
            self.reconfigure(topic)

    def metadata_appended(self, _now_ms: int) -> None:
        """The metadata log has bytes that need a sync."""
        self.mark_dirty(self.metadata_partition)

    # What produce and fetch report.

    def appended(self, partition: Partition, size_bytes: int, count: int) -> None:
        """A batch of `count` records is at the tail: note who must hear of it."""
        counters = self.counters
        counters.appended_batches += 1
        counters.appended_bytes += size_bytes
        counters.appended_records += count
        if not partition.dirty:
            self.mark_dirty(partition)
        log = partition.log
        if not partition.durable:
            partition.high_watermark = log.end_offset
            if partition.parked:
                self.woken.append(partition)
        if log.wants_maintenance:
            self.upkeep.append(partition)

    def mark_dirty(self, partition: Partition) -> None:
        """The partition holds bytes that no started sync covers."""
        if not partition.dirty:
            partition.dirty = True
            partition.dirty_since_ms = self.uptime_ms
            (self.commit.dirty if partition.durable else self.commit.relaxed).append(partition)

    def expire(self, uptime_ms: int) -> None:
        """Do what has become due: fetches have waited long enough, timers run."""
        self.waits.expire(self, uptime_ms)
        self.timers.expire(uptime_ms)

    def wake_waiting(self) -> None:
        """Answer the fetches that waited for what this turn appended or synced."""
        while self.woken:
            woken = self.woken
            self.woken = []
            for partition in dict.fromkeys(woken):
                if partition.parked:
                    wake(self, partition)

    def finish_commit(self, task: CommitTask, error: OSError | None, now_ms: int) -> None:
        """A sync task has ended: publish what it made durable and answer who waited."""
        outcome = self.commit.finish(task, error)
        self.counters.syncs += 1
        self.counters.sync_failures += outcome.error is not None
        self.woken.extend(outcome.advanced)
        if outcome.error is None:
            served = [p.log for p in task.partitions if p.log.deleted_ms is None]
            self.directory.note_durable(served, now_ms)
            self._begin_mark(now_ms)
        for partition in task.partitions:
            if partition.log.wants_maintenance:
                self.upkeep.append(partition)

    # Sickness.

    def fence(self, error: OSError) -> None:
        """The first sync error is the last: no write and no sync from now on, until a restart."""
        if not self.directory.fenced:
            logger.critical(
                "data dir %s is fenced: %s. Nothing is written any more, reads go on; look at the "
                "disk, then restart",
                self.directory.path,
                error,
            )
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
        try:
            self.free_bytes = self.directory.free_bytes()
        except OSError as error:
            self.fence(error)
            return
        if self.free_bytes < self.config.disk_reserve_bytes:
            self.disk_filled()
        elif not self.writable:
            logger.info("the disk has space again: records are accepted")
            self.writable = True
            self.unwritable_reason = ""

    # Upkeep, off the loop.

    def tick(self, now_ms: int) -> list[Chore]:
        """Once a second: what time asks for, as (run, finish) pairs for a helper thread."""
        # Every second: retention may look once a day, and a job of compaction may take hours.
        self.clock_guard.trusts(now_ms)
        self.check_disk()
        metadata = self.metadata_partition.log
        if metadata.fenced and not self.commit.fenced:
            # Nothing can be changed any more, and what was not synced never will be.
            self.fence(OSError(errno.EIO, metadata.fenced))
        self.upkeep.extend(p for p in self.partitions.values() if p.log.wants_maintenance)
        self._begin_mark(now_ms)
        chores = self.take_upkeep() + self.compactions.tick(now_ms)
        if self.directory.leftovers:
            chores.append((self.directory.remove_leftovers, _ignore))
        for log in self.deleted:
            # Not before the topic's removal is durable: a power cut would bring the topic back.
            removal = None if self.metadata_log.unsynced else log.removal(now_ms)
            if removal is not None:
                chores.append(removal)
        self.deleted = [log for log in self.deleted if not log.gone]
        return chores

    def take_upkeep(self) -> list[Chore]:
        """The maintenance that logs asked for since the last call."""
        asked, chores = self.upkeep, self.due
        self.upkeep, self.due = [], []
        for partition in asked:
            if partition.log.wants_maintenance:
                chores.extend(partition.log.maintenance())
        return chores

    def _begin_mark(self, now_ms: int) -> None:
        """Let the durable mark follow if it is due: a second, 16 MB or a roll behind."""
        mark = self.directory.begin_mark(now_ms)
        if mark is not None:
            self.due.append((mark.run, self._mark_written))

    def _mark_written(self, error: object) -> None:
        failed = error if isinstance(error, OSError) else None
        if failed is not None and not is_passing(failed):
            self.fence(failed)  # first: it tells the reason once, when the directory is not fenced
        self.directory.mark_written(failed)

    def retention(self, now_ms: int) -> None:
        """Drop what `retention.ms` and `retention.bytes` are done with; forget idle producers."""
        trusted = self.clock_guard.trusts(now_ms)
        for partition in self.partitions.values():
            log = partition.log
            log.producers.expire(now_ms, self.config.producer_id_expiration_ms)
            if log.fenced:
                continue
            try:
                log.retention(now_ms, trusted=trusted)
            except OSError as error:
                if not is_passing(error):
                    self.fence(error)
                    return

    def storage_figures(self) -> dict[str, int]:
        """Sums over all logs, for the statistics page."""
        logs = [partition.log for partition in self.partitions.values()]
        recoveries = [log.recovery for log in logs]
        return {
            "segments": sum(len(log.segments) for log in logs),
            "log_size_bytes": sum(log.size_bytes for log in logs),
            "segments_rolled": sum(log.rolls_count for log in logs),
            "recovery_scanned_bytes": sum(r.scanned_bytes for r in recoveries),
            "recovery_cut_bytes": sum(cut.size_bytes for r in recoveries for cut in r.cuts),
            "partitions_quarantined": sum(r.quarantine is not None for r in recoveries),
        }


def _tell(log: Log) -> None:
    """Say what recovery cut from a log or found spoilt in it."""
    for sentence in log.recovery.sentences(log.name):
        logger.warning("%s", sentence)


def _ignore(_: object) -> None:
    """What a failed removal leaves is removed at the next tick or start."""
