"""Four kinds of deadlines of one member, and the nearest of all."""

from __future__ import annotations

from logserver.broker.groups.consumer_deadlines import MemberDeadlines


def test_the_nearest_deadline_of_any_kind_is_the_next() -> None:
    """Nothing where nothing is due."""
    deadlines = MemberDeadlines()
    assert deadlines.next_due_ms() is None
    deadlines.sessions.set("a", 50)
    deadlines.joins.set("b", 30)
    assert deadlines.next_due_ms() == 30
    deadlines.syncs.set("a", 20)
    assert deadlines.next_due_ms() == 20


def test_what_expires_tells_who_and_why() -> None:
    """One after the other until nothing is due any more."""
    deadlines = MemberDeadlines()
    deadlines.sessions.set("a", 10)
    deadlines.rebalances.set("b", 10)
    deadlines.joins.set("c", 10)
    deadlines.syncs.set("d", 11)
    missed = []
    while (found := deadlines.expire(10)) is not None:
        missed.append(found)
    assert [member_id for member_id, _ in missed] == ["a", "b", "c"]
    assert len({reason for _, reason in missed}) == 3
    assert deadlines.next_due_ms() == 11


def test_a_member_that_goes_has_no_deadlines_left() -> None:
    """Of no kind."""
    deadlines = MemberDeadlines()
    for kind in (deadlines.sessions, deadlines.rebalances, deadlines.joins, deadlines.syncs):
        kind.set("a", 10)
    deadlines.drop("a")
    assert deadlines.next_due_ms() is None
