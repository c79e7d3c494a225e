"""Timers of the broker: what must happen at a point of `Broker.uptime_ms`, and can be called off.

The broker knows no clock. Whoever drives it calls `expire` when `next_due_ms` has come; the server
does so to the millisecond. A callback runs inside a turn of the loop, like the handling of a
request: what it appends or answers leaves with that turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

NEVER_MS = 2**63
# Cancelled timers are swept out once they are so many and the larger half of the heap: setting one
# off again and again (a session at each heartbeat) costs no memory.
CANCELLED_COUNT_MAX = 1024


class Timer:
    """One callback at one time. `cancel` after it ran, or twice, does nothing."""

    __slots__ = ("_timers", "callback", "due_ms")

    def __init__(self, timers: Timers, due_ms: int, callback: Callable[[], None]) -> None:
        self.due_ms = due_ms
        self.callback: Callable[[], None] | None = callback
        self._timers = timers

    def cancel(self) -> None:
        """Call it off."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled()


class Timers:
    """A heap of (due in ms, order, timer); equal times run in the order they were set."""

    __slots__ = ("_cancelled_count", "_heap", "_sequence", "next_due_ms")

    def __init__(self) -> None:
        self.next_due_ms = NEVER_MS
        """When `expire` must be called next; it may find that all of it was called off."""
        self._heap: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._cancelled_count = 0

    def at(self, due_ms: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` once `due_ms`, a time of `Broker.uptime_ms`, has come."""
        timer = Timer(self, due_ms, callback)
        self._sequence += 1
        heapq.heappush(self._heap, (due_ms, self._sequence, timer))
        if due_ms < self.next_due_ms:
            self.next_due_ms = due_ms
        return timer

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled_count

    def expire(self, uptime_ms: int) -> None:
        """Run what is due. A callback may set timers; one that is due at once runs as well."""
        heap = self._heap
        while heap and heap[0][0] <= uptime_ms:
            timer = heapq.heappop(heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled_count -= 1
            else:
                callback()
                heap = self._heap  # the callback may have swept it
        self.next_due_ms = heap[0][0] if heap else NEVER_MS

    def cancelled(self) -> None:
        """One more of the heap is only waiting to be thrown away."""
        self._cancelled_count += 1
        if self._cancelled_count > max(CANCELLED_COUNT_MAX, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled_count = 0
