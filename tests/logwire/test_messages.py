"""Every message and version that is served, against kio, byte for byte and both ways."""

import ast
import contextlib
import io
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from kio.serial import entity_reader, entity_writer

from logwire import messages
from logwire.errors import ProtocolError
from logwire.messages import APIS, Message
from tests.logwire import kio_oracle

SERVED = [
    (api.key, version, block)
    for api in APIS.values()
    for version in range(api.min_version, api.max_version + 1)
    for block in ("request", "response")
]
FLEXIBLE = [case for case in SERVED if case[1] >= APIS[case[0]].flexible_from]
BEYOND_KIO = {(key, v, block) for key, v in ((18, 5), (42, 3)) for block in ("request", "response")}
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


def mutations(body: bytes, rng: random.Random) -> list[bytes]:
    """Broken relatives of a body: bytes changed, lengths made huge or negative, parts repeated."""
    broken = []
    for _ in range(40):
        data = bytearray(body)
        position = rng.randrange(len(data) + 1)
        junk = rng.choice(
            (rng.randbytes(1), b"\xff" * 5, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 10)
        )
        if rng.random() < 0.5:
            data[position : position + len(junk)] = junk
        else:
            data[position:position] = junk
        broken.append(bytes(data))
    return broken


@pytest.mark.parametrize("case", IN_KIO, ids=name_of)
def test_broken_bodies_decode_or_raise_a_protocol_error_and_nothing_else(
    case: tuple[int, int, str],
) -> None:
    """Cut at every byte: ProtocolError. Changed anywhere: that, or other values, in little room."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    body = written_by_kio(kio_oracle.make(kio_oracle.entity(*case), rng))[:3_000]
    whole = encode(case, {})
    for end in range(len(whole)):
        with pytest.raises(ProtocolError):
            decode(case, whole[:end])
    tracemalloc.start()
    for data in mutations(body, rng) + mutations(whole, rng):
        with contextlib.suppress(ProtocolError):
            decode(case, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize("case", FLEXIBLE, ids=name_of)
def test_twenty_million_tagged_fields_are_refused(case: tuple[int, int, str]) -> None:
    """In the place of the last tagged section of every message that has one."""
    hostile = encode(case, {})[:-1] + b"\x80\xda\xc4\x09" + bytes(100)
    with pytest.raises(ProtocolError, match="20000000 tagged fields"):
        decode(case, hostile)


@pytest.mark.parametrize("case", FLEXIBLE, ids=name_of)
def test_a_tagged_field_of_the_future_is_skipped(case: tuple[int, int, str]) -> None:
    """A newer peer may say more than we know."""
    body = encode(case, {})
    assert decode(case, body[:-1] + b"\1\x7f\3new") == decode(case, body)


def test_a_frame_full_of_tiny_items_is_refused_before_it_becomes_objects() -> None:
    """Two bytes a topic would be 250 bytes of dict each: a frame of 2 MB, 250 MB of memory."""
    count = 1_000_000
    body = b"\xc1\x84\x3d" + b"\1\0" * count + bytes(4)  # a compact count of 1,000,000
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="1000000 array items where 100000 more are allowed"):
        messages.decode_request(3, 9, body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_the_budget_of_items_is_whole_again_for_the_next_message() -> None:
    """A big request does not use up the room of the one behind it."""
    body = messages.encode_request(3, 1, {"topics": [{"name": "t"}] * 60_000})
    for _ in range(3):
        assert len(messages.decode_request(3, 1, body)["topics"]) == 60_000


def test_a_version_that_is_not_served_is_a_protocol_error() -> None:
    """Below, above, and of an API that nobody serves; and nothing is remembered of it."""
    for api_key, version in ((0, 2), (0, 14), (3, -1), (3, 14), (99, 0), (-1, 0), (8, 1)):
        with pytest.raises(ProtocolError, match="is not served"):
            messages.decode_request(api_key, version, b"")
        with pytest.raises(ProtocolError, match="is not served"):
            messages.encode_response(api_key, version, {})


def test_a_decoded_message_has_every_field_whatever_its_version() -> None:
    """Handlers do not ask for the version: what it does not carry holds Kafka's default."""
    old = messages.decode_request(3, 1, messages.encode_request(3, 1, {"topics": None}))
    new = messages.decode_request(3, 13, messages.encode_request(3, 13, {"topics": None}))
    assert old.keys() == new.keys()
    assert old["allow_auto_topic_creation"] is True
    assert messages.decode_request(1, 4, messages.encode_request(1, 4, {}))["session_epoch"] == -1


