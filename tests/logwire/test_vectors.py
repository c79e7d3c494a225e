"""Golden vectors: what real clients and Apache Kafka said, whole, cut at every byte, too long."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from logwire import frame, messages
from logwire.errors import UNSUPPORTED_VERSION, ProtocolError
from logwire.fetch_codec import decode_any as fetch_by_schema
from logwire.fetch_codec import decode_fetch, fetch_response_parts
from logwire.messages import APIS, group_records
from logwire.produce_codec import decode_any as produce_by_schema
from logwire.produce_codec import decode_produce, encode_produce_response

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
CLIENTS = ("kcat", "confluent-kafka", "kafka-python", "aiokafka", "java", "java-clients")
GROUP_CLIENTS = tuple(f"{client}-groups" for client in CLIENTS if client != "java")
LIBRDKAFKA_SURPLUS = (3, 13, b"\1\0\0")  # list_topics() of confluent-kafka 2.16
FETCH_FIELDS = (
    "partition_index",
    "error_code",
    "high_watermark",
    "last_stable_offset",
    "log_start_offset",
)
Vector = dict[str, Any]


def load(name: str) -> list[Vector]:
    lines = (VECTORS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


ALL = [vector for client in CLIENTS + GROUP_CLIENTS for vector in load(client)]
PRODUCE = [vector for vector in ALL if vector["key"] == 0]
FETCH = [vector for vector in ALL if vector["key"] == 1]


def name_of(vector: Vector) -> str:
    client = vector["client"].split(" (")[0].replace(" ", "-")
    return f"{client}-{vector['api']}-v{vector['version']}"


def request_of(vector: Vector) -> tuple[memoryview, int]:
    """The request frame and where its body starts."""
    request = memoryview(bytes.fromhex(vector["request"]))
    return request, frame.parse_request_header(request)[-1]


def response_of(vector: Vector) -> tuple[memoryview, int, int]:
    """The answer, where its body starts, and the version that the body is in."""
    response = memoryview(bytes.fromhex(vector["response"]))
    version = vector["version"]
    _, position = frame.parse_response_header(response, vector["key"], version)
    if vector["key"] == 18 and response[4:6] == UNSUPPORTED_VERSION.to_bytes(2):
        version = 0  # KIP-511: a version that the server does not know is answered like version 0
    return response, position, version


@pytest.mark.parametrize("vector", ALL, ids=name_of)
def test_a_recorded_request_decodes_and_encodes_to_the_same_bytes(vector: Vector) -> None:
    """Header and body, from real clients."""
    request, position = request_of(vector)
    api_key, version, correlation_id, client_id, _ = frame.parse_request_header(request)
    assert (api_key, version) == (vector["key"], vector["version"])
    header = frame.request_header(api_key, version, correlation_id, client_id)
    assert header == request[:position]
    message = messages.decode_request(api_key, version, request[position:])
    encoded = messages.encode_request(api_key, version, message)
    surplus = request[position + len(encoded) :]
    assert encoded + bytes(surplus) == request[position:]
    assert not surplus or (api_key, version, bytes(surplus)) == LIBRDKAFKA_SURPLUS


@pytest.mark.parametrize("vector", ALL, ids=name_of)
def test_a_recorded_answer_decodes_and_encodes_to_the_same_bytes(vector: Vector) -> None:
    """Apache Kafka's answers: every field, and no byte left over."""
    response, position, version = response_of(vector)
    message = messages.decode_response(vector["key"], version, response[position:])
    body = messages.encode_response(vector["key"], version, message)
    assert body == response[position:]
    correlation_id = int.from_bytes(response[:4])
    whole = frame.response_frame(vector["key"], version, correlation_id, body)
    assert whole == len(response).to_bytes(4) + bytes(response)


