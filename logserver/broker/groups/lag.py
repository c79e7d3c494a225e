"""How far groups are behind, as the broker sees it: in records, in time, and whether they move.

    committed        high watermark
        |  lag_count records  |
        ^ lag_ms: how old this one is, the next that nobody of the group has read

The broker has both ends in memory, so a look costs some microseconds a partition. Only the time of
the next unread record is on the disk: the header of its batch is read by a helper thread, and again
when the committed offset has moved. It is the time of the batch's first record; with LogAppendTime
that is when it was appended.

What a number alone does not say is said by four words:

    current    nothing is left to read
    draining   more is read than comes in; `drain_ms` estimates when it is over
    slow       it reads, but not more than comes in: it will never catch up like this
    stalled    it has read nothing for STALLED_MS although there was something to read

Rates are smoothed over half a minute. Looks are taken every few seconds and cut into slices, so
that a hundred thousand offsets never hold up a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from logserver.storage.log import OffsetOutOfRange
from logwire.batch import HEADER, HEADER_BYTES, LOG_APPEND_TIME, BatchHeader

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.storage.file_slice import FileSlice

CURRENT, DRAINING, SLOW, STALLED = "current", "draining", "slow", "stalled"

LOOK_MS = 5000
PAUSE_MS = 10  # between two slices of a look
SLICE_COUNT = 500  # offsets in one: 1 ms
STALLED_MS = 60_000
SMOOTHING_MS = 30_000
NO_TIME_MS = -1

Key = tuple[str, str, int]
"""Group id, topic, partition."""


class Lag(NamedTuple):
    """What there is to say about one partition. Rates are records a second.

    None: the time of the next record is not known (yet), it will not drain.
    """

    committed_offset: int
    end_offset: int
    lag_count: int
    lag_ms: int | None
    verdict: str
    drain_ms: int | None
    consumed_per_s: float
    produced_per_s: float


class Watched:
    """One group's way through one partition, over several looks. Times are uptime."""

    __slots__ = (
        "_looked_ms",
        "_moved_ms",
        "consumed_per_s",
        "end_offset",
        "offset",
        "produced_per_s",
        "start_offset",
        "unread_ms",
        "unread_offset",
    )

    def __init__(self, offset: int, start_offset: int, end_offset: int, uptime_ms: int) -> None:
        self.offset = offset
        self.start_offset = start_offset
        self.end_offset = end_offset
        self._looked_ms = self._moved_ms = uptime_ms
        self.consumed_per_s = self.produced_per_s = 0.0
        # Wall clock of the next unread record, and the offset that it was asked for.
        self.unread_ms, self.unread_offset = NO_TIME_MS, -1

    @property
    def next_offset(self) -> int:
        """The next offset to be read: what retention has taken is not waited for."""
        return max(self.offset, self.start_offset)

    @property
    def lag_count(self) -> int:
        """Records between the next one and the end."""
        return max(0, self.end_offset - self.next_offset)

    def look(self, offset: int, start_offset: int, end_offset: int, uptime_ms: int) -> None:
        """Take note of where it is now."""
        elapsed_ms = uptime_ms - self._looked_ms
        if offset != self.offset or not self.lag_count:
            self._moved_ms = uptime_ms
        if elapsed_ms > 0:
            weight = min(1.0, elapsed_ms / SMOOTHING_MS)
            consumed = max(0, offset - self.offset) * 1000 / elapsed_ms
            produced = max(0, end_offset - self.end_offset) * 1000 / elapsed_ms
            self.consumed_per_s += (consumed - self.consumed_per_s) * weight
            self.produced_per_s += (produced - self.produced_per_s) * weight
            self._looked_ms = uptime_ms
        self.offset, self.start_offset, self.end_offset = offset, start_offset, end_offset

    def lag(self, wall_ms: int) -> Lag:
        """What there is to say."""
        count = self.lag_count
        gain_per_s = self.consumed_per_s - self.produced_per_s
        drain_ms = lag_ms = None
        if not count:
            verdict, lag_ms, drain_ms = CURRENT, 0, 0
        elif self._looked_ms - self._moved_ms >= STALLED_MS:
            verdict = STALLED
        elif gain_per_s > 0:
            verdict, drain_ms = DRAINING, round(count / gain_per_s * 1000)
        else:
            verdict = SLOW
        if count and self.unread_ms >= 0 and self.unread_offset == self.next_offset:
            lag_ms = max(0, wall_ms - self.unread_ms)
        return Lag(
            self.offset,
            self.end_offset,
            count,
            lag_ms,
            verdict,
            drain_ms,
            self.consumed_per_s,
            self.produced_per_s,
        )


