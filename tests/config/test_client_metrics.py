"""Client metrics configuration: a subscription, typed."""

import pytest

from logserver.config import CLIENT_METRICS_KEYS, ConfigError, client_metrics_config


def test_a_subscription_is_typed() -> None:
    """Lists are separated by commas; a pattern belongs to the name before its equals sign."""
    config = client_metrics_config(
        {"interval.ms": "1000", "metrics": "a.,b,", "match": "client_id = x.*,client_id=y"}
    )
    assert (config.interval_ms, config.metrics) == (1000, ("a.", "b"))
    assert config.match == {"client_id": "y"}


def test_nothing_set_is_a_subscription_to_nothing() -> None:
    """Five minutes, every client, no metric."""
    config = client_metrics_config({})
    assert (config.interval_ms, config.metrics, config.match) == (300_000, (), {})


@pytest.mark.parametrize("item", ["x", "x=y", "=y", "client_id=", "client_id=a=b", "client_id"])
def test_a_pattern_without_a_known_name_is_refused(item: str) -> None:
    """In Kafka's words."""
    with pytest.raises(ConfigError) as caught:
        client_metrics_config({"match": item})
    assert str(caught.value) == f"Illegal client matching pattern: {item}"


def test_every_key_is_dynamic_and_documented() -> None:
    """A subscription is altered while clients push."""
    assert all(key.dynamic and len(key.doc) > 15 for key in CLIENT_METRICS_KEYS.values())
