"""IncrementalAlterConfigs and AlterConfigs: what changes, at once and after a restart."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SESSION = "consumer.session.timeout.ms"
SET, DELETE, APPEND, SUBTRACT = range(4)
Operation = tuple[str, int, str | None]


@pytest.fixture
def bench() -> ControlBench:
    """A broker with a topic that has one override."""
    bench = ControlBench({"message.max.bytes": "1500000"})
    bench.create("a", 2, retention_ms="5")
    bench.create("b", 1)
    bench.sync()
    return bench


def alter(
    bench: ControlBench, kind: int, name: str, *operations: Operation, validate_only: bool = False
) -> tuple[int, str | None]:
    """Code and sentence of an incremental alteration of one resource."""
    configs = [
        {"name": key, "config_operation": operation, "value": value}
        for key, operation, value in operations
    ]
    resource = {"resource_type": kind, "resource_name": name, "configs": configs}
    request: Message = {"resources": [resource], "validate_only": validate_only}
    (row,) = bench.call(44, 1, request)["responses"]
    assert (row["resource_type"], row["resource_name"]) == (kind, name)
    return row["error_code"], row["error_message"]


def replace(
    bench: ControlBench, kind: int, name: str, **configs: str | None
) -> tuple[int, str | None]:
    """The same for a legacy alteration."""
    rows = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    resource = {"resource_type": kind, "resource_name": name, "configs": rows}
    (row,) = bench.call(33, 2, {"resources": [resource]})["responses"]
    return row["error_code"], row["error_message"]


def test_a_topic_follows_at_once_and_after_a_restart(bench: ControlBench) -> None:
    """Set, delete, append and subtract, in one batch of records."""
    done = alter(
        bench,
        TOPIC,
        "a",
        ("segment.ms", SET, "77"),
        ("retention.ms", DELETE, None),
        ("cleanup.policy", APPEND, "compact,compact,delete"),
    )
    assert done == (errors.NONE, None)
    assert bench.context.after_sync
    expected = {"segment.ms": "77", "cleanup.policy": "delete,compact"}
    for _ in range(2):
        assert bench.broker.image.topic_configs("a") == expected
        config = bench.partition("a", 1).config
        assert (config.segment_ms, config.retention_ms) == (77, 604_800_000)
        assert config.cleanup_policy == ("delete", "compact")
        bench.restart(clean=False)
    alter(bench, TOPIC, "a", ("cleanup.policy", SUBTRACT, "delete"))
    assert bench.partition("a").config.cleanup_policy == ("compact",)


def test_a_promise_may_change_while_the_topic_is_in_use(bench: ControlBench) -> None:
    """flush.messages decides; the high watermark follows the new rule."""
    bench.append("a", [1, 2])
    assert bench.partition("a").high_watermark == 0
    alter(bench, TOPIC, "a", ("flush.messages", SET, "1000"))
    assert bench.partition("a").high_watermark == 2
    alter(bench, TOPIC, "a", ("flush.messages", DELETE, None))
    bench.sync()
    assert bench.partition("a").log.durable_offset == 2


def test_a_legacy_alteration_replaces_everything(bench: ControlBench) -> None:
    """What is not named goes back to its default."""
    assert replace(bench, TOPIC, "a", segment_ms="9")[0] == errors.NONE
    assert bench.broker.image.topic_configs("a") == {"segment.ms": "9"}
    assert replace(bench, TOPIC, "a")[0] == errors.NONE
    assert bench.broker.image.topic_configs("a") == {}


def test_a_dynamic_broker_key_reaches_every_topic_that_does_not_override_it(
    bench: ControlBench,
) -> None:
    """This broker's value stands above the cluster's default, both above the file."""
    assert alter(bench, BROKER, "", ("log.retention.ms", SET, "10"))[0] == errors.NONE
    assert bench.partition("b").config.retention_ms == 10
    assert alter(bench, BROKER, "1", ("log.retention.ms", SET, "20"))[0] == errors.NONE
    assert bench.partition("b").config.retention_ms == 20
    assert bench.partition("a").config.retention_ms == 5
    bench.restart(clean=False)
    assert bench.partition("b").config.retention_ms == 20
    alter(bench, BROKER, "1", ("log.retention.ms", DELETE, None))
    alter(bench, BROKER, "", ("log.retention.ms", DELETE, None))
    assert bench.partition("b").config.retention_ms == 604_800_000
    assert bench.broker.image.configs.keys() == {(TOPIC, "a")}


# Codes and sentences as Apache Kafka 4.3.1 answered the same requests (unknown operations and
# unknown broker keys excepted: it answers -1 to the first and keeps the second).
REFUSED: list[tuple[int, str, list[Operation], int, str]] = [
    (TOPIC, "nope", [("retention.ms", SET, "1")], 3, "The topic 'nope' does not exist."),
    (TOPIC, "a/b", [("retention.ms", SET, "1")], 17, "Topic name is invalid: 'a/b'"),
    (TOPIC, "", [("retention.ms", SET, "1")], 42, "Default topic resources are not allowed."),
    (TOPIC, "a", [("x.y", SET, "1")], 40, "Unknown topic config name: x.y"),
    (TOPIC, "a", [("retention.ms", APPEND, "1")], 40, "Can't APPEND to key retention.ms because"),
    (TOPIC, "a", [("retention.ms", SUBTRACT, "1")], 40, "Can't SUBTRACT to key retention.ms"),
    (TOPIC, "a", [("retention.ms", SET, None)], 42, "Null value not supported for : retention.ms"),
    (
        TOPIC,
        "a",
        [("retention.ms", SET, "1"), ("retention.ms", SET, "2")],
        42,
        "Error due to duplicate config keys",
    ),
    (TOPIC, "a", [("retention.ms", 7, "1")], 42, "Unknown operation 7 for retention.ms"),
    (TOPIC, "a", [("cleanup.policy", APPEND, "x")], 40, "Invalid value x for configuration cle"),
    (TOPIC, "a", [("retention.ms", SET, "x")], 40, "Not a number of type LONG"),
    (BROKER, "2", [("log.retention.ms", SET, "1")], 42, "Unexpected broker id, expected 1, but"),
    (BROKER, "abc", [("log.retention.ms", SET, "1")], 42, "Node id must be an integer, but it is"),
    (
        BROKER,
        "1",
        [("num.partitions", SET, "2")],
        42,
        "Cannot update these configs dynamically: [n",
    ),
    (BROKER, "1", [("log.retention.ms", SET, "x")], 42, "Not a number of type LONG"),
    (BROKER, "1", [("log.retention.ms", SET, "0")], 42, "at least 1, or -1 for no limit"),
    (BROKER, "1", [("message.max.bytes", SET, "-1")], 42, "Value must be at least 0"),
    (BROKER, "1", [("log.segment.bytes", SET, "10")], 42, "Value must be at least 1048576"),
    (BROKER, "1", [("num.partition", SET, "2")], 42, "did you mean num.partitions?"),
    (BROKER, "", [("message.max.bytes", SET, "2000000000")], 42, "must fit into one request"),
    (BROKER, "1", [("log.dir", SET, "x")], 42, "update these configs dynamically: [log.dir]"),
    (BROKER, "1", [("sasl.login.class", SET, "x")], 42, "these configs dynamically: [sasl.login"),
    (
        BROKER,
        "1",
        [("ssl.keystore.type", SET, "x")],
        42,
        "only per-listener using the listener pre",
    ),
    (BROKER, "", [("ssl.protocol", SET, "x")], 42, "broker id must be specified: [ssl.protocol]"),
    (
        BROKER,
        "",
        [("listener.name.a.ssl.provider", SET, "x")],
        42,
        "broker id must be specified: [",
    ),
    (
        BROKER,
        "1",
        [("listener.name.a.zzz", SET, "x")],
        42,
        "Unknown configuration listener.name.a.z",
    ),
    (BROKER, "1", [("num.io.threads", SET, "x")], 42, "Not a number of type INT"),
    (BROKER, "9" * 5000, [], 42, "Node id must be an integer, but it is: 99"),
    (3, "x", [("a", SET, "1")], 42, "Unknown resource type 3"),
    (GROUP, "", [(SESSION, SET, "46000")], 42, "Default group resources are not allowed."),
    (GROUP, "g", [("x", SET, "1")], 40, "Unknown group config name: x"),
    (GROUP, "g", [(SESSION, SET, "1")], 40, "must be greater than or equal to group.consumer.min"),
    (GROUP, "g", [(SESSION, SET, "x")], 40, "Not a number of type INT"),
    (GROUP, "g", [(SESSION, SET, None)], 42, f"Null value not supported for : {SESSION}"),
    (GROUP, "g", [(SESSION, APPEND, "5")], 40, f"Can't APPEND to key {SESSION} because its type"),
    (CLIENT_METRICS, "", [("metrics", SET, "*")], 42, "Subscription name can't be empty"),
    (CLIENT_METRICS, "m", [("x", SET, "1")], 42, "Unknown client metrics configuration: x"),
    (
        CLIENT_METRICS,
        "m",
        [("interval.ms", SET, "99")],
        42,
        "interval must be between 100 and 3600",
    ),
    (CLIENT_METRICS, "m", [("interval.ms", SET, "x")], 40, "Not a number of type INT"),
    (CLIENT_METRICS, "m", [("match", SET, "a=b")], 40, "Illegal client matching pattern: a=b"),
    (
        CLIENT_METRICS,
        "m",
        [("match", SET, "client_id=(")],
        40,
        "Illegal client matching pattern: c",
    ),
    (CLIENT_METRICS, "m", [("metrics", APPEND, "a")], 40, "Can't APPEND to key metrics because"),
    (LOGGER, "", [("root", SET, "INFO")], 42, "Node id must be an integer, but it is: "),
    (LOGGER, "2", [("root", SET, "INFO")], 42, "Unexpected node id. Expected 1, but received 2"),
    (LOGGER, "1", [("no.such", SET, "INFO")], 40, "Logger segment.ms does not exist!"),
]


@pytest.mark.parametrize(("kind", "name", "operations", "code", "sentence"), REFUSED)
def test_a_refused_alteration_changes_nothing(
    bench: ControlBench,
    kind: int,
    name: str,
    operations: list[Operation],
    code: int,
    sentence: str,
) -> None:
    """Not even the keys that were right: a resource is altered wholly or not at all."""
    before = dict(bench.broker.image.configs)
    refused = alter(bench, kind, name, ("segment.ms", DELETE, None), *operations)
    assert refused[0] == code
    assert sentence in str(refused[1])
    assert bench.broker.image.configs == before
    assert not bench.context.after_sync


def test_a_group_that_does_not_exist_may_be_configured(bench: ControlBench) -> None:
    """It is kept for the day when it does; all of it may be deleted again."""
    assert alter(bench, GROUP, "g", (SESSION, SET, "46000")) == (errors.NONE, None)
    assert bench.context.after_sync
    bench.restart(clean=False)
    assert bench.broker.image.group_configs("g") == {SESSION: "46000"}
    assert replace(bench, GROUP, "g") == (errors.NONE, None)
    assert bench.broker.image.group_configs("g") == {}


def test_a_kafka_setting_that_means_nothing_here_is_kept_with_a_warning(
    bench: ControlBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Tools that set a throttle around a move of partitions go on."""
    rate = "follower.replication.throttled.rate"
    assert alter(bench, BROKER, "1", (rate, SET, "1000")) == (errors.NONE, None)
    assert f"{rate} is a Kafka setting that means nothing here" in caplog.text
    bench.restart(clean=False)
    assert bench.broker.image.broker_configs(1)[rate] == "1000"
    assert alter(bench, BROKER, "1", (rate, DELETE, None)) == (errors.NONE, None)
    assert bench.broker.image.broker_configs(1) == {}


