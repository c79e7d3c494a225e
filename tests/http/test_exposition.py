"""logserver.http.exposition: what we write is what prometheus_client's own parser reads."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from logserver import __version__
from logserver.http.exposition import escape_label, metrics_response, number, render
from logserver.statistics import (
    METRICS,
    Histogram,
    PageReader,
    PageWriter,
    PartitionsReader,
    PartitionsWriter,
    Series,
    SeriesWriter,
)
from logserver.statistics.layout import BUILD_INFO, GROUP_METRICS, PARTITION_METRICS


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[PageWriter]:
    """A page to publish to."""
    page = PageWriter(str(tmp_path / "page"), generation=1, pid=1)
    yield page
    page.close()


def rendered(
    writer: PageWriter, partitions: PartitionsReader | None = None, *series_paths: str
) -> str:
    """The whole text."""

    async def collect() -> bytes:
        snapshot = PageReader(writer.path).snapshot()
        return b"".join([piece async for piece in render(snapshot, partitions, series_paths)])

    return asyncio.run(collect()).decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, as Prometheus understands it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_groups_have_series_with_a_help_of_their_own(writer: PageWriter, tmp_path: Path) -> None:
    """Beside what clients pushed, in a file of their own; labels are escaped, and a series that
    is there twice is shown once."""
    writer.publish({}, 1)
    pushed, groups = SeriesWriter(str(tmp_path / "a")), SeriesWriter(str(tmp_path / "b"))
    texts = {"group": 'say "hi"', "topic": "orders", "partition": "3"}
    pushed.publish_some(1, lambda: [Series("client_total", 2.0, ())])
    rows = [
        Series(metric.name, math.inf, tuple((label, texts[label]) for label in metric.labels))
        for metric in GROUP_METRICS
    ]
    groups.publish_some(1, lambda: rows * 2)
    families = {
        family.name: family
        for family in text_string_to_metric_families(
            rendered(writer, None, pushed.path, groups.path, str(tmp_path / "missing"))
        )
    }
    assert families["client"].documentation.startswith("Pushed by clients")
    for metric in GROUP_METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        (sample,) = family.samples
        assert (set(sample.labels), sample.value) == (set(metric.labels), math.inf)
        assert sample.labels.items() <= texts.items()


def test_every_metric_of_the_table_is_shown_with_its_kind_and_help(writer: PageWriter) -> None:
    """A row of the table cannot be forgotten on the way."""
    writer.publish({}, 1)
    families = {f.name: f for f in text_string_to_metric_families(rendered(writer))}
    for metric in (*METRICS, BUILD_INFO):
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.kind
        assert family.documentation == metric.help


def test_what_clients_pushed_is_shown_by_name(writer: PageWriter, tmp_path: Path) -> None:
    """Families stay together, in the order of names; texts of clients are escaped."""
    writer.publish({}, 1)
    path = str(tmp_path / "series")
    rows = [
        Series("kafka_client_b_total", 2.0, (("client_id", 'x"\\'),)),
        Series("kafka_client_a", 1.5, (("client_id", "x"),)),
        Series("kafka_client_b_total", 3.0, (("client_id", "y"),)),
    ]
    SeriesWriter(path).publish_some(1, lambda: iter(rows))
    text = rendered(writer, None, path)
    shown = samples(text)
    assert shown["kafka_client_a", (("client_id", "x"),)] == 1.5
    assert shown["kafka_client_b_total", (("client_id", 'x"\\'),)] == 2.0
    assert shown["kafka_client_b_total", (("client_id", "y"),)] == 3.0
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert (kinds["kafka_client_a"], kinds["kafka_client_b"]) == ("gauge", "counter")


def test_durations_are_seconds_and_counts_are_whole(writer: PageWriter) -> None:
    """Words are ns and ms; Prometheus wants base units."""
    writer.publish({"cpu_time_ns": 1_500_000_000, "start_time_ms": 1500, "topics": 2**53 + 1}, 1)
    text = rendered(writer)
    assert samples(text)["process_cpu_seconds_total", ()] == 1.5
    assert samples(text)["process_start_time_seconds", ()] == 1.5
    assert f"logserver_topics {2**53 + 1}\n" in text


def test_labels_follow_the_words(writer: PageWriter) -> None:
    """One sample per label value, in the order of the table."""
    requests = next(metric for metric in METRICS if metric.key == "requests")
    writer.publish({"requests": [slot + 1 for slot in range(requests.words)]}, 1)
    found = samples(rendered(writer))
    for slot, name in enumerate(requests.values):
        assert found["logserver_requests_total", (("api", name),)] == slot + 1


def test_a_histogram_is_cumulative_and_its_count_is_its_last_bucket(writer: PageWriter) -> None:
    """As Prometheus' histogram_quantile expects."""
    histogram = Histogram()
    for value in (1, 60_000, 60_000, 10**10):
        histogram.observe(value)
    writer.publish({"sync_duration_ns": histogram.words()}, 1)
    found = samples(rendered(writer))
    name = "logserver_sync_duration_seconds"
    assert found[f"{name}_bucket", (("le", "5e-05"),)] == 1
    assert found[f"{name}_bucket", (("le", "0.0001"),)] == 3
    assert found[f"{name}_bucket", (("le", "5.0"),)] == 3
    assert found[f"{name}_bucket", (("le", "+Inf"),)] == 4
    assert found[f"{name}_count", ()] == 4
    assert found[f"{name}_sum", ()] == pytest.approx(10.000120001)


