"""The fetch codec against the schema, in every version, for every shape."""

import random
import tracemalloc
from typing import Any, NamedTuple

import pytest

from logwire import fetch_codec as codec
from logwire import frame, messages
from logwire.errors import ProtocolError
from logwire.fetch_codec import any_parts, decode_any, decode_fetch, fetch_response_parts

VERSIONS = range(4, 19)
EVERY = pytest.mark.parametrize("version", VERSIONS)
TOPIC_ID = bytes(range(1, 17))
NAMES = ("t", "telemetry", "\u00e9t\u00e9", "x" * 126, "x" * 127, "x" * 249)


class LogSlice(NamedTuple):
    """A slice of a log whose bytes are at hand, so that a test can put the answer together."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.data)


def partition(index: int = 3) -> dict[str, Any]:
    return {
        "partition": index,
        "current_leader_epoch": 4,
        "fetch_offset": 1 << 40,
        "last_fetched_epoch": 2,
        "log_start_offset": 6,
        "partition_max_bytes": 1 << 20,
    }


def body_of(version: int, **changes: object) -> bytes:
    """A request for one partition, unless `changes` say otherwise."""
    topic = {"topic": "telemetry", "topic_id": TOPIC_ID, "partitions": [partition()]}
    message = {
        "max_wait_ms": 500,
        "min_bytes": 1,
        "max_bytes": 50 << 20,
        "isolation_level": 1,
        "session_id": 77,
        "session_epoch": 3,
        "topics": [topic],
    }
    return messages.encode_request(1, version, message | changes)


@EVERY
def test_one_partition_or_none_is_read_without_the_schema(version: int) -> None:
    """The two shapes of a steady consumer."""
    session = (77, 3) if version >= 7 else (0, -1)
    head = (500, 1, 50 << 20, 1, *session)
    changes: dict[str, Any]
    for changes in ({}, {"topics": []}):
        data = b"header" + body_of(version, **changes)
        decoded = codec.decode_simple(version, memoryview(data), 6)
        assert decoded is not None
        assert decoded == decode_fetch(version, memoryview(data), 6)
        assert decoded[:6] == head
        assert decoded[7:] == ([], "")
    ((topic, wanted),) = decode_fetch(version, memoryview(body_of(version)), 0)[6]
    assert topic == (TOPIC_ID if version >= 13 else "telemetry")
    epoch = 4 if version >= 9 else -1
    last = 2 if version >= 12 else -1
    start = 6 if version >= 5 else -1
    assert wanted == [(3, epoch, 1 << 40, last, start, 1 << 20)]


@EVERY
@pytest.mark.parametrize(
    "changes",
    [
        {"rack_id": "west"},
        {"replica_id": 5},
        {"cluster_id": "c", "replica_state": {"replica_id": 2, "replica_epoch": 9}},
        {"forgotten_topics_data": [{"topic": "a", "topic_id": TOPIC_ID, "partitions": [1, 2]}]},
        {"topics": [{"topic": name, "partitions": [partition()]} for name in NAMES]},
        {"topics": [{"topic": "a", "partitions": [partition(i) for i in range(3)]}]},
        {"topics": [{"topic": "a", "topic_id": TOPIC_ID, "partitions": []}]},
        {"topics": [{"topic": "", "partitions": [partition() | {"high_watermark": 12}]}]},
        *({"topics": [{"topic": name, "partitions": [partition()]}]} for name in NAMES),
    ],
)
def test_every_shape_reads_as_the_schema_reads_it(version: int, changes: dict[str, object]) -> None:
    """Racks, replicas, forgotten topics, many partitions, long names."""
    data = memoryview(body_of(version, **changes))
    assert decode_fetch(version, data, 0) == decode_any(version, data, 0)


@EVERY
def test_a_request_cut_at_any_byte_is_a_protocol_error(version: int) -> None:
    """On the fast path and beside it."""
    changes: dict[str, Any]
    for changes in ({}, {"topics": []}, {"rack_id": "west"}):
        body = memoryview(body_of(version, **changes))
        for end in range(len(body)):
            with pytest.raises(ProtocolError, match=f"Fetch request v{version}"):
                decode_fetch(version, body[:end], 0)


@EVERY
def test_changed_bytes_never_raise_anything_but_a_protocol_error(version: int) -> None:
    """Each byte of a request, set to what hurts most; and no promise is believed."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    body = body_of(version)
    tracemalloc.start()
    for position in range(len(body)):
        for value in (0x00, 0x7F, 0x80, 0xFF, rng.randrange(256)):
            data = bytearray(body)
            data[position] = value
            try:
                decoded = decode_fetch(version, memoryview(data), 0)
            except ProtocolError:
                continue
            assert decoded == decode_any(version, memoryview(data), 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def decoded_answer(version: int, parts: list[Any]) -> messages.Message:
    """Puts an answer together, checks size and header, and decodes its body by schema."""
    assert all(isinstance(part, bytes) for part in parts[::2])
    assert all(isinstance(part, LogSlice) for part in parts[1::2])
    whole = b"".join(part.data if isinstance(part, LogSlice) else part for part in parts)
    assert frame.SIZE.unpack_from(whole) == (len(whole) - 4,)
    view = memoryview(whole)[4:]
    correlation_id, position = frame.parse_response_header(view, 1, version)
    assert correlation_id == -9
    return messages.decode_response(1, version, view[position:])


@EVERY
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [None, 0, 61, 126, 127, 16_382, 16_383, 70_000])
def test_an_answer_about_one_partition_is_what_the_schema_reads(
    version: int, name: str, size: int | None
) -> None:
    """With a slice of any size, or none; the hand-made path equals the general one."""
    log_slice = None if size is None else LogSlice(bytes(size))
    topic = TOPIC_ID if version >= 13 else name
    topics = [(topic, [(3, 1, 1 << 40, 1 << 39, 7, log_slice)])]
    parts = fetch_response_parts(version, -9, 0, 77, topics)
    assert parts == any_parts(version, -9, 0, 77, topics)
    decoded = decoded_answer(version, parts)
    assert decoded["session_id"] == (77 if version >= 7 else 0)
    (found,) = decoded["responses"][0]["partitions"]
    assert found["high_watermark"] == 1 << 40
    assert found["last_stable_offset"] == 1 << 39
    assert found["log_start_offset"] == (7 if version >= 5 else -1)
    assert (found["error_code"], found["aborted_transactions"]) == (1, None)
    assert found["preferred_read_replica"] == -1
    assert len(found["records"]) == (size or 0)


