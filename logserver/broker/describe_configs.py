"""DescribeConfigs (API 32): every key with its value, where that came from, and what it means.

A value has synonyms: the same setting at weaker levels, in the order in which they are asked.

    own override (1) > dynamic broker (2) > dynamic cluster default (3) > static (4) > default (5)

For a topic or a group key the levels below the first belong to its broker keys (`retention.ms` asks
`log.retention.ms`, then `.minutes`, then `.hours`). Tools show the chain, and the first entry is
the effective value's source; an override has a number for each kind of resource. Five kinds are
described: topics, the broker, its loggers, client metrics (KIP-714) and groups.

Source: kafka.server.ConfigHelper, KIP-226, KIP-412, KIP-569, KIP-714, KIP-848.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from logserver.broker.broker_loggers import logger_levels
from logserver.broker.image import (
    BROKER_LOGGER_RESOURCE,
    BROKER_RESOURCE,
    CLIENT_METRICS_RESOURCE,
    GROUP_RESOURCE,
    TOPIC_RESOURCE,
    Image,
)
from logserver.broker.topic_names import refusal_of
from logserver.config import (
    BROKER_KEYS,
    CLIENT_METRICS_KEYS,
    GROUP_KEYS,
    TOPIC_KEYS,
    BrokerConfig,
    Key,
    format_value,
)
from logserver.config.foreign import dynamic_foreign_key
from logserver.config.key import TYPE_CODES
from logserver.config.topic import INTERNAL_SEGMENT_BYTES
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

TOPIC_SOURCE = 1
DYNAMIC_BROKER_SOURCE = 2
DYNAMIC_DEFAULT_SOURCE = 3
STATIC_SOURCE = 4
DEFAULT_SOURCE = 5
LOGGER_SOURCE = 6
CLIENT_METRICS_SOURCE = 7
GROUP_SOURCE = 8

UNKNOWN_TYPE_CODE = 0

Synonym = tuple[str, str | None, int]
"""name, value as text, source"""


class Entry(NamedTuple):
    """One key of a resource as it is shown: value as text, source, and the chain behind it."""

    key: Key
    value: str | None
    source: int
    synonyms: list[Synonym]


class Levels(NamedTuple):
    """What is set for broker keys, strongest first: text by key and the source it stands for."""

    dynamic: Mapping[str, str]
    dynamic_default: Mapping[str, str]
    given: Mapping[str, str]

    def of(self, name: str) -> list[Synonym]:
        """The chain of one broker key, its default last if it has one."""
        chain: list[Synonym] = []
        key = _broker_key(name)
        for entries, source in (
            (self.dynamic, DYNAMIC_BROKER_SOURCE),
            (self.dynamic_default, DYNAMIC_DEFAULT_SOURCE),
            (self.given, STATIC_SOURCE),
        ):
            if name in entries:
                chain.append((name, format_value(key.parse(entries[name])), source))
        if key.default is not None:
            chain.append((name, format_value(key.default), DEFAULT_SOURCE))
        return chain


def levels(config: BrokerConfig, image: Image) -> Levels:
    """The three levels at which broker keys can be set."""
    return Levels(
        image.configs.get((BROKER_RESOURCE, str(config.node_id)), {}),
        image.configs.get((BROKER_RESOURCE, ""), {}),
        config.given,
    )


def topic_entries(config: BrokerConfig, image: Image, overrides: Mapping[str, str]) -> list[Entry]:
    """Every topic key with its effective value under these overrides, sorted by name."""
    below = levels(config, image)
    entries = []
    for name, key in TOPIC_KEYS.items():
        chain = [synonym for broker_name, _ in key.synonyms for synonym in below.of(broker_name)]
        value = format_value(key.default_on(config))
        source = chain[0][2] if chain else DEFAULT_SOURCE
        if name in overrides:
            value, source = format_value(key.parse(overrides[name])), TOPIC_SOURCE
            chain.insert(0, (name, value, TOPIC_SOURCE))
        entries.append(Entry(key, value, source, chain))
    internal = overrides.get(INTERNAL_SEGMENT_BYTES.name)
    if internal is not None:
        # Kafka hides its internal keys until they are set.
        name = INTERNAL_SEGMENT_BYTES.name
        chain = [(name, internal, TOPIC_SOURCE)]
        entries.append(Entry(INTERNAL_SEGMENT_BYTES, internal, TOPIC_SOURCE, chain))
        entries.sort(key=lambda entry: entry.key.name)
    return entries


def broker_entries(config: BrokerConfig, image: Image) -> list[Entry]:
    """Every broker key with its effective value, sorted by name; of others, what was set."""
    chains = levels(config, image)
    foreign = {*chains.dynamic, *chains.dynamic_default} - set(BROKER_KEYS)
    entries = []
    for name in sorted({*BROKER_KEYS, *foreign}):
        chain = chains.of(name)
        source = chain[0][2] if chain else DEFAULT_SOURCE
        value = chain[0][1] if name in foreign else format_value(config.values[name])
        entries.append(Entry(_broker_key(name), value, source, chain))
    return entries


def _broker_key(name: str) -> Key:
    key = BROKER_KEYS.get(name) or dynamic_foreign_key(name)
    # Nothing else is ever written down; a key that another version knew is shown as text.
    return key or Key(name, "string", None, "", "Set by another version; it changes nothing here.")


def default_entries(image: Image) -> list[Entry]:
    """What IncrementalAlterConfigs set for all brokers of the cluster (resource name "")."""
    entries = []
    for name, text in sorted(image.configs.get((BROKER_RESOURCE, ""), {}).items()):
        chain: list[Synonym] = [(name, text, DYNAMIC_DEFAULT_SOURCE)]
        entries.append(Entry(_broker_key(name), text, DYNAMIC_DEFAULT_SOURCE, chain))
    return entries


def group_entries(config: BrokerConfig, image: Image, group_id: str) -> list[Entry]:
    """Every group key with the value that it has for this group, whether or not it exists."""
    below, overrides = levels(config, image), image.group_configs(group_id)
    entries = []
    for name, key in sorted(GROUP_KEYS.items()):
        chain: list[Synonym] = [(name, format_value(key.default), DEFAULT_SOURCE)]
        if key.synonyms:
            chain = below.of(key.synonyms[0][0])
        value, source = format_value(key.default_on(config)), chain[0][2]
        if name in overrides:
            value, source = format_value(key.parse(overrides[name])), GROUP_SOURCE
            chain.insert(0, (name, value, GROUP_SOURCE))
        entries.append(Entry(key, value, source, chain))
    return entries


def client_metrics_entries(image: Image, name: str) -> list[Entry]:
    """The three keys of a subscription, whether or not it exists."""
    overrides = image.configs.get((CLIENT_METRICS_RESOURCE, name), {})
    entries = []
    for key_name, key in sorted(CLIENT_METRICS_KEYS.items()):
        chain: list[Synonym] = []
        value, source = format_value(key.default), DEFAULT_SOURCE
        if key_name in overrides:
            value, source = overrides[key_name], CLIENT_METRICS_SOURCE
            chain = [(key_name, value, source)]
        entries.append(Entry(key, value, source, chain))
    return entries


def logger_entries() -> list[Entry]:
    """Every logger of this process with its level."""
    return [
        Entry(Key(name, "", None, "", "", dynamic=True), level, LOGGER_SOURCE, [])
        for name, level in logger_levels().items()
    ]


def handle_describe_configs(broker: Broker, request: Message, _context: Context) -> Message:
    """Answer each resource with its keys, or with the error that refuses it."""
    results = []
    # Each resource is answered once, or a small request could ask for gigabytes.
    asked = {(item["resource_type"], item["resource_name"]): item for item in request["resources"]}
    for (kind, name), resource in asked.items():
        code, message, shown = errors.NONE, "", []
        try:
            entries = _entries(broker, kind, name)
            shown = _selected(entries, resource["configuration_keys"])
        except Refusal as refusal:
            code, message = refusal.code, refusal.message
        results.append(
            {
                "error_code": code,
                "error_message": message,
                "resource_type": kind,
                "resource_name": name,
                "configs": [_shown(entry, request) for entry in shown],
            }
        )
    return {"results": results}


def _entries(broker: Broker, resource_type: int, name: str) -> list[Entry]:
    describe = _DESCRIBED.get(resource_type)
    if describe is None:
        raise Refusal(errors.INVALID_REQUEST, f"Unsupported resource type: {resource_type}")
    return describe(broker, name)


def _topic(broker: Broker, name: str) -> list[Entry]:
    sentence = refusal_of(name)
    if sentence is not None:
        raise Refusal(errors.INVALID_TOPIC_EXCEPTION, sentence)
    if name not in broker.image.topics_by_name:
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION)
    return topic_entries(broker.config, broker.image, broker.image.topic_configs(name))


def _broker(broker: Broker, name: str) -> list[Entry]:
    if name == "":
        return default_entries(broker.image)
    _require_this_broker(
        name, broker.config.node_id, "expected {} or empty string, but received {}"
    )
    return broker_entries(broker.config, broker.image)


def _loggers(broker: Broker, name: str) -> list[Entry]:
    if name == "":
        raise Refusal(errors.INVALID_REQUEST, "Broker id must not be empty")
    _require_this_broker(name, broker.config.node_id, "expected {} but received {}")
    return logger_entries()


def _client_metrics(broker: Broker, name: str) -> list[Entry]:
    if name == "":
        sentence = "Client metrics subscription name must not be empty"
        raise Refusal(errors.INVALID_REQUEST, sentence)
    return client_metrics_entries(broker.image, name)


def _group(broker: Broker, name: str) -> list[Entry]:
    if name == "":
        raise Refusal(errors.INVALID_REQUEST, "Group name must not be empty")
    return group_entries(broker.config, broker.image, name)


_DESCRIBED: dict[int, Callable[[Broker, str], list[Entry]]] = {
    TOPIC_RESOURCE: _topic,
    BROKER_RESOURCE: _broker,
    BROKER_LOGGER_RESOURCE: _loggers,
    CLIENT_METRICS_RESOURCE: _client_metrics,
    GROUP_RESOURCE: _group,
}


def is_number(name: str) -> bool:
    """Whether a resource name can be a broker id."""
    return re.fullmatch(r"[+-]?[0-9]{1,10}", name, re.ASCII) is not None


def _require_this_broker(name: str, node_id: int, otherwise: str) -> None:
    if not is_number(name):
        raise Refusal(errors.INVALID_REQUEST, f"Broker id must be an integer, but it is: {name}")
    if int(name) != node_id:
        sentence = f"Unexpected broker id, {otherwise.format(node_id, name)}"
        raise Refusal(errors.INVALID_REQUEST, sentence)


def _selected(entries: list[Entry], names: Iterable[str] | None) -> list[Entry]:
    wanted = set(names or ())
    return [entry for entry in entries if entry.key.name in wanted] if wanted else entries


def _shown(entry: Entry, request: Message) -> Message:
    synonyms = entry.synonyms if request.get("include_synonyms") else []
    secret = entry.key.type == "password"
    return {
        "name": entry.key.name,
        "value": None if secret else entry.value,
        "read_only": not entry.key.dynamic,
        "config_source": entry.source,
        "is_sensitive": secret,
        "synonyms": [
            {"name": name, "value": None if secret else value, "source": source}
            for name, value, source in synonyms
        ],
        "config_type": TYPE_CODES.get(entry.key.type, UNKNOWN_TYPE_CODE),
        "documentation": entry.key.doc if request.get("include_documentation") else None,
    }
