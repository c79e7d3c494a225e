"""Failures are sentences that name what failed, and say why."""

import pytest

from logserver.client.failure import KINDS, ClientError, OffsetOutOfRange, is_retriable, refusal
from logwire import errors


def test_a_refusal_names_the_act_the_code_and_the_reason() -> None:
    """The server's own sentence is better than the table's; an unknown code is told as such."""
    told = refusal("create topic t", errors.TOPIC_ALREADY_EXISTS, "Topic 't' already exists.")
    assert (
        str(told) == "cannot create topic t: TOPIC_ALREADY_EXISTS (36): Topic 't' already exists."
    )
    assert (told.kind, told.code) == ("refused", 36)
    assert errors.ERRORS[3].message in str(refusal("read t-0", 3))
    assert "UNKNOWN_ERROR_CODE (999)" in str(refusal("read t-0", 999))


def test_an_offset_out_of_range_says_where_the_log_is() -> None:
    """The bounds are attributes too, for programs."""
    error = OffsetOutOfRange("t", 1, 5, 10, 20)
    assert "offset 5 of t-1 is outside the log (10 to 20)" in str(error)
    assert (error.log_start_offset, error.log_end_offset, error.code) == (10, 20, 1)


def test_retriable_is_what_kafka_says() -> None:
    """Straight from the error table; an unknown code is not."""
    assert is_retriable(errors.NOT_LEADER_OR_FOLLOWER)
    assert not is_retriable(errors.MESSAGE_TOO_LARGE)
    assert not is_retriable(999)


def test_kinds_are_a_closed_list() -> None:
    """A misspelt kind is our bug."""
    assert len(KINDS) == 9
    with pytest.raises(AssertionError):
        ClientError("oops", "no such kind")  # type: ignore[arg-type]
