"""A consumer of one group that keeps a ledger: what it has read, committed, been promised.

It is the only member of its group, so it leads it and reads every partition. Commits are pipelined:
several are under way when the server dies. After a restart it goes on as a real client does, with
the member id and generation that it has, and checks four promises:

1. a member whose SyncGroup (KIP-848: whose heartbeat) was answered is still a member, of that
   generation (epoch) at least;
2. a committed offset is at least the last one whose commit was answered (none goes back);
3. it is at most the last one that was sent (nothing that was not read counts as read);
4. what it reads from there on follows without a gap.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from random import Random
from typing import Any

from logwire import errors
from logwire.batch import iterate_batches
from tests.crash.raw_client import (
    CONSUMER_GROUP_HEARTBEAT,
    FIND_COORDINATOR,
    HEARTBEAT,
    JOIN_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
    RawClient,
)

SESSION_MS = 120_000  # no session ends by itself while a server is down
COMMITS_IN_FLIGHT_MAX = 5


class GroupReader:
    """One classic group, one member; a connection for the group and one to read by."""

    def __init__(self, group_id: str, topic: str, partitions_count: int, random: Random) -> None:
        self.group_id = group_id
        self.topic = topic
        self.random = random
        self.member_id = ""
        self.generation = -1
        self.synced_generation = -1  # of the last SyncGroup that was answered
        self.read_to = [0] * partitions_count
        self.sent = [0] * partitions_count
        self.acknowledged = [0] * partitions_count
        self.commits_count = 0
        self.in_flight: deque[tuple[int, int]] = deque()
        self.client: RawClient
        self.fetcher: RawClient

    # After a start

    def begin(self, address: tuple[str, int]) -> None:
        """Connect, be a member, and go on from what was committed."""
        self.in_flight.clear()
        self.client, self.fetcher = RawClient(address), RawClient(address)
        keys = {"key_type": 0, "coordinator_keys": [self.group_id]}
        answer = self.patiently(FIND_COORDINATOR, keys)["coordinators"][0]
        assert answer["error_code"] == 0, answer
        # First: while a coordinator is loaded, Heartbeat says that all is well, as in Kafka.
        self.check_commits()
        if not self.still_member():
            self.join()

    def patiently(self, api_key: int, message: dict[str, Any]) -> dict[str, Any]:
        """Ask until the coordinator is loaded."""
        while True:
            answer = self.client.ask(api_key, message)
            group = answer.get("groups", [answer])[0]
            if group.get("error_code") != errors.COORDINATOR_LOAD_IN_PROGRESS:
                return answer

    def still_member(self) -> bool:
        """Whether the group knows us; it must, once it has answered a SyncGroup."""
        if self.synced_generation < 0:
            return False
        request = {
            "group_id": self.group_id,
            "member_id": self.member_id,
            "generation_id": self.synced_generation,
        }
        code = self.patiently(HEARTBEAT, request)["error_code"]
        if code == errors.NONE:
            self.generation = self.synced_generation
            return True
        # A newer generation had begun when the server died; a stranger we can not be.
        assert code in (errors.REBALANCE_IN_PROGRESS, errors.ILLEGAL_GENERATION), code
        return False

    def check_commits(self) -> None:
        """Committed offsets are within what was answered and what was sent; read from there."""
        wanted = {"name": self.topic, "partition_indexes": list(range(len(self.sent)))}
        groups = [{"group_id": self.group_id, "topics": [wanted]}]
        request = {"groups": groups, "require_stable": True}
        group = self.patiently(OFFSET_FETCH, request)["groups"][0]
        assert group["error_code"] == 0, group
        for row in group["topics"][0]["partitions"]:
            index, offset = row["partition_index"], max(0, row["committed_offset"])
            least, most = self.acknowledged[index], self.sent[index]
            assert least <= offset <= most, f"{self.group_id}-{index}: {least} {offset} {most}"
            self.acknowledged[index] = self.sent[index] = self.read_to[index] = offset

    # Membership

    def join(self, *, until: str = "") -> None:
        """Begin a generation; `until` "join" or "sync" leaves that request unanswered."""
        answer = self.ask_to_join()
        if answer["error_code"] == errors.MEMBER_ID_REQUIRED:
            self.member_id = answer["member_id"]
            answer = self.ask_to_join()
        if answer["error_code"] == errors.UNKNOWN_MEMBER_ID:
            assert self.synced_generation < 0, "a member was forgotten"
            self.member_id = ""
            self.join(until=until)
            return
        assert answer["error_code"] == 0, answer
        assert answer["generation_id"] > self.synced_generation, "a generation came twice"
        self.generation, self.member_id = answer["generation_id"], answer["member_id"]
        if until == "join":
            return
        self.client.send(SYNC_GROUP, self.sync_request())
        if until == "sync":
            return
        answer = self.client.receive()
        assert (answer["error_code"], answer["assignment"]) == (0, self.assignment()), answer
        self.synced_generation = self.generation

    def ask_to_join(self) -> dict[str, Any]:
        """The answer to a JoinGroup."""
        return self.patiently(JOIN_GROUP, self.join_request())

    def join_request(self) -> dict[str, Any]:
        """A member that knows one assignor."""
        protocols = [{"name": "range", "metadata": b"\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"}]
        return {
            "group_id": self.group_id,
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": SESSION_MS,
            "member_id": self.member_id,
            "group_instance_id": None,
            "protocol_type": "consumer",
            "protocols": protocols,
            "reason": "crash test",
        }

    def assignment(self) -> bytes:
        """Something that tells this generation from every other."""
        return b"%d" % self.generation

    def sync_request(self) -> dict[str, Any]:
        """What the leader of one says."""
        return {
            "group_id": self.group_id,
            "generation_id": self.generation,
            "member_id": self.member_id,
            "group_instance_id": None,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": [{"member_id": self.member_id, "assignment": self.assignment()}],
        }

    # Load

    def step(self) -> None:
        """Read some records of one partition and send a commit; never wait longer than needed."""
        index = self.random.randrange(len(self.sent))
        self.read(index)
        if self.read_to[index] > self.sent[index]:
            offset = self.random.randint(self.sent[index] + 1, self.read_to[index])
            partition = {
                "partition_index": index,
                "committed_offset": offset,
                "committed_leader_epoch": -1,
                "committed_metadata": "",
            }
            request = {
                "group_id": self.group_id,
                "generation_id_or_member_epoch": self.generation,
                "member_id": self.member_id,
                "group_instance_id": None,
                "topics": [{"name": self.topic, "partitions": [partition]}],
            }
            self.client.send(OFFSET_COMMIT, request)
            self.sent[index] = offset
            self.in_flight.append((index, offset))
        while len(self.in_flight) > COMMITS_IN_FLIGHT_MAX:
            self.receive_commit()

    def read(self, index: int) -> None:
        """Read on where we are; the records must follow each other without a gap."""
        data, _ = self.fetcher.fetch(self.topic, index, self.read_to[index])
        view = memoryview(data)
        for _, header in iterate_batches(view):
            last = header.base_offset + header.last_offset_delta
            if last >= self.read_to[index]:
                assert header.base_offset <= self.read_to[index], "a gap"
                self.read_to[index] = last + 1

    def receive_commit(self) -> None:
        """The oldest commit was answered: from now on it must be there."""
        answer = self.client.receive()
        code = answer["topics"][0]["partitions"][0]["error_code"]
        assert code == errors.NONE, code
        index, offset = self.in_flight.popleft()
        self.acknowledged[index] = offset
        self.commits_count += 1

    def end(self) -> None:
        """The server is dead: take the answers that were on their way, and hang up."""
        with suppress(EOFError, ConnectionError):
            while self.in_flight:
                self.receive_commit()
        self.client.close()
        self.fetcher.close()


class ConsumerReader(GroupReader):
    """The same in a group of KIP-848: the epoch takes the place of the generation."""

    owned: list[dict[str, Any]] | None = None

    def still_member(self) -> bool:
        """A heartbeat says so, once one was answered; it may tell a newer epoch.

        It names what is owned, as a client does whose last heartbeat was not answered: only so may
        it be one epoch behind.
        """
        if self.synced_generation < 0:
            return False
        request = self.heartbeat(self.synced_generation) | {"topic_partitions": self.owned or []}
        answer = self.patiently(CONSUMER_GROUP_HEARTBEAT, request)
        assert answer["error_code"] == 0, f"a member was forgotten: {answer}"
        self.take(answer)
        return True

    def join(self, *, until: str = "") -> None:
        """Come in, or change the subscription; `until` leaves the request unanswered."""
        epoch = max(0, self.synced_generation)
        if not epoch:
            self.member_id = f"{self.group_id}-{self.random.randrange(1 << 64):x}"
        names = [self.topic, f"{self.topic}-{self.random.randrange(100)}"]
        request = self.heartbeat(epoch, names)
        if until:
            self.client.send(CONSUMER_GROUP_HEARTBEAT, request)
            return
        answer = self.patiently(CONSUMER_GROUP_HEARTBEAT, request)
        assert answer["error_code"] == 0, answer
        self.take(answer)

    def take(self, answer: dict[str, Any]) -> None:
        """Epochs never go back."""
        assert answer["member_epoch"] >= self.synced_generation, answer
        self.generation = self.synced_generation = answer["member_epoch"]
        if answer["assignment"] is not None:
            self.owned = answer["assignment"]["topic_partitions"]

    def heartbeat(self, epoch: int, names: list[str] | None = None) -> dict[str, Any]:
        """Nothing but the epoch, or a subscription to these topics."""
        return {
            "group_id": self.group_id,
            "member_id": self.member_id,
            "member_epoch": epoch,
            "instance_id": None,
            "rack_id": None,
            "rebalance_timeout_ms": SESSION_MS if names else -1,
            "subscribed_topic_names": names,
            "subscribed_topic_regex": None,
            "server_assignor": None,
            "topic_partitions": [] if not epoch else None,
        }
