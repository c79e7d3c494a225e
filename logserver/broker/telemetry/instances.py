"""Client instances: who was told what to push, and whether a push or a question comes too early.

An instance is a client with an id of its own, which the first answer gives it. It is told a
subscription id, a checksum of what it shall push; a push with another id comes from a client that
has not heard of a change yet, and is refused until it has asked again.

    asks (71)     refused within an interval of its last question or push, unless the last answer
                  told it to ask again
    pushes (72)   one for each question, then one an interval; the last one (`terminating`) any time

As Apache Kafka 4.3.1 does it (ClientMetricsManager, ClientMetricsInstance). There the question
after a refused push is throttled by mistake; here the rule of KIP-714 holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.telemetry.subscriptions import NOTHING, Wanted, subscriptions_of, wanted_of
from logwire import errors
from logwire.checksum import crc32c
from logwire.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logserver.broker.image import Image
    from logserver.broker.telemetry.subscriptions import Subscription

# Kafka's bounds: instances remembered, and for how long at least after their last request.
INSTANCES_COUNT_MAX = 16_384
KEPT_MS_MIN = 60_000
INTERVALS_KEPT = 3
# After these a client has to ask again before it can go on.
ASK_AGAIN = (errors.UNKNOWN_SUBSCRIPTION_ID, errors.UNSUPPORTED_COMPRESSION_TYPE)


class Instance:
    """One client instance; times are of the uptime, None for never.

    `owes_push`: it has asked and not pushed since, so that its next push is not too early.
    """

    __slots__ = (
        "asked_ms",
        "last_code",
        "owes_push",
        "pushed_ms",
        "seen_ms",
        "subscription_id",
        "terminating",
        "version",
        "wanted",
    )

    def __init__(self, instance_id: bytes, wanted: Wanted, version: int, uptime_ms: int) -> None:
        self.wanted = wanted
        self.version = version
        self.subscription_id = subscription_id(wanted, instance_id)
        self.asked_ms: int | None = None
        self.pushed_ms: int | None = None
        self.seen_ms = uptime_ms
        self.terminating = False
        self.owes_push = False
        self.last_code = errors.NONE

    def ask(self, uptime_ms: int) -> None:
        """The client asks what it shall push. Raises Refusal when it asks too early."""
        last_ms = max(
            (at for at in (self.asked_ms, self.pushed_ms) if at is not None), default=None
        )
        early = last_ms is not None and uptime_ms - last_ms < self.wanted.interval_ms
        if early and self.last_code not in ASK_AGAIN:
            raise Refusal(errors.THROTTLING_QUOTA_EXCEEDED)
        self.asked_ms = uptime_ms
        self.owes_push = True
        self.last_code = errors.NONE

    def push(self, subscription: int, uptime_ms: int, *, terminating: bool) -> None:
        """The client pushes. Raises Refusal when it may not, or not so."""
        if self.terminating:
            raise Refusal(errors.INVALID_REQUEST)
        last_ms = self.pushed_ms
        early = last_ms is not None and uptime_ms - last_ms < self.wanted.interval_ms
        if early and not self.owes_push and not terminating:
            raise Refusal(errors.THROTTLING_QUOTA_EXCEEDED)
        self.pushed_ms = uptime_ms
        self.owes_push = False
        if subscription != self.subscription_id:
            raise Refusal(errors.UNKNOWN_SUBSCRIPTION_ID)

    def expires_ms(self) -> int:
        """When the instance, and what it pushed, is forgotten."""
        return self.seen_ms + max(KEPT_MS_MIN, INTERVALS_KEPT * self.wanted.interval_ms)


class Instances:
    """The instances that were seen lately, oldest first."""

    __slots__ = ("_instances", "_subscriptions", "_version")

    def __init__(self, image: Image) -> None:
        self._instances: dict[bytes, Instance] = {}
        self._subscriptions: list[Subscription] = []
        self._version = 0
        self.subscribe(image)

    def __len__(self) -> int:
        return len(self._instances)

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._instances

    def subscribe(self, image: Image) -> None:
        """The subscriptions have changed: each instance follows with its next request."""
        self._subscriptions = subscriptions_of(image)
        self._version += 1

    def seen(self, instance_id: bytes, client: Mapping[str, str], uptime_ms: int) -> Instance:
        """The instance of that id, which sends a request; a new one where nobody knows it."""
        instance = self._instances.pop(instance_id, None)
        if instance is not None and instance.expires_ms() <= uptime_ms:
            instance = None
        if instance is None or instance.version != self._version:
            terminating = instance is not None and instance.terminating
            wanted = wanted_of(self._subscriptions, client) if self._subscriptions else NOTHING
            instance = Instance(instance_id, wanted, self._version, uptime_ms)
            instance.terminating = terminating
        instance.seen_ms = uptime_ms
        self._instances[instance_id] = instance
        self._forget(uptime_ms)
        return instance

    def _forget(self, uptime_ms: int) -> None:
        """Make room: what is beyond the bound, and what has expired at the old end."""
        while self._instances:
            oldest = next(iter(self._instances))
            expired = self._instances[oldest].expires_ms() <= uptime_ms
            if not expired and len(self._instances) <= INSTANCES_COUNT_MAX:
                return
            del self._instances[oldest]


def subscription_id(wanted: Wanted, instance_id: bytes) -> int:
    """A signed 32-bit number that changes when what is wanted of the instance does."""
    text = f"{','.join(wanted.metrics)};{wanted.interval_ms}".encode()
    number = crc32c(text + instance_id)
    return number - 2**32 if number >= 2**31 else number
