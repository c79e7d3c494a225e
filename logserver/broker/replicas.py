"""ElectLeaders (API 43), reassignments (45, 46), AlterReplicaLogDirs (34): moving what cannot move.

Every partition has one replica, on this broker, in its one log directory. So nothing here changes
anything, and every answer says truthfully which of Kafka's cases that is: the leader is elected
already, the replica is where it is asked to be, the other broker or directory does not exist.

Codes and sentences as Apache Kafka 4.3.1 gives them on a single node (ReplicationControlManager,
ReplicaManager, ElectLeadersRequest).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.create_topics import require_own_replica
from logserver.broker.topic_names import NAME_LENGTH_MAX
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.image import Image
    from logserver.broker.peer import Context

PREFERRED, UNCLEAN = 0, 1


def handle_elect_leaders(broker: Broker, request: Message, _context: Context) -> Message:
    """No election is needed anywhere; asked for all partitions, none is named."""
    wanted, kind = request["topic_partitions"], request.get("election_type", PREFERRED)
    refusal = None
    if kind not in (PREFERRED, UNCLEAN):
        refusal = Refusal(errors.INVALID_REQUEST, f"Unknown election type {kind}")
    if wanted is None:
        topics = [] if refusal else broker.image.topics_by_name
        wanted = [{"topic": name, "partitions": []} for name in topics]
    return {
        "error_code": errors.NONE if refusal is None else refusal.code,
        "replica_election_results": [
            {
                "topic": item["topic"],
                "partition_result": [
                    _elected(index, refusal or _election(broker.image, item["topic"], index))
                    for index in item["partitions"]
                ],
            }
            for item in wanted
        ],
    }


def _election(image: Image, name: str, index: int) -> Refusal:
    """Why no election takes place."""
    topic = image.topics_by_name.get(name)
    if topic is None:
        sentence = f"No such topic as {name[:NAME_LENGTH_MAX]}"  # told for each partition
        return Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, sentence)
    if index not in topic.partitions:
        return Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, f"No such partition as {name}-{index}")
    sentence = "Leader election not needed for topic partition."
    return Refusal(errors.ELECTION_NOT_NEEDED, sentence)


def _elected(index: int, refusal: Refusal) -> Message:
    return {
        "partition_id": index,
        "error_code": refusal.code,
        "error_message": refusal.message,
    }


def handle_alter_partition_reassignments(
    broker: Broker, request: Message, _context: Context
) -> Message:
    """A partition may be asked to be where it is; nothing else can be done, or cancelled."""
    return {
        "allow_replication_factor_change": request.get("allow_replication_factor_change", True),
        "error_code": errors.NONE,
        "error_message": None,
        "responses": [
            {
                "name": topic["name"],
                "partitions": [
                    _reassigned(broker, topic["name"], partition)
                    for partition in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ],
    }


def _reassigned(broker: Broker, name: str, wanted: Message) -> Message:
    index = wanted["partition_index"]
    code, message = errors.NONE, None
    try:
        _require_reassignable(broker, name, index, wanted["replicas"])
    except Refusal as refusal:
        code = refusal.code
        message = None if code == errors.NO_REASSIGNMENT_IN_PROGRESS else refusal.message
    return {"partition_index": index, "error_code": code, "error_message": message}


def _require_reassignable(
    broker: Broker, name: str, index: int, replicas: list[int] | None
) -> None:
    topic = broker.image.topics_by_name.get(name)
    if topic is None:
        sentence = f"Unable to find a topic named {name[:NAME_LENGTH_MAX]}."
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, sentence)
    if index not in topic.partitions:
        sentence = f"Unable to find partition {name}:{index}."
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, sentence)
    if replicas is None:
        raise Refusal(errors.NO_REASSIGNMENT_IN_PROGRESS)
    require_own_replica(broker, replicas)


def handle_list_partition_reassignments(
    _broker: Broker, _request: Message, _context: Context
) -> Message:
    """None is ever under way."""
    return {"error_code": errors.NONE, "error_message": None, "topics": []}


def handle_alter_replica_log_dirs(broker: Broker, request: Message, _context: Context) -> Message:
    """A partition may be asked to be in the directory that holds it."""
    codes: dict[str, dict[int, int]] = {}
    for directory in request["dirs"]:
        for topic in directory["topics"]:
            for index in topic["partitions"]:
                of_topic = codes.setdefault(topic["name"], {})
                of_topic[index] = _move_code(broker, directory["path"], topic["name"], index)
    return {
        "results": [
            {
                "topic_name": name,
                "partitions": [
                    {"partition_index": index, "error_code": code}
                    for index, code in of_topic.items()
                ],
            }
            for name, of_topic in codes.items()
        ]
    }


def _move_code(broker: Broker, path: str, name: str, index: int) -> int:
    if path != broker.config.data_dir:
        return errors.LOG_DIR_NOT_FOUND
    if broker.directory.fenced:
        return errors.KAFKA_STORAGE_ERROR
    if index not in broker.routes.get(name, {}):
        return errors.UNKNOWN_TOPIC_OR_PARTITION
    return errors.NONE
