"""The vocabulary itself: every effect is told from every other by its type."""

from __future__ import annotations

from typing import get_args

from logserver.broker.groups.effects import Effect, Group, Note, Now, Tick, Wake
from logserver.broker.groups.offset_group import OffsetGroup


def test_effects_are_told_apart_by_type() -> None:
    """A coordinator looks at the type, so no two may be the same tuple class."""
    kinds = get_args(Effect)
    assert len(kinds) == len(set(kinds)) > 3
    assert {Note, Wake} < set(kinds)
    assert Tick not in kinds


def test_both_clocks_travel_together() -> None:
    """One measures, the other only stamps."""
    assert Now(uptime_ms=1, wall_ms=2) == (1, 2)


def test_a_group_of_offsets_has_all_that_is_asked_of_a_group() -> None:
    """The protocol and its smallest member do not drift apart."""
    asked = {name for name in vars(Group) if not name.startswith("_")}
    assert {"step", "apply", "resume", "check_commit", "tombstones"} <= asked
    assert all(hasattr(OffsetGroup, name) for name in asked)
