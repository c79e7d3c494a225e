"""FindCoordinator (API 10): who looks after a group. It is this broker, and makes room for groups.

`__consumer_offsets` is made here, when somebody first looks for a group's coordinator; the answer
waits until the topic is durable. Kafka answers COORDINATOR_NOT_AVAILABLE first and lets the client
ask again.

A transactional id hears TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients take for fatal:
retrying would look like a hanging broker, and transactions are not "not yet available". A share
group's key (type 2, asked for by brokers only) hears INVALID_REQUEST, as in a Kafka without a share
coordinator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.create_topics import NewTopic, create, new_topic_id, require_room
from logserver.broker.groups.coordinators import OFFSETS_TOPIC
from logserver.broker.metadata import address
from logwire import errors
from logwire.errors import ERRORS, Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

GROUP_KEY, TRANSACTION_KEY = 0, 1
BATCHED_SINCE = 4
# offsets.topic.segment.bytes may be smaller, as in Kafka; segment.bytes of a topic may not.
SEGMENT_BYTES_MIN = 1_048_576


def handle_find_coordinator(broker: Broker, request: Message, context: Context) -> Message:
    """Say for each key where its coordinator is, or why there is none."""
    try:
        answer = _coordinator(broker, request.get("key_type", GROUP_KEY), context)
    except Refusal as refusal:
        answer = {
            "error_code": refusal.code,
            "error_message": ERRORS[refusal.code].message,
            "node_id": -1,
            "host": "",
            "port": -1,
        }
    if context.api_version < BATCHED_SINCE:
        return answer
    return {"coordinators": [{"key": key, **answer} for key in request["coordinator_keys"]]}


def _coordinator(broker: Broker, key_type: int, context: Context) -> Message:
    """This broker, as far as it looks after such keys. Raises Refusal."""
    if key_type == TRANSACTION_KEY:
        raise Refusal(errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if key_type != GROUP_KEY:
        raise Refusal(errors.INVALID_REQUEST)
    ensure_offsets_topic(broker, context)
    host, port = address(broker, context)
    return {
        "error_code": errors.NONE,
        "error_message": "NONE" if context.api_version < BATCHED_SINCE else "",
        "node_id": broker.config.node_id,
        "host": host,
        "port": port,
    }


def ensure_offsets_topic(broker: Broker, context: Context) -> None:
    """Make `__consumer_offsets` unless it is there. Raises Refusal.

    It is durable even where the broker's default is relaxed: a committed offset that goes back
    makes consumers read everything since then again.
    """
    if OFFSETS_TOPIC in broker.image.topics_by_name:
        return
    config = broker.config
    configs = {
        "compression.type": "producer",
        "cleanup.policy": "compact",
        "segment.bytes": str(max(config.offsets_topic_segment_bytes, SEGMENT_BYTES_MIN)),
    }
    if config.values["log.flush.interval.messages"] != 1:
        configs["flush.messages"] = "1"
    count = config.offsets_topic_num_partitions
    try:
        require_room(broker, count)
    except Refusal as refusal:
        raise Refusal(errors.COORDINATOR_NOT_AVAILABLE) from refusal
    topic = NewTopic(OFFSETS_TOPIC, new_topic_id(broker), count, configs)
    if create(broker, {OFFSETS_TOPIC: topic}, context):
        raise Refusal(errors.COORDINATOR_NOT_AVAILABLE)
