"""Groups as an operator sees them: who is in them, how far they have read, and setting that anew.

    with Admin("127.0.0.1:9092") as admin:
        for group in admin.groups.all():
            print(group.group_id, group.state)
        print(admin.groups.lag(admin.groups.describe("billing")))

Groups of both kinds are described alike: "consumer" (KIP-848), and "classic", which also stands for
offsets that somebody committed without any group. What is read and written are the offsets that the
coordinator keeps, so a group that has members is not changed under their feet: the server refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from logserver.client import connection as wire
from logserver.client.cluster import Cluster
from logserver.client.coordinator import GroupCoordinator
from logserver.client.failure import check_row, only_row, refusal
from logserver.client.lag import PartitionLag, measure_lag
from logwire.errors import GROUP_ID_NOT_FOUND, UNKNOWN_TOPIC_OR_PARTITION, ProtocolError
from logwire.messages import Message

TopicPartition = tuple[str, int]

CLASSIC: Final = "classic"
CONSUMER: Final = "consumer"
_DEAD: Final = "Dead"
_CONSUMER_PROTOCOL_TYPE: Final = "consumer"


class ListedGroup(NamedTuple):
    """A row of the list; servers before Kafka 3.8 know no type and leave it empty."""

    group_id: str
    group_type: str
    protocol_type: str
    state: str


class Member(NamedTuple):
    """A member; `epoch` is -1 where there is only the group's generation (classic groups)."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    epoch: int
    partitions: list[TopicPartition]


class Group(NamedTuple):
    """A group; `epoch` is -1 for a classic one, whose `assignor` is the protocol it has chosen."""

    group_id: str
    group_type: str
    protocol_type: str
    state: str
    epoch: int
    assignor: str
    members: list[Member]


class Committed(NamedTuple):
    """How far a group has read a partition: the next offset, and the leader epoch of the last."""

    offset: int
    leader_epoch: int
    metadata: str


class Groups:
    """`Admin.groups`: one thread at a time, like the Admin that it belongs to."""

    def __init__(self, cluster: Cluster, *, timeout_ms: int) -> None:
        self._cluster = cluster
        self._timeout_ms = timeout_ms

    def all(self, *, states: Sequence[str] = (), types: Sequence[str] = ()) -> list[ListedGroup]:
        """All groups of all brokers by name, or those in one of some states or types."""
        self._cluster.refresh([])
        found = []
        for broker_id in self._cluster.brokers:
            answer = self._cluster.data(broker_id).request(
                wire.LIST_GROUPS, {"states_filter": list(states), "types_filter": list(types)}
            )
            check_row(f"list the groups of broker {broker_id}", answer)
            found += [
                ListedGroup(
                    row["group_id"], row["group_type"], row["protocol_type"], row["group_state"]
                )
                for row in answer["groups"]
            ]
        return sorted(found)

    def describe(self, group_id: str) -> Group:
        """One group and its members; `ClientError` "refused" when there is none of that name."""
        coordinator = self._coordinator(group_id)
        what = f"describe group {group_id}"
        offered = coordinator.connection().versions
        if wire.CONSUMER_GROUP_DESCRIBE in offered:
            answer = coordinator.request(
                wire.CONSUMER_GROUP_DESCRIBE, {"group_ids": [group_id]}, _group_codes, what=what
            )
            row = only_row(answer["groups"])
            if row["error_code"] != GROUP_ID_NOT_FOUND:
                check_row(what, row)
                return _consumer_group(row)
        answer = coordinator.request(
            wire.DESCRIBE_GROUPS, {"groups": [group_id]}, _group_codes, what=what
        )
        row = only_row(answer["groups"])
        check_row(what, row)
        if row["group_state"] == _DEAD:  # what versions before 6 say of a group that is not there
            raise refusal(what, GROUP_ID_NOT_FOUND)
        return _classic_group(row)

    def committed(self, group_id: str) -> dict[TopicPartition, Committed]:
        """Every offset that the group has committed; none for a group that is not there."""
        answer = self._coordinator(group_id).request(
            wire.OFFSET_FETCH,
            {
                "group_id": group_id,
                "topics": None,
                "groups": [{"group_id": group_id, "topics": None}],
            },
            fetch_codes,
            what=f"read the offsets of group {group_id}",
        )
        return read_committed(answer, f"read the offsets of group {group_id}")

    def commit(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set offsets from outside of the group, which must have no members.

        Raises `ClientError` "refused" with the code of the first partition that was refused;
        others may have been set.
        """
        what = f"set offsets of group {group_id}"
        answer = self._coordinator(group_id).request(
            wire.OFFSET_COMMIT, commit_request(group_id, offsets), commit_codes, what=what
        )
        for topic in answer["topics"]:
            for row in topic["partitions"]:
                check_row(f"{what} for {topic['name']}-{row['partition_index']}", row)

    def lag(self, group: Group) -> list[PartitionLag]:
        """How far a group is behind, for what it has committed and what its members read."""
        committed = self.committed(group.group_id)
        return measure_lag(
            self._cluster,
            {key: one.offset for key, one in committed.items()},
            {key for member in group.members for key in member.partitions},
            timeout_ms=self._timeout_ms,
        )

    def delete(self, group_id: str) -> None:
        """Delete a group without members, and its offsets."""
        what = f"delete group {group_id}"
        answer = self._coordinator(group_id).request(
            wire.DELETE_GROUPS,
            {"groups_names": [group_id]},
            lambda answer: [row["error_code"] for row in answer["results"]],
            what=what,
        )
        check_row(what, only_row(answer["results"]))

    def _coordinator(self, group_id: str) -> GroupCoordinator:
        return GroupCoordinator(self._cluster, group_id, timeout_ms=self._timeout_ms)


def commit_request(
    group_id: str,
    offsets: Mapping[TopicPartition, int],
    *,
    member_id: str = "",
    member_epoch: int = -1,
    instance_id: str | None = None,
) -> Message:
    """An OffsetCommit; without a member it comes from outside of the group."""
    topics: dict[str, list[Message]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        row = {"partition_index": partition, "committed_offset": offset, "committed_metadata": ""}
        topics.setdefault(topic, []).append(row)
    return {
        "group_id": group_id,
        "member_id": member_id,
        "generation_id_or_member_epoch": member_epoch,
        "group_instance_id": instance_id,
        "topics": [{"name": name, "partitions": rows} for name, rows in topics.items()],
    }


def commit_codes(answer: Message) -> Iterable[int]:
    """The error codes of an OffsetCommit's answer, one for each partition."""
    return (row["error_code"] for topic in answer["topics"] for row in topic["partitions"])


def fetch_request(
    group_id: str,
    partitions: Collection[TopicPartition],
    *,
    member_id: str | None = None,
    member_epoch: int = -1,
) -> Message:
    """An OffsetFetch of some partitions of one group, in every version."""
    topics: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions):
        topics.setdefault(topic, []).append(partition)
    rows = [{"name": name, "partition_indexes": indexes} for name, indexes in topics.items()]
    asked = {"group_id": group_id, "member_id": member_id, "member_epoch": member_epoch}
    return {
        "group_id": group_id,
        "topics": rows,
        "groups": [{**asked, "topics": rows}],
        "require_stable": True,
    }


