"""Kafka's keys that mean nothing here."""

from logserver.config import BROKER_KEYS
from logserver.config.foreign import FOREIGN_KEYS

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