@pytest.mark.parametrize("vector", ALL, ids=name_of)
def test_a_recorded_body_cut_at_any_byte_is_a_protocol_error(vector: Vector) -> None:
    """A shorter body never decodes: neither as a request nor as an answer."""
    key, version = vector["key"], vector["version"]
    request, position = request_of(vector)
    body = messages.encode_request(
        key, version, messages.decode_request(key, version, request[position:])
    )
    for end in range(len(body)):
        with pytest.raises(ProtocolError):
            messages.decode_request(key, version, body[:end])
    response, position, version = response_of(vector)
    for end in range(position, len(response)):
        with pytest.raises(ProtocolError):
            messages.decode_response(key, version, response[position:end])


@pytest.mark.parametrize("vector", ALL, ids=name_of)
def test_bytes_behind_a_request_are_ignored_and_behind_an_answer_refused(vector: Vector) -> None:
    """As Kafka does with requests; an answer with a surplus is one that we misread."""
    key, version = vector["key"], vector["version"]
    request, position = request_of(vector)
    body = bytes(request[position:])
    assert messages.decode_request(key, version, body + b"\7") == messages.decode_request(
        key, version, body
    )
    response, position, version = response_of(vector)
    with pytest.raises(ProtocolError, match="1 bytes too many"):
        messages.decode_response(key, version, bytes(response[position:]) + b"\0")


@pytest.mark.parametrize("vector", ALL, ids=name_of)
def test_a_recorded_header_cut_at_any_byte_is_a_protocol_error(vector: Vector) -> None:
    """A request frame may end anywhere; its header says so."""
    request, position = request_of(vector)
    for end in range(position):
        with pytest.raises(ProtocolError):
            frame.parse_request_header(request[:end])


@pytest.mark.parametrize("vector", PRODUCE, ids=name_of)
def test_the_produce_codec_reads_what_the_schema_reads(vector: Vector) -> None:
    """Whole, cut at every byte, and with a byte behind it that does not matter."""
    request, position = request_of(vector)
    version = vector["version"]
    assert decode_produce(version, request, position) == produce_by_schema(
        version, request, position
    )
    for end in range(position, len(request)):
        with pytest.raises(ProtocolError):
            decode_produce(version, request[:end], position)
    longer = memoryview(bytes(request) + b"\0")
    assert decode_produce(version, longer, position) == decode_produce(version, request, position)


@pytest.mark.parametrize("vector", PRODUCE, ids=name_of)
def test_the_produce_codec_answers_with_the_bytes_of_kafka(vector: Vector) -> None:
    """The same values, encoded by hand, are the frame that Kafka sent."""
    response, position, version = response_of(vector)
    message = messages.decode_response(0, version, response[position:])
    key = "topic_id" if version >= 13 else "name"
    topics = [
        (
            topic[key],
            [
                (
                    part["index"],
                    part["error_code"],
                    part["base_offset"],
                    part["log_append_time_ms"],
                    part["log_start_offset"],
                    part["error_message"],
                )
                for part in topic["partition_responses"]
            ],
        )
        for topic in message["responses"]
    ]
    ours = encode_produce_response(version, int.from_bytes(response[:4]), topics)
    assert ours[4:] == response


@pytest.mark.parametrize("vector", FETCH, ids=name_of)
def test_the_fetch_codec_reads_what_the_schema_reads(vector: Vector) -> None:
    """Whole, cut at every byte, and with a byte behind it that does not matter."""
    request, position = request_of(vector)
    version = vector["version"]
    assert decode_fetch(version, request, position) == fetch_by_schema(version, request, position)
    for end in range(position, len(request)):
        with pytest.raises(ProtocolError):
            decode_fetch(version, request[:end], position)
    longer = memoryview(bytes(request) + b"\0")
    assert decode_fetch(version, longer, position) == decode_fetch(version, request, position)


class LogSlice(NamedTuple):
    """Records of a recorded answer, in the place of a slice of a log."""

    records: memoryview

    @property
    def size_bytes(self) -> int:
        return len(self.records)


