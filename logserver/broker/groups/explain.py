"""What the broker tells people of its groups: documents, and series for metrics.

Everything here is copied from what coordinators and `lag` have in memory; nothing is found out.
A group's history is why it rebalanced, through whom, into which generation: a coordinator keeps the
last lines of it for as long as the process lives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.groups.effects import Group
    from logserver.broker.groups.lag import Lag

# Partitions of groups that are shown as metrics, two series each: a scrape stays within some
# milliseconds. All of them are in the documents.
SERIES_PARTITIONS_MAX = 2000
LABEL_LENGTH_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

LagSeries = tuple[str, float, tuple[str, str, str]]
"""Name of the figure ("lag_records", "lag_seconds"), its value, and group, topic, partition."""


def explain_groups(broker: Broker, wall_ms: int) -> Iterator[dict[str, Any]]:
    """A document for each group. May be left before its end, and groups may come and go meanwhile.

    Times are ms since the epoch, durations ms, rates records a second. Null: not known.
    """
    for coordinator in list(broker.coordinators.by_index.values()):
        for group in list(coordinator.groups.values()):
            yield _document(broker, coordinator, group, wall_ms)


def _document(
    broker: Broker, coordinator: Coordinator, group: Group, wall_ms: int
) -> dict[str, Any]:
    group_id = group.group_id
    watched = broker.coordinators.lag.watched
    partitions = []
    for topic, index in sorted(coordinator.offsets.listed(group_id)):
        found = watched.get((group_id, topic, index))
        figures = {} if found is None else _figures(found.lag(wall_ms))
        committed = coordinator.offsets.get(group_id, topic, index)
        assert committed is not None
        partitions.append(
            {"topic": topic, "partition": index, **figures, "committed_offset": committed.offset}
        )
    history = [
        {"time_ms": at_ms, **note._asdict()}
        for at_ms, note in coordinator.history.get(group_id, ())
    ]
    return {
        "group_id": group_id,
        "kind": group.kind,
        "state": group.state_name,
        "protocol_type": group.protocol_type,
        "partitions": partitions,
        "history": history,
    }


def _figures(lag: Lag) -> dict[str, Any]:
    figures = lag._asdict()
    for name in ("consumed_per_s", "produced_per_s"):
        figures[name] = round(figures[name], 3)
    return figures


def lag_series(broker: Broker, wall_ms: int) -> Iterator[LagSeries]:
    """Lag as metrics; at most SERIES_PARTITIONS_MAX partitions. Labels hold no control characters.

    `lag_seconds` is left out where the time of the next record is not known.
    """
    watched = broker.coordinators.lag.watched
    for (group_id, topic, index), found in islice(watched.items(), SERIES_PARTITIONS_MAX):
        labels = (_CONTROL.sub("?", group_id[:LABEL_LENGTH_MAX]), topic, str(index))
        lag = found.lag(wall_ms)
        yield "lag_records", lag.lag_count, labels
        if lag.lag_ms is not None:
            yield "lag_seconds", lag.lag_ms / 1000, labels


def group_figures(broker: Broker) -> dict[str, int]:
    """Sums over all groups, for the statistics page."""
    coordinators = broker.coordinators.by_index.values()
    watched_count = len(broker.coordinators.lag.watched)
    return {
        "groups": sum(len(coordinator.groups) for coordinator in coordinators),
        "committed_offsets": sum(coordinator.offsets.count for coordinator in coordinators),
        "group_rebalances": sum(coordinator.rebalances_count for coordinator in coordinators),
        "group_lags_hidden": max(0, watched_count - SERIES_PARTITIONS_MAX),
    }
