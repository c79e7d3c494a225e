"""DeleteTopics (API 20) and CreatePartitions (API 37); creation is in `create_topics`.

Deletion by name or, from version 6, by id: an id can not hit a topic that was created meanwhile
under the same name. A topic may not be named twice in a request, in either way.

Growing a topic moves no data: records keep their partition, keys may map to another one from now
on. Shrinking is refused.

Codes and sentences as Apache Kafka 4.3.1 gives them (ControllerApis, ReplicationControlManager).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from logserver.broker.create_topics import (
    NO_TOPIC_ID,
    STORAGE_ERRORS,
    open_partitions,
    partition_record,
    prepare_directories,
    remove,
    require_assignments,
    require_room,
)
from logserver.broker.metadata_log import change, storage_refusal
from logwire import errors
from logwire.errors import ERRORS, Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.image import Image, Topic
    from logserver.broker.peer import Context

# The first version with an error code of its own for a broker that deletes nothing.
TOPIC_DELETION_DISABLED_SINCE = 3


class Wanted:
    """One topic of a delete request: `name` or `topic_id` is given, `refusal` says why not."""

    __slots__ = ("name", "refusal", "topic", "topic_id")

    def __init__(self, name: str | None, topic_id: bytes) -> None:
        self.name = name
        self.topic_id = topic_id
        self.topic: Topic | None = None
        self.refusal: Refusal | None = None


def handle_delete_topics(broker: Broker, request: Message, context: Context) -> Message:
    """Remove topics; their directories go `file.delete.delay.ms` later."""
    if not broker.config.delete_topic_enable:
        if context.api_version < TOPIC_DELETION_DISABLED_SINCE:
            raise Refusal(errors.INVALID_REQUEST, "Topic deletion is disabled.")
        raise Refusal(errors.TOPIC_DELETION_DISABLED)
    wanted = _wanted(request)
    for item in wanted:
        if item.refusal is None:
            _resolve(broker.image, item)
    wanted = _without_doubles(wanted)
    topics = [item.topic for item in wanted if item.topic is not None and item.refusal is None]
    try:
        remove(broker, topics, context)
    except Refusal as refusal:
        for item in wanted:
            item.refusal = item.refusal or refusal
    return {"responses": [_deleted_result(item) for item in wanted]}


def _wanted(request: Message) -> list[Wanted]:
    """Every distinct topic of the request; what names it twice or not at all is refused."""
    pairs: list[tuple[str | None, bytes]]
    pairs = [(name, NO_TOPIC_ID) for name in request.get("topic_names") or ()]
    pairs += [(topic["name"], bytes(topic["topic_id"])) for topic in request.get("topics") or ()]
    wanted = []
    for (name, topic_id), count in Counter(pairs).items():
        item = Wanted(name, topic_id)
        wanted.append(item)
        if name is None and topic_id == NO_TOPIC_ID:
            item.refusal = _invalid("Neither topic name nor id were specified.")
        elif name is not None and topic_id != NO_TOPIC_ID:
            item.refusal = _invalid("You may not specify both topic name and topic id.")
        elif count > 1:
            item.refusal = _invalid(f"Duplicate topic {'id' if name is None else 'name'}.")
    return wanted


def _invalid(sentence: str) -> Refusal:
    return Refusal(errors.INVALID_REQUEST, sentence)


def _resolve(image: Image, item: Wanted) -> None:
    if item.name is None:
        item.topic = image.topics.get(item.topic_id)
        missing = errors.UNKNOWN_TOPIC_ID
    else:
        item.topic = image.topics_by_name.get(item.name)
        missing = errors.UNKNOWN_TOPIC_OR_PARTITION
    if item.topic is None:
        item.refusal = Refusal(missing, ERRORS[missing].message)
    else:
        item.name, item.topic_id = item.topic.name, item.topic.topic_id


def _without_doubles(wanted: list[Wanted]) -> list[Wanted]:
    """A topic that was given by id and by name is answered once, and refused."""
    kept: dict[object, Wanted] = {}
    for item in wanted:
        double = item.topic is not None and item.topic_id in kept
        if double:
            item.refusal = _invalid(
                "The provided topic name maps to an ID that was already supplied."
            )
        kept[item if item.topic is None else item.topic_id] = item
    return list(kept.values())


def _deleted_result(item: Wanted) -> Message:
    code = errors.NONE if item.refusal is None else item.refusal.code
    message = None if item.refusal is None else item.refusal.message
    return {
        "name": item.name,
        "topic_id": item.topic_id,
        "error_code": code,
        "error_message": message,
    }


def handle_create_partitions(broker: Broker, request: Message, context: Context) -> Message:
    """Give topics more partitions; one batch of records a topic."""
    counts = Counter(topic["name"] for topic in request["topics"])
    results = []
    for name, wanted in {topic["name"]: topic for topic in request["topics"]}.items():
        code, message = errors.NONE, None
        try:
            if counts[name] > 1:
                raise _invalid("Duplicate topic name.")
            additional = _additional(broker, wanted)
            if not request["validate_only"]:
                _grow(broker, broker.image.topics_by_name[name], additional, context)
        except Refusal as refusal:
            code, message = refusal.code, refusal.message
        results.append({"name": name, "error_code": code, "error_message": message})
    return {"results": results}


def _additional(broker: Broker, wanted: Message) -> int:
    """How many partitions the topic is to gain; raises Refusal."""
    name, count = wanted["name"], wanted["count"]
    topic = broker.image.topics_by_name.get(name)
    if topic is None:
        raise Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION)
    present = len(topic.partitions)
    if count == present:
        sentence = f"Topic already has {present} partition(s)."
        raise Refusal(errors.INVALID_PARTITIONS, sentence)
    if count < present:
        sentence = (
            f"The topic {name} currently has {present} partition(s); {count} would not be an "
            "increase."
        )
        raise Refusal(errors.INVALID_PARTITIONS, sentence)
    additional = int(count) - present
    assignments = wanted["assignments"]
    if assignments is not None:
        if len(assignments) != additional:
            sentence = (
                f"Attempted to add {additional} additional partition(s), but only "
                f"{len(assignments)} assignment(s) were specified."
            )
            raise Refusal(errors.INVALID_REPLICA_ASSIGNMENT, sentence)
        require_assignments(broker, name, assignments)
    require_room(broker, additional)
    return additional


def _grow(broker: Broker, topic: Topic, additional: int, context: Context) -> None:
    first = len(topic.partitions)
    records = [
        partition_record(topic.topic_id, index, broker.config.node_id)
        for index in range(first, first + additional)
    ]
    change(broker, records, context)
    try:
        prepare_directories(broker, [(topic, first)])
        open_partitions(broker, topic, first, context)
    except STORAGE_ERRORS as error:
        raise storage_refusal(f"grow {topic.name}", error) from None
