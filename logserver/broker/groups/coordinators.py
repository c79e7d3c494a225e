"""All coordinators of this broker: which one has a group, and what concerns all of them.

A group belongs to the partition of `__consumer_offsets` that its id hashes to, as in Kafka: the
absolute value of Java's `String.hashCode`, modulo the number of partitions. Tools compute it
themselves, and a log that Kafka has written is laid out by it.

`__consumer_offsets` is made when somebody first looks for a coordinator (FindCoordinator).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from logserver.broker.groups.broker_cluster import BrokerCluster
from logserver.broker.groups.coordinator import ACTIVE, LOADING, Coordinator
from logserver.broker.groups.effects import Now
from logserver.broker.groups.expiry import MINUTE_MS, expire, forget_topics
from logserver.broker.groups.lag_watch import LagWatch
from logserver.broker.groups.loading import Loading
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logserver.broker.broker import Broker
    from logserver.broker.image import Topic
    from logserver.broker.partition import Partition

OFFSETS_TOPIC = "__consumer_offsets"
# Between two coordinators when offsets expire: each holds the loop for some milliseconds.
EXPIRY_PAUSE_MS = 10
# Hashes of group ids, a tenth of what a commit costs. Clients choose the ids: 1 MB at most.
REMEMBERED_COUNT_MAX = 4096
REMEMBERED_LENGTH_MAX = 64


def java_hash(text: str) -> int:
    """Java's `String.hashCode` as an unsigned 32-bit number: over UTF-16 units, times 31 each."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for position in range(0, len(units), 2):
        value = (value * 31 + (units[position] << 8) + units[position + 1]) & 0xFFFFFFFF
    return value


_remembered_hash = lru_cache(maxsize=REMEMBERED_COUNT_MAX)(java_hash)


def partition_of(group_id: str, partition_count: int) -> int:
    """The partition of `__consumer_offsets` that a group belongs to.

    Kafka: `Utils.abs`, for which the smallest number, whose absolute value is no int32, is 0.
    """
    short = len(group_id) <= REMEMBERED_LENGTH_MAX
    value = _remembered_hash(group_id) if short else java_hash(group_id)
    return (min(value, 2**32 - value) & 0x7FFFFFFF) % partition_count


class Coordinators:
    """The coordinators by partition index."""

    __slots__ = ("_awake", "_broker", "_skew_ms", "by_index", "cluster", "lag")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.by_index: dict[int, Coordinator] = {}
        self.cluster = BrokerCluster(broker)
        self._skew_ms = 0  # wall clock minus uptime, as last seen
        self._awake = False
        self.lag = LagWatch(broker)

    def now(self, wall_ms: int | None = None) -> Now:
        """Both clocks; the wall clock is what it was last told to be, plus what has passed since.

        Handlers pass `context.now_ms`; a timer has no wall clock to pass.
        """
        uptime_ms = self._broker.uptime_ms
        if wall_ms is None:
            return Now(uptime_ms, uptime_ms + self._skew_ms)
        self._skew_ms = wall_ms - uptime_ms
        return Now(uptime_ms, wall_ms)

    def of(self, group_id: str) -> Coordinator:
        """The coordinator of a group, ready to be asked. Raises Refusal.

        INVALID_GROUP_ID (an empty id), NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS (both: ask
        again), COORDINATOR_NOT_AVAILABLE.
        """
        if not group_id:
            raise Refusal(errors.INVALID_GROUP_ID)
        return self.holding(group_id)

    def holding(self, group_id: str) -> Coordinator:
        """`of`, for offsets: they may belong to the empty group id, as in Kafka. Raises Refusal."""
        topic = self._broker.image.topics_by_name.get(OFFSETS_TOPIC)
        if topic is None:
            raise Refusal(errors.NOT_COORDINATOR)
        coordinator = self.by_index.get(partition_of(group_id, len(topic.partitions)))
        if coordinator is None:
            raise Refusal(errors.NOT_COORDINATOR)
        if self._broker.commit.fenced:
            # Nothing is written any more, and nothing may be told that was not synced before.
            raise Refusal(errors.COORDINATOR_NOT_AVAILABLE)
        if coordinator.state == ACTIVE:
            return coordinator
        if coordinator.state == LOADING:
            raise Refusal(errors.COORDINATOR_LOAD_IN_PROGRESS)
        raise Refusal(errors.COORDINATOR_NOT_AVAILABLE)

    def add(self, partition: Partition) -> None:
        """Serve the groups of a partition that has been opened, once they are loaded."""
        coordinator = self.by_index[partition.index] = Coordinator(self._broker, partition)
        self.load(coordinator)
        if not self._awake:
            self._awake = True
            self._expire_later()
            self.lag.start()

    def remove(self, index: int) -> None:
        """The partition is not served any more, so its groups are not either."""
        coordinator = self.by_index.pop(index, None)
        if coordinator is not None:
            coordinator.unload()

    def stop(self) -> None:
        """Serve nobody any more; who waits for others to join hears so and asks another broker."""
        for coordinator in self.by_index.values():
            coordinator.unload()
        self.by_index.clear()

    def load(self, coordinator: Coordinator) -> None:
        """Begin to load a coordinator from its log."""
        coordinator.loading = Loading(self._broker, coordinator)
        coordinator.loading.begin()

    def topics_deleted(self, topics: Sequence[Topic], wall_ms: int) -> None:
        """Nobody can go on reading these: what was committed for them goes as well."""
        for coordinator in self.by_index.values():
            if coordinator.state == ACTIVE:  # else it finds out itself, once it is loaded
                forget_topics(coordinator, topics, wall_ms)

    def _expire_later(self) -> None:
        broker = self._broker
        due_ms = broker.uptime_ms + broker.config.offsets_retention_check_interval_ms
        broker.timers.at(due_ms, self._expire)

    def _expire(self) -> None:
        """Look at one coordinator after the other, with time for others in between."""
        self._expire_later()
        start_ms = self._broker.uptime_ms
        for position, index in enumerate(self.by_index):
            self._broker.timers.at(
                start_ms + (position + 1) * EXPIRY_PAUSE_MS, partial(self._expire_one, index)
            )

    def _expire_one(self, index: int) -> None:
        coordinator = self.by_index.get(index)
        if coordinator is not None and coordinator.state == ACTIVE:
            retention_ms = self._broker.config.offsets_retention_minutes * MINUTE_MS
            expire(coordinator, retention_ms, self.now().wall_ms)
