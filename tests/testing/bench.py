"""What the tests of the broker fixture say to a broker, in a word each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from logserver.client import Admin, Connection, Consumer, Producer
from logserver.client.connection import Address
from logserver.testing import Broker


def write(
    broker: Broker, topic: str, *values: bytes, key: bytes | None = None, **options: object
) -> list[int]:
    """Produce values one by one, each acknowledged; their offsets."""
    with Producer(broker.bootstrap, linger_ms=0, **options) as producer:  # type: ignore[arg-type]
        return [producer.send(topic, value, key=key).result().offset for value in values]


def read(broker: Broker, topic: str) -> list[bytes | None]:
    """Every value of a topic that there is now."""
    with Consumer(broker.bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        return [record.value for record in consumer]


def start_offset(broker: Broker, topic: str) -> int:
    """Where the log of partition 0 begins."""
    with Admin(broker.bootstrap) as admin:
        return admin.offsets(topic, "beginning")[0].offset


@contextlib.contextmanager
def connected(broker: Broker, request_timeout_ms: int = 30_000) -> Iterator[Connection]:
    """One connection to the broker, closed at the end."""
    address = Address(broker.host, broker.port)
    connection = Connection(address, request_timeout_ms=request_timeout_ms)
    try:
        yield connection
    finally:
        connection.close()
