"""When offsets go by themselves: their retention is over, or their topic was deleted.

Retention (`offsets.retention.minutes`) follows Apache Kafka 4.3.1:

    the topic is one that a member reads              kept
    the client asked for a retention of its own       that long after the commit
    the group says from when on retention counts      that long after it (see expiry_start_ms)

A group without members whose last offset goes is deleted with it. Times of commits are wall-clock
time, so is their age.

A topic's offsets are deleted in the turn that deletes the topic. The two are in different logs: a
power cut may keep the one and lose the other. So a load deletes what was committed for a topic id
that does not exist (any more); an offset without an id, of an old client's log, is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from logserver.broker.groups.offset_store import NO_EXPIRY, NO_TOPIC_ID

if TYPE_CHECKING:
    from logserver.broker.groups.coordinator import Coordinator
    from logserver.broker.groups.effects import Group
    from logserver.broker.groups.offset_store import CommittedOffset
    from logserver.broker.image import Image, Topic

MINUTE_MS = 60_000


def expire(coordinator: Coordinator, retention_ms: int, wall_ms: int) -> None:
    """Delete the offsets whose retention is over, and the empty groups that have none left."""
    for group in list(coordinator.groups.values()):
        doomed = _expired(coordinator, group, retention_ms, wall_ms)
        everything = len(doomed) == len(coordinator.offsets.listed(group.group_id))
        if everything and group.empty:
            code = coordinator.delete(group, wall_ms)
        else:
            code = coordinator.forget(group.group_id, doomed, wall_ms)
        if code:
            return  # the coordinator loads again: what is left has changed


def _expired(
    coordinator: Coordinator, group: Group, retention_ms: int, wall_ms: int
) -> list[tuple[str, int]]:
    doomed = []
    for topic, partitions in coordinator.offsets.of_group(group.group_id).items():
        if group.subscribed(topic):
            continue
        for index, committed in partitions.items():
            if _is_over(group, committed, retention_ms, wall_ms):
                doomed.append((topic, index))
    return doomed


def _is_over(group: Group, committed: CommittedOffset, retention_ms: int, wall_ms: int) -> bool:
    start_ms = group.expiry_start_ms(committed.commit_ms)
    if start_ms is None:
        return False
    if committed.expire_ms != NO_EXPIRY:
        return wall_ms >= committed.expire_ms
    return wall_ms - start_ms >= retention_ms


def forget_topics(coordinator: Coordinator, topics: Iterable[Topic], wall_ms: int) -> None:
    """Delete what was committed for topics that have just been deleted."""
    ids = {topic.name: topic.topic_id for topic in topics}
    _forget_where(
        coordinator,
        wall_ms,
        lambda name, topic_id: name in ids and topic_id in (NO_TOPIC_ID, ids[name]),
    )


def forget_unknown_topics(coordinator: Coordinator, image: Image, wall_ms: int) -> None:
    """Delete what a log holds of topics that were deleted while it could not be written."""
    _forget_where(
        coordinator,
        wall_ms,
        lambda _name, topic_id: topic_id != NO_TOPIC_ID and topic_id not in image.topics,
    )


def _forget_where(
    coordinator: Coordinator, wall_ms: int, doomed: Callable[[str, bytes], bool]
) -> None:
    for group_id, topics in list(coordinator.offsets.by_group.items()):
        found = [
            (name, index)
            for name, partitions in topics.items()
            for index, committed in partitions.items()
            if doomed(name, committed.topic_id)
        ]
        if found and coordinator.forget(group_id, found, wall_ms):
            return
