"""The statistics page's writer: four times a second, plain integers are copied to memory words.

Nothing on the request path knows the page. What is costly to find out (memory, open files) is asked
for once a second, partitions are copied a few hundred at a time.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
from typing import TYPE_CHECKING

from logserver.broker.groups.explain import group_figures, group_series
from logserver.statistics.layout import API_SLOTS, CLOSE_REASONS, ERROR_SLOTS, GROUP_METRICS
from logserver.statistics.page import PageWriter
from logserver.statistics.partitions import PartitionsWriter
from logserver.statistics.runtime import RuntimeDirectory
from logserver.statistics.series import Series, SeriesWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from logserver.broker.partition import Partition
    from logserver.server.server import Server

PUBLISH_S = 0.25
# Every fourth publication looks at /proc.
SLOW_EVERY = 4
BY_GROUP_KEY = {metric.key: metric for metric in GROUP_METRICS}

Figures = dict[str, "int | Sequence[int]"]


class FiguresPublisher:
    """Copies what the server counts to the page; `more` adds the figures of other doors."""

    __slots__ = (
        "_ended",
        "_groups",
        "_page",
        "_partitions",
        "_runtime",
        "_series",
        "_server",
        "_turns",
        "more",
    )

    def __init__(self, server: Server, runtime: RuntimeDirectory) -> None:
        """Create the memory files. Raises OSError when the runtime directory cannot be ours."""
        runtime.open()
        generation = random.SystemRandom().randrange(1, 2**63)
        self._server = server
        self._runtime = runtime
        self._page = PageWriter(runtime.page_path, generation=generation, pid=os.getpid())
        self._partitions = PartitionsWriter(runtime.partitions_path, generation=generation)
        self._series = SeriesWriter(runtime.series_path)
        self._groups = SeriesWriter(runtime.groups_path)
        self._turns = 0
        self._ended = False
        self.more: list[Callable[[], dict[str, int]]] = []

    def start(self) -> None:
        """Publish now and from now on."""
        self._publish()

    def _publish(self) -> None:
        if self._ended:
            return
        server = self._server
        figures = self._quick()
        if self._turns % SLOW_EVERY == 0:
            figures |= self._slow()
        self._turns += 1
        for source in self.more:
            figures |= source()
        self._page.publish(figures, server.now_ms())
        self._partitions.publish_some(server.broker.partitions_by_name, _partition_figures)
        self._publish_series()
        server.loop.call_later(PUBLISH_S, self._publish)

    def _publish_series(self) -> None:
        series = self._server.broker.telemetry.series

        def rows() -> Iterator[Series]:
            for key, value in series.values().items():
                name, *texts = key
                yield Series(name, value, tuple(zip(key.labels, texts, strict=True)))

        # A full memory file system: the last version stays until the next one fits.
        with contextlib.suppress(OSError):
            self._series.publish_some(series.version, rows)
        rounds_count = self._server.broker.coordinators.lag.rounds_count
        with contextlib.suppress(OSError):
            self._groups.publish_some(rounds_count, self._group_rows)

    def _group_rows(self) -> Iterator[Series]:
        server = self._server
        for key, value, texts in group_series(server.broker, server.now_ms()):
            metric = BY_GROUP_KEY[key]
            yield Series(metric.name, value, tuple(zip(metric.labels, texts, strict=True)))

    def _quick(self) -> Figures:
        server = self._server
        broker = server.broker
        counters = broker.counters
        commit = broker.commit
        return {
            "ready": int(not server.draining and not commit.fenced),
            "log_directories_fenced": int(commit.fenced),
            "disk_full": int(not broker.writable and not commit.fenced),
            "loop_delay_ns": server.loop_delay_ns.words(),
            "connections": len(server.connections),
            "connections_accepted": server.counters.accepted,
            "connections_closed": [server.counters.closed[reason] for reason in CLOSE_REASONS],
            "received_bytes": server.counters.received_bytes,
            "sent_bytes": server.counters.sent_bytes,
            "sent_file_bytes": server.counters.sent_file_bytes,
            "receive_buffer_bytes": server.buffers.held_bytes,
            "requests": _slots(API_SLOTS, dict(enumerate(counters.requests))),
            "errors": _slots(ERROR_SLOTS, counters.errors),
            "protocol_errors": server.counters.breaches,
            "internal_errors": server.counters.bugs,
            "appended_batches": counters.appended_batches,
            "appended_records": counters.appended_records,
            "appended_bytes": counters.appended_bytes,
            "duplicate_batches": counters.duplicate_batches,
            "fetched_bytes": counters.fetched_bytes,
            "fetches_parked": counters.fetches_parked,
            "produces_parked": len(commit.waiting) + commit.covered_count,
            "topics": len(broker.image.topics),
            "partitions": len(broker.partitions),
            "syncs": counters.syncs,
            "sync_failures": counters.sync_failures,
            "sync_duration_ns": server.sync_duration_ns.words(),
            "client_metrics_instances": len(broker.telemetry.instances),
            "client_metrics_pushes": broker.telemetry.pushes_count,
            "client_metrics_series": len(broker.telemetry.series),
            "client_metrics_dropped": broker.telemetry.series.dropped_count,
        }

    def _slow(self) -> Figures:
        server = self._server
        broker = server.broker
        usage = resource.getrusage(resource.RUSAGE_SELF)
        resident, anonymous = _memory_bytes()
        files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return {
            "start_time_ms": server.started_ms,
            "cpu_time_ns": round((usage.ru_utime + usage.ru_stime) * 1e9),
            "resident_memory_bytes": resident,
            "anonymous_memory_bytes": anonymous,
            "open_files": len(os.listdir("/proc/self/fd")),
            "max_files": files_max,
            "disk_free_bytes": broker.free_bytes,
            **broker.storage_figures(),
            **broker.compactions.figures(),
            **group_figures(broker),
        }

    def close(self) -> None:
        """Stop publishing and remove the memory files."""
        self._ended = True
        self._page.close()
        self._partitions.close()
        self._runtime.remove()


def _partition_figures(partition: Partition) -> tuple[int, int, int, int]:
    log = partition.log
    return log.end_offset, partition.high_watermark, log.log_start_offset, log.size_bytes


def _slots(slots: dict[int, int], counted: dict[int, int]) -> list[int]:
    words = [0] * (len(slots) + 1)
    for key, count in counted.items():
        if count:
            words[slots.get(key, len(slots))] += count
    return words


def _memory_bytes() -> tuple[int, int]:
    """(resident, anonymous) memory of this process."""
    resident = anonymous = 0
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                resident = int(line.split()[1]) * 1024
            elif line.startswith("RssAnon:"):
                anonymous = int(line.split()[1]) * 1024
    return resident, anonymous
