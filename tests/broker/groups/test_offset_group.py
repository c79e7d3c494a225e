"""A group of offsets only takes part in everything that is asked of groups."""

from __future__ import annotations

from logserver.broker.groups.effects import Group, Now, Tick
from logserver.broker.groups.offset_group import OffsetGroup
from logwire import errors

NOW = Now(0, 0)


def test_it_answers_as_an_empty_group() -> None:
    """It keeps nobody from deleting it, and its offsets age from their commit on."""
    group: Group = OffsetGroup("g")
    assert group.empty
    assert not group.gone
    assert not group.subscribed("topic")
    assert group.expiry_start_ms(77) == 77
    assert group.check_offset_delete() == errors.NONE
    assert group.check_fetch("m", 3) == errors.NONE
    assert group.tombstones() == []


def test_nothing_ever_happens_to_it() -> None:
    """No event, no commit and no start has an effect."""
    group = OffsetGroup("g")
    assert [*group.step(Tick(), NOW), *group.committed("m", NOW), *group.resume(NOW)] == []
    group.apply("GroupMetadata", {}, None)
    assert not group.gone


def test_who_claims_a_generation_is_a_stranger() -> None:
    """Who claims none may commit, whatever he calls himself, as in Kafka's empty group."""
    group = OffsetGroup("g")
    assert group.check_commit("m", None, -1, 9, []) == errors.NONE
    assert group.check_commit("m", None, 0, 9, []) == errors.UNKNOWN_MEMBER_ID