def test_a_secret_that_is_of_no_use_is_not_written_down(bench: ControlBench) -> None:
    """It is known that it was set, and nothing more."""
    key = "listener.name.internal.ssl.keystore.password"
    jaas = "listener.name.internal.plain.sasl.jaas.config"
    assert alter(bench, BROKER, "1", (key, SET, "secret"), (jaas, SET, "secret"))[0] == errors.NONE
    assert bench.broker.image.broker_configs(1) == {key: "[hidden]", jaas: "[hidden]"}
    resource = {"resource_type": BROKER, "resource_name": "1", "configuration_keys": [key]}
    request = {"resources": [resource], "include_synonyms": True}
    (row,) = bench.call(32, 4, request)["results"][0]["configs"]
    assert (row["value"], row["is_sensitive"], row["config_type"]) == (None, True, 9)
    assert row["synonyms"] == [{"name": key, "value": None, "source": 2}]


def test_loggers_are_not_altered_by_a_legacy_request(bench: ControlBench) -> None:
    """It would have to name all of them."""
    code, sentence = replace(bench, LOGGER, "1", root="INFO")
    assert code == errors.INVALID_REQUEST
    assert sentence == "Unknown resource type 8"


def test_what_changes_nothing_is_accepted_and_writes_nothing(bench: ControlBench) -> None:
    """Deleting what is not set, setting what is set, naming no key."""
    end_offset = bench.broker.metadata_log.log.end_offset
    for operations in ([("x.y", DELETE, None)], [("retention.ms", SET, "5")], []):
        assert alter(bench, TOPIC, "a", *operations) == (errors.NONE, None)
    assert alter(bench, BROKER, "1", ("num.partitions", DELETE, None)) == (errors.NONE, None)
    assert bench.broker.metadata_log.log.end_offset == end_offset
    assert not bench.context.after_sync


