"""The control plane's table: which function answers which API, and how a refusal is shaped.

A handler takes the decoded request and gives the decoded response, or None when it has deferred it
(`Context.defer`); codec, headers and the wait for the disk are dispatch's. A refusal of one item (a
topic, a partition, a resource) is part of the handler's response. A refusal of the whole request is
raised as `Refusal`; some responses have a place for it at the top, the others repeat it for every
item of the request, as Kafka's `getErrorResponse` does. That is `refuse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logserver.broker.alter_configs import handle_alter_configs, handle_incremental_alter_configs
from logserver.broker.api_versions import handle_api_versions
from logserver.broker.create_topics import NO_TOPIC_ID, handle_create_topics
from logserver.broker.describe_configs import handle_describe_configs
from logserver.broker.describe_logs import handle_describe_log_dirs, handle_describe_producers
from logserver.broker.describe_transactions import (
    handle_describe_transactions,
    handle_list_transactions,
)
from logserver.broker.features import handle_update_features
from logserver.broker.find_coordinator import handle_find_coordinator
from logserver.broker.groups.classic_requests import (
    handle_heartbeat,
    handle_join_group,
    handle_leave_group,
    handle_sync_group,
)
from logserver.broker.groups.consumer_requests import (
    handle_consumer_group_describe,
    handle_consumer_group_heartbeat,
)
from logserver.broker.groups.list_groups import (
    handle_delete_groups,
    handle_describe_groups,
    handle_list_groups,
)
from logserver.broker.groups.offset_commit import handle_offset_commit
from logserver.broker.groups.offset_delete import handle_offset_delete
from logserver.broker.groups.offset_fetch import handle_offset_fetch
from logserver.broker.list_config_resources import handle_list_config_resources
from logserver.broker.log_offsets import (
    handle_delete_records,
    handle_list_offsets,
    handle_offset_for_leader_epoch,
)
from logserver.broker.metadata import (
    handle_describe_cluster,
    handle_describe_topic_partitions,
    handle_metadata,
)
from logserver.broker.producer_ids import handle_init_producer_id
from logserver.broker.quorum import handle_describe_quorum
from logserver.broker.replicas import (
    handle_alter_partition_reassignments,
    handle_alter_replica_log_dirs,
    handle_elect_leaders,
    handle_list_partition_reassignments,
)
from logserver.broker.security_disabled import (
    handle_create_acls,
    handle_create_delegation_token,
    handle_delete_acls,
    handle_describe_acls,
    handle_describe_delegation_token,
    handle_expire_delegation_token,
    handle_renew_delegation_token,
)
from logserver.broker.telemetry.requests import (
    handle_get_telemetry_subscriptions,
    handle_push_telemetry,
)
from logserver.broker.topics import handle_create_partitions, handle_delete_topics
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

Handler = Callable[["Broker", Message, "Context"], Message | None]

HANDLERS: dict[int, Handler] = {
    2: handle_list_offsets,
    3: handle_metadata,
    8: handle_offset_commit,
    9: handle_offset_fetch,
    10: handle_find_coordinator,
    11: handle_join_group,
    12: handle_heartbeat,
    13: handle_leave_group,
    14: handle_sync_group,
    15: handle_describe_groups,
    16: handle_list_groups,
    18: handle_api_versions,
    19: handle_create_topics,
    20: handle_delete_topics,
    21: handle_delete_records,
    22: handle_init_producer_id,
    23: handle_offset_for_leader_epoch,
    29: handle_describe_acls,
    30: handle_create_acls,
    31: handle_delete_acls,
    32: handle_describe_configs,
    33: handle_alter_configs,
    34: handle_alter_replica_log_dirs,
    35: handle_describe_log_dirs,
    37: handle_create_partitions,
    38: handle_create_delegation_token,
    39: handle_renew_delegation_token,
    40: handle_expire_delegation_token,
    41: handle_describe_delegation_token,
    42: handle_delete_groups,
    43: handle_elect_leaders,
    44: handle_incremental_alter_configs,
    45: handle_alter_partition_reassignments,
    46: handle_list_partition_reassignments,
    47: handle_offset_delete,
    55: handle_describe_quorum,
    57: handle_update_features,
    60: handle_describe_cluster,
    61: handle_describe_producers,
    65: handle_describe_transactions,
    66: handle_list_transactions,
    68: handle_consumer_group_heartbeat,
    69: handle_consumer_group_describe,
    71: handle_get_telemetry_subscriptions,
    72: handle_push_telemetry,
    74: handle_list_config_resources,
    75: handle_describe_topic_partitions,
}


def refuse(api_key: int, request: Message, refusal: Refusal) -> Message:
    """The response that refuses a whole request with this code and sentence."""
    top = {"error_code": refusal.code, "error_message": refusal.message}
    shape = _SHAPES.get(api_key)
    return top if shape is None else shape(request, top)


def _metadata(request: Message, top: Message) -> Message:
    topics = [
        # No name where an id was asked for: only versions from 12 on can say null.
        {**top, "name": topic["name"] or "", "topic_id": topic.get("topic_id", NO_TOPIC_ID)}
        for topic in request["topics"] or ()
    ]
    return {"error_code": top["error_code"], "topics": topics}


def _delete_topics(request: Message, top: Message) -> Message:
    named = [{**top, "name": name} for name in request.get("topic_names") or ()]
    given = [
        {**top, "name": topic["name"], "topic_id": topic["topic_id"]}
        for topic in request.get("topics") or ()
    ]
    return {"responses": [*named, *given]}


def _describe_topic_partitions(request: Message, top: Message) -> Message:
    return {"topics": [{**top, "name": topic["name"]} for topic in request["topics"]]}


def _init_producer_id(_request: Message, top: Message) -> Message:
    return {**top, "producer_epoch": -1}


def _describe_cluster(_request: Message, top: Message) -> Message:
    return {**top, "cluster_id": ""}


_SHAPES: dict[int, Callable[[Message, Message], Message]] = {
    3: _metadata,
    20: _delete_topics,
    22: _init_producer_id,
    60: _describe_cluster,
    75: _describe_topic_partitions,
}
