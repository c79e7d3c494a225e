"""What the broker tells of its groups: documents for programs, series for metrics.

Everything here is copied from what coordinators and `lag_watch` have in memory; nothing is found
out. Both are iterators that may be left or paused anywhere, and groups may come and go meanwhile.

    /groups   a document for each group: how far behind it is, what to call that, its rebalances
    /lag      a document for each group and partition

Times are ms since the epoch, durations ms, rates records a second. None (null) is not known: of
`status` and the rates before a window is over, of `lag_ms` where the log tells no time, of
`drain_ms` also where the lag does not shrink.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from logserver.broker.groups.lag_watch import GroupLag

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.groups.offset_store import Topics
    from logserver.broker.groups.progress import Progress

LABEL_CHARACTERS_MAX = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

GroupSeries = tuple[str, float, tuple[str, ...]]
"""Key of the figure (`statistics.layout.GROUP_METRICS`), its value, the texts of its labels."""


def explain_groups(
    broker: Broker, wall_ms: int, only: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """A document for each group, or for some that are named."""
    names = dict.fromkeys(only)
    for coordinator in list(broker.coordinators.by_index.values()):
        for group_id in names or list(coordinator.groups):
            if group_id in coordinator.groups:
                yield _group_document(broker, coordinator, group_id, wall_ms)


def _group_document(
    broker: Broker, coordinator: Coordinator, group_id: str, wall_ms: int
) -> dict[str, Any]:
    group = coordinator.groups[group_id]
    history = coordinator.history.get(group_id)
    watched = broker.coordinators.lag.groups.get(group_id)
    group_offsets = coordinator.offsets.of_group(group_id)
    return {
        "cluster_id": broker.cluster_id,
        "group": group_id,
        "type": group.kind,
        "protocol_type": group.protocol_type or "",
        "state": group.state_name,
        **(_unwatched(broker, group_offsets) if watched is None else _totals(watched, wall_ms)),
        "rebalances_count": 0 if history is None else history.count,
        "rebalances": [] if history is None else [line._asdict() for line in history.lines],
    }


def _totals(watched: GroupLag, wall_ms: int) -> dict[str, Any]:
    totals = watched.totals
    return {
        "lag_count": totals.lag_count,
        "lag_ms": totals.lag_ms(wall_ms),
        "status": totals.status,
        "drain_ms": _milliseconds(totals.drain_ms),
        "partitions_count": totals.partitions_count,
        "stalled_count": totals.stalled_count,
        "slow_count": totals.slow_count,
        "left_out_count": totals.left_out_count,
    }


def _unwatched(broker: Broker, offsets: Topics) -> dict[str, Any]:
    """Of a group of which nothing is watched: it is new, or there was no room for it."""
    is_full = broker.coordinators.lag.left_out_count > 0
    unwatched = GroupLag()
    unwatched.totals.left_out_count = sum(map(len, offsets.values())) if is_full else 0
    return _totals(unwatched, 0)


def explain_lag(
    broker: Broker, wall_ms: int, only: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """A document for each group and partition that is watched, or for some groups."""
    watch = broker.coordinators.lag
    for group_id in dict.fromkeys(only) or list(watch.groups):
        group = watch.groups.get(group_id)
        if group is None:
            continue
        for (topic, index), progress in list(group.partitions.items()):
            yield {
                "group": group_id,
                "topic": topic,
                "partition": index,
                **_figures(progress, watch.window_ms, wall_ms),
            }


def _figures(progress: Progress, window_ms: int, wall_ms: int) -> dict[str, Any]:
    committed_rate, appended_rate = progress.rates(window_ms) or (None, None)
    return {
        "committed_offset": progress.now.committed_offset,
        "log_start_offset": progress.start_offset,
        "log_end_offset": progress.now.end_offset,
        "lag_count": progress.lag_count,
        "lag_ms": progress.lag_ms(wall_ms),
        "status": progress.status(window_ms),
        "drain_ms": _milliseconds(progress.drain_ms(window_ms)),
        "committed_per_s": _rate(committed_rate),
        "appended_per_s": _rate(appended_rate),
        "removed_count": progress.removed_count,
    }


def _milliseconds(ms: float | None) -> int | None:
    """JSON has no infinity."""
    return None if ms is None or math.isinf(ms) else round(ms)


def _rate(per_s: float | None) -> float | None:
    return None if per_s is None else round(per_s, 3)


def group_series(broker: Broker, wall_ms: int) -> Iterator[GroupSeries]:
    """What is watched, as metrics: four series a group and three a partition."""
    coordinators = broker.coordinators
    for coordinator in list(coordinators.by_index.values()):
        for group_id in list(coordinator.offsets.by_group):
            group = coordinators.lag.groups.get(group_id)
            if group is not None and group.totals.partitions_count:
                label = group_label(group_id)
                history = coordinator.history.get(group_id)
                yield "rebalances", 0 if history is None else history.count, (label,)
                yield from _group_rows(group, label, wall_ms)


def _group_rows(group: GroupLag, label: str, wall_ms: int) -> Iterator[GroupSeries]:
    totals = group.totals
    yield "stalled_partitions", totals.stalled_count, (label,)
    yield "slow_partitions", totals.slow_count, (label,)
    if totals.drain_ms is not None:
        yield "drain_seconds", totals.drain_ms / 1000, (label,)
    for (topic, index), progress in list(group.partitions.items()):
        labels = (label, topic, str(index))
        yield "committed_offset", progress.now.committed_offset, labels
        yield "lag_records", progress.lag_count, labels
        lag_ms = progress.lag_ms(wall_ms)
        if lag_ms is not None:
            yield "lag_seconds", lag_ms / 1000, labels


def group_label(group_id: str) -> str:
    """A group's id as a label. Clients choose it: one that is long or has control characters is
    cut and cleaned, and told from others by a checksum."""
    clean = _CONTROL.sub("?", group_id[:LABEL_CHARACTERS_MAX])
    if clean == group_id:
        return clean
    return f"{clean}~{zlib.crc32(group_id.encode('utf-8', 'surrogatepass')):08x}"


def group_figures(broker: Broker) -> dict[str, int]:
    """Sums over all groups, for the statistics page."""
    coordinators = broker.coordinators.by_index.values()
    lag = broker.coordinators.lag
    return {
        "groups": sum(len(coordinator.groups) for coordinator in coordinators),
        "committed_offsets": sum(coordinator.offsets.count for coordinator in coordinators),
        "rebalances": sum(coordinator.rebalances_count for coordinator in coordinators),
        "group_partitions_watched": lag.watched_count,
        "group_partitions_left_out": lag.left_out_count,
        "group_round_ms": lag.round_ms,
    }