@EVERY
def test_an_answer_about_many_partitions_alternates_bytes_and_slices(version: int) -> None:
    """Two topics, five partitions, three of them with records."""
    one, two = (b"1" * 16, b"2" * 16) if version >= 13 else ("one", "two")
    first, second, third = (LogSlice(bytes([n]) * 300 * n) for n in (1, 2, 3))
    topics: list[Any] = [
        (one, [(0, 0, 9, 9, 0, first), (1, 3, -1, -1, -1, None), (2, 0, 9, 9, 0, second)]),
        (two, [(0, 0, 9, 9, 0, None), (5, 0, 9, 9, 0, third)]),
    ]
    parts = fetch_response_parts(version, -9, 0, 0, topics)
    assert [part for part in parts if isinstance(part, LogSlice)] == [first, second, third]
    decoded = decoded_answer(version, parts)
    records = [
        bytes(part["records"]) for topic in decoded["responses"] for part in topic["partitions"]
    ]
    assert records == [first.data, b"", second.data, b"", third.data]


@EVERY
def test_an_answer_without_topics_is_one_piece(version: int) -> None:
    """An idle session, or an error of the whole request."""
    parts = fetch_response_parts(version, -9, 70, 5, [])
    assert len(parts) == 1
    decoded = decoded_answer(version, parts)
    assert decoded["responses"] == []
    assert decoded["error_code"] == (70 if version >= 7 else 0)


@EVERY
def test_divergence_and_the_new_leader_travel_in_tagged_fields(version: int) -> None:
    """From version 12 on; older versions do not tell them."""
    topic = TOPIC_ID if version >= 13 else "t"
    for diverging, leader in (((5, 1 << 40), None), (None, (2, 9)), ((5, 6), (7, 8)), (None, None)):
        found = (0, 6, -1, -1, -1, None, diverging, leader)
        parts = fetch_response_parts(version, -9, 0, 0, [(topic, [found])])
        (decoded,) = decoded_answer(version, parts)["responses"][0]["partitions"]
        epoch, end = diverging if diverging and version >= 12 else (-1, -1)
        assert decoded["diverging_epoch"] == {"epoch": epoch, "end_offset": end}
        leader_id, leader_epoch = leader if leader and version >= 12 else (-1, -1)
        current = {"leader_id": leader_id, "leader_epoch": leader_epoch}
        assert decoded["current_leader"] == current
