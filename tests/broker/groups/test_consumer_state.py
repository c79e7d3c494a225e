"""What is kept of a group, made from records; and the counts that follow from its members."""

from __future__ import annotations

from typing import Any

from logserver.broker.groups.consumer_member import Member, assignment_fields, metadata_fields
from logserver.broker.groups.consumer_state import ConsumerState, target_fields
from logwire.messages import Message

A = b"a" * 16


def apply(state: ConsumerState, kind: str, value: Message | None, **key: str) -> None:
    """Apply a record; `kind` is its name without the common beginning."""
    state.apply(f"ConsumerGroup{kind}", {"group_id": "g", **key}, value)


def put(state: ConsumerState, member_id: str, **fields: Any) -> None:
    """Both records of a member."""
    member = Member(member_id, **fields)
    apply(state, "MemberMetadata", metadata_fields(member), member_id=member_id)
    apply(state, "CurrentMemberAssignment", assignment_fields(member), member_id=member_id)


def test_subscriptions_are_counted_as_members_come_change_and_go() -> None:
    """By name, by expression, by assignor; what nobody chose any more is not there."""
    state = ConsumerState()
    put(state, "a", topic_names=frozenset({"x", "y"}), assignor="range")
    put(state, "b", topic_names=frozenset({"x"}), topic_regex="z.*", assignor="range")
    assert (state.names, state.regexes, state.assignors) == (
        {"x": 2, "y": 1},
        {"z.*": 1},
        {"range": 2},
    )
    put(state, "a", topic_names=frozenset({"y"}), assignor="uniform")
    apply(state, "CurrentMemberAssignment", None, member_id="b")
    apply(state, "MemberMetadata", None, member_id="b")
    assert (state.names, state.regexes, state.assignors) == ({"y": 1}, {}, {"uniform": 1})


def test_members_are_alike_when_all_chose_the_same() -> None:
    """All by the same names, or all by one expression and nothing else."""
    state = ConsumerState()
    assert state.alike
    put(state, "a", topic_names=frozenset({"x"}))
    put(state, "b", topic_names=frozenset({"x"}))
    assert state.alike
    put(state, "b", topic_names=frozenset({"x", "y"}))
    assert not state.alike
    put(state, "a", topic_regex="x")
    put(state, "b", topic_regex="x")
    assert state.alike
    put(state, "b", topic_regex="y")
    assert not state.alike
    put(state, "b", topic_regex="x", topic_names=frozenset({"x"}))
    assert not state.alike


def test_what_an_expression_matched_belongs_to_the_subscription() -> None:
    """As long as the record is there."""
    state = ConsumerState()
    put(state, "a", topic_regex="x.", topic_names=frozenset({"y"}))
    assert state.topics_of(state.members["a"]) == state.topics() == {"y"}
    value = {"topics": ["x1", "x2"], "version": 3, "timestamp": 4}
    apply(state, "RegularExpression", value, regular_expression="x.")
    assert state.topics_of(state.members["a"]) == state.topics() == {"x1", "x2", "y"}
    apply(state, "RegularExpression", None, regular_expression="x.")
    assert state.topics() == {"y"}


def test_a_partition_has_the_owner_of_the_last_record() -> None:
    """A log that is half compacted shows the old owner after the new one for a while."""
    state = ConsumerState()
    put(state, "new", member_epoch=7, assigned={A: {1: 7}})
    put(state, "old", member_epoch=5, assigned={A: {1: 5, 2: 5}})
    put(state, "new", member_epoch=8, assigned={A: {1: 7}})
    assert state.owner(A, 1) == "old"
    put(state, "old", member_epoch=6, assigned={A: {2: 5}})
    put(state, "new", member_epoch=9, assigned={A: {1: 7}}, revoking={A: {3: 7}})
    assert (state.owner(A, 2), state.owner(A, 3)) == ("old", "new")


def test_a_partition_that_is_being_given_up_is_still_owned() -> None:
    """Until the record says that it is not."""
    state = ConsumerState()
    put(state, "a", assigned={A: {1: 1}})
    put(state, "a", revoking={A: {1: 1}})
    assert state.owner(A, 1) == "a"
    put(state, "a")
    assert state.owner(A, 1) is None
    assert state.owners == {}


def test_an_instance_id_names_the_member_that_has_it_now() -> None:
    """The successor is there before or after the predecessor has gone."""
    state = ConsumerState()
    put(state, "a", instance_id="i")
    put(state, "b", instance_id="i")
    apply(state, "MemberMetadata", None, member_id="a")
    found = state.static_member("i")
    assert found is not None
    assert found.member_id == "b"
    assert state.static_member("j") is None


def test_every_record_of_a_group_has_its_key_told_for_deletion() -> None:
    """Applied as tombstones they leave nothing behind."""
    state = ConsumerState()
    put(state, "a", topic_regex="x", assigned={A: {1: 1}})
    target = target_fields({A: frozenset({1})})
    apply(state, "TargetAssignmentMember", target, member_id="a")
    value = {"assignment_epoch": 3, "assignment_timestamp": 9}
    apply(state, "TargetAssignmentMetadata", value)
    apply(
        state,
        "RegularExpression",
        {"topics": [], "version": 1, "timestamp": 1},
        regular_expression="x",
    )
    apply(state, "PartitionMetadata", {"topics": []})
    apply(state, "Metadata", {"epoch": 3, "metadata_hash": 5})
    assert (state.epoch, state.metadata_hash, state.assignment_epoch) == (3, 5, 3)
    assert state.target_of("a") == {A: {1}}
    for name, key in state.keys("g"):
        assert not state.gone
        state.apply(name, key, None)
    assert state.gone
    left = (state.members, state.targets, state.resolved, state.owners, state.regexes)
    assert not any(left)
    assert not state.has_partition_metadata


def test_a_tombstone_of_what_is_not_there_changes_nothing() -> None:
    """A compacted log may begin with one."""
    state = ConsumerState()
    for name, key in (("MemberMetadata", "a"), ("CurrentMemberAssignment", "a")):
        apply(state, name, None, member_id=key)
    apply(state, "TargetAssignmentMember", None, member_id="a")
    apply(state, "SomethingNew", {"x": 1})
    assert not state.members


def test_the_assignor_of_most_members_is_preferred() -> None:
    """The broker's first one where nobody chose."""
    state = ConsumerState()
    assert state.preferred_assignor("uniform") == "uniform"
    for name, assignor in (("a", "range"), ("b", "uniform"), ("c", "range")):
        put(state, name, assignor=assignor)
    assert state.preferred_assignor("uniform") == "range"
