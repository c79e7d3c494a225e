"""The smallest group that does everything a group may do: a counter with a record of its own.

Its record is a GroupMetadata whose generation is the count, so that real bytes are written and
read. `Count` adds one and answers, `Tick` notes that it was woken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from logserver.broker.groups.effects import (
    Answer,
    Effect,
    Note,
    Now,
    Persist,
    Record,
    Tick,
    Unload,
    Wake,
)
from logserver.broker.groups.offset_group import OffsetGroup
from logserver.broker.peer import Deferred
from logwire import errors
from logwire.messages import Message, group_records

WAKE_MS = 1000


class Count(NamedTuple):
    """Add one; answer if somebody waits."""

    deferred: Deferred | None = None


class Wait(NamedTuple):
    """Wait for something that never comes."""

    deferred: Deferred


class CountingGroup(OffsetGroup):
    """`count` is persistent, `ticks` and `resumed` are of this life only."""

    def __init__(self, group_id: str) -> None:
        super().__init__(group_id)
        self.count = 0
        self.ticks: list[Now] = []
        self.resumed = 0
        self.waiting: list[Deferred] = []
        self.deleted = False

    def step(self, event: Any, now: Now) -> list[Effect]:
        """Count, or note the tick."""
        if isinstance(event, Tick):
            self.ticks.append(now)
            return []
        if isinstance(event, Unload):
            code = {"error_code": errors.NOT_COORDINATOR}
            return [Answer(deferred, code) for deferred in self.waiting]
        if isinstance(event, Wait):
            self.waiting.append(event.deferred)
            return []
        self.count += 1
        effects: list[Effect] = [
            Persist([self.record()]),
            Wake(now.uptime_ms + WAKE_MS),
            Note("counted", "member", self.count),
        ]
        if event.deferred is not None:
            effects.append(Answer(event.deferred, {"error_code": 0}))
        return effects

    def record(self) -> Record:
        """The group as it is written."""
        value = {
            "protocol_type": "consumer",
            "generation": self.count,
            "protocol": None,
            "leader": None,
            "members": [],
        }
        key = group_records.encode_key("GroupMetadata", {"group": self.group_id})
        return key, group_records.encode_value("GroupMetadata", 3, value)

    def apply(self, name: str, key: Message, value: Message | None) -> None:
        """Take the count of a record."""
        assert (name, key) == ("GroupMetadata", {"group": self.group_id})
        if value is None:
            self.deleted = True
        else:
            self.count = value["generation"]

    def resume(self, _now: Now) -> list[Effect]:
        """Called once after a load."""
        self.resumed += 1
        return []

    @property
    def gone(self) -> bool:
        """Its tombstone was applied."""
        return self.deleted

    def tombstones(self) -> list[Record]:
        """Its record, deleted."""
        return [(self.record()[0], None)]
