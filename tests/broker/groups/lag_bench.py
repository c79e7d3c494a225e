"""A bench for lag: a broker with records of known age, and rounds of the watch as a verb."""

from __future__ import annotations

from logserver.broker.groups.lag_watch import ROUND_MS, LagWatch
from logserver.broker.groups.progress import Progress
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench


class LagBench(OffsetsBench):
    """Thirty records, one a second, in partition 0; the last one came just now."""

    def __init__(self, given: dict[str, str] | None = None) -> None:
        super().__init__(given)
        for second in range(-29, 1):
            self.append(TOPIC, [self.now_ms + second * 1000])
        self.sync()
        self.last_ms = self.now_ms
        self.pass_time(ROUND_MS)

    def age_ms(self, offset: int) -> int:
        """How long ago this record of partition 0 came."""
        return self.now_ms - self.last_ms + (29 - offset) * 1000

    def start(self) -> None:
        """A real clock never stands at zero."""
        super().start()
        self.broker.uptime_ms = self.now_ms

    @property
    def watch(self) -> LagWatch:
        """What is tested."""
        return self.broker.coordinators.lag

    def round(self, count: int = 1) -> None:
        """Let rounds go by, helpers and all."""
        for _ in range(count):
            self.pass_time(ROUND_MS)
            self.run_chores()
            self.sync()

    def progress(self, index: int = 0, group_id: str = GROUP) -> Progress:
        """What is known of a partition of `orders`."""
        return self.watch.groups[group_id].partitions[TOPIC, index]
