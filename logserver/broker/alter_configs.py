"""IncrementalAlterConfigs (API 44) and its predecessor AlterConfigs (33).

The old one replaces every override of a resource by those given; the new one changes single keys:
SET 0, DELETE 1, and APPEND 2 and SUBTRACT 3 for list keys. Both end as ConfigRecords of one batch
per resource, so a resource is altered wholly or not at all.

Dynamic broker keys are those with `dynamic` in the key table. They take effect at once: the broker
gets a new BrokerConfig, and every topic the defaults that follow from it.

Codes and sentences as Apache Kafka 4.3.1 gives them (ConfigAdminManager,
ConfigurationControlManager), with one difference: a broker key that nobody knows is refused here
and kept by Kafka.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from logserver.broker.create_topics import storage_refusal
from logserver.broker.image import BROKER_RESOURCE, TOPIC_RESOURCE
from logserver.broker.topic_names import refusal_of
from logserver.config import BROKER_KEYS, TOPIC_KEYS, ConfigError, Key, topic_config
from logserver.config.broker import unknown_key
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.metadata_log import ChangeRecord
    from logserver.broker.peer import Context

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


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
            _require_resource(broker, kind, name)
            before = broker.image.configs.get((kind, name), {})
            after = _altered(resource, before) if incremental else _replaced(resource)
            _validate(broker, kind, name, before, after)
            if not request["validate_only"]:
                _commit(broker, context, kind, name, _changes(kind, name, before, after))
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


def _require_resource(broker: Broker, kind: int, name: str) -> None:
    if kind == TOPIC_RESOURCE:
        if not name:
            raise Refusal(errors.INVALID_REQUEST, "Default topic resources are not allowed.")
        sentence = refusal_of(name)
        if sentence is not None:
            raise Refusal(errors.INVALID_TOPIC_EXCEPTION, sentence)
        if name not in broker.image.topics_by_name:
            sentence = f"The topic '{name}' does not exist."
            raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, sentence)
    elif kind == BROKER_RESOURCE:
        if name and not name.lstrip("-").isdecimal():
            sentence = f"Node id must be an integer, but it is: {name}"
            raise Refusal(errors.INVALID_REQUEST, sentence)
        if name and int(name) != broker.config.node_id:
            sentence = (
                f"Unexpected broker id, expected {broker.config.node_id}, but received {name}"
            )
            raise Refusal(errors.INVALID_REQUEST, sentence)
    else:
        raise Refusal(errors.INVALID_REQUEST, f"Unknown resource type {kind}")


def _altered(resource: Message, before: dict[str, str]) -> dict[str, str]:
    """The overrides after the operations of an incremental request."""
    _require_distinct(resource)
    keys = TOPIC_KEYS if resource["resource_type"] == TOPIC_RESOURCE else BROKER_KEYS
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
        after[name] = text if operation == SET else _edited(keys.get(name), config, after)
    return after


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
        items += [item for item in named if item not in items]
    else:
        items = [item for item in items if item not in named]
    return ",".join(items)


def _replaced(resource: Message) -> dict[str, str]:
    """The overrides that a legacy request asks for."""
    _require_distinct(resource)
    for config in resource["configs"]:
        if config["value"] is None:
            sentence = f"Null value not supported for : {config['name']}"
            raise Refusal(errors.INVALID_REQUEST, sentence)
    return {config["name"]: config["value"] for config in resource["configs"]}


def _require_distinct(resource: Message) -> None:
    names = [config["name"] for config in resource["configs"]]
    if len(set(names)) < len(names):
        raise Refusal(errors.INVALID_REQUEST, "Error due to duplicate config keys")


def _validate(
    broker: Broker, kind: int, name: str, before: dict[str, str], after: dict[str, str]
) -> None:
    """Refuse overrides that could not take effect; changes nothing."""
    if kind == TOPIC_RESOURCE:
        try:
            topic_config(broker.config, after)
        except ConfigError as error:
            raise Refusal(errors.INVALID_CONFIG, str(error)) from None
        return
    fixed = []
    for key_name, text in after.items():
        if key_name not in BROKER_KEYS:
            raise Refusal(errors.INVALID_REQUEST, unknown_key(key_name))
        if before.get(key_name) != text and not BROKER_KEYS[key_name].dynamic:
            fixed.append(key_name)
    if fixed:
        sentence = f"Cannot update these configs dynamically: [{', '.join(sorted(fixed))}]"
        raise Refusal(errors.INVALID_REQUEST, sentence)
    defaults = after if name == "" else broker.image.configs.get((BROKER_RESOURCE, ""), {})
    own_name = str(broker.config.node_id)
    own = after if name else broker.image.configs.get((BROKER_RESOURCE, own_name), {})
    try:
        altered = broker.config.with_dynamic({**defaults, **own})
        for topic in broker.image.topics_by_name:
            topic_config(altered, broker.image.topic_configs(topic))
    except ConfigError as error:
        raise Refusal(errors.INVALID_REQUEST, str(error)) from None


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
    # An alteration that changes nothing still waits for what it repeats to be durable.
    context.after_sync = broker.metadata_log.unsynced
    if not records:
        return
    try:
        broker.metadata_log.append(records, context.now_ms)
    except OSError as error:
        raise storage_refusal("write the metadata log", error) from None
    context.after_sync = True
    if kind == TOPIC_RESOURCE:
        broker.reconfigure(broker.image.topics_by_name[name])
        return
    broker.reconfigure_broker()