def test_lists_that_a_version_does_not_carry_are_not_shared_between_messages() -> None:
    """A handler may append to what it was given."""
    body = messages.encode_request(10, 0, {"key": "group"})
    first, second = (messages.decode_request(10, 0, body) for _ in range(2))
    first["coordinator_keys"].append("changed")
    assert second["coordinator_keys"] == []


def test_api_versions_5_is_version_4_with_two_more_fields_in_the_request() -> None:
    """kio 0.6.5 does not know it; the answer did not change (KIP-1242)."""
    answer = {"api_keys": [{"api_key": 3, "max_version": 13}], "finalized_features_epoch": 3}
    assert messages.encode_response(18, 5, answer) == messages.encode_response(18, 4, answer)
    software = {"client_software_name": "a", "client_software_version": "1"}
    body = messages.encode_request(18, 5, software | {"cluster_id": "c1", "node_id": 3})
    assert body == b"\x02a\x021\x03c1\0\0\0\3\0"
    assert messages.encode_request(18, 5, software) == b"\x02a\x021\0\xff\xff\xff\xff\0"


def test_delete_groups_3_says_why_a_group_was_not_deleted() -> None:
    """kio 0.6.5 does not know it; the bytes are those of kafka-clients 4.4.0."""
    refused = {"group_id": "g", "error_code": 134, "error_message": "why"}
    body = messages.encode_response(42, 3, {"results": [refused, {"group_id": "h"}]})
    assert body.hex() == "000000000302670086047768790002680000000000"
    asked = {"groups_names": ["g"]}
    assert messages.encode_request(42, 3, asked) == messages.encode_request(42, 2, asked)


def test_bytes_are_a_copy_and_records_a_view_of_the_frame() -> None:
    """A member's metadata lives longer than the request that brought it."""
    join = {"protocols": [{"name": "range", "metadata": b"abc"}]}
    body = messages.encode_request(11, 9, join)
    assert type(messages.decode_request(11, 9, body)["protocols"][0]["metadata"]) is bytes
    null = {"assignment": None}
    with pytest.raises(ValueError, match="null"):
        messages.encode_response(14, 5, null)


def test_importing_the_messages_compiles_and_imports_no_api() -> None:
    """Start-up pays for nothing that no client has asked for yet."""
    code = "import sys, logwire.frame; print([m for m in sys.modules if 'logwire' in m])"
    path = {"PYTHONPATH": str(Path(messages.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True
    )
    modules = ("frame", "errors", "primitives", "messages")
    assert set(ast.literal_eval(done.stdout)) == {"logwire", *(f"logwire.{m}" for m in modules)}


def test_the_ranges_hold_the_point_versions_that_librdkafka_gates_its_features_on() -> None:
    """Its rdkafka_feature.c wants to see these offered, or it silently does less."""
    points = {0: (3, 7), 1: (4, 10), 2: (1,), 3: (0,), 10: (0,), 18: (0,), 22: (0,)}
    points |= {8: (2,), 9: (1,)} | dict.fromkeys((11, 12, 13, 14), (0,))
    for api_key, versions in points.items():
        api = APIS[api_key]
        for version in (*versions, *((0,) if api_key == 0 else ())):
            assert api.advertised_min <= version <= api.max_version, (api.name, version)


def test_the_table_of_the_readme_tells_the_ranges_that_are_served() -> None:
    """Row by row."""
    readme = (Path(__file__).parents[2] / "protocol" / "README.md").read_text()
    for api in APIS.values():
        served = f"{api.min_version}-{api.max_version}"
        told = f"{api.advertised_min}-{api.max_version}"
        row = f"| {api.key} | {api.name} | {served} | {told} | {api.flexible_from} |\n"
        assert row in readme
