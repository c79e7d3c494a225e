"""A bench for requests about groups: a broker, clients that join it, answers that come later."""

from __future__ import annotations

from random import Random
from typing import Any

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.storage.simulated_files import RecordingFiles
from logwire import errors
from logwire.frame import parse_response_header
from logwire.messages import Message, decode_response
from tests.broker.fake_peer import FakePeer, FakeReply
from tests.broker.groups.offsets_bench import GROUP, OffsetsBench


class Asked:
    """A request that was sent; `answer` once the broker has given it and the disk has it."""

    def __init__(self, api_key: int, version: int, reply: FakeReply | None, now: Message) -> None:
        self._api_key = api_key
        self._version = version
        self._reply = reply
        self._now = now

    @property
    def waits(self) -> bool:
        """Nothing has left yet."""
        return self._reply is not None and self._reply.answer is None

    @property
    def answer(self) -> Message:
        """The decoded answer."""
        if self._reply is None:
            return self._now
        assert self._reply.answer is not None, "no answer yet"
        frame = memoryview(self._reply.answer)[4:]
        _, position = parse_response_header(frame, self._api_key, self._version)
        return decode_response(self._api_key, self._version, frame[position:])

    def __getitem__(self, name: str) -> Any:
        return self.answer[name]

    @property
    def code(self) -> int:
        """The error code at the top."""
        code: int = self.answer["error_code"]
        return code


class GroupsBench(OffsetsBench):
    """`send` asks as a client would, each request over a connection of its own."""

    def send(self, api_key: int, version: int, request: Message, *, sync: bool = True) -> Asked:
        """Ask; with `sync` the group commit ends before this returns."""
        self.peer = FakePeer()
        now = self.call(api_key, version, request)
        if sync:
            self.sync()
        return Asked(api_key, version, self.peer.answers[-1] if self.peer.answers else None, now)

    def power_cut(self, random: Random) -> GroupsBench:
        """Another bench, on one of the states that a power cut at this moment may leave."""
        assert isinstance(self.files, RecordingFiles)
        return GroupsBench(dict(self.config.given), self.files.power_cut(random))

    @property
    def group(self) -> ClassicGroup:
        """The classic group `group`."""
        found = self.coordinator.groups[GROUP]
        assert isinstance(found, ClassicGroup)
        return found

    # Verbs

    def join(self, member_id: str = "", *, version: int = 9, **fields: Any) -> Asked:
        """JoinGroup with one protocol; `fields` go into the request."""
        request = {
            "group_id": GROUP,
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 60_000,
            "member_id": member_id,
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b"m"}],
            **fields,
        }
        return self.send(11, version, request)

    def stable(self, **fields: Any) -> str:
        """One member joins, leads and syncs; its id."""
        member_id = str(self.join(**fields)["member_id"])
        joined = self.join(member_id, **fields)
        self.pass_time(3_000)
        assert joined.code == errors.NONE
        assert self.assign(member_id, b"part", **fields).code == errors.NONE
        return member_id

    def assign(self, member_id: str, part: bytes, *, version: int = 5, **fields: Any) -> Asked:
        """SyncGroup of a leader, which is alone."""
        request = {
            "group_id": GROUP,
            "generation_id": self.group.generation,
            "member_id": member_id,
            "protocol_type": fields.get("protocol_type", "consumer"),
            "protocol_name": "range",
            "assignments": [{"member_id": member_id, "assignment": part}],
        }
        return self.send(14, version, request)

    def beat(self, member_id: str, generation: int = 1, version: int = 4) -> int:
        """Heartbeat; its code."""
        request = {"group_id": GROUP, "generation_id": generation, "member_id": member_id}
        return self.send(12, version, request).code

    def leave(self, member_id: str, version: int = 5) -> Asked:
        """LeaveGroup of one member."""
        members = [{"member_id": member_id}]
        request = {"group_id": GROUP, "member_id": member_id, "members": members}
        return self.send(13, version, request)
