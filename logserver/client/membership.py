"""One member's side of a consumer group: a machine without socket or clock (KIP-848).

All of membership is one question, asked again and again: "this is how far I am; what shall I read?"

    joining   epoch 0: says everything, owns nothing
    member    epoch n: says what has changed since the last answer, null for the rest
    leaving   epoch -1, or -2 for a member with an instance id, whose place is kept

The answer may hold a new assignment. The caller then gives up what it has lost, reads on from what
it has won, says so by `own`, and asks again at once: the group waits for that. When the coordinator
has fenced a member it owns nothing any more, and joins anew under the same id (`restart`).

An answer that was lost is the one trap: the coordinator may have acted on the question. So a
question that follows an unanswered one says everything again, and the coordinator, which knows the
previous epoch, takes it (`ConsumerGroup.validateMemberEpoch` in Kafka).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from logwire.messages import Message

JOIN: Final = 0
LEAVE: Final = -1
LEAVE_STATIC: Final = -2
CLIENT_CHOOSES_ID_FROM: Final = 1
"""The version of the heartbeat from which on a client brings its own member id (KIP-1082)."""

HEARTBEAT_INTERVAL_MS_MIN: Final = 100
"""Of a coordinator that asks for less: it is a mistake, and would keep the member from reading."""

OwnedPartition = tuple[bytes, int]
"""Topic id and partition."""


class Membership:
    """What a member of `group_id` has been told, and what it has told.

    `epoch` is what commits carry; `owned` what the member reads, `target` what it shall read.
    """

    __slots__ = (
        "_acknowledged",
        "_empty_count",
        "_is_answered",
        "_topics",
        "epoch",
        "group_id",
        "instance_id",
        "interval_ms",
        "member_id",
        "owned",
        "rebalance_timeout_ms",
        "target",
    )

    def __init__(
        self,
        group_id: str,
        topics: Sequence[str],
        *,
        member_id: str,
        instance_id: str | None = None,
        rebalance_timeout_ms: int,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.instance_id = instance_id
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.epoch = JOIN
        self.interval_ms = 0
        self.owned: frozenset[OwnedPartition] = frozenset()
        self.target: frozenset[OwnedPartition] = frozenset()
        self._topics = list(topics)
        self._acknowledged: frozenset[OwnedPartition] = frozenset()  # of `owned`, as last told
        self._is_answered = True
        self._empty_count = 0  # answers since joining that gave us nothing

    @property
    def pause_ms(self) -> int:
        """How long to wait before the next heartbeat.

        As long as the coordinator says; but who has just joined and has nothing to read yet asks
        sooner, ever less so. The coordinator may be about to compute an assignment (it does so once
        a second at most), or others about to give up a partition, and it cannot call.
        """
        interval_ms = max(self.interval_ms, HEARTBEAT_INTERVAL_MS_MIN)
        if not self._empty_count:
            return interval_ms
        return min(interval_ms, HEARTBEAT_INTERVAL_MS_MIN << min(self._empty_count, 10))

    @property
    def is_member(self) -> bool:
        """Whether the coordinator has let us in."""
        return self.epoch > JOIN

    @property
    def may_be_known(self) -> bool:
        """Whether the coordinator may count us as a member: an answer can be lost on its way."""
        return self.is_member or not self._is_answered

    @property
    def is_settled(self) -> bool:
        """Whether the member owns what it shall, and has said so."""
        return self.is_member and self.owned == self.target == self._acknowledged

    def request(self, version: int) -> Message:
        """The next heartbeat: everything when joining or after a lost answer, else what is new."""
        says_all = not self.is_member or not self._is_answered
        self._is_answered = False
        message: Message = {
            "group_id": self.group_id,
            "member_id": self.member_id,
            "member_epoch": self.epoch,
            "instance_id": self.instance_id,
        }
        if says_all:
            message["rebalance_timeout_ms"] = self.rebalance_timeout_ms
            message["subscribed_topic_names"] = self._topics
        if says_all or self.owned != self._acknowledged:
            message["topic_partitions"] = by_topic(self.owned)
        if version < CLIENT_CHOOSES_ID_FROM and not self.is_member:
            message["member_id"] = ""
        return message

    def answered(self, answer: Message) -> None:
        """Take in an answer without an error."""
        self._is_answered = True
        self._acknowledged = self.owned
        self.member_id = answer["member_id"] or self.member_id
        self.epoch = answer["member_epoch"]
        self.interval_ms = answer["heartbeat_interval_ms"]
        assignment = answer["assignment"]
        if assignment is not None:
            self.target = frozenset(
                (topic["topic_id"], partition)
                for topic in assignment["topic_partitions"]
                for partition in topic["partitions"]
            )
        self._empty_count = 0 if self.target else self._empty_count + 1

    def own(self, partitions: Iterable[OwnedPartition]) -> None:
        """The caller now reads these and no others; the next heartbeat says so."""
        self.owned = frozenset(partitions)

    def restart(self) -> None:
        """The coordinator no longer knows this member: nothing is owned, join again."""
        self.epoch = JOIN
        self.owned = self.target = self._acknowledged = frozenset()
        self._is_answered = True
        self._empty_count = 0

    def leave_request(self) -> Message:
        """The last heartbeat."""
        return {
            "group_id": self.group_id,
            "member_id": self.member_id,
            "member_epoch": LEAVE if self.instance_id is None else LEAVE_STATIC,
            "instance_id": self.instance_id,
        }


def by_topic(partitions: Iterable[OwnedPartition]) -> list[Message]:
    """Partitions as the wire has them: a row for each topic."""
    topics: dict[bytes, list[int]] = {}
    for topic_id, partition in sorted(partitions):
        topics.setdefault(topic_id, []).append(partition)
    return [{"topic_id": key, "partitions": indexes} for key, indexes in topics.items()]
