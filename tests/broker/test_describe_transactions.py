"""DescribeTransactions and ListTransactions, on a server without transactions."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench


def test_no_transactional_id_is_known() -> None:
    """And an empty one is none."""
    answer = ControlBench().call(65, 0, {"transactional_ids": ["x", ""]})
    rows = [(row["transactional_id"], row["error_code"]) for row in answer["transaction_states"]]
    assert rows == [("x", errors.TRANSACTIONAL_ID_NOT_FOUND), ("", errors.INVALID_REQUEST)]


def listed(version: int = 2, states: tuple[str, ...] = (), pattern: str | None = None) -> Message:
    """The answer to a list of transactions."""
    request = {
        "state_filters": list(states),
        "producer_id_filters": [],
        "transactional_id_pattern": pattern,
    }
    return ControlBench().call(66, version, request)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_no_transaction_is_under_way(version: int) -> None:
    """States that Kafka does not know are named."""
    answer = listed(version, ("Ongoing", "Bogus"))
    assert (answer["error_code"], answer["transaction_states"]) == (errors.NONE, [])
    assert answer["unknown_state_filters"] == ["Bogus"]


@pytest.mark.parametrize("pattern", ["(", "a{1001}", "(" * 30_000, "[b-a]", "(?=a)"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    """INVALID_REGULAR_EXPRESSION, whatever was tried."""
    assert listed(pattern=pattern)["error_code"] == errors.INVALID_REGULAR_EXPRESSION
    assert listed(pattern="a.*")["error_code"] == errors.NONE
