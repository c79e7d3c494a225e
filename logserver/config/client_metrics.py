"""Client metrics configuration: what clients are asked to push (CLIENT_METRICS resources, KIP-714).

A subscription has a name and three keys. It concerns the clients that `match` describes, all of
them when it is empty: `client_id=payments-.*,client_software_name=apache-kafka-java`; each pattern
must match the whole of that text. `metrics` are prefixes of metric names, `*` is all of them.

Names, defaults and sentences are those of Apache Kafka 4.3.1 (ClientMetricsConfigs).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from logserver.config.key import ConfigError, Key

# What `match` can look at.
MATCH_PARAMETERS = (
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
)

INTERVAL_MS_MIN, INTERVAL_MS_MAX = 100, 3_600_000
INTERVAL_MS_DEFAULT = 300_000

# fmt: off
_ROWS: tuple[Key, ...] = (
    Key("interval.ms", "int", INTERVAL_MS_DEFAULT, "ms",
        "How often a client pushes; between 100 and 3600000 (an hour). Of several subscriptions "
        "that match a client the shortest counts."),
    Key("match", "list", (), "",
        "The clients that are asked, NAME=PATTERN. NAME is one of client_instance_id, client_id, "
        "client_software_name, client_software_version, client_source_address and "
        "client_source_port; PATTERN a regular expression (RE2) for the whole of it. Empty: all."),
    Key("metrics", "list", (), "",
        "Prefixes of the names of metrics that are pushed; * for all of them."),
)
# fmt: on

CLIENT_METRICS_KEYS: dict[str, Key] = {key.name: key._replace(dynamic=True) for key in _ROWS}


@dataclass(frozen=True, slots=True)
class ClientMetricsConfig:
    """One subscription, typed. `match` maps parameter names to regular expressions."""

    interval_ms: int
    match: Mapping[str, str]
    metrics: tuple[str, ...]


def client_metrics_config(overrides: Mapping[str, str]) -> ClientMetricsConfig:
    """A subscription from the texts that were set; raises ConfigError in Kafka's words.

    Names must be known; whether the interval is in its range and a pattern is one is not asked
    here.
    """
    values = {
        name: key.parse(overrides[name]) if name in overrides else key.default
        for name, key in CLIENT_METRICS_KEYS.items()
    }
    interval_ms, items, metrics = values["interval.ms"], values["match"], values["metrics"]
    assert isinstance(interval_ms, int)
    assert isinstance(items, tuple)
    assert isinstance(metrics, tuple)
    match = dict(_parameter(item) for item in items)
    return ClientMetricsConfig(interval_ms, match, tuple(name for name in metrics if name))


def illegal_pattern(item: str) -> ConfigError:
    """The refusal of an item of `match`."""
    return ConfigError(f"Illegal client matching pattern: {item}")


def _parameter(item: str) -> tuple[str, str]:
    name, _, pattern = item.partition("=")
    if name.strip() not in MATCH_PARAMETERS or not pattern or "=" in pattern:
        raise illegal_pattern(item)
    return name.strip(), pattern.strip()
