"""A coordinator: the state of one partition of `__consumer_offsets`, and the only way to write it.

    LOADING --- every record was applied --------> ACTIVE
    LOADING --- a record cannot be believed -----> FAILED   (until the next start)
    ACTIVE  --- an append failed ----------------> LOADING  (what memory has and the log lacks goes)

The rule: `perform` puts the records of a step into the log as one batch before anything of that
step is told, and what is told leaves when the log is durable that far. So whatever a client has
heard is found again by `load`, after any crash.

A group changes itself before its records are appended. If the append fails, memory is ahead of the
log; the coordinator then forgets everything and loads again, and who waited is told to ask again.
That is rare and slow and needs no undo in any machine.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.effects import Answer, Note, Now, Persist, Replace, Tick, Unload, Wake
from logserver.broker.groups.history import History
from logserver.broker.groups.offset_group import OffsetGroup
from logserver.broker.groups.offset_records import (
    encode_key,
    encode_value,
    tombstone,
)
from logserver.broker.groups.offset_store import OffsetStore
from logserver.broker.groups.replay import apply_record
from logserver.storage.files import is_disk_full, is_passing
from logserver.storage.log import FencedError
from logwire import errors
from logwire.batch import encode_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logserver.broker.broker import Broker
    from logserver.broker.groups.effects import Effect, Group, Record
    from logserver.broker.groups.loading import Loading
    from logserver.broker.groups.offset_store import Commit
    from logserver.broker.partition import Partition
    from logserver.broker.timers import Timer
    from logwire.messages import Message

logger = logging.getLogger(__name__)

LOADING, ACTIVE, FAILED = range(3)

# What could not be written now will hardly be written in a moment: a load that ends in a write that
# fails again would go round and round.
RELOAD_PAUSE_MS = 1000

# Tombstones of one batch: some 100 KB, below every limit of a batch.
BATCH_RECORDS_MAX = 1000


class Coordinator:
    """Groups and offsets of one partition of `__consumer_offsets`.

    `groups` by id; `offsets` of all groups of this partition, also of groups that nobody ever
    joined. `state` is LOADING, ACTIVE or FAILED. `history` says why each rebalanced.
    """

    __slots__ = (
        "_broker",
        "_timers",
        "groups",
        "history",
        "index",
        "loading",
        "offsets",
        "partition",
        "rebalances_count",
        "state",
    )

    def __init__(self, broker: Broker, partition: Partition) -> None:
        self._broker = broker
        self.index = partition.index
        self.partition = partition
        self.state = LOADING
        self.loading: Loading | None = None
        self.groups: dict[str, Group] = {}
        self.offsets = OffsetStore()
        self.history: dict[str, History] = {}
        self.rebalances_count = 0  # of all groups, since the start
        self._timers: dict[str, Timer] = {}

    # Steps

    def perform(self, group: Group, effects: Sequence[Effect], now: Now) -> int:
        """Do what a step asks for; returns NONE, or the code that everybody who waited got.

        All records go into one batch. Answers leave when it, and all before it, is durable.
        """
        records: list[Record] = []
        for effect in effects:
            if isinstance(effect, Persist):
                records += effect.records
        if records:
            code = self.append(records, now.wall_ms)
            if code == errors.MESSAGE_TOO_LARGE:
                code = errors.UNKNOWN_SERVER_ERROR
                self.reload()
            if code:
                self._refuse(effects, code)
                return code
        after_sync = self.unsettled
        for effect in effects:
            if isinstance(effect, Answer):
                effect.deferred.complete(effect.response, after_sync=after_sync)
            elif isinstance(effect, Wake):
                self._wake(group, effect.due_uptime_ms)
            elif isinstance(effect, Replace):
                self.groups[effect.group.group_id] = effect.group
            elif isinstance(effect, Note):
                self._note(group, effect, now)
        return errors.NONE

    def append(self, records: Sequence[Record], wall_ms: int) -> int:
        """Append one batch; NONE, or the code to tell.

        COORDINATOR_NOT_AVAILABLE: the write failed, the coordinator loads again. MESSAGE_TOO_LARGE:
        no segment holds so much, nothing was written. The reserve of a full disk is there for
        exactly this: `broker.writable` is not asked.
        """
        batch = encode_batch([(key, value, (), wall_ms) for key, value in records])
        if len(batch) > self.partition.config.segment_bytes:
            logger.error("%d bytes are too many for %s", len(batch), self.partition.log.name)
            return errors.MESSAGE_TOO_LARGE
        try:
            self.partition.log.append(memoryview(batch), len(records) - 1, wall_ms, wall_ms)
        except OSError as error:
            self._append_failed(error)
            return errors.COORDINATOR_NOT_AVAILABLE
        self._broker.appended(self.partition, len(batch), len(records))
        return errors.NONE

    def commit(self, group: Group, commits: Sequence[Commit], wall_ms: int) -> int:
        """Write and keep a group's offsets; the answer waits for the sync. NONE or a code."""
        group_id = group.group_id
        version = self._broker.config.offsets_value_version
        code = self.append(
            [
                (encode_key(group_id, topic, index), encode_value(committed, version))
                for topic, index, committed in commits
            ],
            wall_ms,
        )
        if code:
            return errors.INVALID_COMMIT_OFFSET_SIZE if code == errors.MESSAGE_TOO_LARGE else code
        self.groups[group_id] = group
        put = self.offsets.put
        for topic, index, committed in commits:
            put(group_id, topic, index, committed)
        return errors.NONE

    def forget(self, group_id: str, offsets: Sequence[tuple[str, int]], wall_ms: int) -> int:
        """Delete these (topic, partition) offsets of a group. NONE or a code."""
        code = self.append_all([tombstone(group_id, *offset) for offset in offsets], wall_ms)
        if not code:
            for topic, index in offsets:
                self.offsets.remove(group_id, topic, index)
        return code

    def delete(self, group: Group, wall_ms: int) -> int:
        """Delete a group and all its offsets. NONE or a code."""
        group_id = group.group_id
        offsets = self.offsets.listed(group_id)
        records = [*(tombstone(group_id, *offset) for offset in offsets), *group.tombstones()]
        code = self.append_all(records, wall_ms)
        if not code:
            for topic, index in offsets:
                self.offsets.remove(group_id, topic, index)
            self.drop(group_id)
        return code

    def append_all(self, records: Sequence[Record], wall_ms: int) -> int:
        """Append records that need not be one batch, of which there may be any number."""
        for first in range(0, len(records), BATCH_RECORDS_MAX):
            code = self.append(records[first : first + BATCH_RECORDS_MAX], wall_ms)
            if code:
                return code
        return errors.NONE

    @property
    def unsettled(self) -> bool:
        """Whether something in memory may still vanish: an answer must wait for the sync."""
        partition = self.partition
        return partition.high_watermark < partition.log.end_offset

    def _append_failed(self, error: OSError) -> None:
        broker = self._broker
        logger.error("cannot write %s: %s", self.partition.log.name, error)
        if is_disk_full(error):
            broker.disk_filled()
        elif not isinstance(error, FencedError) and not is_passing(error):
            broker.fence(error)
        self.reload()

    def _refuse(self, effects: Sequence[Effect], code: int) -> None:
        for effect in effects:
            if isinstance(effect, Answer):
                effect.deferred.complete({"error_code": code})

    # Time

    def _wake(self, group: Group, due_ms: int | None) -> None:
        timer = self._timers.pop(group.group_id, None)
        if timer is not None:
            timer.cancel()
        if due_ms is not None:
            group_id = group.group_id
            self._timers[group_id] = self._broker.timers.at(due_ms, lambda: self._tick(group_id))

    def _tick(self, group_id: str) -> None:
        self._timers.pop(group_id, None)
        group = self.groups.get(group_id)
        if group is not None:
            now = self._broker.coordinators.now()
            self.perform(group, group.step(Tick(), now), now)

    def _note(self, group: Group, note: Note, now: Now) -> None:
        history = self.history.get(group.group_id)
        if history is None:
            history = self.history[group.group_id] = History()
        history.add(group, note, now.wall_ms)
        self.rebalances_count += 1

    # Groups come and go.

    def drop(self, group_id: str) -> None:
        """Forget a group whose tombstones are written; its offsets are not touched."""
        self.groups.pop(group_id, None)
        self.history.pop(group_id, None)
        timer = self._timers.pop(group_id, None)
        if timer is not None:
            timer.cancel()

    def replay(self, name: str, key: Message, value: Message | None) -> None:
        """Apply one record of the log to a group (offsets have their own way)."""
        apply_record(self.groups, name, key, value)

    def resume(self, now: Now) -> None:
        """Everything is applied: serve."""
        self.state = ACTIVE
        self.loading = None
        for group_id in self.offsets.by_group:
            if group_id not in self.groups:
                self.groups[group_id] = OffsetGroup(group_id)
        for group in list(self.groups.values()):
            if isinstance(group, ConsumerGroup):
                group.cluster = self._broker.coordinators.cluster
            self.perform(group, group.resume(now), now)

    def fail(self) -> None:
        """The log cannot be believed: serve nobody until the next start."""
        self.unload()
        self.state = FAILED

    def reload(self) -> None:
        """Forget what the log does not have, and load again after a pause."""
        self.unload()
        coordinators = self._broker.coordinators

        def load() -> None:
            if coordinators.by_index.get(self.index) is self and self.loading is None:
                coordinators.load(self)

        self._broker.timers.at(self._broker.uptime_ms + RELOAD_PAUSE_MS, load)

    def unload(self) -> None:
        """Forget everything; the log has it. Who waits for an answer is told to ask again."""
        self.state = LOADING
        self.loading = None
        now = self._broker.coordinators.now()
        for group in self.groups.values():
            for effect in group.step(Unload(), now):
                if isinstance(effect, Answer):
                    effect.deferred.complete(effect.response)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.groups.clear()
        self.history.clear()
        self.offsets = OffsetStore()