def read_committed(answer: Message, what: str) -> dict[TopicPartition, Committed]:
    """The offsets in an OffsetFetch's answer about one group; a refusal says `what` failed."""
    group = only_row(answer["groups"]) if answer["groups"] else answer
    check_row(what, group)
    found = {}
    for topic in group["topics"]:
        for row in topic["partitions"]:
            if row["error_code"] == UNKNOWN_TOPIC_OR_PARTITION:
                continue
            check_row(f"{what} for {topic['name']}-{row['partition_index']}", row)
            if row["committed_offset"] >= 0:
                found[topic["name"], row["partition_index"]] = Committed(
                    row["committed_offset"], row["committed_leader_epoch"], row["metadata"] or ""
                )
    return dict(sorted(found.items()))


def fetch_codes(answer: Message) -> Iterable[int]:
    """The error codes of an OffsetFetch's answer that concern the whole group."""
    return [answer["error_code"], *(row["error_code"] for row in answer["groups"])]


def _group_codes(answer: Message) -> Iterable[int]:
    return (row["error_code"] for row in answer["groups"])


def _consumer_group(row: Message) -> Group:
    members = [
        Member(
            one["member_id"],
            one["instance_id"],
            one["client_id"],
            one["client_host"],
            one["member_epoch"],
            [
                (topic["topic_name"], partition)
                for topic in one["assignment"]["topic_partitions"]
                for partition in topic["partitions"]
            ],
        )
        for one in row["members"]
    ]
    return Group(
        row["group_id"],
        CONSUMER,
        _CONSUMER_PROTOCOL_TYPE,
        row["group_state"],
        row["group_epoch"],
        row["assignor_name"],
        sorted(members),
    )


def _classic_group(row: Message) -> Group:
    is_consumer = row["protocol_type"] == _CONSUMER_PROTOCOL_TYPE
    members = [
        Member(
            one["member_id"],
            one["group_instance_id"],
            one["client_id"],
            one["client_host"],
            -1,
            _classic_partitions(one["member_assignment"]) if is_consumer else [],
        )
        for one in row["members"]
    ]
    return Group(
        row["group_id"],
        CLASSIC,
        row["protocol_type"],
        row["group_state"],
        -1,
        row["protocol_data"],
        sorted(members),
    )


def _classic_partitions(assignment: bytes) -> list[TopicPartition]:
    """What the leader of a classic group gave to a member; nothing where it says nothing."""
    from logwire.messages.consumer_protocol import decode_assignment

    if not assignment:
        return []
    try:
        _, message = decode_assignment(assignment)
    except ProtocolError:
        return []  # some assignor's own language
    return [
        (topic["topic"], partition)
        for topic in message["assigned_partitions"]
        for partition in topic["partitions"]
    ]
