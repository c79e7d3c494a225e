"""Which metrics are wanted of which client: CLIENT_METRICS resources, compiled and matched.

A client is described by six texts. A subscription concerns it when every pattern of its `match`
fits the whole of its text; a text that is not known (a client that never said its name) fits none.
Patterns are administrators' and the texts are anybody's: matching is linear (`groups.regex`), and
looks at the beginning of a text only. Of several subscriptions the metrics are joined and the
shortest interval counts; none means that nothing is wanted, and to ask again later.

Codes and sentences as Apache Kafka 4.3.1 gives them (ClientMetricsConfigs, ClientMetricsManager).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from logserver.broker.groups.regex import PatternError, TopicPattern
from logserver.broker.image import CLIENT_METRICS_RESOURCE
from logserver.config import CLIENT_METRICS_KEYS, ConfigError, client_metrics_config
from logserver.config.client_metrics import (
    INTERVAL_MS_DEFAULT,
    INTERVAL_MS_MAX,
    INTERVAL_MS_MIN,
    illegal_pattern,
)
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from logserver.broker.image import Image

logger = logging.getLogger(__name__)

ALL_METRICS = "*"

# A client id may have 32 KB; what tells clients apart stands at its beginning.
MATCHED_CHARACTERS_MAX = 256


class Subscription(NamedTuple):
    """One compiled resource: `match` maps parameters to patterns."""

    name: str
    metrics: tuple[str, ...]
    interval_ms: int
    match: Mapping[str, TopicPattern]


class Wanted(NamedTuple):
    """What a client is asked for: prefixes of metrics, sorted, and how often."""

    metrics: tuple[str, ...]
    interval_ms: int


NOTHING = Wanted((), INTERVAL_MS_DEFAULT)


def check_subscription(overrides: Mapping[str, str]) -> None:
    """Refuse a subscription that could not be used. Raises Refusal."""
    for name in overrides:
        if name not in CLIENT_METRICS_KEYS:
            sentence = f"Unknown client metrics configuration: {name}"
            raise Refusal(errors.INVALID_REQUEST, sentence)
    try:
        interval_ms = compiled("", overrides).interval_ms
    except ConfigError as error:
        raise Refusal(errors.INVALID_CONFIG, str(error)) from None
    if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        sentence = (
            f"Invalid value {interval_ms} for interval.ms, interval must be between "
            f"{INTERVAL_MS_MIN} and {INTERVAL_MS_MAX} (1 hour)"
        )
        raise Refusal(errors.INVALID_REQUEST, sentence)


def compiled(name: str, overrides: Mapping[str, str]) -> Subscription:
    """A subscription from what was set for it. Raises ConfigError."""
    config = client_metrics_config(overrides)
    match = {}
    for parameter, pattern in config.match.items():
        try:
            match[parameter] = TopicPattern(pattern)
        except PatternError:
            raise illegal_pattern(f"{parameter}={pattern}") from None
    return Subscription(name, config.metrics, config.interval_ms, match)


def subscriptions_of(image: Image) -> list[Subscription]:
    """Every subscription that the metadata log has."""
    found = []
    for (kind, name), overrides in image.configs.items():
        if kind == CLIENT_METRICS_RESOURCE:
            try:
                found.append(compiled(name, overrides))
            except ConfigError as error:
                # Written by a version that understood it. The others still count.
                logger.warning("client metrics subscription %s is not followed: %s", name, error)
    return found


def wanted_of(subscriptions: Iterable[Subscription], client: Mapping[str, str]) -> Wanted:
    """What is wanted of a client; `client` maps match parameters to its texts."""
    found = [item for item in subscriptions if _concerns(item, client)]
    metrics = {metric for item in found for metric in item.metrics}
    if not metrics:
        return NOTHING
    if ALL_METRICS in metrics:
        metrics = {ALL_METRICS}
    interval_ms = min(INTERVAL_MS_DEFAULT, *(item.interval_ms for item in found))
    return Wanted(tuple(sorted(metrics)), interval_ms)


def _concerns(subscription: Subscription, client: Mapping[str, str]) -> bool:
    for parameter, pattern in subscription.match.items():
        text = client.get(parameter)
        if text is None or not pattern.matches(_ascii(text[:MATCHED_CHARACTERS_MAX])):
            return False
    return True


def _ascii(text: str) -> str:
    # The engine's alphabet; `.` shall match what lies outside of it too.
    return text if text.isascii() else text.encode("ascii", "replace").decode()
