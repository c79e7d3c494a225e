"""Kafka's keys that mean nothing here."""

from logserver.config import BROKER_KEYS
from logserver.config.foreign import (
    FOREIGN_KEYS,
    dynamic_foreign_key,
    needs_broker,
    needs_listener,
)

# Keys that Kafka calls internal and its own integration tests set.
INTERNAL_KEYS = {
    "group.consumer.regex.refresh.interval.ms",
    "log.initial.task.delay.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
}


def test_no_key_is_both_served_and_ignored() -> None:
    """A key that moves into the table must leave the list."""
    assert FOREIGN_KEYS.isdisjoint(BROKER_KEYS)


def test_the_list_and_the_table_hold_every_broker_key_of_kafka() -> None:
    """Apache Kafka 4.3.1 defines 360 broker keys, internal ones among them; one of ours is older.

    inter.broker.protocol.version went with Kafka 4.0, and user interfaces still read it.
    """
    kafka_names = {name for name in BROKER_KEYS if not name.startswith("logserver.")}
    known = (FOREIGN_KEYS | kafka_names) - {"inter.broker.protocol.version"}
    assert len(known) == 360
    assert {"ssl.keystore.location", "num.io.threads", "process.roles"} <= known
    assert known >= INTERNAL_KEYS


def test_dynamic_keys_are_known_alone_and_with_a_listener() -> None:
    """SASL's have a mechanism in between; the type is that of the key behind the prefix."""
    for name, kind in (
        ("num.io.threads", "int"),
        ("leader.replication.throttled.rate", "long"),
        ("listener.name.internal.ssl.keystore.password", "password"),
        ("listener.name.internal.plain.sasl.jaas.config", "password"),
        ("listener.name.external.max.connections", "int"),
    ):
        key = dynamic_foreign_key(name)
        assert key is not None
        assert (key.name, key.type, key.dynamic) == (name, kind, True)
    for name in ("num.io.thread", "listener.name.a", "listener.name.a.zzz", "node.id"):
        assert dynamic_foreign_key(name) is None


def test_some_keys_want_a_listener_and_some_a_broker() -> None:
    """As Kafka's DynamicBrokerConfig has it."""
    assert needs_listener("ssl.keystore.type")
    assert not needs_listener("listener.name.a.ssl.keystore.type")
    assert needs_broker("listener.name.a.ssl.keystore.type")
    assert needs_broker("sasl.enabled.mechanisms")
    assert not needs_broker("listener.name.a.max.connections")
