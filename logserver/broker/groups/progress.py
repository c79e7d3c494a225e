"""How a group gets on in one partition: its lag, how fast it reads, and what to call that.

All of it comes from two numbers that are looked at every few seconds, the committed offset and the
high watermark. One look a *window* ago (a minute or two) is kept to compare with:

    then            now
    committed 100   committed 400    300 records committed in the window
    end       900   end      1100    200 records appended: the lag shrinks by 100 in a window

    lag                  records between the committed offset and the end, those that are there
    lag in time          the age of the next unread record
    drain                how long the lag takes to vanish if all goes on like this

and one word for it, `status`:

    current   the next unread record came within the window, or there is none: the group keeps up
    draining  it is further behind than that, and the lag shrinks
    slow      it is further behind, reads on, and the lag does not shrink
    stalled   it is further behind and has committed nothing in the whole window

Whether it is further behind is told by our own looks (the next unread offset lies below what was
the end a window ago), never by timestamps, which are the producers'. So a consumer that commits
every five seconds is current however fast its topic grows, and one that has just been given its
first record for a week is not stalled.
"""

from __future__ import annotations

import math
from typing import NamedTuple

CURRENT, DRAINING, SLOW, STALLED = "current", "draining", "slow", "stalled"
SEVERITY = (CURRENT, None, DRAINING, SLOW, STALLED)
"""From good to bad: a group is called what its worst partition is called. None: too early to say,
so a group is not current before all of its partitions are known to be."""

NO_TIME_MS = -1
NOT_SOUGHT = -1


class Look(NamedTuple):
    """What was seen at one moment of `Broker.uptime_ms`."""

    uptime_ms: int
    committed_offset: int
    end_offset: int

    @property
    def lag_count(self) -> int:
        """Records between both, as if all were still there."""
        return self.end_offset - self.committed_offset


class Progress:
    """A group in a partition. `topic_id` tells a recreated topic from the one before.

    `unread_offset` is the next record to read: what retention has taken before `start_offset` can
    not be read any more. `lag_count` are the records from there to the end.

    `unread_ms` is the wall clock time of the next unread record as the log has it, NO_TIME_MS where
    that is not known. It belongs to `sought_offset`: while a helper looks for the time of the next
    one, that of the one before is told.
    """

    __slots__ = (
        "_earlier",
        "_later",
        "lag_count",
        "now",
        "sought_offset",
        "start_offset",
        "topic_id",
        "unread_ms",
        "unread_offset",
    )

    def __init__(self, topic_id: bytes, look: Look, start_offset: int) -> None:
        self.topic_id = topic_id
        self._earlier = self._later = look
        self._stand(look, start_offset)
        self.found(NOT_SOUGHT, NO_TIME_MS)

    def take(self, look: Look, start_offset: int, window_ms: int) -> None:
        """One more look; the one to compare with is a window old, at most two.

        A committed offset that goes back is a new beginning: somebody has set it.
        """
        if look.committed_offset < self.now.committed_offset:
            self._earlier = self._later = look
        elif look.uptime_ms - self._later.uptime_ms >= window_ms:
            self._earlier, self._later = self._later, look
        self._stand(look, start_offset)
        if not self.lag_count:
            self.found(NOT_SOUGHT, NO_TIME_MS)

    def _stand(self, look: Look, start_offset: int) -> None:
        """Plain attributes: they are asked for several times in each look at each partition."""
        self.now = look
        self.start_offset = start_offset
        self.unread_offset = max(look.committed_offset, start_offset)
        self.lag_count = max(0, look.end_offset - self.unread_offset)

    # Records and time

    @property
    def removed_count(self) -> int:
        """Records that retention or a delete has taken before they were read."""
        return max(0, self.start_offset - self.now.committed_offset)

    def found(self, offset: int, time_ms: int) -> None:
        """The record at `offset` came at this time; NO_TIME_MS if nobody can tell."""
        self.sought_offset = offset
        self.unread_ms = time_ms

    def lag_ms(self, wall_ms: int) -> int | None:
        """How long the next unread record waits: 0 without one, None where nobody can tell."""
        if not self.lag_count:
            return 0
        return max(0, wall_ms - self.unread_ms) if self.unread_ms >= 0 else None

    # Speed

    def rates(self, window_ms: int) -> tuple[float, float] | None:
        """Records per second that were committed and appended; None before a window is over."""
        span_ms = self.now.uptime_ms - self._earlier.uptime_ms
        if span_ms < window_ms:
            return None
        committed = self.now.committed_offset - self._earlier.committed_offset
        appended = self.now.end_offset - self._earlier.end_offset
        return committed * 1000 / span_ms, appended * 1000 / span_ms

    def status(self, window_ms: int) -> str | None:
        """One of SEVERITY."""
        now, earlier = self.now, self._earlier
        if not self.lag_count:
            return CURRENT
        if now.uptime_ms - earlier.uptime_ms < window_ms:
            return None
        if self.unread_offset >= earlier.end_offset:
            return CURRENT
        committed_count = now.committed_offset - earlier.committed_offset
        if committed_count == 0:
            return STALLED
        return DRAINING if committed_count > now.end_offset - earlier.end_offset else SLOW

    def drain_ms(self, window_ms: int) -> float | None:
        """Until the lag is gone at the speed of the window: 0 for who is current, infinite where
        it does not shrink, None before a window is over."""
        status = self.status(window_ms)
        if status is None or status == CURRENT:
            return None if status is None else 0.0
        if status != DRAINING:
            return math.inf
        now, earlier = self.now, self._earlier
        span_ms = now.uptime_ms - earlier.uptime_ms
        return self.lag_count * span_ms / (earlier.lag_count - now.lag_count)


class Totals:
    """A group in all its partitions that were looked at; `left_out_count` were not.

    `oldest_ms` is the wall clock time of the unread record that waits longest, NO_TIME_MS for none.
    `status` is the worst, `drain_ms` the longest of those that are known; None without a status.
    """

    __slots__ = (
        "_drain_ms",
        "lag_count",
        "left_out_count",
        "oldest_ms",
        "partitions_count",
        "slow_count",
        "stalled_count",
        "status",
    )

    def __init__(self) -> None:
        self.partitions_count = self.left_out_count = 0
        self.lag_count = self.slow_count = self.stalled_count = 0
        self.oldest_ms = NO_TIME_MS
        self.status: str | None = None
        self._drain_ms = 0.0

    def add(self, progress: Progress, window_ms: int) -> None:
        """Count one partition in."""
        self.partitions_count += 1
        self.lag_count += progress.lag_count
        time_ms = progress.unread_ms
        if time_ms >= 0 and (self.oldest_ms < 0 or time_ms < self.oldest_ms):
            self.oldest_ms = time_ms
        status = progress.status(window_ms)
        is_first = self.partitions_count == 1
        if is_first or SEVERITY.index(status) > SEVERITY.index(self.status):
            self.status = status
        if status != CURRENT:
            self.slow_count += status == SLOW
            self.stalled_count += status == STALLED
            self._drain_ms = max(self._drain_ms, progress.drain_ms(window_ms) or 0.0)

    @property
    def drain_ms(self) -> float | None:
        """Until all lag is gone; infinite where some does not shrink."""
        return None if self.status is None else self._drain_ms

    def lag_ms(self, wall_ms: int) -> int:
        """How long the oldest unread record waits; 0 where none is known to."""
        return max(0, wall_ms - self.oldest_ms) if self.oldest_ms >= 0 else 0
