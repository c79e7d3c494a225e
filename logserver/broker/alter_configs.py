"""IncrementalAlterConfigs (API 44) and its predecessor AlterConfigs (33).

The old one replaces every override of a resource by those given; the new one changes single keys:
SET 0, DELETE 1, and APPEND 2 and SUBTRACT 3 for list keys. Both end as ConfigRecords of one batch
per resource, so a resource is altered wholly or not at all.

Dynamic broker keys are those with `dynamic` in the key table. They take effect at once: the broker
gets a new BrokerConfig, and every topic the defaults that follow from it. Kafka's dynamic keys that
mean nothing here are kept and shown, with a warning. Groups and client metrics subscriptions need
not exist to be configured. Loggers are altered in the process and nowhere else.

Codes and sentences as Apache Kafka 4.3.1 gives them (ConfigAdminManager,
ConfigurationControlManager), with two differences: a broker key that nobody knows is refused here
and kept by Kafka, and an operation that nobody knows is an invalid request, not our error.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from logserver.broker.broker_loggers import alter_loggers
from logserver.broker.describe_configs import is_number
from logserver.broker.image import (
    BROKER_LOGGER_RESOURCE,
    BROKER_RESOURCE,
    CLIENT_METRICS_RESOURCE,
    GROUP_RESOURCE,
    TOPIC_RESOURCE,
)
from logserver.broker.metadata_log import change
from logserver.broker.telemetry.subscriptions import check_subscription
from logserver.broker.topic_names import refusal_of
from logserver.config import BROKER_KEYS, GROUP_KEYS, TOPIC_KEYS, ConfigError, Key, topic_config
from logserver.config.broker import unknown_key
from logserver.config.foreign import (
    FOREIGN_KEYS,
    dynamic_foreign_key,
    needs_broker,
    needs_listener,
)
from logserver.config.group import validate_group_configs
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logserver.broker.broker import Broker
    from logserver.broker.metadata_log import ChangeRecord
    from logserver.broker.peer import Context

logger = logging.getLogger(__name__)

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3

# What is written down of a secret that is of no use here.
HIDDEN = "[hidden]"


def handle_incremental_alter_configs(broker: Broker, request: Message, context: Context) -> Message:
    """Change single keys of topics and of this broker."""
    return _alter(broker, request, context, incremental=True)


def handle_alter_configs(broker: Broker, request: Message, context: Context) -> Message:
    """Replace all overrides of a resource: what is not named goes back to its default."""
    return _alter(broker, request, context, incremental=False)


def _alter(broker: Broker, request: Message, context: Context, *, incremental: bool) -> Message:
    responses = []
    named = [
        ((item["resource_type"], item["resource_name"]), item) for item in request["resources"]
    ]
    counts = Counter(resource for resource, _ in named)
    for (kind, name), resource in dict(named).items():
        code, message = errors.NONE, None
        try:
            if counts[kind, name] > 1:
                raise Refusal(errors.INVALID_REQUEST, "Each resource must appear at most once.")
            if kind == BROKER_LOGGER_RESOURCE and incremental:
                _alter_loggers(broker, resource, validate_only=request["validate_only"])
            else:
                _alter_one(broker, resource, request, context, incremental)
        except Refusal as refusal:
            code, message = refusal.code, refusal.message
        responses.append(
            {
                "error_code": code,
                "error_message": message,
                "resource_type": kind,
                "resource_name": name,
            }
        )
    return {"responses": responses}


def _alter_one(
    broker: Broker, resource: Message, request: Message, context: Context, incremental: bool
) -> None:
    """Alter a resource whose overrides the metadata log keeps; raises Refusal."""
    kind, name = resource["resource_type"], resource["resource_name"]
    if kind not in _REQUIRED:
        raise Refusal(errors.INVALID_REQUEST, f"Unknown resource type {kind}")
    _require_distinct(resource)
    if kind == BROKER_RESOURCE:
        # Kafka's broker looks at this name, its controller at the others, when it validates.
        _REQUIRED[kind](broker, name)
    before = broker.image.configs.get((kind, name), {})
    after = _altered(resource, before) if incremental else _replaced(resource)
    _REQUIRED[kind](broker, name)
    _VALIDATED[kind](broker, name, before, after)
    if kind == TOPIC_RESOURCE and name not in broker.image.topics_by_name:
        # Last, as in Kafka: what is wrong with the configs is told first.
        sentence = f"The topic '{name}' does not exist."
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, sentence)
    if not request["validate_only"]:
        _commit(broker, context, kind, name, _changes(kind, name, before, after))


def _alter_loggers(broker: Broker, resource: Message, *, validate_only: bool) -> None:
    name = resource["resource_name"]
    _require_number(name)
    if int(name) != broker.config.node_id:
        sentence = f"Unexpected node id. Expected {broker.config.node_id}, but received {name}"
        raise Refusal(errors.INVALID_REQUEST, sentence)
    _require_distinct(resource)
    alter_loggers(resource["configs"], validate_only=validate_only)


def _require_topic(_broker: Broker, name: str) -> None:
    if not name:
        raise Refusal(errors.INVALID_REQUEST, "Default topic resources are not allowed.")
    sentence = refusal_of(name)
    if sentence is not None:
        raise Refusal(errors.INVALID_TOPIC_EXCEPTION, sentence)


def _require_broker(broker: Broker, name: str) -> None:
    if name:
        _require_number(name)
    if name and int(name) != broker.config.node_id:
        sentence = f"Unexpected broker id, expected {broker.config.node_id}, but received {name}"
        raise Refusal(errors.INVALID_REQUEST, sentence)


def _require_number(name: str) -> None:
    if not is_number(name):
        raise Refusal(errors.INVALID_REQUEST, f"Node id must be an integer, but it is: {name}")


def _require_subscription(_broker: Broker, name: str) -> None:
    if not name:
        raise Refusal(errors.INVALID_REQUEST, "Subscription name can't be empty")


def _require_group(_broker: Broker, name: str) -> None:
    if not name:
        raise Refusal(errors.INVALID_REQUEST, "Default group resources are not allowed.")


_REQUIRED: dict[int, Callable[[Broker, str], None]] = {
    TOPIC_RESOURCE: _require_topic,
    BROKER_RESOURCE: _require_broker,
    CLIENT_METRICS_RESOURCE: _require_subscription,
    GROUP_RESOURCE: _require_group,
}

# Where list items can be appended; of other kinds Kafka knows no list.
_KEYS: dict[int, Mapping[str, Key]] = {
    TOPIC_RESOURCE: TOPIC_KEYS,
    BROKER_RESOURCE: BROKER_KEYS,
    GROUP_RESOURCE: GROUP_KEYS,
    CLIENT_METRICS_RESOURCE: {},
}


def _altered(resource: Message, before: dict[str, str]) -> dict[str, str]:
    """The overrides after the operations of an incremental request."""
    kind = resource["resource_type"]
    after = dict(before)
    for config in resource["configs"]:
        name, operation, text = config["name"], config["config_operation"], config["value"]
        if operation == DELETE:
            after.pop(name, None)
            continue
        if operation not in (SET, APPEND, SUBTRACT):
            raise Refusal(errors.INVALID_REQUEST, f"Unknown operation {operation} for {name}")
        if text is None:
            raise Refusal(errors.INVALID_REQUEST, f"Null value not supported for : {name}")
        after[name] = text if operation == SET else _edited(_list_key(kind, name), config, after)
    return after


def _list_key(kind: int, name: str) -> Key | None:
    """The row of a key whose items shall be changed."""
    key = _KEYS[kind].get(name)
    return dynamic_foreign_key(name) if key is None and kind == BROKER_RESOURCE else key


def _edited(key: Key | None, config: Message, after: dict[str, str]) -> str:
    """The text of a list key with items appended or subtracted."""
    name, appends = config["name"], config["config_operation"] == APPEND
    if key is None or key.type != "list":
        word = "APPEND" if appends else "SUBTRACT"
        sentence = f"Can't {word} to key {name} because its type is not LIST."
        raise Refusal(errors.INVALID_CONFIG, sentence)
    default = ",".join(key.default) if isinstance(key.default, tuple) else ""
    items = [item for item in after.get(name, default).split(",") if item]
    named = [item.strip() for item in config["value"].split(",") if item.strip()]
    if appends:
        items = list(dict.fromkeys([*items, *named]))
    else:
        items = [item for item in items if item not in named]
    return ",".join(items)


def _replaced(resource: Message) -> dict[str, str]:
    """The overrides that a legacy request asks for."""
    for config in resource["configs"]:
        if config["value"] is None:
            sentence = f"Null value not supported for : {config['name']}"
            raise Refusal(errors.INVALID_REQUEST, sentence)
    return {config["name"]: config["value"] for config in resource["configs"]}


def _require_distinct(resource: Message) -> None:
    names = [config["name"] for config in resource["configs"]]
    if len(set(names)) < len(names):
        raise Refusal(errors.INVALID_REQUEST, "Error due to duplicate config keys")


Overrides = dict[str, str]


def _validate_topic(broker: Broker, _name: str, _before: Overrides, after: Overrides) -> None:
    try:
        topic_config(broker.config, after)
    except ConfigError as error:
        raise Refusal(errors.INVALID_CONFIG, str(error)) from None


def _validate_group(broker: Broker, _name: str, _before: Overrides, after: Overrides) -> None:
    try:
        validate_group_configs(broker.config, after)
    except ConfigError as error:
        raise Refusal(errors.INVALID_CONFIG, str(error)) from None


def _validate_subscription(_: Broker, _name: str, _before: Overrides, after: Overrides) -> None:
    check_subscription(after)


def _validate_broker(broker: Broker, name: str, before: Overrides, after: Overrides) -> None:
    _require_dynamic(before, after)
    foreign = [key_name for key_name in after if key_name not in BROKER_KEYS]
    _validate_foreign(name, foreign, after)
    defaults = after if name == "" else broker.image.configs.get((BROKER_RESOURCE, ""), {})
    own_name = str(broker.config.node_id)
    own = after if name else broker.image.configs.get((BROKER_RESOURCE, own_name), {})
    try:
        altered = broker.config.with_dynamic({**defaults, **own})
        for topic in broker.image.topics_by_name:
            topic_config(altered, broker.image.topic_configs(topic))
    except ConfigError as error:
        raise Refusal(errors.INVALID_REQUEST, str(error)) from None
    for key_name in foreign:
        if before.get(key_name) != after[key_name]:
            logger.warning(
                "%s is a Kafka setting that means nothing here; kept for tools", key_name
            )


def _require_dynamic(before: Overrides, after: Overrides) -> None:
    """Refuse broker keys that are fixed at start, or that nobody knows."""
    fixed = []
    for key_name, text in after.items():
        if key_name in BROKER_KEYS:
            if before.get(key_name) != text and not BROKER_KEYS[key_name].dynamic:
                fixed.append(key_name)
        elif dynamic_foreign_key(key_name) is None:
            if key_name not in FOREIGN_KEYS:
                raise Refusal(errors.INVALID_REQUEST, unknown_key(key_name))
            fixed.append(key_name)
    if fixed:
        sentence = f"Cannot update these configs dynamically: [{', '.join(sorted(fixed))}]"
        raise Refusal(errors.INVALID_REQUEST, sentence)


def _validate_foreign(resource_name: str, foreign: list[str], after: Overrides) -> None:
    """Refuse what Kafka would of dynamic keys that mean nothing here; secrets leave `after`."""
    stores = sorted(filter(needs_listener, foreign))
    if stores:
        start = "These security configs can be dynamically updated only per-listener using the"
        raise Refusal(errors.INVALID_REQUEST, f"{start} listener prefix: [{', '.join(stores)}]")
    of_one = sorted(filter(needs_broker, foreign))
    if of_one and not resource_name:
        start = "Cannot update these configs at default cluster level, broker id must be specified"
        raise Refusal(errors.INVALID_REQUEST, f"{start}: [{', '.join(of_one)}]")
    for key_name in foreign:
        key = dynamic_foreign_key(key_name)
        assert key is not None
        try:
            key.parse(after[key_name])
        except ConfigError as error:
            raise Refusal(errors.INVALID_REQUEST, str(error)) from None
        if key.type == "password":
            after[key_name] = HIDDEN


# Refuse overrides that could not take effect: broker, resource name, before, after.
_VALIDATED: dict[int, Callable[[Broker, str, Overrides, Overrides], None]] = {
    TOPIC_RESOURCE: _validate_topic,
    BROKER_RESOURCE: _validate_broker,
    CLIENT_METRICS_RESOURCE: _validate_subscription,
    GROUP_RESOURCE: _validate_group,
}


def _changes(
    kind: int, resource_name: str, before: dict[str, str], after: dict[str, str]
) -> list[ChangeRecord]:
    changed = {name: text for name, text in after.items() if before.get(name) != text}
    removed: dict[str, str | None] = {name: None for name in before if name not in after}
    return [
        (
            "ConfigRecord",
            0,
            {
                "resource_type": kind,
                "resource_name": resource_name,
                "name": name,
                "value": text,
            },
        )
        for name, text in sorted({**changed, **removed}.items())
    ]


def _commit(
    broker: Broker, context: Context, kind: int, name: str, records: list[ChangeRecord]
) -> None:
    change(broker, records, context)
    if not records:
        return
    if kind == TOPIC_RESOURCE:
        broker.reconfigure(broker.image.topics_by_name[name])
    elif kind == BROKER_RESOURCE:
        broker.reconfigure_broker()
    elif kind == CLIENT_METRICS_RESOURCE:
        broker.telemetry.subscribe(broker.image)
