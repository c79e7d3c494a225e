"""The table of handlers, and refusals of whole requests."""

from random import Random

import pytest

from logserver.broker.authorization import AUTHORIZATION
from logserver.broker.handlers import HANDLERS, refuse
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import (
    APIS,
    Message,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from tests.broker.control_bench import NO_ID, ControlBench
from tests.broker.request_generator import Requests

PRODUCE, FETCH = 0, 1


def test_every_api_of_the_control_plane_has_a_handler() -> None:
    """Produce and Fetch have doors of their own."""
    assert set(HANDLERS) == set(AUTHORIZATION) - {PRODUCE, FETCH}


REQUESTS: dict[int, Message] = {
    3: {"topics": [{"name": "a", "topic_id": NO_ID}]},
    20: {"topics": [{"name": "a", "topic_id": NO_ID}], "topic_names": ["a"]},
    22: {"transactional_id": "t"},
    75: {"topics": [{"name": "a"}]},
}
ROWS = {3: "topics", 20: "responses", 75: "topics"}


@pytest.mark.parametrize("api_key", [3, 18, 20, 22, 60, 75])
def test_a_refused_request_is_answered_in_every_version(api_key: int) -> None:
    """At the top where the response has a place for it, else in every row."""
    api = APIS[api_key]
    refusal = Refusal(errors.INVALID_REQUEST, "because")
    for version in range(api.min_version, api.max_version + 1):
        body = encode_request(api_key, version, REQUESTS.get(api_key, {}))
        request = decode_request(api_key, version, body)
        encoded = encode_response(api_key, version, refuse(api_key, request, refusal))
        response = decode_response(api_key, version, encoded)
        told = response if api_key not in ROWS else response[ROWS[api_key]][0]
        assert told["error_code"] == errors.INVALID_REQUEST


@pytest.mark.parametrize("api_key", sorted(HANDLERS))
def test_whatever_can_be_decoded_is_answered(api_key: int) -> None:
    """No combination of names, numbers and nulls is more than a refusal; the seed is the key."""
    random = Random(api_key)
    bench = ControlBench({"logserver.partitions.max": "60"})
    bench.create("a", 3)
    bench.append("a", [1, 5, 3])
    api = APIS[api_key]
    for turn in range(60):
        if turn % 10 == 0:
            bench.sync()
            bench.create("a", 3)
        requests = Requests(random, list(bench.broker.image.topics))
        for version in range(api.min_version, api.max_version + 1):
            bench.call(api_key, version, requests.request(api_key, version))
    bench.sync()
    bench.restart(clean=False)
