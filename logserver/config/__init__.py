"""Configuration: every key and every limit, with unit, default, bounds and reason.

Promises: a value that leaves this room is typed, within Kafka's bounds and consistent with the
others; a value that does not is refused in one clear sentence (`ConfigError`). Keys are Kafka's
where Kafka has one; what has no Kafka name begins with `logserver.`.
Must never know: files (it takes text), sockets, topics that exist, or time.
"""

from logserver.config.broker import BROKER_KEYS, BrokerConfig, load
from logserver.config.client_metrics import (
    CLIENT_METRICS_KEYS,
    ClientMetricsConfig,
    client_metrics_config,
)
from logserver.config.group import GROUP_KEYS, GroupConfig, group_config
from logserver.config.key import ConfigError, Key, Value, format_value
from logserver.config.listeners import Listener, parse_listeners
from logserver.config.source import parse_properties, parse_text, parse_toml
from logserver.config.topic import TOPIC_KEYS, TopicConfig, topic_config

__all__ = [
    "BROKER_KEYS",
    "CLIENT_METRICS_KEYS",
    "GROUP_KEYS",
    "TOPIC_KEYS",
    "BrokerConfig",
    "ClientMetricsConfig",
    "ConfigError",
    "GroupConfig",
    "Key",
    "Listener",
    "TopicConfig",
    "Value",
    "client_metrics_config",
    "format_value",
    "group_config",
    "load",
    "parse_listeners",
    "parse_properties",
    "parse_text",
    "parse_toml",
    "topic_config",
]
