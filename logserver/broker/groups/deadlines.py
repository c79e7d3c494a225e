"""Deadlines of many names, of which most are put off again and again: one cheap move each.

A session is put off at every heartbeat. Moving its entry in a heap each time would cost a search or
leave a dead entry behind; so the heap keeps the entry as it is and a dictionary knows better:

    put off       the dictionary is told, the heap is not: O(1)
    entry is due  the dictionary says later: the entry goes back into the heap with its true time
    brought near  a second entry; the first one is dead, because `_queued_ms` names the second

What comes due is looked at most once in the shortest time by which its name is put off. Dead
entries are swept out once they are the larger half.
"""

from __future__ import annotations

import heapq

# Below so many entries sweeping is not worth the trouble.
SWEEP_COUNT_MIN = 64


class Deadlines:
    """When which name is due, in ms of one clock. A name has one deadline at a time."""

    __slots__ = ("_due_ms", "_heap", "_queued_ms")

    def __init__(self) -> None:
        self._due_ms: dict[str, int] = {}
        self._queued_ms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due_ms)

    def __contains__(self, name: str) -> bool:
        return name in self._due_ms

    def set(self, name: str, due_ms: int) -> None:
        """Give `name` a deadline, in place of the one it has."""
        self._due_ms[name] = due_ms
        queued_ms = self._queued_ms.get(name)
        if queued_ms is None or due_ms < queued_ms:
            self._queue(name, due_ms)

    def drop(self, name: str) -> None:
        """The name has no deadline any more; nothing happens if it had none."""
        if self._due_ms.pop(name, None) is not None:
            del self._queued_ms[name]

    def next_due_ms(self) -> int | None:
        """When to look again: the next deadline or before it, never after; None if there is none.

        It changes only when a deadline is set before it, dropped, or taken by `expire`.
        """
        heap = self._heap
        while heap and self._queued_ms.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def expire(self, now_ms: int) -> str | None:
        """Take the first name whose deadline has come; None: there is no more."""
        while (queued_ms := self.next_due_ms()) is not None and queued_ms <= now_ms:
            name = heapq.heappop(self._heap)[1]
            due_ms = self._due_ms[name]
            if due_ms <= now_ms:
                self.drop(name)
                return name
            self._queue(name, due_ms)
        return None

    def _queue(self, name: str, due_ms: int) -> None:
        self._queued_ms[name] = due_ms
        heapq.heappush(self._heap, (due_ms, name))
        if len(self._heap) > max(SWEEP_COUNT_MIN, 2 * len(self._due_ms)):
            self._heap = [(queued_ms, name) for name, queued_ms in self._queued_ms.items()]
            heapq.heapify(self._heap)
