"""A group's history: who, why, and what is remembered of who has gone."""

from __future__ import annotations

from logserver.broker.groups.effects import Note
from logserver.broker.groups.history import HISTORY_LINES_MAX, History
from logserver.broker.groups.offset_group import OffsetGroup
from tests.broker.groups.consumer_bench import Client, ConsumerBench
from tests.broker.groups.groups_bench import GroupsBench
from tests.broker.groups.offsets_bench import GROUP


def test_a_line_tells_the_client_of_a_member() -> None:
    """Of one that joins as of one that leaves."""
    bench = GroupsBench()
    member_id = bench.stable()
    bench.leave(member_id)
    joined, *_, left = bench.coordinator.history[GROUP].lines
    assert joined.member_id == left.member_id == member_id
    assert (joined.client_id, joined.client_host) == (left.client_id, left.client_host)
    assert joined.client_id
    assert joined.client_host.startswith("/")
    assert (joined.reason, joined.generation) == ("a member joins", 0)


def test_members_of_consumer_groups_are_told_as_well() -> None:
    """While they are there, and after they have left."""
    bench = ConsumerBench()
    bench.cluster.create("a")
    client = Client(bench, "m1", "a")
    client.beat()
    history = History()
    history.add(bench.group, Note("a member joins", "m1", 1), 7)
    known = bench.group.state.members["m1"]
    client.leave()
    history.add(bench.group, Note("a member leaves", "m1", 2), 8)
    told = [(line.client_id, line.client_host) for line in history.lines]
    assert told == [(known.client_id, known.client_host)] * 2


def test_a_member_that_nobody_remembers_has_no_client() -> None:
    """The group of offsets has no members at all."""
    history = History()
    history.add(OffsetGroup("group"), Note("why", "m", 3), 7)
    assert history.lines[-1] == (7, "why", "m", "", "", 3)


def test_the_newest_lines_are_kept_and_all_are_counted() -> None:
    """A group that rebalances for ever takes no more memory for it."""
    history = History()
    for generation in range(HISTORY_LINES_MAX + 5):
        history.add(OffsetGroup("group"), Note("why", "m", generation), 7)
    assert (len(history.lines), history.count) == (HISTORY_LINES_MAX, HISTORY_LINES_MAX + 5)
    assert history.lines[0].generation == 5
