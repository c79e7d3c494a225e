"""The same life of a classic group on two servers, request by request.

Members come, come again with other protocols, sync, lie about their generation, leave. Each request
goes to both servers over a connection of its own (a JoinGroup may wait for others), and after each
the same requests must have been answered on both sides, in the same words. The ids that a server
makes up become labels: `m7` is whoever was first named in the answer to request 7.

What is left to chance on Kafka's side, by the order of a hash map, ends the comparison: which of
several members leads after the leader has left, which of two equally liked protocols is chosen.
Two differences are meant. Where Kafka forgets a request (one that a later one of the same member
replaces; the sync of a member that leaves), ours is answered. And a join that is refused makes no
group here; Kafka keeps an empty one.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from random import Random
from typing import Any

from logwire import errors
from logwire.frame import parse_response_header, request_header
from logwire.messages import Message, decode_response, encode_request
from tests.simulation.classic_run import PROTOCOL_WEIGHTS, PROTOCOLS

Answer = tuple[Any, ...]
JOIN, BEAT, LEAVE, SYNC, DESCRIBE = 11, 12, 13, 14, 15

KINDS = {
    "come": 8, "come_static": 8, "join_again": 10, "sync": 12, "beat": 8, "leave": 4, "follow": 10,
    "describe": 6,
}  # fmt: skip

ANSWER_TIMEOUT_S = 20.0  # a JVM on a busy machine stalls for seconds
QUIET_S = 0.015  # nothing for so long on either side: what was to be answered at once has been


class Side:
    """One server: requests under way, answers that have come, and its names for members."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._address = (host, int(port))
        self._idle: list[socket.socket] = []
        self.open: dict[int, tuple[socket.socket, int, int]] = {}
        self.answers: dict[int, tuple[int, Message]] = {}
        self.ids: dict[str, str] = {}
        self.labels: dict[str, str] = {}

    def send(self, token: int, api_key: int, version: int, request: Message) -> None:
        """Send a request; `token` is its number on both sides."""
        link = self._idle.pop() if self._idle else socket.create_connection(self._address)
        frame = request_header(api_key, version, token, "life")
        frame += encode_request(api_key, version, request)
        link.sendall(struct.pack(">i", len(frame)) + frame)
        self.open[token] = (link, api_key, version)

    def collect(self) -> bool:
        """Take the answers that have come, waiting a moment; False: none has."""
        tokens = {link: token for token, (link, _, _) in self.open.items()}
        ready = select.select(list(tokens), [], [], QUIET_S)[0]
        for link in ready:
            token = tokens[link]
            _, api_key, version = self.open.pop(token)
            (size,) = struct.unpack(">i", link.recv(4, socket.MSG_WAITALL))
            frame = memoryview(link.recv(size, socket.MSG_WAITALL))
            _, position = parse_response_header(frame, api_key, version)
            response = decode_response(api_key, version, frame[position:])
            self.answers[token] = (api_key, response)
            self._idle.append(link)
        return bool(ready)

    def id_of(self, label: str) -> str:
        """What this server calls a member."""
        return self.ids.get(label, label)

    def code(self, token: int) -> int:
        """The error code of an answer."""
        code: int = self.answers[token][1].get("error_code", errors.NONE)
        return code

    def learn(self) -> None:
        """Label the ids that answers of joins have brought: before anything is said of them."""
        for token, (api_key, answer) in sorted(self.answers.items()):
            member_id = answer["member_id"] if api_key == JOIN else ""
            if member_id not in ("", "stranger"):
                label = self.labels.setdefault(member_id, f"m{token}")
                self.ids[label] = member_id

    def take(self, token: int) -> Answer:
        """An answer without what servers make up."""
        api_key, answer = self.answers.pop(token)
        code = answer.get("error_code", errors.NONE)
        known = self.labels.get
        if api_key == BEAT:
            return (code,)
        if api_key == SYNC:
            return code, answer["protocol_type"], answer["protocol_name"], answer["assignment"]
        if api_key == DESCRIBE:
            return self._described(answer["groups"][0])
        if api_key == LEAVE:
            names = ("group_instance_id", "error_code")
            rows = [(known(row["member_id"]), *map(row.get, names)) for row in answer["members"]]
            return code, tuple(rows)
        own = known(answer["member_id"], answer["member_id"])
        seen = sorted(
            (str(known(row["member_id"])), str(row["group_instance_id"]), row["metadata"])
            for row in answer["members"]
        )
        about = (answer["generation_id"], answer["protocol_type"], answer["skip_assignment"])
        return code, own, *about, answer["protocol_name"], known(answer["leader"]), tuple(seen)

    def _described(self, group: Message) -> Answer:
        names = ("client_id", "client_host", "member_metadata", "member_assignment")
        members = sorted(
            (str(self.labels.get(row["member_id"])), *map(row.get, names))
            for row in group["members"]
        )
        if not group["protocol_type"]:
            return ("nobody was ever in it",)
        told = (group["error_code"], group["group_state"], group["protocol_type"])
        return *told, group["protocol_data"], tuple(members)

    def close(self) -> None:
        """Let go of all connections."""
        for link in (*self._idle, *(entry[0] for entry in self.open.values())):
            link.close()


