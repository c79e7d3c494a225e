"""The table of everything the server counts: name, kind, labels, help, and its words.

One row says it all once. The writer finds its words by `key`, /metrics takes name, kind and help
from here, docs/metrics.md is checked against it. The layout follows from the order of the rows,
and `LAYOUT_DIGEST` changes with it: a reader of another version refuses the page instead of
showing one number under another's name.

A value is one signed 64-bit word. Durations are counted in ns or ms and shown in seconds, as
Prometheus wants (`divisor`). A metric with a label has one word per label value, in the order of
`values`. A histogram has one word per bound, one above the last, and the sum.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` on counters;
`process_*` are the names that every dashboard already knows.
"""

import zlib
from typing import NamedTuple

from logserver.statistics.histogram import DURATION_BOUNDS_NS
from logwire import errors, messages

NS = 1_000_000_000
MS = 1_000

UNKNOWN_API = "other"
UNKNOWN_ERROR = "other"

API_SLOTS: dict[int, int] = {key: slot for slot, key in enumerate(sorted(messages.APIS))}
"""API key -> index into `requests`; an API that we do not know counts at len(API_SLOTS)."""

ERROR_SLOTS: dict[int, int] = {
    code: slot for slot, code in enumerate(sorted(code for code in errors.ERRORS if code))
}
"""Error code -> index into `errors`; an unknown one counts at len(ERROR_SLOTS)."""

CLOSE_REASONS = ("peer", "idle", "protocol", "limit", "slow", "error", "shutdown")
"""Why a connection ended: the peer left, it idled too long, it broke the protocol, there were too
many, it did not finish a frame in time, the socket failed, the server stopped."""


class Metric(NamedTuple):
    """One row. `key` is the writer's word, `name` what /metrics shows; see the module's text."""

    key: str
    name: str
    kind: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ()
    divisor: int = 1
    bounds: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        """How many words of the page this row takes."""
        if self.kind == "histogram":
            return len(self.bounds) + 2
        return len(self.values) or 1


def _api_names() -> tuple[str, ...]:
    return (*(messages.APIS[key].name for key in API_SLOTS), UNKNOWN_API)


def _error_names() -> tuple[str, ...]:
    return (*(errors.ERRORS[code].name for code in ERROR_SLOTS), UNKNOWN_ERROR)


def _counter(key: str, text: str, name: str = "", divisor: int = 1) -> Metric:
    return Metric(key, name or f"logserver_{key}_total", "counter", text, divisor=divisor)


def _gauge(key: str, text: str, name: str = "", divisor: int = 1) -> Metric:
    return Metric(key, name or f"logserver_{key}", "gauge", text, divisor=divisor)


def _duration(key: str, name: str, text: str) -> Metric:
    return Metric(key, name, "histogram", text, divisor=NS, bounds=DURATION_BOUNDS_NS)


