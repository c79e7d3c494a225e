"""What a broker is told about compaction."""

from __future__ import annotations

import pytest

from logserver.config import ConfigError, load
from logserver.config.cleaner import CLEANER_KEYS


def test_the_defaults_are_kafkas() -> None:
    """As DescribeConfigs of Apache Kafka 4.3.1 shows them."""
    values = load({}).values
    shown = {key.name: values[key.name] for key in CLEANER_KEYS}
    assert shown == {
        "log.cleaner.enable": True,
        "log.cleaner.backoff.ms": 15_000,
        "log.cleaner.dedupe.buffer.size": 134_217_728,
        "log.cleaner.io.buffer.load.factor": 0.9,
        "log.cleaner.io.max.bytes.per.second": 1.7976931348623157e308,
    }


def test_what_means_nothing_here_is_accepted_with_a_warning() -> None:
    """A server.properties written for Kafka starts."""
    config = load({"log.cleaner.threads": "4", "log.cleaner.io.buffer.size": "1000000"})
    assert len(config.warnings) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log.cleaner.dedupe.buffer.size", "1000"),
        ("log.cleaner.io.max.bytes.per.second", "0"),
        ("log.cleaner.io.buffer.load.factor", "1.5"),
        ("log.cleaner.backoff.ms", "-1"),
    ],
)
def test_values_that_would_never_finish_are_refused(name: str, value: str) -> None:
    """A map for no keys, a rate of nothing."""
    with pytest.raises(ConfigError):
        load({name: value})


def test_all_but_the_switch_may_be_altered_while_it_runs() -> None:
    """Kafka's ReconfigurableConfigs of the log cleaner."""
    assert [key.name for key in CLEANER_KEYS if not key.dynamic] == ["log.cleaner.enable"]
    config = load({}).with_dynamic({"log.cleaner.io.max.bytes.per.second": "1e6"})
    assert config.log_cleaner_io_max_bytes_per_second == 1e6
