"""The produce codec against the schema, in every version, for every shape."""

import random
import tracemalloc

import pytest

from logwire import frame, messages
from logwire import produce_codec as codec
from logwire.errors import ProtocolError
from logwire.produce_codec import decode_any, decode_produce, encode_any, encode_produce_response

VERSIONS = range(3, 14)
EVERY = pytest.mark.parametrize("version", VERSIONS)
TOPIC_ID = bytes(range(1, 17))
NAMES = ("t", "telemetry", "\u00e9t\u00e9", "x" * 126, "x" * 127, "x" * 249)
RECORDS = (b"", b"r", bytes(61), bytes(126), bytes(127), bytes(128), bytes(16_383), bytes(70_000))


def body_of(version: int, **changes: object) -> bytes:
    """A request with one partition, unless `changes` say otherwise."""
    partition = {"index": 7, "records": b"batch"}
    topic = {"name": "telemetry", "topic_id": TOPIC_ID, "partition_data": [partition]}
    message = {"acks": -1, "timeout_ms": 30_000, "topic_data": [topic]} | changes
    return messages.encode_request(0, version, message)


@EVERY
def test_one_partition_is_read_without_the_schema(version: int) -> None:
    """Behind headers of any length, with names and records of any size."""
    fast = codec.decode_classic if version < 9 else codec.decode_compact
    fast = codec.decode_by_id if version >= 13 else fast
    for name in NAMES:
        for records in RECORDS:
            partition = {"index": 7, "records": records}
            topic = {"name": name, "topic_id": TOPIC_ID, "partition_data": [partition]}
            data = b"header" + body_of(version, topic_data=[topic])
            long_name = len(name.encode()) > 126 and 9 <= version < 13
            if long_name:
                continue  # two bytes of length: the schema reads those
            topic_key = TOPIC_ID if version >= 13 else name
            expected = (None, -1, 30_000, [(topic_key, [(7, memoryview(records))])])
            assert fast(memoryview(data), 6) == expected
            assert decode_produce(version, memoryview(data), 6) == expected


@EVERY
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"topic_data": []},
        {"transactional_id": "tx"},
        {"transactional_id": ""},
        {"acks": 0, "timeout_ms": -1},
        {"topic_data": [{"name": "a", "topic_id": TOPIC_ID, "partition_data": []}]},
        {"topic_data": [{"name": "", "partition_data": [{"index": -1, "records": None}]}]},
        {"topic_data": [{"name": "a", "partition_data": [{"records": b"x"}, {"records": b""}]}]},
        {"topic_data": [{"name": n, "partition_data": [{"records": b"y"}]} for n in NAMES]},
    ],
)
def test_every_shape_reads_as_the_schema_reads_it(version: int, changes: dict[str, object]) -> None:
    """Several topics and partitions, none, null records, a transactional id."""
    data = memoryview(body_of(version, **changes))
    assert decode_produce(version, data, 0) == decode_any(version, data, 0)


@EVERY
def test_a_tagged_field_of_the_future_is_skipped(version: int) -> None:
    """At the end of the request, where newer clients would put it."""
    if version < codec.FLEXIBLE_FROM:
        return
    body = body_of(version)
    longer = memoryview(body[:-1] + b"\1\x7f\1!")
    assert decode_produce(version, longer, 0) == decode_produce(version, memoryview(body), 0)


@EVERY
def test_a_request_cut_at_any_byte_is_a_protocol_error(version: int) -> None:
    """On the fast path and beside it."""
    for changes in ({}, {"transactional_id": "tx"}):
        body = memoryview(body_of(version, **changes))
        for end in range(len(body)):
            with pytest.raises(ProtocolError, match=f"Produce request v{version}"):
                decode_produce(version, body[:end], 0)


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
                decoded = decode_produce(version, memoryview(data), 0)
            except ProtocolError:
                continue
            assert decoded == decode_any(version, memoryview(data), 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def decoded_answer(version: int, answer: bytes) -> messages.Message:
    """Checks size and header of an answer and decodes its body by schema."""
    assert frame.SIZE.unpack_from(answer) == (len(answer) - 4,)
    view = memoryview(answer)[4:]
    correlation_id, position = frame.parse_response_header(view, 0, version)
    assert correlation_id == -9
    return messages.decode_response(0, version, view[position:])


@EVERY
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("message", [None, "", "why"])
def test_an_answer_is_what_the_schema_encodes(version: int, name: str, message: str | None) -> None:
    """One partition, with and without an error message, for names of any length."""
    part = (3, 2, 1 << 40, -1, 1 << 33, message)
    topics = [(TOPIC_ID if version >= 13 else name, [part])]
    answer = encode_produce_response(version, -9, topics, 250)
    assert answer == encode_any(version, -9, topics, 250)
    decoded = decoded_answer(version, answer)
    found = decoded["responses"][0]["partition_responses"][0]
    assert decoded["throttle_time_ms"] == 250
    assert (found["index"], found["error_code"], found["base_offset"]) == (3, 2, 1 << 40)
    assert found["log_start_offset"] == (1 << 33 if version >= 5 else -1)
    assert found["error_message"] == (message if version >= 8 else None)


@EVERY
def test_an_answer_about_many_partitions_keeps_their_order(version: int) -> None:
    """Two topics, three partitions, and none at all."""
    first, second = (b"1" * 16, b"2" * 16) if version >= 13 else ("one", "two")
    rows = [(index, 0, 100 + index, 5, 0, None) for index in (2, 0, 1)]
    topics = [(first, rows), (second, rows[:1])]
    decoded = decoded_answer(version, encode_produce_response(version, -9, topics))
    key = "topic_id" if version >= 13 else "name"
    assert [topic[key] for topic in decoded["responses"]] == [first, second]
    parts = decoded["responses"][0]["partition_responses"]
    assert [part["index"] for part in parts] == [2, 0, 1]
    assert decoded_answer(version, encode_produce_response(version, -9, []))["responses"] == []


@EVERY
def test_an_answer_names_the_records_that_spoilt_a_batch(version: int) -> None:
    """From version 8 on (KIP-467); before, the code has to do."""
    why = codec.RecordErrors("two of them", [(0, "no key"), (7, "no key")])
    topic = TOPIC_ID if version >= 13 else "t"
    answer = encode_produce_response(version, -9, [(topic, [(3, 87, -1, -1, -1, why)])])
    (found,) = decoded_answer(version, answer)["responses"][0]["partition_responses"]
    assert found["error_code"] == 87
    rows = [
        (row["batch_index"], row["batch_index_error_message"]) for row in found["record_errors"]
    ]
    assert rows == ([(0, "no key"), (7, "no key")] if version >= 8 else [])
    assert found["error_message"] == ("two of them" if version >= 8 else None)
