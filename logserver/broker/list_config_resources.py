"""ListConfigResources (API 74): what has a configuration of its own.

Version 0 was ListClientMetricsResources and knows nothing else. Later versions list the types that
are asked for, all of them when none is (KIP-1142). Topics and brokers are listed whether or not
something is set for them; groups and client metrics only if something is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.image import (
    BROKER_LOGGER_RESOURCE,
    BROKER_RESOURCE,
    CLIENT_METRICS_RESOURCE,
    GROUP_RESOURCE,
    TOPIC_RESOURCE,
)
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

# In the order in which Kafka answers.
LISTED = (
    GROUP_RESOURCE,
    CLIENT_METRICS_RESOURCE,
    BROKER_LOGGER_RESOURCE,
    BROKER_RESOURCE,
    TOPIC_RESOURCE,
)
TYPES_SINCE = 1


def handle_list_config_resources(broker: Broker, request: Message, context: Context) -> Message:
    """Type and name of each; a type that nobody knows refuses the whole request."""
    kinds = {CLIENT_METRICS_RESOURCE}
    if context.api_version >= TYPES_SINCE:
        kinds = set(request["resource_types"]) or set(LISTED)
    if not kinds <= set(LISTED):
        raise Refusal(errors.UNSUPPORTED_VERSION)
    return {
        "error_code": errors.NONE,
        "config_resources": [
            {"resource_name": name, "resource_type": kind}
            for kind in LISTED
            if kind in kinds
            for name in _names(broker, kind)
        ],
    }


def _names(broker: Broker, kind: int) -> list[str]:
    if kind == TOPIC_RESOURCE:
        return list(broker.image.topics_by_name)
    if kind in (BROKER_RESOURCE, BROKER_LOGGER_RESOURCE):
        return [str(broker.config.node_id)]
    return [name for of_kind, name in broker.image.configs if of_kind == kind]
