"""OffsetCommit (API 8): written to the log, then kept, then answered once it is durable.

What may be committed is found out in Kafka's order, and the codes are those of Apache Kafka 4.3.1:

1. the topic and partition exist: UNKNOWN_TOPIC_OR_PARTITION, from version 10 UNKNOWN_TOPIC_ID. A
   request without any that does is answered without asking for the group;
2. this broker has the group: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS ...;
3. the group exists, or the commit claims no generation (a "simple" consumer, an admin client):
   else ILLEGAL_GENERATION, from version 9 GROUP_ID_NOT_FOUND;
4. the group lets this member commit now: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
   ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, REBALANCE_IN_PROGRESS;
5. the text beside the offset is not too long: OFFSET_METADATA_TOO_LARGE, for its partition alone;
6. there is room for offsets that are new (ours; Kafka has no limit): INVALID_COMMIT_OFFSET_SIZE.
   Clients choose names of groups, and every offset is kept in memory for a week. Commits for what
   is already there go on.

2 to 4 and 6 refuse everything that passed 1. The module runs at some thousand requests a second:
one pass over the request, no object that the answer or the store does not need.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.groups.offset_group import OffsetGroup
from logserver.broker.groups.offset_store import NO_EXPIRY, Commit, CommittedOffset
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.image import Topic
    from logserver.broker.peer import Context

logger = logging.getLogger(__name__)

TOPIC_IDS_SINCE = 10
GROUP_ID_NOT_FOUND_SINCE = 9
NO_GENERATION = -1
NO_RETENTION = -1


def handle_offset_commit(broker: Broker, request: Message, context: Context) -> Message:
    """Commit what may be committed; each partition has its code."""
    image = broker.image
    limit = broker.config.offset_metadata_max_bytes
    now_ms = context.now_ms
    retention_ms = request.get("retention_time_ms", NO_RETENTION)
    expire_ms = NO_EXPIRY if retention_ms == NO_RETENTION else now_ms + retention_ms
    by_id = context.api_version >= TOPIC_IDS_SINCE
    answers: list[Message] = []
    accepted: list[Message] = []  # the rows that share the fate of the group's answer
    commits: list[Commit] = []
    for wanted in request["topics"]:
        rows: list[Message] = []
        topic: Topic | None
        if by_id:
            topic = image.topics.get(bytes(wanted["topic_id"]))
            answers.append({"topic_id": wanted["topic_id"], "partitions": rows})
            unknown = errors.UNKNOWN_TOPIC_ID
        else:
            topic = image.topics_by_name.get(wanted["name"])
            answers.append({"name": wanted["name"], "partitions": rows})
            unknown = errors.UNKNOWN_TOPIC_OR_PARTITION
        for partition in wanted["partitions"]:
            index = partition["partition_index"]
            row = {"partition_index": index, "error_code": errors.NONE}
            rows.append(row)
            if topic is None:
                row["error_code"] = unknown
            elif index not in topic.partitions:
                row["error_code"] = errors.UNKNOWN_TOPIC_OR_PARTITION
            else:
                accepted.append(row)
                metadata = partition["committed_metadata"] or ""
                if is_too_long(metadata, limit):
                    row["error_code"] = errors.OFFSET_METADATA_TOO_LARGE
                    continue
                epoch = partition.get("committed_leader_epoch", -1)
                offset = partition["committed_offset"]
                committed = CommittedOffset(
                    offset, epoch, metadata, now_ms, expire_ms, topic.topic_id
                )
                commits.append((topic.name, index, committed))
    if accepted:
        code = _commit(broker, request, commits, context)
        if code:
            for row in accepted:
                row["error_code"] = code
    return {"topics": answers}


def is_too_long(text: str, limit: int) -> bool:
    """Whether Java would count more than `limit` characters (UTF-16 units)."""
    length = len(text)
    return length > limit or (length * 2 > limit and len(text.encode("utf-16-be")) > limit * 2)


def _commit(broker: Broker, request: Message, commits: list[Commit], context: Context) -> int:
    """Commit these offsets of the group that the request names; NONE or the code for all."""
    group_id = request["group_id"]
    generation = request["generation_id_or_member_epoch"]
    member_id = request["member_id"]
    try:
        coordinator = broker.coordinators.holding(group_id)
    except Refusal as refusal:
        return refusal.code
    group = coordinator.groups.get(group_id)
    if group is None:
        if generation > NO_GENERATION:
            if context.api_version >= GROUP_ID_NOT_FOUND_SINCE:
                return errors.GROUP_ID_NOT_FOUND
            return errors.ILLEGAL_GENERATION
        group = OffsetGroup(group_id)
    instance_id = request.get("group_instance_id")
    version = context.api_version
    code = group.check_commit(member_id, instance_id, generation, version, commits)
    if code:
        return code
    now = broker.coordinators.now(context.now_ms)
    effects = group.committed(member_id, now)
    if effects:
        coordinator.perform(group, effects, now)
    if not commits:
        return errors.NONE
    if not _has_room(broker, coordinator, group_id, commits):
        return errors.INVALID_COMMIT_OFFSET_SIZE
    code = coordinator.commit(group, commits, context.now_ms)
    context.after_sync = True
    return code


def _has_room(
    broker: Broker, coordinator: Coordinator, group_id: str, commits: list[Commit]
) -> bool:
    """Whether these offsets may be kept: all that are there already, and others up to a limit.

    Who holds less than an equal share of the limit is not made to count what all others hold.
    """
    coordinators = broker.coordinators.by_index
    limit = broker.config.offsets_memory_max_bytes
    if coordinator.offsets.held_bytes * len(coordinators) <= limit:
        return True
    if sum(one.offsets.held_bytes for one in coordinators.values()) <= limit:
        return True
    get = coordinator.offsets.get
    if all(get(group_id, topic, index) is not None for topic, index, _ in commits):
        return True
    logger.warning(
        "group %.100s commits offsets that are new, but those there are take "
        "logserver.offsets.memory.max.bytes (%d) already: refused",
        group_id,
        limit,
    )
    return False
