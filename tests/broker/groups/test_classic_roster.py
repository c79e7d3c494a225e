"""The members of a classic group: counts, votes, leaders."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from logserver.broker.groups.classic_roster import Member, ParkedJoin, Roster

SEED = 20_260_402
PARKED = ParkedJoin(cast(Any, object()), 9)


def member(name: str, *protocols: str, instance: str | None = None) -> Member:
    """A member with protocols without metadata, best first."""
    return Member(name, instance, "c", "/h", 10, 20, dict.fromkeys(protocols, b""))


def roster(*members: Member) -> Roster:
    """A roster of these, in this order."""
    made = Roster()
    for one in members:
        made.add(one)
    return made


def test_the_first_member_leads_until_it_goes() -> None:
    """Then the next one in the order of coming; with the last one nobody leads."""
    group = roster(member("a", "p"), member("b", "p"), member("c", "p"))
    assert group.leader_id == "a"
    group.remove("b")
    group.remove("a")
    assert group.leader_id == "c"
    group.remove("c")
    assert group.leader_id is None


def test_a_leader_that_has_not_joined_is_replaced_by_one_who_has() -> None:
    """Whoever is here can assign; if nobody is, nobody can."""
    group = roster(member("a", "p"), member("b", "p"))
    assert not group.elect_leader()
    group.park_join(group["b"], PARKED)
    assert group.elect_leader()
    assert group.leader_id == "b"


def test_the_protocol_most_members_like_best_wins_if_all_know_it() -> None:
    """`y` is everybody's; `z` has more first votes and one who does not know it."""
    group = roster(member("a", "z", "y"), member("b", "z", "x", "y"), member("c", "x", "y"))
    assert group.select_protocol() == "y"
    group.remove("c")
    assert group.select_protocol() == "z"


def test_the_same_votes_give_the_same_protocol() -> None:
    """A tie goes to what was voted for first: two brokers, and a replay, choose alike."""
    group = roster(member("a", "x", "y"), member("b", "y", "x"))
    assert group.select_protocol() == "x"


def test_what_all_support_follows_who_comes_and_goes() -> None:
    """A name counts only if every member has it."""
    group = roster(member("a", "x", "y"), member("b", "y"))
    assert group.supports({"y": b""})
    assert not group.supports({"x": b"", "z": b""})
    group.remove("b")
    assert group.supports({"x": b""})


def test_a_static_member_keeps_its_place_under_a_new_id() -> None:
    """It leads as before, and is found by its instance id."""
    group = roster(member("old", "p", instance="i"), member("b", "p"))
    group.rename(group["old"], "new")
    assert group.leader_id == "new"
    assert group.static_member_id("i") == "new"
    assert ("old" in group, "new" in group) == (False, True)
    group.remove("new")
    assert group.static_member_id("i") is None


def test_pending_members_are_waited_for_and_counted_nowhere() -> None:
    """Not in the size, not in the protocols, not among the leaders."""
    group = roster(member("a", "p"))
    group.pending.add("b")
    group.park_join(group["a"], PARKED)
    assert not group.all_joined
    assert len(group) == 1
    group.remove("b")
    assert group.all_joined


def test_counts_agree_with_the_members_after_random_moves() -> None:
    """What is kept as members come and go is what a look at all of them would say."""
    random = Random(SEED)
    group = Roster()
    for number in range(2_000):
        names = list(group.members)
        move = random.random()
        if move < 0.4 or not names:
            protocols = random.sample(["w", "x", "y", "z"], random.randrange(1, 5))
            instance = f"i{number}" if random.random() < 0.3 else None
            group.add(member(f"m{number}", *protocols, instance=instance))
        elif move < 0.7:
            group.remove(random.choice(names))
        else:
            parked = PARKED if random.random() < 0.6 else None
            group.park_join(group[random.choice(names)], parked)
        members = list(group)
        assert group.joining_count == sum(one.parked_join is not None for one in members)
        assert group.size_bytes == sum(one.size_bytes() for one in members)
        assert (group.leader_id in group.members) == bool(members), f"seed {SEED}"
        for name in "wxyz":
            assert group.supports({name: b""}) == all(name in one.protocols for one in members)
