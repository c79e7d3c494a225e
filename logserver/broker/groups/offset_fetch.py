"""OffsetFetch (API 9): what groups have committed, as far as it is durable.

Memory shows a commit as soon as it is in the log; a power cut could still take it back, and a
consumer that was told of it would have skipped records for the group. So an answer waits for the
group commit whenever the coordinator's partition has bytes that no sync has covered. That is also
what `require_stable` asks for; offsets of transactions that are under way do not exist yet.

An unknown group and a partition without an offset are no errors: the offset is -1. From version 8
on a request names many groups; before, its one group is the request itself, and so is its answer.
An offset that was committed for a deleted topic is not told to who asks by another topic id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.offset_store import NO_TOPIC_ID, CommittedOffset
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.offset_store import Topics
    from logserver.broker.image import Image
    from logserver.broker.peer import Context

GROUPS_SINCE = 8
TOPIC_IDS_SINCE = 10
TOP_LEVEL_ERROR_SINCE = 2
NO_OFFSET = -1


def handle_offset_fetch(broker: Broker, request: Message, context: Context) -> Message:
    """The offsets asked for; null topics mean all that the group has."""
    if context.api_version < GROUPS_SINCE:
        answer = _group_answer(broker, request, context)
        del answer["group_id"]
        return answer
    # A group is answered once, however often it is named: null topics ask for all it has.
    groups: dict[str, Message] = {}
    for wanted in request["groups"]:
        if wanted["group_id"] not in groups:
            groups[wanted["group_id"]] = _group_answer(broker, wanted, context)
    return {"groups": list(groups.values())}


def _group_answer(broker: Broker, wanted: Message, context: Context) -> Message:
    group_id = wanted["group_id"]
    answer: Message = {"group_id": group_id, "topics": []}
    try:
        coordinator = broker.coordinators.holding(group_id)
        group = coordinator.groups.get(group_id)
        if group is not None:
            epoch = wanted.get("member_epoch", -1)
            code = group.check_fetch(wanted.get("member_id"), epoch)
            if code:
                raise Refusal(code)
    except Refusal as refusal:
        if context.api_version >= TOP_LEVEL_ERROR_SINCE:
            answer["error_code"] = refusal.code
        else:
            answer["topics"] = _refused(wanted, refusal.code)
        return answer
    if coordinator.unsettled:
        context.after_sync = True
    offsets = coordinator.offsets.of_group(group_id)
    by_id = context.api_version >= TOPIC_IDS_SINCE
    if wanted["topics"] is None:
        answer["topics"] = _all_topics(broker.image, offsets, by_id)
    elif by_id:
        answers = [_topic_by_id(broker.image, offsets, topic) for topic in wanted["topics"]]
        # Kafka tells what exists first.
        answer["topics"] = sorted(answers, key=lambda a: a["topic_id"] not in broker.image.topics)
    else:
        answer["topics"] = [_topic_by_name(offsets, topic) for topic in wanted["topics"]]
    return answer


def _row(index: int, committed: CommittedOffset | None) -> Message:
    if committed is None:
        return {
            "partition_index": index,
            "committed_offset": NO_OFFSET,
            "committed_leader_epoch": -1,
            "metadata": "",
            "error_code": errors.NONE,
        }
    return {
        "partition_index": index,
        "committed_offset": committed.offset,
        "committed_leader_epoch": committed.leader_epoch,
        "metadata": committed.metadata,
        "error_code": errors.NONE,
    }


def _refused(wanted: Message, code: int) -> list[Message]:
    """Every partition asked for, with this code: version 1 has no other place for it."""
    return [
        {
            "name": topic["name"],
            "partitions": [
                {**_row(index, None), "error_code": code} for index in topic["partition_indexes"]
            ],
        }
        for topic in wanted["topics"]
    ]


def _topic_by_name(offsets: Topics, wanted: Message) -> Message:
    partitions = offsets.get(wanted["name"], {})
    rows = [_row(index, partitions.get(index)) for index in wanted["partition_indexes"]]
    return {"name": wanted["name"], "partitions": rows}


def _topic_by_id(image: Image, offsets: Topics, wanted: Message) -> Message:
    topic_id = bytes(wanted["topic_id"])
    topic = image.topics.get(topic_id)
    if topic is None:
        rows = [
            {**_row(index, None), "error_code": errors.UNKNOWN_TOPIC_ID}
            for index in wanted["partition_indexes"]
        ]
        return {"topic_id": topic_id, "partitions": rows}
    partitions = offsets.get(topic.name, {})
    rows = []
    for index in wanted["partition_indexes"]:
        committed = partitions.get(index)
        if committed is not None and committed.topic_id not in (topic_id, NO_TOPIC_ID):
            committed = None
        rows.append(_row(index, committed))
    return {"topic_id": topic_id, "partitions": rows}


def _all_topics(image: Image, offsets: Topics, by_id: bool) -> list[Message]:
    answers: list[Message] = []
    for name, partitions in offsets.items():
        rows = [_row(index, committed) for index, committed in partitions.items()]
        if not by_id:
            answers.append({"name": name, "partitions": rows})
            continue
        topic = image.topics_by_name.get(name)
        if topic is not None:  # without an id there is no way to say which topic it is
            answers.append({"topic_id": topic.topic_id, "partitions": rows})
    return answers
