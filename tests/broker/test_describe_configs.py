"""DescribeConfigs: values, where they come from, and what tools read."""

import pytest

from logserver.config import BROKER_KEYS, CLIENT_METRICS_KEYS, GROUP_KEYS, TOPIC_KEYS
from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32

# What real tools ask for from day one (kafka-ui, Debezium, AKHQ, Connect).
ASKED_TOPIC_KEYS = {
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "segment.bytes",
    "segment.ms",
    "max.message.bytes",
    "min.insync.replicas",
    "compression.type",
    "message.timestamp.type",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
    "min.cleanable.dirty.ratio",
    "unclean.leader.election.enable",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "errors.deadletterqueue.group.enable",
}
ASKED_BROKER_KEYS = {
    "inter.broker.protocol.version",
    "delete.topic.enable",
    "auto.create.topics.enable",
    "default.replication.factor",
    "num.partitions",
    "log.retention.hours",
    "message.max.bytes",
    "offsets.retention.minutes",
    "group.max.session.timeout.ms",
    "broker.rack",
    "advertised.listeners",
}


@pytest.fixture
def bench() -> ControlBench:
    """A broker with a file that sets retention, and a topic with an override."""
    bench = ControlBench({"log.retention.hours": "2", "message.max.bytes": "2000000"})
    bench.create("a", 1, segment_ms="5")
    return bench


def describe(
    bench: ControlBench, kind: int, name: str, keys: list[str] | None = None, version: int = 4
) -> Message:
    """The result for one resource, with synonyms and documentation."""
    resource = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    request = {
        "resources": [resource],
        "include_synonyms": True,
        "include_documentation": True,
    }
    result: Message = bench.call(32, version, request)["results"][0]
    return result


def rows(result: Message) -> dict[str, Message]:
    """The configs of a result by name."""
    return {row["name"]: row for row in result["configs"]}


def chain(row: Message) -> list[tuple[str, str, int]]:
    """The synonyms of a row."""
    return [(item["name"], item["value"], item["source"]) for item in row["synonyms"]]


def test_every_key_is_shown_with_type_and_documentation(bench: ControlBench) -> None:
    """All topic keys, all broker keys, none without a sentence."""
    for kind, name, keys in ((TOPIC, "a", TOPIC_KEYS), (BROKER, "1", BROKER_KEYS)):
        found = rows(describe(bench, kind, name))
        assert list(found) == list(keys)
        assert all(row["config_type"] > 0 and row["documentation"] for row in found.values())
        assert not any(row["is_sensitive"] for row in found.values())
    assert set(rows(describe(bench, TOPIC, "a"))) >= ASKED_TOPIC_KEYS
    assert set(rows(describe(bench, BROKER, "1"))) >= ASKED_BROKER_KEYS


def test_durable_by_default_is_told(bench: ControlBench) -> None:
    """Whoever knows Kafka's default must be able to see ours."""
    found = rows(describe(bench, TOPIC, "a", ["flush.messages", "flush.ms"]))
    assert {name: row["value"] for name, row in found.items()} == {
        "flush.messages": "1",
        "flush.ms": "1000",
    }
    assert found["flush.messages"]["config_source"] == 5


def test_the_chain_of_a_value_runs_from_the_strongest_level_down(bench: ControlBench) -> None:
    """Topic override, dynamic broker, dynamic default, given, default; the first one counts."""
    alter(bench, BROKER, "1", "log.roll.ms", "30")
    alter(bench, BROKER, "", "log.roll.ms", "40")
    found = rows(describe(bench, TOPIC, "a", ["segment.ms", "retention.ms", "max.message.bytes"]))
    assert chain(found["segment.ms"]) == [
        ("segment.ms", "5", 1),
        ("log.roll.ms", "30", 2),
        ("log.roll.ms", "40", 3),
        ("log.roll.hours", "168", 5),
    ]
    assert (found["retention.ms"]["value"], found["retention.ms"]["config_source"]) == (
        "7200000",
        4,
    )
    assert chain(found["retention.ms"]) == [
        ("log.retention.hours", "2", 4),
        ("log.retention.hours", "168", 5),
    ]
    assert chain(found["max.message.bytes"]) == [
        ("message.max.bytes", "2000000", 4),
        ("message.max.bytes", "1048588", 5),
    ]
    shown = rows(describe(bench, BROKER, "1", ["log.roll.ms", "num.partitions"]))
    assert (shown["log.roll.ms"]["value"], shown["log.roll.ms"]["config_source"]) == ("30", 2)
    assert (shown["log.roll.ms"]["read_only"], shown["num.partitions"]["read_only"]) == (
        False,
        True,
    )


def alter(bench: ControlBench, kind: int, name: str, key: str, value: str) -> None:
    """Set one key."""
    config = {"name": key, "config_operation": 0, "value": value}
    resource = {"resource_type": kind, "resource_name": name, "configs": [config]}
    (row,) = bench.call(44, 1, {"resources": [resource]})["responses"]
    assert row["error_code"] == errors.NONE


def test_the_default_of_all_brokers_shows_only_what_was_set(bench: ControlBench) -> None:
    """Resource name ""."""
    assert describe(bench, BROKER, "")["configs"] == []
    alter(bench, BROKER, "", "log.roll.ms", "40")
    assert [chain(row) for row in describe(bench, BROKER, "")["configs"]] == [
        [("log.roll.ms", "40", 3)]
    ]


