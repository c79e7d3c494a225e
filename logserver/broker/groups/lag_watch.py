"""Lag of every group, looked at in rounds beside the work: what `/groups` and `/metrics` tell.

Nothing is computed at a commit, a produce or a scrape. Every five seconds a round walks over the
committed offsets of all groups, in slices with pauses between them, and leaves what it saw in
`groups`; whoever asks gets that. The cost is bounded in four ways:

- a slice costs about 300 us (`SLICE_COST`), and the loop has 25 ms between two: 1 % of a core. With
  more than some 10,000 partitions, or many that move, rounds take longer than five seconds instead;
- the time of a record is looked up once for each offset, so a group that stands still costs
  nothing;
- what is not hot is read by a helper thread, a few at a time (`storage.batch_times`);
- at most `logserver.group.lag.partitions.max` pairs of group and partition are watched; others are
  counted as left out. Who is watched stays watched.

A group that its coordinator loads again loses its window, as after a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.coordinator import ACTIVE
from logserver.broker.groups.progress import NO_TIME_MS, Look, Progress, Totals
from logserver.storage.batch_times import errand, recent_time_ms
from logserver.storage.segment import CorruptSegmentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.partition import Partition

ROUND_MS = 5000
SLICE_COST = 100
PAUSE_MS = 25
# In units of a look at one partition, which takes 3 us; to find a time in a hot segment takes 15.
SEEK_COST = 5
ERRANDS_MAX = 8

TopicPartition = tuple[str, int]


class GroupLag:
    """A group as the last round saw it. `totals` are those of a whole walk over it."""

    __slots__ = ("partitions", "round", "totals")

    def __init__(self) -> None:
        self.partitions: dict[TopicPartition, Progress] = {}
        self.totals = Totals()
        self.round = 0


class LagWatch:
    """Walks round; made with the coordinators and started with the first of them.

    `rounds_count` grows with each round that has ended, `round_ms` is how long the last one took,
    `watched_count` pairs of group and partition are watched and `left_out_count` were not.
    """

    __slots__ = (
        "_began_ms",
        "_broker",
        "_errands_count",
        "_leaving_out_count",
        "_started",
        "_walk",
        "groups",
        "left_out_count",
        "round_ms",
        "rounds_count",
        "watched_count",
    )

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._walk: Iterator[int] | None = None
        self._started = False
        self._began_ms = 0
        self._errands_count = 0
        self._leaving_out_count = 0
        self.groups: dict[str, GroupLag] = {}
        self.rounds_count = 0
        self.round_ms = 0
        self.watched_count = 0
        self.left_out_count = 0

    @property
    def window_ms(self) -> int:
        """How far back speed is measured at least."""
        return self._broker.config.group_lag_window_ms

    def start(self) -> None:
        """Begin with the first round, and go on for ever; once."""
        if not self._started:
            self._started = True
            self._broker.timers.at(self._broker.uptime_ms, self._step)

    def _step(self) -> None:
        """One slice; the next follows after a pause, the next round when it is due."""
        broker = self._broker
        if self._walk is None:
            self._began_ms = broker.uptime_ms
            self._leaving_out_count = 0
            self._walk = self._look_around()
        budget = SLICE_COST
        for cost in self._walk:
            budget -= cost
            if budget <= 0:
                broker.timers.at(broker.uptime_ms + PAUSE_MS, self._step)
                return
        self._end_round()
        due_ms = max(self._began_ms + ROUND_MS, broker.uptime_ms + PAUSE_MS)
        broker.timers.at(due_ms, self._step)

    def _look_around(self) -> Iterator[int]:
        """Walk over everything, yielding what each step has cost."""
        coordinators = self._broker.coordinators
        for index in list(coordinators.by_index):
            coordinator = coordinators.by_index.get(index)
            if coordinator is None or coordinator.state != ACTIVE:
                continue
            for group_id in list(coordinator.offsets.by_group):
                yield from self._look_at(coordinator, group_id)
                yield 1

    def _look_at(self, coordinator: Coordinator, group_id: str) -> Iterator[int]:
        known = self.groups.get(group_id)
        group = GroupLag() if known is None else known
        window_ms = self.window_ms
        totals, seen = Totals(), {}
        for topic, index in coordinator.offsets.listed(group_id):
            # Between two steps of this walk anything may have been committed, deleted or trimmed.
            committed = coordinator.offsets.get(group_id, topic, index)
            partition = self._broker.partitions_by_name.get((topic, index))
            if committed is None or partition is None:
                continue
            before = group.partitions.get((topic, index))
            progress = self._look_again(before, partition, committed.offset)
            if progress is None:
                totals.left_out_count += 1
                self._leaving_out_count += 1
                yield 1
                continue
            seen[topic, index] = progress
            cost = 1 + self._seek(progress, partition)
            totals.add(progress, window_ms)
            yield cost
        # Those that were watched before and are not there any more make room.
        self.watched_count -= len(group.partitions.keys() - seen.keys())
        group.partitions = seen
        group.totals = totals
        group.round = self.rounds_count + 1
        if seen:  # a group of which nothing is watched costs no memory
            self.groups[group_id] = group
        elif known is not None:
            del self.groups[group_id]

    def _look_again(
        self, progress: Progress | None, partition: Partition, committed_offset: int
    ) -> Progress | None:
        """The partition as it is now; None where there is no room to watch it."""
        look = Look(self._broker.uptime_ms, committed_offset, partition.high_watermark)
        start_offset = partition.log.log_start_offset
        if progress is None:
            if self.watched_count >= self._broker.config.group_lag_partitions_max:
                return None
            self.watched_count += 1
            return Progress(partition.topic_id, look, start_offset)
        if progress.topic_id != partition.topic_id:
            return Progress(partition.topic_id, look, start_offset)
        progress.take(look, start_offset, self.window_ms)
        return progress

    def _seek(self, progress: Progress, partition: Partition) -> int:
        """Find out when the next unread record came, unless that is known; the cost."""
        offset = progress.unread_offset
        if not progress.lag_count or progress.sought_offset == offset:
            return 0
        try:
            time_ms = recent_time_ms(partition.log, offset)
        except (OSError, CorruptSegmentError):
            time_ms = NO_TIME_MS  # whoever reads the records meets the error, and it is told there
        if time_ms is None:
            self._send(progress, partition, offset)
        else:
            progress.found(offset, time_ms)
        return SEEK_COST

    def _send(self, progress: Progress, partition: Partition, offset: int) -> None:
        """Let a helper look it up. Where too many are on their way, the next round asks again."""
        if self._errands_count >= ERRANDS_MAX:
            return
        self._errands_count += 1

        def finish(result: object) -> None:
            self._errands_count -= 1
            progress.found(offset, result if isinstance(result, int) else NO_TIME_MS)

        self._broker.due.append((errand(partition.log, offset).read, finish))

    def _end_round(self) -> None:
        self._walk = None
        self.rounds_count += 1
        self.round_ms = self._broker.uptime_ms - self._began_ms
        self.left_out_count = self._leaving_out_count
        gone = [name for name, group in self.groups.items() if group.round != self.rounds_count]
        for name in gone:
            self.watched_count -= len(self.groups.pop(name).partitions)
