"""Every message and version that is served, against kio, byte for byte and both ways."""

import io
import random
from typing import Any

import pytest
from kio.serial import entity_reader, entity_writer

from logwire import messages
from logwire.messages import APIS, Message
from tests.logwire import kio_oracle

SERVED = [
    (api.key, version, block)
    for api in APIS.values()
    for version in range(api.min_version, api.max_version + 1)
    for block in ("request", "response")
]
BEYOND_KIO = {(18, 5, "request"), (18, 5, "response")}
IN_KIO = [case for case in SERVED if case not in BEYOND_KIO]
ROUNDS = 12


def name_of(case: tuple[int, int, str]) -> str:
    return f"{APIS[case[0]].name}-{case[2]}-v{case[1]}"


def decode(case: tuple[int, int, str], body: bytes) -> Message:
    api_key, version, block = case
    if block == "request":
        return messages.decode_request(api_key, version, body)
    return messages.decode_response(api_key, version, body)


def encode(case: tuple[int, int, str], message: Message) -> bytes:
    api_key, version, block = case
    if block == "request":
        return messages.encode_request(api_key, version, message)
    return messages.encode_response(api_key, version, message)


def written_by_kio(entity: Any) -> bytes:
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


@pytest.mark.parametrize("case", IN_KIO, ids=name_of)
def test_a_message_is_the_same_for_kio_byte_for_byte_and_both_ways(
    case: tuple[int, int, str],
) -> None:
    """kio's bytes decode to kio's values, and encode back to the same bytes, which kio reads."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    kind = kio_oracle.entity(*case)
    for _ in range(ROUNDS):
        theirs = kio_oracle.make(kind, rng)
        body = written_by_kio(theirs)
        ours = decode(case, body)
        assert kio_oracle.differences(kio_oracle.plain(theirs), ours) == []
        assert encode(case, ours) == body
        again, size = entity_reader(kind)(body, 0)
        assert (again, size) == (theirs, len(body))


@pytest.mark.parametrize("case", SERVED, ids=name_of)
def test_an_empty_message_takes_every_default(case: tuple[int, int, str]) -> None:
    """Encoding {} and decoding it again gives all fields, and those encode to the same bytes."""
    body = encode(case, {})
    assert encode(case, decode(case, body)) == body
