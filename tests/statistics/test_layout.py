"""logserver.statistics.layout: the table follows the rules that Prometheus and its users expect."""

import re
from pathlib import Path

import pytest

from logserver.statistics.layout import API_SLOTS, BUILD_INFO, ERROR_SLOTS, METRICS, Metric
from logwire import errors, messages

ALL = [*METRICS, BUILD_INFO]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_metric_is_named_and_explained_by_the_rules(metric: Metric) -> None:
    """Counters end in _total, durations are seconds, help is a sentence."""
    assert re.fullmatch(r"(logserver|process)_[a-z][a-z0-9_]*", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.kind in ("counter", "gauge", "histogram")
    assert metric.help[0].isupper(), metric.help
    assert metric.help.endswith(".")
    assert not metric.name.endswith(("_ms", "_ns"))
    assert metric.divisor == 1 or "seconds" in metric.name or "ratio" in metric.name


def test_every_metric_has_a_source() -> None:
    """A row that nobody publishes would show zero for ever."""
    package = Path(__file__).resolve().parents[2] / "logserver"
    sources = "".join(
        path.read_text() for path in package.rglob("*.py") if path.parent.name != "statistics"
    )
    assert [metric.key for metric in METRICS if f'"{metric.key}"' not in sources] == []


def test_names_are_unique() -> None:
    """Two families of one name would be refused by Prometheus."""
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)


def test_every_api_and_every_error_has_a_slot() -> None:
    """One more slot takes what nobody knows."""
    by_key = {metric.key: metric for metric in METRICS}
    assert set(API_SLOTS) == set(messages.APIS)
    assert len(by_key["requests"].values) == len(API_SLOTS) + 1
    assert set(ERROR_SLOTS) == set(errors.ERRORS) - {0}
    assert len(by_key["errors"].values) == len(ERROR_SLOTS) + 1
