"""CreateTopics (API 19), and the steps of making and removing topics that others share.

Order of a creation: the batch of records first, the directories after it. A kill between the two
leaves a topic whose directories are made at the next start; a power cut may leave any mixture, and
directories that no record names are set aside at the next start (`directories.reconcile`). If a
directory cannot be made, the topic is removed again by a second batch before the answer.

Order of a removal: the record first, then the directories are renamed to `<name>.<id>-delete`. A
power cut that keeps the renaming and loses the record (both were unsynced) is mended at the next
start by renaming back, so nothing is half deleted either.

Codes and sentences as Apache Kafka 4.3.1 gives them (ReplicationControlManager, ControllerApis).
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from logserver.broker.describe_configs import topic_entries
from logserver.broker.image import TOPIC_RESOURCE, Topic
from logserver.broker.metadata_log import METADATA_TOPIC, change, storage_refusal
from logserver.broker.topic_names import refusal_of, unified
from logserver.config import ConfigError, topic_config
from logserver.storage.checkpoint import CheckpointError, new_uuid
from logserver.storage.creation import SIDE_BY_SIDE_COUNT_MIN, make_directories
from logserver.storage.failure import StorageError
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.metadata_log import ChangeRecord
    from logserver.broker.peer import Context

logger = logging.getLogger(__name__)

NO_TOPIC_ID = bytes(16)
STORAGE_ERRORS = (OSError, StorageError, CheckpointError)
REPLICAS = 1
# Kafka's bound on one request (QuorumController.MAX_RECORDS_PER_USER_OP), same code and sentence.
REQUEST_PARTITIONS_MAX = 10_000
TOO_MANY = "Excessively large number of partitions per request."


class NewTopic:
    """A topic that was validated and has an id, but no record yet."""

    __slots__ = ("configs", "name", "partition_count", "topic_id")

    def __init__(
        self, name: str, topic_id: bytes, partition_count: int, configs: dict[str, str]
    ) -> None:
        self.name = name
        self.topic_id = topic_id
        self.partition_count = partition_count
        self.configs = configs

    def records(self, node_id: int) -> list[ChangeRecord]:
        """The topic, its configuration and its partitions, in Kafka's order."""
        topic: ChangeRecord = ("TopicRecord", 0, {"name": self.name, "topic_id": self.topic_id})
        configs: list[ChangeRecord] = [
            (
                "ConfigRecord",
                0,
                {
                    "resource_type": TOPIC_RESOURCE,
                    "resource_name": self.name,
                    "name": name,
                    "value": value,
                },
            )
            for name, value in self.configs.items()
        ]
        partitions = [
            partition_record(self.topic_id, index, node_id) for index in range(self.partition_count)
        ]
        return [topic, *configs, *partitions]


def partition_record(topic_id: bytes, index: int, node_id: int) -> ChangeRecord:
    """The record of a new partition, owned by this broker."""
    fields = {
        "partition_id": index,
        "topic_id": topic_id,
        "replicas": [node_id],
        "isr": [node_id],
        "removing_replicas": [],
        "adding_replicas": [],
        "leader": node_id,
        "leader_epoch": 0,
        "partition_epoch": 0,
    }
    return ("PartitionRecord", 0, fields)


def handle_create_topics(broker: Broker, request: Message, context: Context) -> Message:
    """Create topics, or only validate them; one batch of records for the whole request."""
    counts = Counter(topic["name"] for topic in request["topics"])
    plan = Plan(broker)
    refused: dict[str, Refusal] = {}
    for creatable in request["topics"]:
        name = creatable["name"]
        try:
            if counts[name] > 1:
                raise Refusal(errors.INVALID_REQUEST, "Duplicate topic name.")
            plan.require_free(name)
            configs = _configs(broker, creatable)
            plan.add(name, _count(broker, creatable), configs)
        except Refusal as refusal:
            refused[name] = refusal
    planned = plan.topics
    if plan.partition_count > REQUEST_PARTITIONS_MAX:
        refused.update((name, Refusal(errors.POLICY_VIOLATION, TOO_MANY)) for name in planned)
        planned = {}
    if not request["validate_only"]:
        refused.update(create(broker, planned, context))
    results = []
    for name in counts:
        if name in refused:
            results.append(_refused_result(name, refused[name]))
        else:
            results.append(_created_result(broker, planned[name]))
    return {"topics": results}


