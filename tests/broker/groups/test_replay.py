"""Which machine a record belongs to: makers, tombstones, and a change of kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from logserver.broker.groups.effects import Group
from logserver.broker.groups.offset_group import OffsetGroup
from logserver.broker.groups.replay import KINDS, apply_record
from logwire.messages import Message


class Kind(OffsetGroup):
    """A kind of group that counts its records; a null value deletes it."""

    __slots__ = ("applied", "is_gone")

    def __init__(self, group_id: str) -> None:
        super().__init__(group_id)
        self.applied: list[tuple[str, Message | None]] = []
        self.is_gone = False

    def apply(self, name: str, _key: Message, value: Message | None) -> None:
        """Note the record."""
        self.applied.append((name, value))
        self.is_gone = value is None

    @property
    def gone(self) -> bool:
        """A tombstone was applied."""
        return self.is_gone


class OtherKind(Kind):
    """Another kind."""

    __slots__ = ()


@pytest.fixture(autouse=True)
def two_kinds() -> Iterator[None]:
    """One old, one new, while a test runs."""
    before = dict(KINDS)
    KINDS.clear()
    KINDS.update({"Old": Kind, "New": OtherKind})
    yield
    KINDS.clear()
    KINDS.update(before)


def test_a_record_makes_the_group_it_is_about() -> None:
    """The key of older kinds says "group", that of newer ones "group_id"."""
    groups: dict[str, Group] = {}
    apply_record(groups, "Old", {"group": "a"}, {"x": 1})
    apply_record(groups, "New", {"group_id": "b"}, {"x": 2})
    assert {name: type(group) for name, group in groups.items()} == {"a": Kind, "b": OtherKind}


def test_a_tombstone_drops_a_group_and_makes_none() -> None:
    """Compaction may have removed what it deletes."""
    groups: dict[str, Group] = {}
    apply_record(groups, "Old", {"group": "a"}, None)
    assert groups == {}
    apply_record(groups, "Old", {"group": "a"}, {})
    apply_record(groups, "Old", {"group": "a"}, None)
    assert groups == {}


def test_a_group_changes_its_kind_by_a_record_of_the_new_one() -> None:
    """The tombstone of the old kind comes before or after it, and means the old kind only."""
    made: Message = {}
    for records in (
        [("Old", made), ("Old", None), ("New", made)],
        [("Old", made), ("New", made), ("Old", None)],
    ):
        groups: dict[str, Group] = {}
        for name, value in records:
            apply_record(groups, name, {"group": "a"}, value)
        assert type(groups["a"]) is OtherKind


def test_records_of_unknown_kinds_change_nothing() -> None:
    """Share groups and streams groups write into the same log."""
    groups: dict[str, Group] = {}
    apply_record(groups, "Shared", {"group_id": "a"}, {})
    assert groups == {}
