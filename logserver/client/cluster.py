"""Who leads which partition, and a connection to each of them.

A cluster keeps one connection per broker for data, owned by the thread that moves it, and one for
control (metadata, producer ids, topics), shared under a lock: a producer's caller may ask for a
topic's partitions while its sender refreshes leaders.

Metadata is asked for when it is needed, never on a timer: a topic that is not known yet, and a
partition whose leader has moved (NOT_LEADER_OR_FOLLOWER and its kin).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event, RLock
from typing import Final, NamedTuple

from logserver.client.connection import METADATA, Address, Connection, parse_bootstrap
from logserver.client.failure import ClientError, is_retriable, refusal
from logwire.errors import UNKNOWN_TOPIC_OR_PARTITION
from logwire.messages import Message

RETRY_BACKOFF_MS: Final = 100  # Kafka: retry.backoff.ms
RETRY_BACKOFF_MS_MAX: Final = 1000  # Kafka: retry.backoff.max.ms


class TopicMetadata(NamedTuple):
    """A topic as Metadata tells it; `leaders` maps partition to broker id, -1 without a leader."""

    name: str
    topic_id: bytes
    is_internal: bool
    leaders: dict[int, int]
    leader_epochs: dict[int, int]


class Cluster:
    """The servers behind `bootstrap` (`host:port,...`).

    `connect` opens every connection, so that a caller can choose timeouts in one place.
    """

    def __init__(
        self, bootstrap: str, connect: Callable[[Address], Connection] = Connection
    ) -> None:
        self.bootstrap = parse_bootstrap(bootstrap)
        self.brokers: dict[int, Address] = {}
        self.cluster_id = ""
        self.controller_id = -1
        self.topics: dict[str, TopicMetadata] = {}
        self.lock = RLock()
        self._closed = Event()
        self._connect = connect
        self._control: Connection | None = None
        self._connections: dict[int, Connection] = {}

    def close(self) -> None:
        """Close all connections, and end every pause before another attempt."""
        self._closed.set()
        with self.lock:
            for connection in (self._control, *self._connections.values()):
                if connection is not None:
                    connection.close()

    def control(self) -> Connection:
        """An open control connection: the last one, else to a known broker or a bootstrap server.

        Hold `lock` while using it. Raises the last server's `ClientError` when none can be reached.
        """
        if self._control is not None and self._control.is_open:
            return self._control
        failure: ClientError | None = None
        for address in dict.fromkeys([*self.brokers.values(), *self.bootstrap]):
            try:
                self._control = self._connect(address)
            except ClientError as error:
                failure = error
            else:
                return self._control
        assert failure is not None
        raise failure

    def request(self, api_key: int, message: Message, *, timeout_ms: int = 0) -> Message:
        """One control request. A connection that an idle server closed is opened once more."""
        with self.lock:
            reused = self._control
            connection = self.control()
            try:
                return connection.request(api_key, message, timeout_ms=timeout_ms)
            except ClientError as error:
                if error.kind != "closed" or connection is not reused:
                    raise
                return self.control().request(api_key, message, timeout_ms=timeout_ms)

    def data(self, node_id: int) -> Connection:
        """The open data connection to a broker; for the one thread that moves data."""
        connection = self._connections.get(node_id)
        if connection is None or not connection.is_open:
            address = self.brokers.get(node_id)
            if address is None:
                raise ClientError("connect", f"broker {node_id} is not in the cluster's metadata")
            connection = self._connections[node_id] = self._connect(address)
        return connection

    def drop(self, node_id: int) -> None:
        """Close the data connection to a broker; the next use opens another."""
        connection = self._connections.pop(node_id, None)
        if connection is not None:
            connection.close()

    def refresh(self, topics: Collection[str] | None, *, create: bool = False) -> dict[str, int]:
        """Ask for metadata of `topics` (None: all); error codes of the topics that have one.

        `create` lets the server create what is missing, if it is configured to.
        """
        wanted = (
            None if topics is None else [{"name": name, "topic_id": bytes(16)} for name in topics]
        )
        answer = self.request(METADATA, {"topics": wanted, "allow_auto_topic_creation": create})
        with self.lock:
            self.brokers = {
                row["node_id"]: Address(row["host"], row["port"]) for row in answer["brokers"]
            }
            self.cluster_id = answer.get("cluster_id") or ""
            self.controller_id = answer.get("controller_id", -1)
            failures = {}
            for row in answer["topics"]:
                if row["error_code"]:
                    failures[row["name"]] = row["error_code"]
                    self.topics.pop(row["name"], None)
                else:
                    self.topics[row["name"]] = _topic(row)
            return failures

    def topic(self, name: str, *, create: bool = False, timeout_ms: int = 30_000) -> TopicMetadata:
        """A topic, asking for it while its creation is under way.

        Raises `ClientError` "refused" (no such topic, bad name) at once, "timeout" when the topic
        stays without a leader.
        """
        known = self.topics.get(name)
        if known is not None:
            return known
        for _ in self.attempts(timeout_ms):
            code = self.refresh([name], create=create).get(name, 0)
            known = self.topics.get(name)
            if known is not None and -1 not in known.leaders.values():
                return known
            is_missing = code == UNKNOWN_TOPIC_OR_PARTITION and not create
            if is_missing or (code and not is_retriable(code)):
                raise refusal(f"use topic {name}", code)
        raise ClientError("timeout", f"topic {name} has no leader after {timeout_ms / 1000:g} s")

    def attempts(self, timeout_ms: int) -> Iterator[int]:
        """0, 1, 2 ... with a growing pause between, until `timeout_ms` have passed.

        Closing the cluster ends the pause with `ClientError` "closed".
        """
        deadline_s = time.monotonic() + timeout_ms / 1000
        attempt = 0
        while True:
            yield attempt
            attempt += 1
            pause_s = backoff_ms(attempt) / 1000
            if time.monotonic() + pause_s > deadline_s:
                return
            if self._closed.wait(pause_s):
                raise ClientError("closed", "the client is closed")

    def leader(self, topic: str, partition: int) -> int:
        """Broker id of a partition's leader, -1 when it is not known."""
        known = self.topics.get(topic)
        return -1 if known is None else known.leaders.get(partition, -1)


def _topic(row: Message) -> TopicMetadata:
    partitions = row["partitions"]
    return TopicMetadata(
        row["name"],
        row.get("topic_id", bytes(16)),
        row.get("is_internal", False),
        {part["partition_index"]: part["leader_id"] for part in partitions},
        {part["partition_index"]: part.get("leader_epoch", -1) for part in partitions},
    )


def backoff_ms(attempt: int, first_ms: int = RETRY_BACKOFF_MS) -> int:
    """Pause before attempt 1, 2, 3 ...: 100, 200, 400 ... 1000 ms."""
    return min(first_ms << min(attempt - 1, 10), RETRY_BACKOFF_MS_MAX)


@contextmanager
def closing_on_error(cluster: Cluster) -> Iterator[Cluster]:
    """Close the cluster's connections when the body raises: for constructors."""
    try:
        yield cluster
    except BaseException:
        cluster.close()
        raise
