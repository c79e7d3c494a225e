"""The broker's part in client telemetry: instances, the series they pushed, and what was counted.

Nothing here runs by itself until something was pushed: then one timer looks for series that nobody
pushes to any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.telemetry.instances import Instances
from logserver.broker.telemetry.series import ClientSeries

if TYPE_CHECKING:
    from logserver.broker.image import Image
    from logserver.broker.telemetry.instances import Instance
    from logserver.broker.telemetry.otlp import Point
    from logserver.broker.telemetry.series import Source
    from logserver.broker.timers import Timer, Timers

# Series of many clients expire one by one; they are swept together, once in so long.
SWEEP_MS = 10_000


class Telemetry:
    """Made with an image, whose subscriptions count from then on (`subscribe` at each change)."""

    __slots__ = ("_sweep", "_timers", "instances", "pushes_count", "series")

    def __init__(self, image: Image, timers: Timers) -> None:
        self.instances = Instances(image)
        self.series = ClientSeries()
        self.pushes_count = 0
        self._timers = timers
        self._sweep: Timer | None = None

    def subscribe(self, image: Image) -> None:
        """The subscriptions have changed."""
        self.instances.subscribe(image)

    def export(
        self,
        source: Source,
        instance: Instance,
        points: list[Point],
        series_max: int,
        uptime_ms: int,
    ) -> None:
        """Take the points of one resource of a push (Java sends one for each metric)."""
        self.series.add(source, points, instance.expires_ms(), series_max)
        if self._sweep is None and len(self.series):
            self._sweep_at(uptime_ms + SWEEP_MS)

    def _sweep_at(self, due_ms: int) -> None:
        def sweep() -> None:
            self._sweep = None
            next_ms = self.series.expire(due_ms)
            if next_ms is not None:
                self._sweep_at(max(next_ms, due_ms + SWEEP_MS))

        self._sweep = self._timers.at(due_ms, sweep)