METRICS: tuple[Metric, ...] = (
    # the process
    _gauge(
        "start_time_ms",
        "When the process started, in seconds since the epoch.",
        "process_start_time_seconds",
        MS,
    ),
    _counter(
        "cpu_time_ns",
        "CPU time used by the process, user and system.",
        "process_cpu_seconds_total",
        NS,
    ),
    _gauge(
        "resident_memory_bytes",
        "Memory of the process that is in RAM, shared pages included.",
        "process_resident_memory_bytes",
    ),
    _gauge("anonymous_memory_bytes", "Memory of the process that belongs to no file."),
    _gauge("open_files", "File descriptors in use.", "process_open_fds"),
    _gauge("max_files", "Most file descriptors the process may have.", "process_max_fds"),
    # health
    _gauge(
        "ready",
        "Ready is 1; 0 while the server starts, stops or is fenced. A full disk leaves it 1.",
    ),
    _gauge("log_directories_fenced", "Log directories given up after a failed sync."),
    _gauge("disk_free_bytes", "Space left on the file system of the data directory."),
    _gauge("disk_full", "Whether the disk is nearly full: 1 while produce is refused for it."),
    _duration(
        "loop_delay_ns",
        "logserver_loop_delay_seconds",
        "How much later than due the server's own timer ran: what every request waits for.",
    ),
    # connections
    _gauge("connections", "Kafka connections open now."),
    _counter("connections_accepted", "Kafka connections accepted since the start."),
    Metric(
        "connections_closed",
        "logserver_connections_closed_total",
        "counter",
        "Kafka connections ended since the start, by reason.",
        "reason",
        CLOSE_REASONS,
    ),
    _counter("received_bytes", "Bytes received on Kafka connections."),
    _counter("sent_bytes", "Bytes sent on Kafka connections, file ranges included."),
    _counter("sent_file_bytes", "Bytes that left by sendfile, never seen by user space."),
    _gauge(
        "receive_buffer_bytes",
        "Memory that connections keep for unfinished requests; queued.max.request.bytes limits it.",
    ),
    # requests
    Metric(
        "requests",
        "logserver_requests_total",
        "counter",
        "Requests received, by API.",
        "api",
        _api_names(),
    ),
    Metric(
        "errors",
        "logserver_errors_total",
        "counter",
        "Errors answered, by Kafka's name; one request can carry several.",
        "error",
        _error_names(),
    ),
    _counter("protocol_errors", "Connections closed because the peer broke the protocol."),
    _counter("internal_errors", "Exceptions that no code expected: bugs, each one in the log."),
    # data
    _counter("appended_batches", "Record batches appended by produce requests."),
    _counter("appended_records", "Records appended by produce requests."),
    _counter("appended_bytes", "Bytes appended by produce requests."),
    _counter("duplicate_batches", "Batches recognised as already appended (idempotence)."),
    _counter("fetched_bytes", "Bytes of record batches handed to fetch responses."),
    _gauge("fetches_parked", "Fetch requests waiting for data now."),
    _gauge("produces_parked", "Produce requests waiting for their sync now."),
    _gauge("topics", "Topics."),
    _gauge("partitions", "Partitions."),
    # durability
    _counter("syncs", "Group commits done."),
    _counter("sync_failures", "Group commits that failed; one fences the log directory."),
    _duration(
        "sync_duration_ns",
        "logserver_sync_duration_seconds",
        "How long the group commits took.",
    ),
    # storage upkeep
    _gauge("segments", "Segments of all partitions."),
    _gauge("log_size_bytes", "Bytes of all segments of all partitions."),
    _counter("segments_rolled", "Segments closed and followed by a new one."),
    _gauge(
        "recovery_scanned_bytes", "Bytes read and checked at this start because nothing vouched."
    ),
    _gauge("recovery_cut_bytes", "Bytes cut off at this start: torn, and never acknowledged."),
    _gauge("partitions_quarantined", "Partitions with damage below the durable mark."),
    # compaction
    _counter("compactions", "Compactions of a partition that were completed."),
    _counter("compaction_failures", "Compactions that ended badly; the log says why."),
    _counter("compaction_read_bytes", "Bytes that compaction has read."),
    _counter("compaction_written_bytes", "Bytes that compaction has written."),
    _gauge(
        "compaction_dirty_ratio",
        "The largest share of a compacted partition's closed segments that waits for compaction.",
        "logserver_compaction_dirty_ratio_max",
        MS,
    ),
    _gauge(
        "compaction_last_error_time_ms",
        "When a compaction last ended badly, in seconds since the epoch; 0 is never.",
        "logserver_compaction_last_error_time_seconds",
        MS,
    ),
    _gauge(
        "partitions_uncleanable",
        "Partitions that are not compacted before a restart: a batch in them is not valid.",
    ),
    # groups
    _gauge("groups", "Consumer groups, with members or with offsets only."),
    _gauge("committed_offsets", "Offsets that groups have committed and keep."),
    _counter("rebalances", "Rebalances of consumer groups."),
    _gauge("group_partitions_watched", "Pairs of group and partition whose lag is watched."),
    _gauge(
        "group_partitions_left_out",
        "Pairs of group and partition beyond logserver.group.lag.partitions.max: nobody watches "
        "their lag.",
    ),
    _gauge(
        "group_round_ms",
        "How long the last look at the lag of all groups took, and so how old it may be.",
        "logserver_group_lag_round_seconds",
        MS,
    ),
    # what clients push of themselves
    _gauge("client_metrics_instances", "Client instances that asked what to push, lately."),
    _counter("client_metrics_pushes", "Pushes of client metrics that were taken."),
    _gauge("client_metrics_series", "Series of client metrics shown here."),
    _counter(
        "client_metrics_dropped",
        "Points of client metrics beyond logserver.client.metrics.series.max.",
    ),
    # the statistics themselves and the HTTP side
    _counter("http_requests", "Requests to the HTTP port."),
    _counter("http_refused", "HTTP requests or connections refused."),
)


