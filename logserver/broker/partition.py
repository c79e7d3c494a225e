"""A partition: a log, its high watermark, and the requests that wait for it.

Theory. A log only knows bytes and what of them is durable. A partition adds what consumers may
see: the high watermark. Under a *durable* configuration (`flush.messages` = 1) it follows the
durable offset, so no consumer ever reads a record that a power cut can take back; under a
*relaxed* one it follows the log end offset.

Invariant: log_start_offset <= high_watermark <= end_offset, and the high watermark never goes
back while the partition is served.

Waiting is by offset, never by socket: a fetch that found too little is parked here and woken by
the append or by the group commit that moves the high watermark.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from logserver.broker.topic_names import is_internal

if TYPE_CHECKING:
    from logserver.broker.fetch import ParkedFetch
    from logserver.broker.key_check import HeldBatch
    from logserver.config import TopicConfig
    from logserver.storage.log import Log


class Partition:
    """One partition of a topic, served by this broker.

    `topic_id` is 16 bytes; offsets are log offsets. `dirty` says that the log holds bytes which
    no started sync covers, `syncing` that a sync is in flight. `held` are the batches that wait for
    a look inside (`key_check`), in order; None for a topic that is not compacted.
    """

    __slots__ = (
        "batch_bytes_max",
        "config",
        "dirty",
        "dirty_since_ms",
        "durable",
        "held",
        "high_watermark",
        "index",
        "log",
        "name",
        "parked",
        "syncing",
        "topic_id",
        "unreadable",
    )

    def __init__(
        self, name: str, topic_id: bytes, index: int, log: Log, config: TopicConfig
    ) -> None:
        self.name = name
        self.topic_id = topic_id
        self.index = index
        self.log = log
        # Insertion-ordered and O(1) to leave: a fetch over many idle partitions that times out
        # must not leave a trace in any of them.
        self.parked: dict[ParkedFetch, None] = {}
        self.dirty = False
        self.dirty_since_ms = 0
        self.syncing = False
        self.held: deque[HeldBatch] | None = None
        self.unreadable = ""  # why the last read failed, as it was logged
        # What recovery kept was synced by recovery itself.
        self.high_watermark = log.end_offset
        self.reconfigure(config)

    def reconfigure(self, config: TopicConfig) -> None:
        """Take a new configuration; the promise (durable or relaxed) may change with it."""
        self.config = config
        self.durable = config.flush_messages == 1
        # A batch never splits: one larger than a segment fits nowhere.
        self.batch_bytes_max = min(config.max_message_bytes, config.segment_bytes)
        if is_internal(self.name):
            self.batch_bytes_max = 0  # the server writes it alone, past these checks
        if config.compacts:
            self.held = deque() if self.held is None else self.held
        elif not self.held:
            self.held = None
        self.log.config = config
        if not self.durable:
            self.high_watermark = self.log.end_offset

    def advance(self) -> bool:
        """Let the high watermark follow the log; True when it moved."""
        log = self.log
        target = log.durable_offset if self.durable else log.end_offset
        if target <= self.high_watermark:
            return False
        assert target <= log.end_offset
        self.high_watermark = target
        return True

    def statistics(self) -> dict[str, int]:
        """Offsets and sizes of this partition, as plain numbers."""
        log = self.log
        return {
            "log_start_offset": log.log_start_offset,
            "high_watermark": self.high_watermark,
            "end_offset": log.end_offset,
            "size_bytes": log.size_bytes,
            "parked_count": len(self.parked),
        }
