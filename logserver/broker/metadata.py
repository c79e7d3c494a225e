"""Metadata (API 3), DescribeCluster (60), DescribeTopicPartitions (75): who has what, and where.

Three rules hold for every answer here.

- The address is one the client can reach: the advertised listener of the name it came in by, else
  our end of its own connection. A wrong address here is the classic way to break every client.
- The cluster id is never null, and the controller is a broker of the list: tools connect to it.
- The leader comes from the image, even on a single broker.

Creation on demand (`auto.create.topics.enable`) happens inside Metadata, as Kafka does it, when
the client allows it. Kafka answers UNKNOWN_TOPIC_OR_PARTITION first and lets the client ask again;
here the topic is in the same answer, which then waits for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.create_topics import NO_TOPIC_ID, create_on_demand
from logserver.broker.topic_names import is_internal, refusal_of
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.image import Topic, TopicPartition
    from logserver.broker.peer import Context

# Operations as bits of their AclOperation code. Nobody is refused anything, so all are set.
# Topic: read 3, write 4, create 5, delete 6, alter 7, describe 8, describe and alter configs 10 11.
TOPIC_OPERATIONS = sum(1 << code for code in (3, 4, 5, 6, 7, 8, 10, 11))
# Cluster: create 5, alter 7, describe 8, cluster action 9, configs 10 11, idempotent write 12.
CLUSTER_OPERATIONS = sum(1 << code for code in (5, 7, 8, 9, 10, 11, 12))
NOT_ASKED = -(2**31)

BROKER_ENDPOINTS = 1
CONTROLLER_ENDPOINTS = 2
ALL_TOPICS_EMPTY_VERSION = 0  # version 0 asks for all topics by an empty list, later ones by null
TOPIC_ID_LOOKUP_VERSION = 12  # versions 10 and 11 carry topic ids that nobody may use


def address(broker: Broker, context: Context) -> tuple[str, int]:
    """Host and port to tell this client."""
    return broker.config.advertised(context.listener) or context.local_address


def leader_epoch(broker: Broker, topic: Topic, partition: TopicPartition) -> int:
    """The epoch that the partition's log stamps now; the record's while the log is not open."""
    served = broker.partitions.get((topic.topic_id, partition.index))
    return partition.leader_epoch if served is None else served.log.leader_epoch


def handle_metadata(broker: Broker, request: Message, context: Context) -> Message:
    """Brokers, controller and the topics asked for; creates missing ones where allowed."""
    host, port = address(broker, context)
    node = {
        "node_id": broker.config.node_id,
        "host": host,
        "port": port,
        "rack": broker.config.broker_rack,
    }
    operations = NOT_ASKED
    if request.get("include_cluster_authorized_operations"):
        operations = CLUSTER_OPERATIONS
    return {
        "brokers": [node],
        "cluster_id": broker.cluster_id,
        "controller_id": broker.config.node_id,
        "topics": _topics(broker, request, context),
        "cluster_authorized_operations": operations,
    }


def _topics(broker: Broker, request: Message, context: Context) -> list[Message]:
    wanted, version = request["topics"], context.api_version
    asked = bool(request.get("include_topic_authorized_operations"))
    if wanted is None or (version == ALL_TOPICS_EMPTY_VERSION and not wanted):
        topics = broker.image.topics.values()
        return [_topic_answer(broker, topic, asked) for topic in topics]
    if version < TOPIC_ID_LOOKUP_VERSION and any(_has_id(item) for item in wanted):
        sentence = "Topic IDs are not supported in requests for versions 10 and 11."
        raise Refusal(errors.INVALID_REQUEST, sentence)
    # As in Kafka, ids win: a request that has some is answered by ids alone.
    ids = dict.fromkeys(bytes(item["topic_id"]) for item in wanted if _has_id(item))
    if ids:
        return [_answer_by_id(broker, topic_id, asked) for topic_id in ids]
    names = dict.fromkeys(item["name"] for item in wanted)
    refused = _create_missing(broker, list(names), request, context)
    return [_answer_by_name(broker, name, refused.get(name), asked) for name in names]


def _has_id(item: Message) -> bool:
    return item["name"] is None or bytes(item.get("topic_id", NO_TOPIC_ID)) != NO_TOPIC_ID


def _answer_by_id(broker: Broker, topic_id: bytes, asked: bool) -> Message:
    topic = broker.image.topics.get(topic_id)
    if topic is not None:
        return _topic_answer(broker, topic, asked)
    # Kafka tells what is allowed on a missing name, and nothing of a missing id.
    return _refused_topic(None, topic_id, errors.UNKNOWN_TOPIC_ID, asked=False)


def _create_missing(
    broker: Broker, names: list[str], request: Message, context: Context
) -> dict[str, Refusal]:
    """Create the topics that are missing and may be; what was refused, by name."""
    # Before version 4 a client could not say whether it allows creation, and meant yes.
    allowed = request.get("allow_auto_topic_creation", True)
    if not (allowed and broker.config.auto_create_topics_enable):
        return {}
    missing = [
        name
        for name in names
        if name not in broker.image.topics_by_name
        and not is_internal(name)
        and refusal_of(name) is None
    ]
    return create_on_demand(broker, missing, context) if missing else {}


def _answer_by_name(broker: Broker, name: str, refusal: Refusal | None, asked: bool) -> Message:
    topic = broker.image.topics_by_name.get(name)
    if topic is not None:
        return _topic_answer(broker, topic, asked)
    if refusal is not None:
        return _refused_topic(name, NO_TOPIC_ID, refusal.code, asked)
    return _missing_topic(name, asked)


def _refused_topic(name: str | None, topic_id: bytes, code: int, asked: bool) -> Message:
    return {
        "error_code": code,
        "name": name,
        "topic_id": topic_id,
        "is_internal": name is not None and is_internal(name),
        "partitions": [],
        "topic_authorized_operations": TOPIC_OPERATIONS if asked else NOT_ASKED,
    }


def _topic_answer(broker: Broker, topic: Topic, asked: bool) -> Message:
    return {
        "error_code": errors.NONE,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": is_internal(topic.name),
        "partitions": [
            _partition_answer(broker, topic, partition) for partition in topic.partitions.values()
        ],
        "topic_authorized_operations": TOPIC_OPERATIONS if asked else NOT_ASKED,
    }


def _partition_answer(broker: Broker, topic: Topic, partition: TopicPartition) -> Message:
    return {
        "error_code": errors.NONE,
        "partition_index": partition.index,
        "leader_id": partition.leader,
        "leader_epoch": leader_epoch(broker, topic, partition),
        "replica_nodes": partition.replicas,
        "isr_nodes": partition.replicas,
        "offline_replicas": [],
    }


def handle_describe_cluster(broker: Broker, request: Message, context: Context) -> Message:
    """The brokers of the cluster; asking this listener for controllers is refused."""
    endpoint_type = request.get("endpoint_type", BROKER_ENDPOINTS)
    if endpoint_type == CONTROLLER_ENDPOINTS:
        sentence = (
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type "
            "CONTROLLER"
        )
        raise Refusal(errors.MISMATCHED_ENDPOINT_TYPE, sentence)
    if endpoint_type != BROKER_ENDPOINTS:
        sentence = f"Unsupported endpoint type {endpoint_type}"
        raise Refusal(errors.UNSUPPORTED_ENDPOINT_TYPE, sentence)
    host, port = address(broker, context)
    asked = request.get("include_cluster_authorized_operations")
    return {
        "error_code": errors.NONE,
        "error_message": None,
        "endpoint_type": BROKER_ENDPOINTS,
        "cluster_id": broker.cluster_id,
        "controller_id": broker.config.node_id,
        "brokers": [
            {
                "broker_id": broker.config.node_id,
                "host": host,
                "port": port,
                "rack": broker.config.broker_rack,
                "is_fenced": False,
            }
        ],
        "cluster_authorized_operations": CLUSTER_OPERATIONS if asked else NOT_ASKED,
    }


def handle_describe_topic_partitions(
    broker: Broker, request: Message, _context: Context
) -> Message:
    """Topics in name order with at most a page of partitions; the cursor says where to go on."""
    names = sorted({topic["name"] for topic in request["topics"]} or broker.image.topics_by_name)
    first_name, first_index = _start(request)
    page = min(request["response_partition_limit"], broker.config.max_request_partition_size_limit)
    left = max(1, page)
    answers: list[Message] = []
    for name in names:
        if name < first_name:
            continue
        start = first_index if name == first_name else 0
        topic = broker.image.topics_by_name.get(name)
        if topic is None:
            answers.append(_missing_topic(name, asked=True))
            continue
        if left <= 0:
            return _page(answers, {"topic_name": name, "partition_index": start})
        indexes = range(start, min(start + left, len(topic.partitions)))
        answers.append(_described(broker, topic, indexes))
        left -= len(indexes)
        if indexes.stop < len(topic.partitions):
            return _page(answers, {"topic_name": name, "partition_index": indexes.stop})
    return _page(answers, None)


def _start(request: Message) -> tuple[str, int]:
    """Topic and partition to begin with."""
    cursor = request["cursor"]
    if cursor is None:
        return "", 0
    name, index = cursor["topic_name"], cursor["partition_index"]
    if index < 0:
        sentence = f"DescribeTopicPartitionsRequest cursor partition must be valid: {cursor}"
        raise Refusal(errors.INVALID_REQUEST, sentence)
    if request["topics"] and all(topic["name"] != name for topic in request["topics"]):
        sentence = (
            f"DescribeTopicPartitionsRequest topic list should contain the cursor topic: {name}"
        )
        raise Refusal(errors.INVALID_REQUEST, sentence)
    return name, index


def _missing_topic(name: str, asked: bool) -> Message:
    illegal = refusal_of(name) is not None
    code = errors.INVALID_TOPIC_EXCEPTION if illegal else errors.UNKNOWN_TOPIC_OR_PARTITION
    return _refused_topic(name, NO_TOPIC_ID, code, asked)


def _described(broker: Broker, topic: Topic, indexes: range) -> Message:
    return {
        "error_code": errors.NONE,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": is_internal(topic.name),
        # Empty, never null: Java's TopicCommand dereferences both.
        "partitions": [
            {
                **_partition_answer(broker, topic, topic.partitions[index]),
                "eligible_leader_replicas": [],
                "last_known_elr": [],
            }
            for index in indexes
        ],
        "topic_authorized_operations": TOPIC_OPERATIONS,
    }


def _page(answers: list[Message], next_cursor: Message | None) -> Message:
    return {"topics": answers, "next_cursor": next_cursor}