def test_keys_can_be_chosen_and_an_empty_choice_is_all(bench: ControlBench) -> None:
    """Names that nobody knows are left out, as in Kafka."""
    assert list(rows(describe(bench, TOPIC, "a", ["retention.ms", "zzz"]))) == ["retention.ms"]
    assert len(describe(bench, TOPIC, "a", [])["configs"]) == len(TOPIC_KEYS)


@pytest.mark.parametrize(
    ("kind", "name", "code", "sentence"),
    [
        (TOPIC, "nope", 3, ""),
        (TOPIC, "a/b", 17, "Topic name is invalid: 'a/b'"),
        (TOPIC, "", 17, "the empty string is not allowed"),
        (BROKER, "2", 42, "Unexpected broker id, expected 1 or empty string, but received 2"),
        (BROKER, "abc", 42, "Broker id must be an integer, but it is: abc"),
        (BROKER, "9" * 5000, 42, "Broker id must be an integer, but it is: 99"),
        (LOGGER, "", 42, "Broker id must not be empty"),
        (LOGGER, "2", 42, "Unexpected broker id, expected 1 but received 2"),
        (LOGGER, "x", 42, "Broker id must be an integer, but it is: x"),
        (CLIENT_METRICS, "", 42, "Client metrics subscription name must not be empty"),
        (GROUP, "", 42, "Group name must not be empty"),
        (99, "x", 42, "Unsupported resource type: 99"),
    ],
)
def test_resources_that_are_not_there_are_refused_one_by_one(
    bench: ControlBench, kind: int, name: str, code: int, sentence: str
) -> None:
    """With Kafka's codes; the rest of the request is answered."""
    result = describe(bench, kind, name)
    assert (result["error_code"], result["configs"]) == (code, [])
    assert sentence in result["error_message"]
    assert (result["resource_type"], result["resource_name"]) == (kind, name)


def test_an_internal_key_of_a_topic_is_shown_once_it_is_set(bench: ControlBench) -> None:
    """Kafka's own tests look for it."""
    internal = "internal.segment.bytes"
    assert internal not in rows(describe(bench, TOPIC, "a"))
    alter(bench, TOPIC, "a", internal, "2048")
    found = rows(describe(bench, TOPIC, "a"))
    assert chain(found[internal]) == [(internal, "2048", 1)]
    assert list(found) == sorted(found)


def test_a_group_is_described_whether_or_not_it_exists(bench: ControlBench) -> None:
    """Its own value, then those of the broker key that is its default (KIP-848)."""
    session, broker_key = "consumer.session.timeout.ms", "group.consumer.session.timeout.ms"
    found = rows(describe(bench, GROUP, "g"))
    assert list(found) == sorted(GROUP_KEYS)
    assert all(row["config_type"] > 0 and row["documentation"] for row in found.values())
    assert chain(found[session]) == [(broker_key, "45000", 5)]
    alter(bench, GROUP, "g", session, "46000")
    row = rows(describe(bench, GROUP, "g", [session]))[session]
    assert (row["value"], row["config_source"], row["read_only"]) == ("46000", 8, False)
    assert chain(row) == [(session, "46000", 8), (broker_key, "45000", 5)]


def test_a_metrics_subscription_is_described_whether_or_not_it_exists(bench: ControlBench) -> None:
    """Values that were set have one synonym, defaults none, as in Kafka."""
    alter(bench, CLIENT_METRICS, "m", "interval.ms", "500")
    found = rows(describe(bench, CLIENT_METRICS, "m"))
    assert list(found) == sorted(CLIENT_METRICS_KEYS)
    assert chain(found["interval.ms"]) == [("interval.ms", "500", 7)]
    assert (found["match"]["value"], found["match"]["config_source"]) == ("", 5)
    assert chain(found["match"]) == []


def test_loggers_are_described_with_their_levels(bench: ControlBench) -> None:
    """Those of this server and the root; without a type, as in Kafka."""
    found = rows(describe(bench, LOGGER, "1"))
    assert {"root", "logserver.broker.broker"} <= set(found)
    assert {row["config_source"] for row in found.values()} == {6}
    assert {row["config_type"] for row in found.values()} == {0}
    assert list(rows(describe(bench, LOGGER, "1", ["root", "zzz"]))) == ["root"]


def test_a_dynamic_key_that_means_nothing_here_is_shown_once_it_was_set(
    bench: ControlBench,
) -> None:
    """kafka-reassign-partitions sets a throttle, looks whether it is there, and deletes it."""
    rate = "leader.replication.throttled.rate"
    assert rate not in rows(describe(bench, BROKER, "1"))
    alter(bench, BROKER, "1", rate, "1000")
    alter(bench, BROKER, "", "num.io.threads", "9")
    found = rows(describe(bench, BROKER, "1"))
    assert chain(found[rate]) == [(rate, "1000", 2)]
    assert chain(found["num.io.threads"]) == [("num.io.threads", "9", 3)]
    assert list(rows(describe(bench, BROKER, ""))) == ["num.io.threads"]


def test_a_resource_that_is_named_often_is_answered_once(bench: ControlBench) -> None:
    """Or a request of a few bytes a line could ask for gigabytes."""
    resource = {"resource_type": TOPIC, "resource_name": "a", "configuration_keys": None}
    assert len(bench.call(32, 4, {"resources": [resource] * 1000})["results"]) == 1


def test_version_one_has_neither_types_nor_documentation(bench: ControlBench) -> None:
    """They came with version 3."""
    row = describe(bench, TOPIC, "a", ["retention.ms"], version=1)["configs"][0]
    assert (row["value"], row["config_source"], row["config_type"]) == ("7200000", 4, 0)
