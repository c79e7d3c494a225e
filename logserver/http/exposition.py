"""Prometheus' text format 0.0.4, written straight from the statistics page.

https://prometheus.io/docs/instrumenting/exposition_formats/ - a family is a HELP line, a TYPE
line and its samples, all together. Forty lines here replace prometheus_client in the server: the
package costs 70 ms of start-up and 13 MB of memory and renders a family in one go, about 20 us a
series, while this writes one in 1 us and can pause anywhere. Its parser judges our output in the
tests.

The iterator yields between families and every few partitions, so a scrape of ten thousand
partitions never holds the loop for longer than a produce request would.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence

from logserver import __version__
from logserver.http.response import Response, text
from logserver.statistics import METRICS, Metric, PageError, PageReader
from logserver.statistics.layout import BUILD_INFO, GROUP_METRICS, PARTITION_METRICS
from logserver.statistics.page import Snapshot
from logserver.statistics.partitions import PartitionFigures, PartitionsReader
from logserver.statistics.series import read_series

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PARTITIONS_PER_TURN = 64
"""About 100 us of formatting, the cost of a few produce requests."""
SERIES_PER_TURN = 64
HELPS = {metric.name: metric.help for metric in GROUP_METRICS}


def escape_label(value: str) -> str:
    """A label value between its quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: int, divisor: int = 1) -> str:
    """An integer as it is; with a divisor the shortest decimal that reads back the same."""
    return str(value) if divisor == 1 else repr(value / divisor)


def real(value: float) -> str:
    """A number that may be infinite."""
    return repr(value) if math.isfinite(value) else f"{value:+}".title()


def header(name: str, kind: str, help_text: str) -> str:
    """The two lines that open a family."""
    escaped = help_text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


def family(metric: Metric, words: Sequence[int]) -> str:
    """One metric of the page with all its samples."""
    lines = [header(metric.name, metric.kind, metric.help)]
    if metric.kind == "histogram":
        lines.extend(_histogram_lines(metric, words))
    elif metric.label:
        lines.extend(
            f'{metric.name}{{{metric.label}="{escape_label(value)}"}} '
            f"{number(word, metric.divisor)}\n"
            for value, word in zip(metric.values, words, strict=True)
        )
    else:
        lines.append(f"{metric.name} {number(words[0], metric.divisor)}\n")
    return "".join(lines)


def _histogram_lines(metric: Metric, words: Sequence[int]) -> Iterator[str]:
    *counts, total = words
    below = 0
    for bound, count in zip(metric.bounds, counts, strict=False):
        below += count
        yield f'{metric.name}_bucket{{le="{number(bound, metric.divisor)}"}} {below}\n'
    below += counts[-1]
    yield f'{metric.name}_bucket{{le="+Inf"}} {below}\n'
    yield f"{metric.name}_sum {number(total, metric.divisor)}\n"
    yield f"{metric.name}_count {below}\n"


async def render(
    snapshot: Snapshot, partitions: PartitionsReader | None, series_paths: Sequence[str] = ()
) -> AsyncIterator[bytes]:
    """The whole page in pieces, giving way to the loop between them."""
    labels = f'{{version="{escape_label(__version__)}"}}'
    opening = header(BUILD_INFO.name, BUILD_INFO.kind, BUILD_INFO.help)
    yield f"{opening}{BUILD_INFO.name}{labels} 1\n".encode()
    for metric in METRICS:
        yield family(metric, snapshot[metric.key]).encode()
        await asyncio.sleep(0)
    if partitions is not None:
        async for piece in render_partitions(partitions):
            yield piece
    for path in series_paths:
        async for piece in render_series(path):
            yield piece


async def render_partitions(reader: PartitionsReader) -> AsyncIterator[bytes]:
    """One family per figure, in the order of topic and partition; nothing when there are none."""
    try:
        rows = reader.rows()
    except PageError:
        return
    by_name: dict[tuple[str, int], PartitionFigures] = {}
    for row in rows:
        figures = reader.read(row)
        if figures is not None:
            # a topic that was just recreated may still have its former row as well
            by_name[figures[:2]] = figures
        if row % PARTITIONS_PER_TURN == 0:
            await asyncio.sleep(0)
    found = [by_name[name] for name in sorted(by_name)]
    for column, metric in enumerate(PARTITION_METRICS, start=2):
        yield header(metric.name, "gauge", metric.help).encode()
        for first in range(0, len(found), PARTITIONS_PER_TURN):
            some = found[first : first + PARTITIONS_PER_TURN]
            yield "".join(
                f'{metric.name}{{topic="{escape_label(one.topic)}",partition="{one.partition}"}} '
                f"{one[column]}\n"
                for one in some
            ).encode()
            await asyncio.sleep(0)


async def render_series(path: str) -> AsyncIterator[bytes]:
    """The series of one file, a family for each name in the order of names; none: nothing.

    Clients choose what they push, so there is one help for all of it, and the kind is in the name.
    """
    # A series that is there twice would spoil the whole scrape.
    families: dict[str, dict[str, str]] = {}
    for count, one in enumerate(read_series(path)):
        labels = ",".join(f'{name}="{escape_label(text)}"' for name, text in one.labels)
        families.setdefault(one.name, {})[labels] = f"{one.name}{{{labels}}} {real(one.value)}\n"
        if count % SERIES_PER_TURN == 0:
            await asyncio.sleep(0)
    for name in sorted(families):
        kind = "counter" if name.endswith("_total") else "gauge"
        yield header(name, kind, HELPS.get(name, "Pushed by clients (KIP-714).")).encode()
        lines = list(families[name].values())
        for first in range(0, len(lines), SERIES_PER_TURN):
            yield "".join(lines[first : first + SERIES_PER_TURN]).encode()
            await asyncio.sleep(0)


def metrics_response(
    page: PageReader, partitions: PartitionsReader | None, series_paths: Sequence[str] = ()
) -> Response:
    """What /metrics answers now; 503 with the reason while there is no page to read."""
    try:
        snapshot = page.snapshot()
    except PageError as error:
        return text(503, str(error))
    return Response(200, MEDIA_TYPE, render(snapshot, partitions, series_paths))
