"""FindCoordinator before groups exist."""

import pytest

from logwire import errors
from tests.broker.control_bench import ControlBench

REFUSALS = [
    (0, errors.COORDINATOR_NOT_AVAILABLE),
    (1, errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    (2, errors.COORDINATOR_NOT_AVAILABLE),
    (9, errors.INVALID_REQUEST),
]


@pytest.mark.parametrize(("key_type", "code"), REFUSALS)
def test_groups_are_not_yet_there_and_transactions_are_refused(key_type: int, code: int) -> None:
    """The first code is retried by clients, the second is fatal to them."""
    bench = ControlBench()
    answer = bench.call(10, 6, {"key_type": key_type, "coordinator_keys": ["g", "h"]})
    assert [(row["key"], row["error_code"]) for row in answer["coordinators"]] == [
        ("g", code),
        ("h", code),
    ]
    answer = bench.call(10, 3, {"key": "g", "key_type": key_type})
    assert (answer["error_code"], answer["node_id"], answer["port"]) == (code, -1, -1)


def test_version_0_knows_groups_only() -> None:
    """librdkafka looks for it to decide about lz4."""
    answer = ControlBench().call(10, 0, {"key": "g"})
    assert answer["error_code"] == errors.COORDINATOR_NOT_AVAILABLE