class Plan:
    """The topics of one request that may be created; each is checked against all before it."""

    __slots__ = ("_broker", "_taken", "partition_count", "topics")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._taken = {unified(name): name for name in broker.image.topics_by_name}
        self.topics: dict[str, NewTopic] = {}
        self.partition_count = 0

    def require_free(self, name: str) -> None:
        """Refuse a name that cannot be created."""
        if name == METADATA_TOPIC:
            sentence = f"Creation of internal topic {METADATA_TOPIC} is prohibited."
            raise Refusal(errors.INVALID_REQUEST, sentence)
        illegal = refusal_of(name)
        if illegal is not None:
            raise Refusal(errors.INVALID_TOPIC_EXCEPTION, illegal)
        if name in self._broker.image.topics_by_name:
            raise Refusal(errors.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        other = self._taken.get(unified(name))
        if other is not None:
            sentence = f"Topic '{name}' collides with existing topic: {other}"
            raise Refusal(errors.INVALID_TOPIC_EXCEPTION, sentence)

    def add(self, name: str, partition_count: int, configs: dict[str, str]) -> NewTopic:
        """Plan a topic that was checked; refuses it beyond the limit of partitions."""
        require_room(self._broker, partition_count, self.partition_count)
        topic = NewTopic(name, new_topic_id(self._broker), partition_count, configs)
        self.topics[name] = topic
        self._taken[unified(name)] = name
        self.partition_count += partition_count
        return topic


def _count(broker: Broker, creatable: Message) -> int:
    if creatable["assignments"]:
        return _assigned_count(broker, creatable)
    return _partition_count(broker, creatable)


def _configs(broker: Broker, creatable: Message) -> dict[str, str]:
    nulls = [config["name"] for config in creatable["configs"] if config["value"] is None]
    if nulls:
        sentence = f"Null value not supported for topic configs: {','.join(nulls)}"
        raise Refusal(errors.INVALID_CONFIG, sentence)
    configs = {config["name"]: config["value"] for config in creatable["configs"]}
    try:
        topic_config(broker.config, configs)
    except ConfigError as error:
        raise Refusal(errors.INVALID_CONFIG, str(error)) from None
    return configs


def _partition_count(broker: Broker, creatable: Message) -> int:
    factor, count = creatable["replication_factor"], creatable["num_partitions"]
    if factor < -1 or factor == 0:
        sentence = "Replication factor must be larger than 0, or -1 to use the default value."
        raise Refusal(errors.INVALID_REPLICATION_FACTOR, sentence)
    if count < -1 or count == 0:
        sentence = "Number of partitions was set to an invalid non-positive value."
        raise Refusal(errors.INVALID_PARTITIONS, sentence)
    if factor > max(REPLICAS, broker.config.replication_factor_max):
        sentence = (
            f"Unable to replicate the partition {factor} time(s): The target replication factor "
            f"of {factor} cannot be reached because only 1 broker(s) are registered."
        )
        raise Refusal(errors.INVALID_REPLICATION_FACTOR, sentence)
    if count > REQUEST_PARTITIONS_MAX:
        raise Refusal(errors.POLICY_VIOLATION, TOO_MANY)
    if factor > REPLICAS:
        logger.warning("%s: %d replicas were asked for, 1 is kept", creatable["name"], factor)
    return broker.config.num_partitions if count == -1 else int(count)


def _assigned_count(broker: Broker, creatable: Message) -> int:
    """The number of partitions of a manual assignment, which can only name this broker."""
    if creatable["replication_factor"] != -1:
        sentence = (
            "A manual partition assignment was specified, but replication factor was not set to -1."
        )
        raise Refusal(errors.INVALID_REQUEST, sentence)
    if creatable["num_partitions"] != -1:
        sentence = (
            "A manual partition assignment was specified, but numPartitions was not set to -1."
        )
        raise Refusal(errors.INVALID_REQUEST, sentence)
    indexes: set[int] = set()
    for assignment in creatable["assignments"]:
        index = assignment["partition_index"]
        if index in indexes:
            sentence = f"Found multiple manual partition assignments for partition {index}"
            raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)
        indexes.add(index)
    if indexes != set(range(len(indexes))):
        sentence = "partitions should be a consecutive 0-based integer sequence"
        raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)
    require_assignments(broker, creatable["name"], creatable["assignments"])
    return len(indexes)


def require_assignments(broker: Broker, name: str, assignments: list[Message]) -> None:
    """Refuse a topic's manual assignments that name anything but this broker.

    Where `logserver.replication.factor.max` is N > 1, N brokers are taken for granted, numbered
    from 0 or from 1; one replica is kept, here, and a warning says so.
    """
    limit = broker.config.replication_factor_max
    kept = False
    for assignment in assignments:
        broker_ids = assignment["broker_ids"]
        distinct = {broker_id for broker_id in broker_ids if 0 <= broker_id <= limit}
        if limit > REPLICAS and 0 < len(distinct) == len(broker_ids) <= limit:
            kept = kept or broker_ids != [broker.config.node_id]
        else:
            require_own_replica(broker, broker_ids)
    if kept:
        logger.warning("%s: other brokers were named, one replica is kept here", name)


def require_own_replica(broker: Broker, broker_ids: list[int]) -> None:
    """Refuse replicas of a manual assignment that are not exactly this broker."""
    start = "The manual partition assignment includes"
    if not broker_ids:
        sentence = f"{start} an empty replica list."
        raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)
    for broker_id in sorted(broker_ids):
        if broker_id != broker.config.node_id:
            sentence = f"{start} broker {broker_id}, but no such broker is registered."
            raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)
    if len(broker_ids) > REPLICAS:
        sentence = f"{start} the broker {broker_ids[0]} more than once."
        raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)


