"""Kafka's keys that mean nothing here."""

from logserver.config import BROKER_KEYS
from logserver.config.foreign import FOREIGN_KEYS


def test_no_key_is_both_served_and_ignored() -> None:
    """A key that moves into the table must leave the list."""
    assert FOREIGN_KEYS.isdisjoint(BROKER_KEYS)


def test_the_list_and_the_table_hold_every_broker_key_of_kafka() -> None:
    """Apache Kafka 4.3.1 describes 340 broker keys; a few of ours are not among them."""
    kafka_names = {name for name in BROKER_KEYS if not name.startswith("logserver.")}
    assert len(FOREIGN_KEYS) > 250
    assert {
        "ssl.keystore.location",
        "num.io.threads",
        "process.roles",
    } <= FOREIGN_KEYS | kafka_names
