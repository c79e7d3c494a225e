"""OffsetDelete (API 47): an administrator takes back what a group has committed.

Offsets of a topic that a member of the group reads are kept (GROUP_SUBSCRIBED_TO_TOPIC): the member
would commit over the deletion. An offset that is not there is deleted with success. Codes are those
of Apache Kafka 4.3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.groups.effects import Group
    from logserver.broker.peer import Context


def handle_offset_delete(broker: Broker, request: Message, context: Context) -> Message:
    """Delete offsets of one group; the whole request is refused by its top-level code."""
    group_id = request["group_id"]
    coordinator = broker.coordinators.of(group_id)
    group = coordinator.groups.get(group_id)
    if group is None:
        raise Refusal(errors.GROUP_ID_NOT_FOUND)
    code = group.check_offset_delete()
    if code:
        raise Refusal(code)
    doomed: list[tuple[str, int]] = []
    answers = []
    for wanted in request["topics"]:
        name = wanted["name"]
        indexes = [partition["partition_index"] for partition in wanted["partitions"]]
        codes = {index: _code(broker, group, name, index) for index in indexes}
        rows = [{"partition_index": index, "error_code": codes[index]} for index in indexes]
        answers.append({"name": name, "partitions": rows})
        offsets = coordinator.offsets.of_group(group_id).get(name, {})
        doomed += [(name, index) for index in codes if not codes[index] and index in offsets]
    if doomed:
        code = coordinator.forget(group_id, doomed, context.now_ms)
        if code:
            raise Refusal(code)
    context.after_sync = coordinator.unsettled
    return {"error_code": errors.NONE, "topics": answers}


def _code(broker: Broker, group: Group, name: str, index: int) -> int:
    topic = broker.image.topics_by_name.get(name)
    if topic is None or index not in topic.partitions:
        return errors.UNKNOWN_TOPIC_OR_PARTITION
    return errors.GROUP_SUBSCRIBED_TO_TOPIC if group.subscribed(name) else errors.NONE