def require_room(broker: Broker, additional: int, planned: int = 0) -> None:
    """Refuse partitions beyond `logserver.partitions.max`, `planned` ones counted as there."""
    limit = broker.config.partitions_max
    if len(broker.partitions) + planned + additional > limit:
        sentence = f"{additional} more partition(s) would exceed logserver.partitions.max ({limit})"
        raise Refusal(errors.POLICY_VIOLATION, sentence)


def new_topic_id(broker: Broker) -> bytes:
    """An id that no topic has."""
    return new_uuid(broker.random, broker.image.topics)


def create(broker: Broker, planned: dict[str, NewTopic], context: Context) -> dict[str, Refusal]:
    """Write the records of the planned topics and make their partitions; what failed, by name."""
    if not planned:
        return {}
    node_id = broker.config.node_id
    records = [record for topic in planned.values() for record in topic.records(node_id)]
    try:
        change(broker, records, context)
    except Refusal as unwritten:
        return dict.fromkeys(planned, unwritten)
    topics = [broker.image.topics[topic.topic_id] for topic in planned.values()]
    try:
        prepare_directories(broker, [(topic, 0) for topic in topics])
    except STORAGE_ERRORS as error:
        refusal = storage_refusal("make partition directories", error)
        _take_back(broker, topics, context)
        return dict.fromkeys(planned, refusal)
    refused = {}
    for topic in topics:
        try:
            open_partitions(broker, topic, 0, context)
        except STORAGE_ERRORS as error:
            refused[topic.name] = storage_refusal(f"make the partitions of {topic.name}", error)
            _take_back(broker, [topic], context)
    return refused


def prepare_directories(broker: Broker, wanted: list[tuple[Topic, int]]) -> None:
    """Make the directories of topics' new partitions, each from an index on, side by side.

    Only where there are many: of few, opening makes each by itself. Raises STORAGE_ERRORS.
    """
    topic_ids = {
        f"{topic.name}-{index}": topic.topic_id
        for topic, first in wanted
        for index in range(first, len(topic.partitions))
    }
    if len(topic_ids) >= SIDE_BY_SIDE_COUNT_MIN:
        directory = broker.directory
        directory.check_writable()
        make_directories(directory.files, directory.path, topic_ids)


def open_partitions(broker: Broker, topic: Topic, first: int, context: Context) -> None:
    """Serve a topic's new partitions from index `first` on. Raises STORAGE_ERRORS."""
    for index in range(first, len(topic.partitions)):
        broker.create_partition(topic, index, context.now_ms)


def _take_back(broker: Broker, topics: list[Topic], context: Context) -> None:
    # Where that fails the topics stay, without partitions that are served, until the next start.
    with suppress(Refusal):
        remove(broker, topics, context)


def remove(broker: Broker, topics: list[Topic], context: Context) -> None:
    """Remove topics in one batch, then set their directories aside. Raises Refusal."""
    records: list[ChangeRecord] = [
        ("RemoveTopicRecord", 0, {"topic_id": topic.topic_id}) for topic in topics
    ]
    if not records:
        return
    change(broker, records, context)
    broker.coordinators.topics_deleted(topics, context.now_ms)
    for topic in topics:
        for index in topic.partitions:
            if (topic.topic_id, index) in broker.partitions:
                _drop(broker, topic, index, context.now_ms)


def _drop(broker: Broker, topic: Topic, index: int, now_ms: int) -> None:
    try:
        broker.drop_partition(topic.topic_id, index, now_ms)
    except OSError as error:
        # The record stands: the next start sets the directory aside.
        logger.error("cannot set aside the directory of %s-%d: %s", topic.name, index, error)


def _refused_result(name: str, refusal: Refusal) -> Message:
    return {
        "name": name,
        "topic_id": NO_TOPIC_ID,
        "error_code": refusal.code,
        "error_message": refusal.message,
        "num_partitions": -1,
        "replication_factor": -1,
        "configs": [],
    }


def _created_result(broker: Broker, topic: NewTopic) -> Message:
    entries = topic_entries(broker.config, broker.image, topic.configs)
    return {
        "name": topic.name,
        "topic_id": topic.topic_id,
        "error_code": errors.NONE,
        "error_message": None,
        "topic_config_error_code": errors.NONE,
        "num_partitions": topic.partition_count,
        "replication_factor": REPLICAS,
        # Never null: the Java admin client dereferences it.
        "configs": [
            {
                "name": entry.key.name,
                "value": entry.value,
                "read_only": False,
                "config_source": entry.source,
                "is_sensitive": False,
            }
            for entry in entries
        ],
    }


def create_on_demand(broker: Broker, names: list[str], context: Context) -> dict[str, Refusal]:
    """Create topics as the broker's defaults have them (auto.create.topics.enable), in one batch.

    What could not be created, by name.
    """
    plan = Plan(broker)
    refused: dict[str, Refusal] = {}
    for name in names:
        try:
            plan.require_free(name)
            plan.add(name, broker.config.num_partitions, {})
        except Refusal as refusal:
            refused[name] = refusal
    refused.update(create(broker, plan.topics, context))
    return refused
