"""The series that clients pushed."""

import pytest

from logserver.broker.telemetry.otlp import Point
from logserver.broker.telemetry.series import ClientSeries, SeriesKey, Source, exported_name

SOURCE = Source("c", "g", "java", "4.3.1")


def gauge(name: str, value: float) -> Point:
    """A point of a gauge."""
    return Point(name, value, is_monotonic=False, is_delta=False)


def delta(name: str, value: float) -> Point:
    """A point of a sum since the last push."""
    return Point(name, value, is_monotonic=True, is_delta=True)


def key(name: str, source: Source = SOURCE) -> SeriesKey:
    """The series of a metric."""
    return SeriesKey(name, *source)


@pytest.fixture
def series() -> ClientSeries:
    """An empty table."""
    return ClientSeries()


def test_sums_add_up_and_gauges_follow(series: ClientSeries) -> None:
    """Over pushes and instances; of the points of one push the largest gauge."""
    series.add(SOURCE, [gauge("a", 5), gauge("a", 9), delta("b", 1), delta("b", 2)], 1000, 10)
    series.add(SOURCE, [gauge("a", 3), gauge("a", 2), delta("b", 4)], 1000, 10)
    assert series.values() == {key("kafka_client_a"): 3.0, key("kafka_client_b_total"): 7.0}


def test_clients_groups_and_versions_are_told_apart(series: ClientSeries) -> None:
    """Four labels; what is longer than a label is cut."""
    sources = [SOURCE, SOURCE._replace(group="h"), SOURCE._replace(version="4.4.0" * 1000)]
    for source in sources:
        series.add(source, [gauge("a", 1)], 1000, 10)
    found = set(series.values())
    assert len(found) == 3
    assert max(len(label) for one in found for label in one) == 60


def test_what_finds_no_room_is_counted_and_dropped(series: ClientSeries) -> None:
    """Series that are there already go on."""
    series.add(SOURCE, [gauge("a", 1), gauge("b", 1), gauge("c", 1)], 1000, 2)
    series.add(SOURCE, [gauge("a", 2)], 1000, 2)
    assert (len(series), series.dropped_count) == (2, 1)
    assert series.values()[key("kafka_client_a")] == 2


def test_numbers_that_are_none_are_left_out(series: ClientSeries) -> None:
    """A sum would never recover from them."""
    series.add(SOURCE, [gauge("a", float("nan")), delta("b", float("inf"))], 1000, 10)
    assert len(series) == 0


def test_a_series_that_nobody_pushes_to_is_forgotten(series: ClientSeries) -> None:
    """Each push prolongs its life; the next time to look is told."""
    series.add(SOURCE, [gauge("a", 1), gauge("b", 1)], 1000, 10)
    series.add(SOURCE, [gauge("b", 1)], 2000, 10)
    assert series.expire(999) == 1000
    assert series.expire(1000) == 2000
    assert set(series.values()) == {key("kafka_client_b")}
    assert series.expire(2000) is None


@pytest.mark.parametrize(
    ("name", "counter", "exported"),
    [
        ("org.apache.kafka.producer.send.rate", False, "kafka_client_producer_send_rate"),
        ("org.apache.kafka.consumer.x.total", True, "kafka_client_consumer_x_total"),
        ("my-metric{a}", True, "kafka_client_my_metric_a__total"),
        ("\u00e4", False, "kafka_client__"),
        ("x" * 1000, False, "kafka_client_" + "x" * 120),
    ],
)
def test_names_become_what_prometheus_takes(name: str, counter: bool, exported: str) -> None:
    """Letters, digits, underscores; counters end in _total."""
    assert exported_name(name, counter=counter) == exported
