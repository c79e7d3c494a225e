"""ACLs and delegation tokens, on a server that has neither."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench

FILTER = {
    "resource_type_filter": 1,
    "resource_name_filter": None,
    "pattern_type_filter": 3,
    "principal_filter": None,
    "host_filter": None,
    "operation": 1,
    "permission_type": 1,
}
CREATION = {
    "resource_type": 2,
    "resource_name": "a",
    "principal": "User:a",
    "host": "*",
    "operation": 3,
    "permission_type": 3,
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_tools_that_ask_for_acls_hear_that_there_is_no_access_control(version: int) -> None:
    """SECURITY_DISABLED, which user interfaces and MirrorMaker 2 take for "no ACLs"."""
    bench = ControlBench()
    described = bench.call(29, version, FILTER)
    assert (described["error_code"], described["resources"]) == (errors.SECURITY_DISABLED, [])
    assert described["error_message"] == "No Authorizer is configured on the broker"
    created = bench.call(30, version, {"creations": [CREATION, CREATION]})["results"]
    deleted = bench.call(31, version, {"filters": [FILTER, FILTER]})["filter_results"]
    for row in (*created, *deleted):
        assert row["error_code"] == errors.SECURITY_DISABLED
        assert row["error_message"] == "No Authorizer is configured."
    assert (len(created), len(deleted)) == (2, 2)


TOKEN_REQUESTS: list[tuple[int, int, Message]] = [
    (38, 3, {"renewers": [], "max_lifetime_ms": 1000}),
    (38, 1, {"renewers": [], "max_lifetime_ms": 1000}),
    (
        38,
        3,
        {"owner_principal_type": "User", "owner_principal_name": "a", "renewers": []},
    ),
    (39, 2, {"hmac": b"x", "renew_period_ms": 1}),
    (40, 2, {"hmac": b"x", "expiry_time_period_ms": 1}),
    (41, 3, {"owners": None}),
    (41, 1, {"owners": []}),
]


@pytest.mark.parametrize(("api_key", "version", "request_"), TOKEN_REQUESTS)
def test_nobody_gets_a_token_over_an_unauthenticated_connection(
    api_key: int, version: int, request_: Message
) -> None:
    """The code that Kafka gives on a PLAINTEXT listener, whether or not tokens are on."""
    response = ControlBench().call(api_key, version, request_)
    assert response["error_code"] == errors.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
    assert response.get("expiry_timestamp_ms", -1) == -1
    assert response.get("tokens", []) == []
