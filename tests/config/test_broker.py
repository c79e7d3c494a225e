"""Broker configuration: what is accepted, warned about, refused, and what holds between limits."""

import pytest

from logserver.config import BROKER_KEYS, ConfigError, load
from logserver.config.broker import unknown_key


def test_the_defaults_are_consistent_and_local() -> None:
    """A fresh start listens on loopback only."""
    config = load({})
    assert config.warnings == ()
    assert [str(item) for item in config.listeners] == ["PLAINTEXT://127.0.0.1:9092"]
    assert all(item.is_loopback for item in config.listeners)
    assert config.data_dir == "./data"
    assert (config.node_id, config.num_partitions, config.auto_create_topics_enable) == (1, 1, True)


def test_every_attribute_says_what_its_key_says() -> None:
    """None is left over, and none is another key's."""
    config = load({})
    keys = {key.attribute: key for key in BROKER_KEYS.values()}
    made = {"values", "given", "dynamic", "warnings", "data_dir"}
    for attribute in set(type(config).__dataclass_fields__) - made:
        if "listeners" not in attribute:
            assert getattr(config, attribute) == keys[attribute].default, attribute


def test_the_command_line_wins_over_the_file() -> None:
    """--set beats --config."""
    config = load({"num.partitions": "3"}, {"num.partitions": "2", "log.dirs": "/srv/log"})
    assert (config.num_partitions, config.data_dir) == (3, "/srv/log")
    assert config.given == {"num.partitions": "3", "log.dirs": "/srv/log"}


def test_kafkas_keys_that_mean_nothing_here_are_accepted_with_a_warning() -> None:
    """A server.properties can be tried unchanged."""
    config = load({}, {"num.io.threads": "8", "listener.name.x.ssl.keystore.type": "JKS"})
    assert len(config.warnings) == 2
    assert "num.io.threads" in config.warnings[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"num.partition": "3"}, "Unknown configuration num.partition; did you mean num.parti"),
        ({"num.io.thread": "3"}, "did you mean num.io.threads"),
        ({"foo": "1"}, "Unknown configuration foo"),
        ({"retention.ms": "1"}, "retention.ms is a topic setting; its broker key is log.retention"),
        ({"num.partitions": "0"}, "Invalid value 0 for configuration num.partitions: Value must"),
        ({"log.dirs": "a,b"}, "log.dirs must name one directory, not 2"),
        ({"node.id": "1", "broker.id": "2"}, "same value as `broker.id`"),
        ({"authorizer.class.name": "x.Y"}, "access control is not served"),
        ({"default.replication.factor": "3"}, "one server holds one replica"),
        ({"message.max.bytes": "200000000"}, "must not exceed socket.request.max.bytes"),
        ({"queued.max.request.bytes": "1000"}, "one whole request must be receivable"),
        ({"listeners": "SSL://h:1"}, "only PLAINTEXT listeners are served"),
        ({"listeners": "A://h:1", "listener.security.protocol.map": "A:SASL_SSL"}, "A:SASL_SSL"),
        ({"advertised.listeners": "B://h:1"}, "not one of the listeners: PLAINTEXT"),
        ({"advertised.listeners": "PLAINTEXT://0.0.0.0:1"}, "nonroutable meta-address 0.0.0.0"),
        ({"listeners": ""}, "Value must not be empty"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(
    given: dict[str, str], sentence: str
) -> None:
    """What is wrong, with which key, and what to do."""
    with pytest.raises(ConfigError) as caught:
        load(given)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_replicas_than_one_are_a_development_setting_that_warns() -> None:
    """Factors up to N are accepted where somebody asked for it; what is kept is said at start."""
    given = {"logserver.replication.factor.max": "3", "default.replication.factor": "3"}
    config = load(given)
    assert config.replication_factor_max == 3
    assert [text for text in config.warnings if "keep one" in text] == list(config.warnings)
    (warning,) = load({"offsets.topic.replication.factor": "3"}).warnings
    assert warning == "offsets.topic.replication.factor is 3: one replica is kept"
    with pytest.raises(ConfigError):
        load({**given, "default.replication.factor": "4"})


def test_a_former_name_of_the_node_id_still_works() -> None:
    """broker.id alone is enough, and equal values may both be given."""
    assert load({"broker.id": "7"}).node_id == 7
    assert load({"broker.id": "7", "node.id": "7"}).node_id == 7


def test_two_names_of_one_thing_are_shown_alike() -> None:
    """Tools read either of them."""
    values = load({"broker.id": "7", "log.dir": "/srv/log"}).values
    assert (values["node.id"], values["broker.id"], values["log.dirs"]) == (7, 7, ("/srv/log",))
    assert values["advertised.listeners"] == values["listeners"]


def test_advertised_addresses_are_found_by_listener_name() -> None:
    """A container has one address for the host and one for its neighbours."""
    config = load(
        {
            "listeners": "HOST://0.0.0.0:9092,INNER://[::]:29092",
            "advertised.listeners": "HOST://localhost:9092,INNER://logserver:29092",
        }
    )
    assert config.advertised("INNER") == ("logserver", 29092)
    assert config.advertised("OTHER") is None
    assert not any(item.is_loopback for item in config.listeners)


def test_dynamic_values_stand_above_given_ones() -> None:
    """What was given comes back when the dynamic value is deleted."""
    config = load({"log.retention.ms": "1000"})
    altered = config.with_dynamic({"log.retention.ms": "2000"})
    assert altered.values["log.retention.ms"] == 2000
    assert altered.with_dynamic({}).values["log.retention.ms"] == 1000
    with pytest.raises(ConfigError):
        config.with_dynamic({"message.max.bytes": "x"})


def test_unknown_keys_far_from_any_other_get_no_guess() -> None:
    """A wrong guess is worse than none."""
    assert unknown_key("zzz") == "Unknown configuration zzz"


def test_every_key_is_documented() -> None:
    """A key nobody can look up is a key nobody sets right."""
    assert [name for name, key in BROKER_KEYS.items() if len(key.doc) < 15] == []
