"""The uniform assignor: equal shares, kept as far as equal shares allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

import pytest

from logserver.broker.groups.assignors import Assignment, GroupSpec, MemberSpec
from logserver.broker.groups.uniform import assign_uniform

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def spec_of(
    topics: Mapping[str, set[bytes]],
    counts: dict[bytes, int],
    targets: Mapping[str, Assignment] | None = None,
) -> GroupSpec:
    """Members by name with what they read; `targets` is what they were meant to have."""
    had = targets or {}
    members = {
        name: MemberSpec(None, frozenset(topic_ids), had.get(name, {}))
        for name, topic_ids in topics.items()
    }
    alike = len(set(map(frozenset, topics.values()))) <= 1
    return GroupSpec(members, counts, alike)


def readers(names: Iterable[str], topic_ids: set[bytes]) -> dict[str, set[bytes]]:
    """Members that all read the same."""
    return {name: set(topic_ids) for name in names}


def size(assignment: Assignment) -> int:
    """How many partitions it has."""
    return sum(map(len, assignment.values()))


def pairs(assignment: Assignment) -> set[tuple[bytes, int]]:
    """Its partitions, one by one."""
    return {(t, p) for t, numbers in assignment.items() for p in numbers}


def check(spec: GroupSpec, found: dict[str, Assignment]) -> None:
    """Every partition that somebody reads is one subscriber's."""
    given = [(pair, name) for name, share in found.items() for pair in pairs(share)]
    assert len(given) == len({pair for pair, _ in given}), "given twice"
    assert all(t in spec.members[name].topic_ids for (t, _), name in given)
    read = {t for member in spec.members.values() for t in member.topic_ids}
    assert len(given) == sum(spec.partition_counts[t] for t in read)
    assert all(numbers for share in found.values() for numbers in share.values())


def test_shares_differ_by_one_at_most() -> None:
    """Ten partitions of two topics for four members."""
    spec = spec_of(readers("abcd", {A, B}), {A: 7, B: 3})
    found = assign_uniform(spec)
    check(spec, found)
    assert sorted(size(share) for share in found.values()) == [2, 2, 3, 3]


def test_nobody_shares_nothing() -> None:
    """A group without members, and one that reads no topic."""
    assert assign_uniform(spec_of({}, {})) == {}
    assert assign_uniform(spec_of({"a": set()}, {})) == {"a": {}}


def test_a_new_member_takes_only_what_makes_it_equal() -> None:
    """Twelve for two becomes twelve for three: four move, from each two."""
    before = assign_uniform(spec_of(readers("ab", {A}), {A: 12}))
    after = assign_uniform(spec_of(readers("abc", {A}), {A: 12}, before))
    assert [size(after[name]) for name in "abc"] == [4, 4, 4]
    assert pairs(after["a"]) < pairs(before["a"])
    assert pairs(after["b"]) < pairs(before["b"])


def test_the_extra_partition_stays_where_it_is() -> None:
    """Who has one more than the others keeps it, wherever it stands among them."""
    target = {"a": {A: frozenset({0})}, "b": {A: frozenset({1})}, "c": {A: frozenset({2, 3})}}
    found = assign_uniform(spec_of(readers("abc", {A}), {A: 4}, target))
    assert found == target


@pytest.mark.parametrize("seed", range(40))
def test_members_alike_are_balanced_and_move_no_more_than_they_must(seed: int) -> None:
    """Members and partitions come and go; what moves is what is over somebody's share."""
    random = Random(seed)
    counts = {A: random.randrange(1, 20), B: random.randrange(0, 9)}
    names = [f"m{number}" for number in range(random.randrange(1, 9))]
    target: dict[str, Assignment] = {}
    for _ in range(8):
        if len(names) > 1 and random.random() < 0.4:
            names.remove(random.choice(names))
        else:
            names.append(f"n{random.randrange(10**9)}")
        counts[A] += random.randrange(2)
        spec = spec_of(readers(names, {A, B}), dict(counts), target)
        found = assign_uniform(spec)
        check(spec, found)
        sizes = [size(found[name]) for name in names]
        assert max(sizes) - min(sizes) <= 1, seed
        assert lost(spec, found) == must_move(spec), seed
        assert assign_uniform(spec_of(readers(names, {A, B}), dict(counts), found)) == found
        target = found


def lost(spec: GroupSpec, found: dict[str, Assignment]) -> int:
    """How many partitions members had and have no more."""
    return sum(
        len(pairs(member.target) - pairs(found[name])) for name, member in spec.members.items()
    )


def must_move(spec: GroupSpec) -> int:
    """The least that can move: what is over the quota, where only so many may have one more."""
    quota, extra = divmod(sum(spec.partition_counts.values()), len(spec.members))
    over = [size(member.target) - quota for member in spec.members.values()]
    may_keep_one_more = min(extra, sum(number > 0 for number in over))
    return sum(number for number in over if number > 0) - may_keep_one_more


@pytest.mark.parametrize("seed", range(60))
def test_members_of_different_topics_are_balanced_topic_by_topic(seed: int) -> None:
    """Nobody could give a partition of a topic to somebody who has two less."""
    random = Random(seed)
    counts = {t: random.randrange(1, 12) for t in (A, B, C)}
    topics = {
        f"m{number}": {t for t in (A, B, C) if random.random() < 0.6}
        for number in range(random.randrange(2, 9))
    }
    spec = spec_of(topics, counts)
    found = assign_uniform(spec._replace(alike=False))
    check(spec, found)
    for topic_id in counts:
        takers = [name for name, read in topics.items() if topic_id in read]
        givers = [size(found[name]) for name in takers if topic_id in found[name]]
        if givers:
            assert max(givers) - min(size(found[name]) for name in takers) <= 1, seed
    again = assign_uniform(spec_of(topics, counts, found)._replace(alike=False))
    assert again == found, seed


def test_who_unsubscribes_loses_the_topic_and_nobody_else_loses_anything() -> None:
    """The others take over; what they had is theirs."""
    both, one = {A, B}, {A}
    before = assign_uniform(spec_of({"a": both, "b": both}, {A: 4, B: 4}))
    spec = spec_of({"a": one, "b": both}, {A: 4, B: 4}, before)
    found = assign_uniform(spec)
    check(spec, found)
    assert size(found["b"]) == 4
    assert len(found["b"][B]) == 4
