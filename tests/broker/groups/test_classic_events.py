"""Events: every one of them has a step."""

from __future__ import annotations

from logserver.broker.groups import classic_events, effects
from logserver.broker.groups.classic_group import STEPS


def test_every_event_has_its_step() -> None:
    """An event without a row would be a KeyError in the middle of a request."""
    made = {classic_events.Join, classic_events.Sync, classic_events.Heartbeat}
    assert set(STEPS) == made | {classic_events.Leave, effects.Tick, effects.Unload}
