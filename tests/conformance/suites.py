"""The suites, in the order in which they run: what each of them must offer, and the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from tests.conformance.connect import suite as connect
from tests.conformance.go_clients import suite as go_clients
from tests.conformance.kafka_java import suite as kafka_java
from tests.conformance.kafka_python import suite as kafka_python
from tests.conformance.kafka_tools import suite as kafka_tools
from tests.conformance.kafkajs import suite as kafkajs
from tests.conformance.librdkafka import suite as librdkafka
from tests.conformance.outcome import Outcome


class Suite(Protocol):
    """A module `tests/conformance/<name>/suite.py`, with its known.toml beside it."""

    __file__: str | None
    TITLE: str
    run_suite: Callable[..., Iterator[Outcome]]  # (Selection) -> outcomes, as they come

    def versions(self) -> dict[str, str]:
        """Name and version of what is tested with, as the registry carries it."""
        ...


SUITES: dict[str, Suite] = {
    "kafka_java": kafka_java,
    "kafka_tools": kafka_tools,
    "librdkafka": librdkafka,
    "kafka_python": kafka_python,
    "go_clients": go_clients,
    "kafkajs": kafkajs,
    "connect": connect,
}