class PartitionMetric(NamedTuple):
    """A figure kept once per partition; labels are always `topic` and `partition`."""

    key: str
    name: str
    help: str


PARTITION_METRICS: tuple[PartitionMetric, ...] = (
    PartitionMetric(
        "end_offset", "logserver_partition_end_offset", "Offset after the last record."
    ),
    PartitionMetric(
        "high_watermark",
        "logserver_partition_high_watermark",
        "Offset up to which consumers may read.",
    ),
    PartitionMetric(
        "log_start_offset",
        "logserver_partition_log_start_offset",
        "First offset that is still kept.",
    ),
    PartitionMetric("size_bytes", "logserver_partition_size_bytes", "Bytes of all its segments."),
)


class GroupMetric(NamedTuple):
    """A figure kept for each group, or for each partition that a group has committed."""

    key: str
    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def _of_group(key: str, text: str, kind: str = "gauge") -> GroupMetric:
    name = f"logserver_group_{key}" + ("_total" if kind == "counter" else "")
    return GroupMetric(key, name, kind, ("group",), text)


def _of_partition(key: str, text: str) -> GroupMetric:
    labels = ("group", "topic", "partition")
    return GroupMetric(key, f"logserver_group_{key}", "gauge", labels, text)


GROUP_METRICS: tuple[GroupMetric, ...] = (
    _of_group("rebalances", "Rebalances of the group since the server's start.", "counter"),
    _of_group(
        "stalled_partitions",
        "Partitions with unread records of which the group has committed none in a whole window.",
    ),
    _of_group(
        "slow_partitions",
        "Partitions that the group reads no faster than they grow, and is far behind in.",
    ),
    _of_group(
        "drain_seconds",
        "How long until the group has read everything, at the speed of the last window; +Inf where "
        "the lag does not shrink, absent before a window is over.",
    ),
    _of_partition("committed_offset", "The next offset to read, as the group has committed it."),
    _of_partition("lag_records", "Records that are there and that the group has not committed."),
    _of_partition(
        "lag_seconds",
        "How long the next record that the group has not committed waits; 0 without one, absent "
        "where the log tells no time.",
    ),
)
"""In a file of series beside the page (`series`); logserver.group.lag.partitions.max bounds it."""

BUILD_INFO = Metric(
    "build_info",
    "logserver_build_info",
    "gauge",
    "Always 1; the label says which version runs.",
    "version",
)
"""Not a word of the page: the reader knows its own version."""


def _positions() -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    at = 0
    for metric in METRICS:
        assert metric.key not in found, f"two metrics called {metric.key}"
        found[metric.key] = (at, metric.words)
        at += metric.words
    return found


POSITIONS = _positions()
"""Key -> (first word, number of words), counted from the end of the page's header."""

WORDS = sum(metric.words for metric in METRICS)
LAYOUT_DIGEST = zlib.crc32(repr((METRICS, PARTITION_METRICS)).encode())
