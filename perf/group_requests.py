"""The group protocols' requests as bytes, and a member of each kind that needs no thread.

Old non-flexible versions for classic groups; KIP-848's heartbeat has only flexible ones. A member
says what to send next (`request`) and takes the answer (`take`); it knows no socket, so a hundred
of them share one loop.
Source: {JoinGroup,SyncGroup,Heartbeat,OffsetCommit,ConsumerGroupHeartbeat}Request.json of Apache
Kafka 4.3.1.
"""

import struct

from perf.batches import LoadError, uvarint
from perf.control import Answer, text
from perf.wire import compact, frame, header

OFFSET_COMMIT, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 8, 10, 11, 12, 14
DESCRIBE_GROUPS, CONSUMER_GROUP_HEARTBEAT = 15, 68
REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED, ILLEGAL_GENERATION = 27, 79, 22
SESSION_MS, REBALANCE_MS = 300_000, 60_000


def plain(api_key: int, version: int, body: bytes) -> bytes:
    """A whole frame of a non-flexible version."""
    return frame(header(api_key, version, 0, flexible=False) + body)


def blob(data: bytes) -> bytes:
    """Bytes with a 4-byte length."""
    return struct.pack(">i", len(data)) + data


def offset_commit(group: str, topic: str, partition: int, offset: int) -> bytes:
    """OffsetCommit v7 of somebody who is no member of the group (generation -1)."""
    row = struct.pack(">iqi", partition, offset, -1) + text("")
    body = text(group) + struct.pack(">i", -1) + text("") + text(None)
    return plain(
        OFFSET_COMMIT, 7, body + struct.pack(">i", 1) + text(topic) + struct.pack(">i", 1) + row
    )


def offset_commit_error(answer: bytes, topic: str) -> int:
    """The error code of an OffsetCommit answer about one partition, without its size."""
    return int.from_bytes(answer[4 + 4 + 4 + len(text(topic)) + 4 + 4 :][:2], "big", signed=True)


class ClassicMember:
    """JoinGroup 5, SyncGroup 3, Heartbeat 3; its `claim` is one partition out of `partitions`.

    `state` is what it waits for: "join", "sync" or "heartbeat". It is settled when it has synced in
    a generation of `size` members.
    """

    def __init__(self, group: str, topic: str, size: int) -> None:
        self.group = group
        self.topic = topic
        self.size = size
        self.member_id = ""
        self.generation = -1
        self.members: list[str] = []
        self.state = "join"
        self.settled = False

    def request(self) -> bytes:
        """The next request."""
        group, member = text(self.group), text(self.member_id)
        if self.state == "join":
            self.settled = False
            body = group + struct.pack(">ii", SESSION_MS, REBALANCE_MS) + member + text(None)
            body += text("consumer") + struct.pack(">i", 1) + text("range")
            subscription = struct.pack(">hi", 0, 1) + text(self.topic) + blob(b"")
            return plain(JOIN_GROUP, 5, body + blob(subscription))
        body = group + struct.pack(">i", self.generation) + member + text(None)
        if self.state == "heartbeat":
            return plain(HEARTBEAT, 3, body)
        body += struct.pack(">i", len(self.members))
        for number, one in enumerate(self.members):
            share = struct.pack(">hi", 0, 1) + text(self.topic) + struct.pack(">ii", 1, number)
            body += text(one) + blob(share + blob(b""))
        return plain(SYNC_GROUP, 3, body)

    def take(self, data: bytes) -> bool:
        """Take an answer (without its size); True when the next request is due at once."""
        answer = Answer(data[4:])
        _, code = answer.take("ih")
        if self.state == "join":
            return self._joined(code, answer)
        if code in (REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION):
            self.state = "join"
            return True
        if code:
            raise LoadError(f"{self.state} of a classic member: error {code}")
        if self.state == "sync":
            self.state = "heartbeat"
            self.settled = True
        return False

    def _joined(self, code: int, answer: Answer) -> bool:
        (generation,) = answer.take("i")
        answer.text()
        leader, member_id = answer.text(), answer.text() or ""
        if code not in (0, MEMBER_ID_REQUIRED):
            raise LoadError(f"join of a classic member: error {code}")
        self.member_id = member_id
        if not code:
            self.generation = generation
            self.members = []
            for _ in answer.array():
                self.members.append(answer.text() or "")
                answer.text()
                answer.skip(answer.take("i")[0])
            assert (leader == member_id) == bool(self.members)
            self.state = "sync"
        return True


class ConsumerMember:
    """ConsumerGroupHeartbeat 0; it adopts and gives up partitions at once, and says so."""

    def __init__(self, group: str, topic: str, size: int) -> None:
        self.group = group
        self.topic = topic
        self.size = size
        self.member_id = ""
        self.epoch = 0
        self.owned: dict[bytes, list[int]] = {}
        self.changed = True

    @property
    def settled(self) -> bool:
        """It has one partition, its share of `size` among `size`, and has said so."""
        return len(self.partitions) == 1 and not self.changed

    @property
    def partitions(self) -> list[int]:
        """The partitions it owns."""
        return [index for owned in self.owned.values() for index in owned]

    def request(self) -> bytes:
        """A heartbeat: everything when it joins, what it owns when that has changed."""
        joining = not self.epoch
        body = compact(self.group) + compact(self.member_id) + struct.pack(">i", self.epoch)
        body += b"\0\0" + struct.pack(">i", REBALANCE_MS if joining else -1)
        body += b"\x02" + compact(self.topic) if joining else b"\0"
        body += b"\0"  # any assignor
        body += self._owned() if self.changed or joining else b"\0"
        self.changed = False
        head = header(CONSUMER_GROUP_HEARTBEAT, 0, 0, flexible=True)
        return frame(head + body + b"\0")

    def _owned(self) -> bytes:
        rows = [
            topic_id + uvarint(len(owned) + 1) + struct.pack(f">{len(owned)}i", *owned) + b"\0"
            for topic_id, owned in self.owned.items()
        ]
        return uvarint(len(rows) + 1) + b"".join(rows)

    def take(self, data: bytes) -> bool:
        """Take an answer (without its size); True when it must confirm a change at once."""
        answer = Answer(data[5:])
        _, code = answer.take("ih")
        message = answer.compact()
        if code:
            raise LoadError(f"heartbeat of a consumer: error {code} {message}")
        self.member_id = answer.compact() or self.member_id
        self.epoch, _, given = answer.take("iib")
        if given < 0:
            return False
        owned = {}
        for _ in range(answer.uvarint() - 1):
            topic_id = answer.skip(16)
            count = answer.uvarint() - 1
            owned[topic_id] = list(answer.take(f"{count}i"))
            answer.uvarint()
        self.changed = owned != self.owned
        self.owned = owned
        return self.changed