def test_partitions_are_sorted_families(writer: PageWriter, tmp_path: Path) -> None:
    """All samples of one family stand together, whatever row they have."""
    region = PartitionsWriter(str(tmp_path / "partitions"), generation=1, rows=2)
    table = {("b", index): (index, index, 0, 7) for index in range(100, -1, -1)}
    table["a", 3] = (1, 2, 3, 4)
    region.publish_some(table, lambda figures: figures, limit=1000)
    writer.publish({}, 1)
    reader = PartitionsReader(region.path)
    text = rendered(writer, reader)
    found = samples(text)
    labels = (("partition", "3"), ("topic", "a"))
    assert [found[metric.name, labels] for metric in PARTITION_METRICS] == [1, 2, 3, 4]
    for metric in PARTITION_METRICS:
        lines = [line for line in text.splitlines() if metric.name in line]
        assert len(lines) == 2 + 102
        start = text.splitlines().index(lines[0])
        assert text.splitlines()[start : start + 104] == lines
    region.close()


def test_rendering_gives_way_to_the_loop(writer: PageWriter, tmp_path: Path) -> None:
    """Another task gets many turns while one scrape runs."""
    region = PartitionsWriter(str(tmp_path / "partitions"), generation=1)
    table = {("b", index): (0, 0, 0, 0) for index in range(1000)}
    region.publish_some(table, lambda figures: figures, limit=2000)
    writer.publish({}, 1)

    async def scenario() -> int:
        turns = 0
        done = asyncio.Event()

        async def scrape() -> None:
            snapshot = PageReader(writer.path).snapshot()
            async for _ in render(snapshot, PartitionsReader(region.path)):
                pass
            done.set()

        task = asyncio.create_task(scrape())
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)
        await task
        return turns

    assert asyncio.run(scenario()) > len(METRICS) + 4 * 1000 // 64
    region.close()


def test_label_values_are_escaped() -> None:
    """A topic cannot have such a name, an error in our own table could."""
    assert escape_label('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_numbers_read_back_the_same() -> None:
    """No rounding between the word and Prometheus."""
    assert number(2**63 - 1) == "9223372036854775807"
    assert float(number(1_234_567_891, 10**9)) == 1.234567891


def test_the_version_is_told(writer: PageWriter) -> None:
    """Whoever looks at a graph wants to know what ran."""
    writer.publish({}, 1)
    assert f'logserver_build_info{{version="{__version__}"}} 1\n' in rendered(writer)


def test_without_a_page_the_answer_is_503(tmp_path: Path) -> None:
    """The reason is in the body."""
    response = metrics_response(PageReader(str(tmp_path / "none")), None)
    assert response.status == 503
    assert isinstance(response.body, bytes)
    assert b"no server runs there" in response.body