class LagWatch:
    """All groups of this broker. `watched` by group, topic and partition.

    `looks_count` grows with every completed look: whoever copies the figures asks for it.
    """

    __slots__ = ("_broker", "_round", "_seen", "looks_count", "watched")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.watched: dict[Key, Watched] = {}
        self.looks_count = 0
        self._round: Iterator[tuple[Key, int]] = iter(())
        self._seen: set[Key] = set()

    def begin(self) -> None:
        """Look from now on."""
        self._broker.timers.at(self._broker.uptime_ms + LOOK_MS, self._begin_look)

    def _begin_look(self) -> None:
        self.begin()
        self._round = self._offsets()
        self._seen = set()
        self._go_on()

    def _offsets(self) -> Iterator[tuple[Key, int]]:
        """Every committed offset; groups that come and go between two slices are passed over."""
        for coordinator in list(self._broker.coordinators.by_index.values()):
            for group_id in list(coordinator.offsets.by_group):
                topics = coordinator.offsets.of_group(group_id)
                found = [
                    ((group_id, topic, index), committed.offset)
                    for topic, partitions in topics.items()
                    for index, committed in partitions.items()
                ]
                yield from found

    def _go_on(self) -> None:
        """One slice of a look."""
        some = list(islice(self._round, SLICE_COUNT))
        for key, offset in some:
            self._look(key, offset)
        if len(some) == SLICE_COUNT:
            broker = self._broker
            broker.timers.at(broker.uptime_ms + PAUSE_MS, self._go_on)
            return
        self.looks_count += 1
        for key in self.watched.keys() - self._seen:
            del self.watched[key]

    def _look(self, key: Key, offset: int) -> None:
        broker = self._broker
        partition = broker.partitions_by_name.get(key[1:])
        if partition is None:
            return
        self._seen.add(key)
        start, end, now_ms = (
            partition.log.log_start_offset,
            partition.high_watermark,
            broker.uptime_ms,
        )
        watched = self.watched.get(key)
        if watched is None:
            watched = self.watched[key] = Watched(offset, start, end, now_ms)
        else:
            watched.look(offset, start, end, now_ms)
        if watched.lag_count and watched.unread_offset != watched.next_offset:
            self._find_time(watched, partition)

    def _find_time(self, watched: Watched, partition: Partition) -> None:
        """Have the header of the next unread batch read, off the loop."""
        offset = watched.unread_offset = watched.next_offset
        watched.unread_ms = NO_TIME_MS
        try:
            piece = partition.log.read(offset, 1, partition.high_watermark)
        except (OSError, OffsetOutOfRange):
            return
        if piece is not None:
            run = partial(piece.segment.file.pread, HEADER_BYTES, piece.position)
            self._broker.due.append((run, partial(_note_time, watched, offset, piece)))


def _note_time(watched: Watched, offset: int, piece: FileSlice, result: object) -> None:
    piece.release()
    if isinstance(result, bytes) and len(result) == HEADER_BYTES:
        header = BatchHeader._make(HEADER.unpack(result))
        appended = header.attributes & LOG_APPEND_TIME
        if watched.unread_offset == offset:
            watched.unread_ms = header.max_timestamp_ms if appended else header.base_timestamp_ms
