"""A group that nobody joins: its offsets are committed by hand, by a "simple" consumer or a tool.

It has nothing of its own in the log; it is there as long as it has offsets. Whoever looks at it
sees a classic group that is empty and has no protocol type. The first JoinGroup or
ConsumerGroupHeartbeat puts a group of a real kind in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logwire import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logserver.broker.groups.effects import Effect, Now, Record
    from logserver.broker.groups.offset_store import Commit
    from logwire.messages import Message


class OffsetGroup:
    """Only an id: see `effects.Group` for what is asked of it."""

    __slots__ = ("group_id",)

    kind = "classic"
    state_name = "Empty"
    protocol_type: str | None = None

    def __init__(self, group_id: str) -> None:
        self.group_id = group_id

    def step(self, _event: Any, _now: Now) -> list[Effect]:
        """Nothing ever happens to it."""
        return []

    def apply(self, _name: str, _key: Message, _value: Message | None) -> None:
        """No record is its own."""

    def resume(self, _now: Now) -> list[Effect]:
        """It has no sessions."""
        return []

    @property
    def gone(self) -> bool:
        """It goes with its last offset."""
        return False

    @property
    def empty(self) -> bool:
        """Always."""
        return True

    def check_commit(
        self,
        _member_id: str,
        _instance_id: str | None,
        generation: int,
        _api_version: int,
        _commits: Sequence[Commit],
    ) -> int:
        """Everybody may commit who does not claim to belong to a generation."""
        return errors.NONE if generation < 0 else errors.UNKNOWN_MEMBER_ID

    def check_fetch(self, _member_id: str | None, _member_epoch: int) -> int:
        """Everybody may read."""
        return errors.NONE

    def check_offset_delete(self) -> int:
        """Always."""
        return errors.NONE

    def committed(self, _member_id: str, _now: Now) -> list[Effect]:
        """Nobody's session is renewed."""
        return []

    def subscribed(self, _topic: str) -> bool:
        """Nobody is subscribed."""
        return False

    def expiry_start_ms(self, commit_ms: int) -> int | None:
        """Each offset by itself, from its commit on."""
        return commit_ms

    def tombstones(self) -> list[Record]:
        """No record is its own."""
        return []
