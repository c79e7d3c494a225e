"""Group configuration: what a group may set, and what it is worth."""

import pytest

from logserver.config import GROUP_KEYS, ConfigError, GroupConfig, group_config, load
from logserver.config.group import validate_group_configs

SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"


def test_a_group_without_overrides_follows_the_broker() -> None:
    """The broker's group.consumer.* keys are the defaults."""
    assert group_config(load({}), {}) == GroupConfig()
    broker = load({"group.consumer.session.timeout.ms": "50000"})
    assert group_config(broker, {}).consumer_session_timeout_ms == 50_000


def test_an_override_wins_within_the_bounds() -> None:
    """A value is typed, and stands above the broker's."""
    given = {SESSION: "46000", HEARTBEAT: "6000", "consumer.assignment.interval.ms": "0"}
    validate_group_configs(load({}), given)
    assert group_config(load({}), given) == GroupConfig(46_000, 6000, 0)


def test_a_value_that_the_broker_no_longer_allows_is_moved_into_its_bounds() -> None:
    """It was accepted before the broker was started with narrower ones."""
    narrow = load({"group.consumer.max.session.timeout.ms": "50000"})
    assert group_config(narrow, {SESSION: "60000"}).consumer_session_timeout_ms == 50_000
    assert group_config(load({}), {HEARTBEAT: "1"}).consumer_heartbeat_interval_ms == 5000


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({SESSION: "44999"}, f"{SESSION} must be greater than or equal to group.consumer.min.sess"),
        ({SESSION: "60001"}, f"{SESSION} must be less than or equal to group.consumer.max.session"),
        ({HEARTBEAT: "1"}, f"{HEARTBEAT} must be greater than or equal to group.consumer.min.hear"),
        ({SESSION: "soon"}, f"Invalid value soon for configuration {SESSION}: Not a number of typ"),
        ({SESSION: "0"}, f"Invalid value 0 for configuration {SESSION}: Value must be at least 1"),
        ({"retention.ms": "1"}, "Unknown group config name: retention.ms"),
        ({"share.delivery.count.limit": "11"}, "than or equal to group.share.max.delivery.count"),
        ({"streams.num.standby.replicas": "3"}, "less than or equal to group.streams.max.standby."),
        ({"share.auto.offset.reset": "by_duration:3h"}, "of the format 'by_duration:<PnDTnHnMn.nS"),
        ({"share.auto.offset.reset": "LATEST"}, "The value must be either 'earliest', 'latest'"),
        ({"share.isolation.level": "serial"}, "one of: read_committed, read_uncommitted"),
    ],
)
def test_what_a_group_may_not_set_is_refused_in_kafkas_words(
    given: dict[str, str], sentence: str
) -> None:
    """Type, range of the key, range of the broker, unknown name."""
    with pytest.raises(ConfigError) as caught:
        validate_group_configs(load({}), given)
    assert sentence in str(caught.value)


def test_a_session_outlasts_a_heartbeat_interval() -> None:
    """Bounds may overlap; the two values of one group may not."""
    broker = load(
        {
            "group.consumer.min.session.timeout.ms": "1000",
            "group.consumer.max.heartbeat.interval.ms": "45000",
        }
    )
    with pytest.raises(ConfigError) as caught:
        validate_group_configs(broker, {HEARTBEAT: "7000", SESSION: "7000"})
    assert str(caught.value) == f"{SESSION} must be greater than {HEARTBEAT}"


@pytest.mark.parametrize("text", ["earliest", "latest", "by_duration:P1DT2H", "by_duration:PT0.5S"])
def test_where_a_share_group_begins_is_read_as_kafka_reads_it(text: str) -> None:
    """Two words, or an ISO 8601 duration of days and time."""
    validate_group_configs(load({}), {"share.auto.offset.reset": text})


def test_the_broker_refuses_defaults_outside_of_its_own_bounds() -> None:
    """What every group starts with must be what a group may have."""
    with pytest.raises(ConfigError, match="the default must be within the bounds"):
        load({"group.consumer.session.timeout.ms": "61000"})
    with pytest.raises(ConfigError, match=r"group\.consumer\.assignors"):
        load({"group.consumer.assignors": "uniform,best"})
    assert load({"group.consumer.migration.policy": "UPGRADE"}).group_consumer_migration_policy


def test_every_group_key_is_dynamic_and_documented() -> None:
    """A group is configured while the server runs, or not at all."""
    assert len(GROUP_KEYS) == 17
    assert all(key.dynamic and len(key.doc) > 15 for key in GROUP_KEYS.values())
