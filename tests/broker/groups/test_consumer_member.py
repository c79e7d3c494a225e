"""A member and its two records."""

from __future__ import annotations

import pytest

from logserver.broker.groups.consumer_member import (
    UNKNOWN_STATE,
    UNREVOKED_PARTITIONS,
    ClassicMetadata,
    Member,
    assignment_fields,
    metadata_fields,
    with_assignment,
    with_epoch,
    with_metadata,
    without_epochs,
)
from logwire.messages.group_records import decode_value, encode_value

A, B = b"a" * 16, b"b" * 16

FULL = Member(
    "m",
    7,
    6,
    UNREVOKED_PARTITIONS,
    {A: {0: 5, 3: 7}},
    {B: {1: 6}},
    "i",
    "rack",
    "client",
    "/127.0.0.1",
    frozenset({"x", "y"}),
    "z.*",
    30_000,
    "range",
    ClassicMetadata(10_000, (("range", b"\0\1"), ("sticky", b""))),
)


@pytest.mark.parametrize("member", [FULL, Member("m")], ids=["full", "bare"])
def test_a_member_comes_back_from_its_two_records(member: Member) -> None:
    """Through real bytes, all of it."""
    name = "ConsumerGroupMemberMetadata"
    metadata = decode_value(name, encode_value(name, 0, metadata_fields(member)))[1]
    name = "ConsumerGroupCurrentMemberAssignment"
    assignment = decode_value(name, encode_value(name, 0, assignment_fields(member)))[1]
    assert with_assignment(with_metadata(Member("m"), metadata), assignment) == member


def test_partitions_without_epochs_have_that_of_their_member() -> None:
    """Records from before Kafka 4.3; a static member that has left counts from nought."""
    for epoch, expected in ((4, 4), (-2, 0)):
        row = {"topic_id": A, "partitions": [1, 2], "assignment_epochs": None}
        value = {
            "member_epoch": epoch,
            "previous_member_epoch": 3,
            "state": 0,
            "assigned_partitions": [row],
            "partitions_pending_revocation": [],
        }
        assert with_assignment(Member("m"), value).assigned == {A: {1: expected, 2: expected}}


def test_a_state_from_the_future_is_unknown() -> None:
    """A newer server may have written it before this one took over."""
    value = {**assignment_fields(FULL), "state": 3}
    assert with_assignment(Member("m"), value).state == UNKNOWN_STATE


def test_an_advance_remembers_the_epoch_it_leaves() -> None:
    """The answer with the new one may be lost."""
    member = FULL.advance(9, 0, {A: {0: 5}}, {})
    assert (member.member_epoch, member.previous_epoch, member.revoking) == (9, 7, {})


def test_a_member_owns_only_what_is_assigned_if_it_says_so() -> None:
    """What it has to give up, what is not its own, or silence: no."""
    assert FULL.owns_only([{"topic_id": A, "partitions": [3]}])
    assert FULL.owns_only([])
    assert not FULL.owns_only([{"topic_id": A, "partitions": [0, 1]}])
    assert not FULL.owns_only([{"topic_id": B, "partitions": [1]}])
    assert not FULL.owns_only(None)


def test_epochs_can_be_put_on_and_taken_off() -> None:
    """Where a group changes its kind."""
    assert without_epochs(with_epoch({A: [2, 1]}, 5)) == {A: {1, 2}}
