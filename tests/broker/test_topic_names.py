"""Topic names: legal, colliding, internal."""

import pytest

from logserver.broker.topic_names import is_internal, problem_of, refusal_of, unified


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 249, "...", "__mine", "-"])
def test_legal_names_have_no_problem(name: str) -> None:
    """ASCII letters and digits, dot, underscore and dash."""
    assert problem_of(name) is None
    assert refusal_of(name) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../etc", "a b", "a\n", "\x00", "x" * 250, "é", "a\\b", "a:b"]
)
def test_names_that_are_no_directory_are_refused(name: str) -> None:
    """No name leads out of the data directory, none breaks a line of a log."""
    assert problem_of(name) is not None
    assert str(refusal_of(name)).startswith("Topic name is invalid: ")


def test_dot_and_underscore_collide() -> None:
    """Metric names write both as an underscore."""
    assert unified("a.b_c") == unified("a_b.c") == "a_b_c"


def test_internal_topics_are_known() -> None:
    """The server keeps its own state there."""
    assert is_internal("__consumer_offsets")
    assert not is_internal("__mine")