@pytest.mark.parametrize("vector", FETCH, ids=name_of)
def test_the_fetch_codec_answers_with_the_bytes_of_kafka(vector: Vector) -> None:
    """The same values, encoded by hand around the records, are the frame that Kafka sent.

    One difference is ours: a read_committed consumer gets null and not an empty list of aborted
    transactions, which every client reads alike.
    """
    response, position, version = response_of(vector)
    message = messages.decode_response(1, version, response[position:])
    key = "topic_id" if version >= 13 else "topic"
    topics = []
    for topic in message["responses"]:
        found = []
        for part in topic["partitions"]:
            assert not part["aborted_transactions"]
            part["aborted_transactions"] = None
            log_slice = LogSlice(part["records"]) if len(part["records"]) else None
            found.append((*(part[name] for name in FETCH_FIELDS), log_slice))
        topics.append((topic[key], found))
    correlation_id = int.from_bytes(response[:4])
    parts = fetch_response_parts(
        version, correlation_id, message["error_code"], message["session_id"], topics
    )
    pieces = [part.records if isinstance(part, LogSlice) else part for part in parts]
    ours = b"".join(piece for piece in pieces if isinstance(piece, bytes | memoryview))
    body = messages.encode_response(1, version, message)
    assert ours == frame.response_frame(1, version, correlation_id, body)


@pytest.mark.parametrize("vector", load("metadata_records"), ids=lambda v: v["record"])
def test_a_record_of_kafkas_own_metadata_log_survives_both_ways(vector: Vector) -> None:
    """Records that Kafka's controller wrote, byte for byte."""
    value = bytes.fromhex(vector["value"])
    name, version, message = messages.decode_record(value)
    assert (name, version) == (vector["record"], vector["version"])
    assert messages.encode_record(name, version, message) == value
    for end in range(len(value)):
        with pytest.raises(ProtocolError):
            messages.decode_record(value[:end])


@pytest.mark.parametrize("vector", load("group_records"), ids=lambda v: v["record"])
def test_a_record_of_kafkas_own_group_coordinator_survives_both_ways(vector: Vector) -> None:
    """What stood in __consumer_offsets, byte for byte; a null value deletes."""
    key = bytes.fromhex(vector["key"])
    name, fields = group_records.decode_key(key)
    assert name is not None
    assert name == vector["record"]
    assert group_records.encode_key(name, fields) == key
    if vector["value"] is None:
        return
    value = bytes.fromhex(vector["value"])
    version, message = group_records.decode_value(name, value)
    assert group_records.encode_value(name, version, message) == value
    for end in range(len(value)):
        with pytest.raises(ProtocolError):
            group_records.decode_value(name, value[:end])


def test_kafka_wrote_the_records_of_every_kind_that_we_write() -> None:
    """ConsumerGroupPartitionMetadata has not been written since 4.1: it is only deleted."""
    values = {vector["record"] for vector in load("group_records") if vector["value"] is not None}
    assert values == set(group_records.KINDS_BY_NAME) - {"ConsumerGroupPartitionMetadata"}


def test_kafka_answers_an_unknown_api_versions_with_version_0_and_its_own_range() -> None:
    """A client of 4.4 asked Kafka 4.3.1 for version 5: error 35, one row, classic header."""
    vector = next(v for v in load("java-clients") if (v["key"], v["version"]) == (18, 5))
    response, position, version = response_of(vector)
    message = messages.decode_response(18, version, response[position:])
    assert (version, message["error_code"]) == (0, UNSUPPORTED_VERSION)
    assert [row["api_key"] for row in message["api_keys"]] == [18]


def test_every_api_was_recorded_except_those_that_kafka_was_not_asked() -> None:
    """OffsetForLeaderEpoch is asked after a truncation only, and a Kafka without a telemetry plugin
    offers no GetTelemetrySubscriptions and PushTelemetry; kio stands in for them."""
    assert {vector["key"] for vector in ALL} == set(APIS) - {23, 71, 72}