class GroupLife:
    """One group on both servers; `step` is one thing that happens to it."""

    def __init__(self, seed: int, reference: str, ours: str) -> None:
        self.random = Random(seed)
        self.reference, self.ours = Side(reference), Side(ours)
        self.group = f"life-{seed}-{time.time_ns()}"
        self.asked: list[tuple[int, str, str | None]] = []  # API key, who, instance; by token
        self.members: dict[str, str | None] = {}  # label -> instance id
        self.generation = 0
        self.protocol: str | None = None
        self.by_chance = False

    def step(self) -> None:
        """Do something; compare what follows from it."""
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        getattr(self, kind)()

    def close(self) -> None:
        """The end of both."""
        self.reference.close()
        self.ours.close()

    # What happens

    def come(self) -> None:
        """Somebody who has no id."""
        self.ask_to_join("", None)

    def come_static(self) -> None:
        """A process with an instance id (re)starts."""
        self.ask_to_join("", self.random.choice("ijk"))

    def join_again(self) -> None:
        """Somebody with an id."""
        self.ask_to_join(*self.somebody())

    def ask_to_join(self, label: str, instance: str | None) -> None:
        """JoinGroup. Nobody's session ends while the group is compared."""
        versions = (3, 4, 5, 7, 8, 9, 9, 9) if instance is None else (5, 8, 9, 9)
        offered = self.random.choices(PROTOCOLS, PROTOCOL_WEIGHTS)[0]
        request = {
            "session_timeout_ms": 600_000,
            "rebalance_timeout_ms": 300_000,
            "group_instance_id": instance,
            "protocol_type": self.random.choices(("consumer", "connect", ""), (100, 2, 1))[0],
            "protocols": [{"name": name, "metadata": data} for name, data in offered.items()],
        }
        self.ask(JOIN, self.random.choice(versions), label, request)

    def sync(self) -> None:
        """Somebody asks for its part, whether it has to or not."""
        label, instance = self.somebody()
        self.ask_to_sync(label, instance, self.some_generation())

    def ask_to_sync(self, label: str, instance: str | None, generation: int) -> None:
        """SyncGroup, with parts for most members."""
        random = self.random
        version = random.choice((2, 3, 4, 5, 5))
        named = [other for other in self.members if random.random() < 0.9]
        request = {
            "generation_id": generation,
            "group_instance_id": instance if version >= 3 else None,
            "protocol_type": random.choices(("consumer", None, "connect"), (20, 1, 1))[0],
            "protocol_name": random.choices((self.protocol, None, "other"), (20, 2, 1))[0],
            "assignments": [(other, f"{other}@{generation}".encode()) for other in named],
        }
        self.ask(SYNC, version, label, request)

    def beat(self) -> None:
        """Heartbeat."""
        label, instance = self.somebody()
        request = {"generation_id": self.some_generation(), "group_instance_id": instance}
        self.ask(BEAT, 4, label, request)

    def leave(self) -> None:
        """LeaveGroup of one or two, or of an instance."""
        leavers = [self.somebody() for _ in range(self.random.choice((1, 1, 2)))]
        if self.random.random() < 0.3:
            leavers.append(("", self.random.choice("ij")))
        self.ask(LEAVE, self.random.choice((3, 4, 5)), leavers[0][0], {"members": leavers})

    def describe(self) -> None:
        """DescribeGroups."""
        request = {"groups": [self.group], "include_authorized_operations": False}
        self.ask(DESCRIBE, self.random.choice((0, 4, 5, 6)), "", request)

    def follow(self) -> None:
        """Most do what the protocol asks for: join, then sync."""
        for label, instance in list(self.members.items()):
            if self.random.random() < 0.8:
                self.ask_to_join(label, instance)
        for label, instance in list(self.members.items()):
            if self.random.random() < 0.85:
                self.ask_to_sync(label, instance, self.generation)

    def somebody(self) -> tuple[str, str | None]:
        """Mostly one of the last who came; sometimes nobody."""
        if self.members and self.random.random() < 0.93:
            return self.random.choice(list(self.members.items())[-8:])
        return self.random.choice((("stranger", None), ("stranger", "i"), ("", None)))

    def some_generation(self) -> int:
        """Mostly the present one."""
        return self.generation - (self.random.random() < 0.05)

    # Both sides

    def ask(self, api_key: int, version: int, label: str, request: Message) -> None:
        """Ask both, each by its own names, and compare."""
        token = len(self.asked)
        self.asked.append((api_key, label, request.get("group_instance_id")))
        for side in (self.reference, self.ours):
            own = {"group_id": self.group, "member_id": side.id_of(label), **request}
            if api_key == LEAVE:
                own["members"] = [
                    {"member_id": side.id_of(name), "group_instance_id": instance}
                    for name, instance in request["members"]
                ]
            if api_key == SYNC:
                own["assignments"] = [
                    {"member_id": side.id_of(name), "assignment": part}
                    for name, part in request["assignments"]
                ]
            side.send(token, api_key, version, own)
        self.compare()

    def compare(self) -> None:
        """Wait until both are quiet; the same must have been answered in the same words."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            came = [side.collect() for side in (self.reference, self.ours)]
            self.drop_forgotten()
            theirs, ours = self.reference.answers, self.ours.answers
            if not any(came) and theirs.keys() == ours.keys():
                break
            late = sorted(theirs.keys() ^ ours.keys())
            assert time.monotonic() < deadline, f"{self.group}: only one side answered {late}"
        self.reference.learn()
        self.ours.learn()
        for token in sorted(theirs):
            self.compare_one(token, self.reference.take(token), self.ours.take(token))

    def drop_forgotten(self) -> None:
        """What ours refuses, having kept it, and Kafka never answers."""
        for token in list(self.ours.answers):
            api_key, label, _ = self.asked[token]
            later = [asked[:2] for asked in self.asked[token + 1 :]]
            replaced = (api_key, label) in later
            left = api_key == SYNC and (LEAVE in [asked[0] for asked in later])
            if token in self.reference.open and (replaced or left) and self.ours.code(token):
                del self.ours.answers[token]
                self.reference.open.pop(token)[0].close()

    def compare_one(self, token: int, theirs: Answer, ours: Answer) -> None:
        """One answer of each; then what it tells about the group."""
        joined = self.asked[token][0] == JOIN and not theirs[0]
        if joined and theirs[:5] == ours[:5] and theirs[5:7] != ours[5:7]:
            self.by_chance = True  # another leader, or another of two protocols
            return
        assert ours == theirs, f"{self.group}, request {token} {self.asked[token]}: {ours}"
        if self.asked[token][0] == JOIN and theirs[0] in (errors.NONE, errors.MEMBER_ID_REQUIRED):
            self.members[theirs[1]] = self.asked[token][2]
        if joined:
            self.generation, self.protocol = theirs[2], theirs[5]
