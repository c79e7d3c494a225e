"""ApiVersions (API 18): what this server speaks, from the one table of served APIs.

Clients decide by these ranges what they may use; old ones even by single versions (librdkafka
compresses only where Produce 0 is offered), so the advertised minimum may lie below the served.

An unknown version of this request is answered in version 0 with UNSUPPORTED_VERSION and the ranges
(KIP-511): dispatch does that. Version 5 (KIP-1242) lets a client say which cluster and node it
means to talk to; a mismatch is REBOOTSTRAP_REQUIRED instead of a silent wrong answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logserver.broker.authorization import AUTHORIZATION
from logserver.broker.metadata_log import GROUP_VERSION, METADATA_VERSION
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import APIS, Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

# Kafka's pattern for client.software.name and .version (ApiVersionsRequest.isValid).
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?", re.ASCII)
SOFTWARE_SINCE = 3

# metadata.version: what the records of our metadata log follow; 7 is the oldest of KRaft (3.3-IV3).
# transaction.version stays absent until transactions exist: clients drop requests because of it.
SUPPORTED_FEATURES = {
    "metadata.version": (7, METADATA_VERSION),
    "group.version": (0, GROUP_VERSION),
}


def handle_api_versions(broker: Broker, request: Message, context: Context) -> Message:
    """The ranges and features; refuses a malformed software name and a wrong cluster or node."""
    if context.api_version >= SOFTWARE_SINCE:
        software = (request["client_software_name"], request["client_software_version"])
        if not all(_SOFTWARE.fullmatch(text) for text in software):
            raise Refusal(errors.INVALID_REQUEST)
        context.peer.software = software
    cluster_id, node_id = request.get("cluster_id"), request.get("node_id", -1)
    if cluster_id is not None and cluster_id != broker.cluster_id:
        raise Refusal(errors.REBOOTSTRAP_REQUIRED)
    if node_id not in (-1, broker.config.node_id):
        raise Refusal(errors.REBOOTSTRAP_REQUIRED)
    return {
        "error_code": errors.NONE,
        "api_keys": [
            {
                "api_key": api.key,
                "min_version": api.advertised_min,
                "max_version": api.max_version,
            }
            for api in (APIS[api_key] for api_key in sorted(AUTHORIZATION))
        ],
        "supported_features": [
            {"name": name, "min_version": low, "max_version": high}
            for name, (low, high) in SUPPORTED_FEATURES.items()
        ],
        "finalized_features_epoch": broker.metadata_log.log.end_offset,
        "finalized_features": [
            {"name": name, "max_version_level": level, "min_version_level": level}
            for name, level in broker.image.features.items()
            if name in SUPPORTED_FEATURES
        ],
        "zk_migration_ready": False,
    }
