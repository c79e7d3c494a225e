"""The range assignor: consecutive partitions, in the order of the members' names."""

from __future__ import annotations

from logserver.broker.groups.assignors import Assignment, GroupSpec, MemberSpec, assign_range

A, B = b"a" * 16, b"b" * 16


def member(*topic_ids: bytes, instance: str | None = None) -> MemberSpec:
    """A member that had nothing before."""
    return MemberSpec(instance, frozenset(topic_ids), {})


def assign(members: dict[str, MemberSpec], counts: dict[bytes, int]) -> dict[str, Assignment]:
    """What the assignor says."""
    return assign_range(GroupSpec(members, counts, alike=False))


def test_the_first_members_get_the_partitions_that_are_left_over() -> None:
    """Seven partitions for three: 3, 2 and 2, each consecutive."""
    found = assign({"c": member(A), "a": member(A), "b": member(A)}, {A: 7})
    assert found == {"a": {A: {0, 1, 2}}, "b": {A: {3, 4}}, "c": {A: {5, 6}}}


def test_members_of_two_topics_get_the_same_numbers_of_both() -> None:
    """That is what range is for: records with the same key meet in one member."""
    found = assign({"a": member(A, B), "b": member(A, B)}, {A: 4, B: 4})
    assert found["a"] == {A: {0, 1}, B: {0, 1}}
    assert found["b"] == {A: {2, 3}, B: {2, 3}}


def test_static_members_come_first_in_the_order_of_their_instance_ids() -> None:
    """A restart, which changes member ids, does not change who has what."""
    members = {"a": member(A), "z": member(A, instance="i1"), "y": member(A, instance="i2")}
    found = assign(members, {A: 3})
    assert found == {"z": {A: {0}}, "y": {A: {1}}, "a": {A: {2}}}


def test_only_subscribers_share_a_topic() -> None:
    """Each topic is shared by itself, and who reads nothing gets nothing."""
    found = assign({"a": member(A), "b": member(A, B), "c": member()}, {A: 2, B: 2})
    assert found == {"a": {A: {0}}, "b": {A: {1}, B: {0, 1}}, "c": {}}


def test_more_members_than_partitions_leave_some_without() -> None:
    """No topic stands in an assignment without partitions."""
    found = assign({name: member(A) for name in "abc"}, {A: 2})
    assert found == {"a": {A: {0}}, "b": {A: {1}}, "c": {}}
