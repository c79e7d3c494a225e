"""tools/write_reference: the committed pages are what the code says today."""

import pytest

from logserver.config import BROKER_KEYS, TOPIC_KEYS
from logserver.statistics.layout import METRICS, PARTITION_METRICS
from tools.write_reference import PAGES, configuration_page, metrics_page, stale_pages


def test_the_reference_pages_are_up_to_date() -> None:
    """Run `python tools/write_reference.py` after changing a command, a metric or a key."""
    assert stale_pages() == []


def test_every_key_and_every_metric_is_on_its_page() -> None:
    """A generated page can still forget a table."""
    configuration, metrics = configuration_page(), metrics_page()
    missing = [key for key in (*BROKER_KEYS, *TOPIC_KEYS) if f"| `{key}` |" not in configuration]
    names = [*(one.name for one in METRICS), *(one.name for one in PARTITION_METRICS)]
    missing += [name for name in names if f"| `{name}` |" not in metrics]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_tables_have_as_many_cells_in_each_row(page: str) -> None:
    """A pipe in a text would tear its row."""
    width = 0
    for line in PAGES[page]().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        assert width in (0, cells), line
        width = cells