def test_validation_alone_writes_nothing(bench: ControlBench) -> None:
    """Right and wrong are told, and that is all."""
    done = alter(bench, TOPIC, "a", ("segment.ms", SET, "9"), validate_only=True)
    assert done == (errors.NONE, None)
    assert alter(bench, TOPIC, "a", ("segment.ms", SET, "0"), validate_only=True)[0] == 40
    assert bench.broker.image.topic_configs("a") == {"retention.ms": "5"}


def test_a_resource_named_twice_is_refused_once(bench: ControlBench) -> None:
    """Which of the two should count?"""
    config = {"name": "segment.ms", "config_operation": SET, "value": "9"}
    resource = {"resource_type": TOPIC, "resource_name": "a", "configs": [config]}
    (row,) = bench.call(44, 1, {"resources": [resource, resource]})["responses"]
    assert (row["error_code"], row["error_message"]) == (
        errors.INVALID_REQUEST,
        "Each resource must appear at most once.",
    )
    assert bench.broker.image.topic_configs("a") == {"retention.ms": "5"}


def test_a_legacy_null_is_refused(bench: ControlBench) -> None:
    """As Kafka does."""
    code, sentence = replace(bench, TOPIC, "a", retention_ms=None)
    assert (code, sentence) == (42, "Null value not supported for : retention.ms")
