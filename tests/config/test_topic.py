"""Topic configuration: Kafka's bounds, inheritance from the broker, and our three defaults."""

import pytest

from logserver.config import TOPIC_KEYS, BrokerConfig, ConfigError, TopicConfig, load, topic_config
from logserver.config.topic import INTERNAL_SEGMENT_BYTES


@pytest.fixture
def broker() -> BrokerConfig:
    """A broker with nothing but defaults."""
    return load({})


def test_the_defaults_of_the_class_are_those_of_the_table(broker: BrokerConfig) -> None:
    """Storage may be driven with TopicConfig() alone."""
    assert topic_config(broker, {}) == TopicConfig()


def test_durable_is_the_default() -> None:
    """What acks=all acknowledged is on the disk unless somebody asked for less."""
    config = TopicConfig()
    assert config.durable
    assert (config.flush_messages, config.flush_ms) == (1, 1000)
    assert config.segment_bytes == 104_857_600
    assert not TopicConfig(flush_messages=2).durable


def test_a_topic_inherits_from_its_broker_keys_the_finest_first() -> None:
    """log.retention.ms wins over minutes, minutes over hours."""
    given = {"log.retention.hours": "2", "log.segment.bytes": "2097152", "message.max.bytes": "9"}
    config = topic_config(load(given), {})
    assert (config.retention_ms, config.segment_bytes) == (7_200_000, 2_097_152)
    assert config.max_message_bytes == 9
    assert topic_config(load({**given, "log.retention.minutes": "3"}), {}).retention_ms == 180_000
    assert topic_config(load({**given, "log.retention.ms": "4"}), {}).retention_ms == 4
    assert topic_config(load(given), {"retention.ms": "5"}).retention_ms == 5
    assert topic_config(load({"log.preallocate": "true"}), {}).preallocate is True


# Each was refused, and its neighbour accepted, by Apache Kafka 4.3.1 (CreateTopics, validate only).
BOUNDS = [
    ("min.insync.replicas", "0", "1"),
    ("segment.jitter.ms", "-1", "0"),
    ("local.retention.ms", "-3", "-2"),
    ("local.retention.bytes", "-3", "-2"),
    ("flush.ms", "-1", "0"),
    ("flush.messages", "0", "1"),
    ("compression.lz4.level", "18", "17"),
    ("compression.lz4.level", "0", "1"),
    ("compression.gzip.level", "0", "-1"),
    ("compression.gzip.level", "10", "9"),
    ("compression.zstd.level", "23", "-3"),
    ("segment.bytes", "1048575", "1048576"),
    ("segment.index.bytes", "3", "4"),
    ("segment.ms", "0", "1"),
    ("retention.ms", "-2", "-1"),
    ("max.message.bytes", "-1", "0"),
    ("max.compaction.lag.ms", "0", "1"),
    ("min.compaction.lag.ms", "-1", "0"),
    ("delete.retention.ms", "-1", "0"),
    ("file.delete.delay.ms", "-1", "0"),
    ("index.interval.bytes", "-1", "0"),
    ("min.cleanable.dirty.ratio", "1.1", "1"),
    ("min.cleanable.dirty.ratio", "-0.1", "0"),
    ("message.timestamp.type", "logappendtime", "LogAppendTime"),
    ("message.timestamp.before.max.ms", "-1", "0"),
    ("message.timestamp.after.max.ms", "-1", "0"),
    ("cleanup.policy", "none", "delete,compact"),
    ("cleanup.policy", "x,delete", ""),
    ("leader.replication.throttled.replicas", "x", "0:1,1:1"),
    ("follower.replication.throttled.replicas", "0:1:2", "*"),
    ("preallocate", "1", "TRUE"),
    ("unclean.leader.election.enable", "no", "false"),
]


@pytest.mark.parametrize(("name", "refused", "accepted"), BOUNDS)
def test_bounds_are_kafkas(broker: BrokerConfig, name: str, refused: str, accepted: str) -> None:
    """One step beyond a bound is refused with the key and the value, the bound is accepted."""
    with pytest.raises(ConfigError, match=f"for configuration {name}: "):
        topic_config(broker, {name: refused})
    topic_config(broker, {name: accepted})


def test_retention_bytes_has_no_lower_bound(broker: BrokerConfig) -> None:
    """Any negative number means no limit, in Kafka too."""
    assert topic_config(broker, {"retention.bytes": "-3"}).retention_bytes == -3


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"foo.bar": "1"}, "Unknown topic config name: foo.bar"),
        ({"retention.ms": None}, "Null value not supported for topic configs: retention.ms"),
        (
            {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"},
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            {"compression.type": "gzip"},
            (
                "Invalid value gzip for configuration compression.type: this server never "
                "recompresses a batch; only producer is served"
            ),
        ),
        (
            {"remote.storage.enable": "true"},
            (
                "Invalid value true for configuration remote.storage.enable: tiered storage is not "
                "served; leave it false"
            ),
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    broker: BrokerConfig, overrides: dict[str, str | None], sentence: str
) -> None:
    """Kafka's sentence where Kafka has one."""
    with pytest.raises(ConfigError) as caught:
        topic_config(broker, overrides)
    assert str(caught.value) == sentence


def test_small_segments_are_for_tests_and_never_listed(broker: BrokerConfig) -> None:
    """internal.segment.bytes lifts the lower bound, as in Kafka."""
    assert topic_config(broker, {"internal.segment.bytes": "4096"}).segment_bytes == 4096
    assert INTERNAL_SEGMENT_BYTES.name not in TOPIC_KEYS


def test_policies_say_what_may_be_deleted() -> None:
    """An empty policy keeps everything for ever."""
    assert TopicConfig().deletes
    assert not TopicConfig(cleanup_policy=("compact",)).deletes
    assert TopicConfig(cleanup_policy=("compact",)).compacts
    assert not TopicConfig(cleanup_policy=()).deletes


def test_every_key_is_documented() -> None:
    """A key nobody can look up is a key nobody sets right."""
    assert [name for name, key in TOPIC_KEYS.items() if len(key.doc) < 20] == []
    units = {name for name in TOPIC_KEYS if name.endswith((".ms", ".bytes"))}
    assert [name for name in sorted(units) if TOPIC_KEYS[name].unit not in name] == []
