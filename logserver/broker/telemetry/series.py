"""The figures that clients pushed, one value for each metric, client id, group and version.

Several instances of a program share a series, or the number of series would follow the number of
containers ever started. Sums add up over pushes and instances. Of a gauge the last push counts, and
of several points of one push (a value for each node or partition) the largest.

A series that nobody pushed to for three intervals is forgotten. There are at most so many as
`logserver.client.metrics.series.max`; what comes beyond is counted and dropped.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logserver.broker.telemetry.otlp import Point

PREFIX = "kafka_client_"
COUNTER_SUFFIX = "_total"
NAME_CHARACTERS_MAX = 120
LABEL_CHARACTERS_MAX = 60
_FOREIGN = re.compile(r"[^a-zA-Z0-9_]", re.ASCII)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class SeriesKey(NamedTuple):
    """What tells a series from others; all of it is text that clients chose, cut and cleaned."""

    name: str
    client_id: str
    group: str
    software: str
    version: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what follows the name."""
        return self._fields[1:]


class Source(NamedTuple):
    """Who pushes, as labels."""

    client_id: str
    group: str
    software: str
    version: str


class _Series:
    __slots__ = ("expires_ms", "value")

    def __init__(self, value: float, expires_ms: int) -> None:
        self.value = value
        self.expires_ms = expires_ms


class ClientSeries:
    """The table. `dropped_count` are points that found no room; `version` grows with changes."""

    __slots__ = ("_series", "dropped_count", "version")

    def __init__(self) -> None:
        self._series: dict[SeriesKey, _Series] = {}
        self.dropped_count = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._series)

    def values(self) -> dict[SeriesKey, float]:
        """Every series with its value."""
        return {key: series.value for key, series in self._series.items()}

    def add(
        self, source: Source, points: Iterable[Point], expires_ms: int, series_max: int
    ) -> None:
        """Take the points of one push; the series live until `expires_ms` of the uptime."""
        labels = [_CONTROL.sub("_", text[:LABEL_CHARACTERS_MAX]) for text in source]
        self.version += 1
        gauges: dict[SeriesKey, float] = {}
        for point in points:
            if not math.isfinite(point.value):
                continue
            key = SeriesKey(exported_name(point.name, counter=point.is_monotonic), *labels)
            if point.is_delta:
                series = self._series.get(key)
                before = 0.0 if series is None else series.value
                self._put(key, before + point.value, expires_ms, series_max)
            else:
                gauges[key] = max(point.value, gauges.get(key, point.value))
        for key, value in gauges.items():
            self._put(key, value, expires_ms, series_max)

    def _put(self, key: SeriesKey, value: float, expires_ms: int, series_max: int) -> None:
        series = self._series.get(key)
        if series is not None:
            series.value = value
            series.expires_ms = expires_ms
        elif len(self._series) < series_max:
            self._series[key] = _Series(value, expires_ms)
        else:
            self.dropped_count += 1

    def expire(self, uptime_ms: int) -> int | None:
        """Forget what nobody pushed to for long; the time at which to look again."""
        kept = {key: one for key, one in self._series.items() if one.expires_ms > uptime_ms}
        self.version += len(kept) < len(self._series)
        self._series = kept
        return min((one.expires_ms for one in kept.values()), default=None)


def exported_name(name: str, *, counter: bool) -> str:
    """`org.apache.kafka.producer.record.send.rate` as `kafka_client_producer_record_send_rate`."""
    short = name.removeprefix("org.apache.kafka.")[:NAME_CHARACTERS_MAX]
    clean = PREFIX + _FOREIGN.sub("_", short)
    return clean if not counter or clean.endswith(COUNTER_SUFFIX) else clean + COUNTER_SUFFIX
