"""perf.group_requests: the bytes are what the protocol says, and members play their part."""

from __future__ import annotations

from logwire.frame import parse_request_header, response_header_is_flexible
from logwire.messages import Message, decode_request, encode_response
from logwire.messages.consumer_protocol import decode_assignment, decode_subscription
from perf.group_requests import (
    ClassicMember,
    ConsumerMember,
    offset_commit,
    offset_commit_error,
)

TOPIC_ID = bytes(range(16))


def asked(frame: bytes) -> tuple[int, Message]:
    """The API key and the fields of a request, read by our own codec."""
    data = memoryview(frame)[4:]
    api_key, version, _, _, position = parse_request_header(data)
    return api_key, decode_request(api_key, version, data[position:])


def answer(api_key: int, version: int, response: Message) -> bytes:
    """An answer without its size."""
    tags = b"\0" if response_header_is_flexible(api_key, version) else b""
    return bytes(4) + tags + encode_response(api_key, version, response)


def test_a_commit_names_one_partition_and_its_error_is_found() -> None:
    """By somebody who is no member of the group."""
    api_key, fields = asked(offset_commit("g", "topic", 3, 77))
    assert (api_key, fields["group_id"], fields["member_id"]) == (8, "g", "")
    (topic,) = fields["topics"]
    assert topic["partitions"][0]["committed_offset"] == 77
    rows = [{"name": "topic", "partitions": [{"partition_index": 3, "error_code": 25}]}]
    assert offset_commit_error(answer(8, 7, {"topics": rows}), "topic") == 25


def test_a_classic_member_joins_twice_leads_and_settles() -> None:
    """First without an id (KIP-394), then it gives everybody one partition."""
    member = ClassicMember("g", "topic", 2)
    api_key, fields = asked(member.request())
    assert (api_key, fields["member_id"]) == (11, "")
    _, subscription = decode_subscription(fields["protocols"][0]["metadata"])
    assert subscription["topics"] == ["topic"]
    assert member.take(answer(11, 5, {"error_code": 79, "member_id": "a"}))
    assert asked(member.request())[1]["member_id"] == "a"
    joined = [{"member_id": one, "metadata": b""} for one in ("a", "b")]
    response = {"generation_id": 4, "leader": "a", "member_id": "a", "members": joined}
    assert member.take(answer(11, 5, response))
    api_key, fields = asked(member.request())
    shares = [decode_assignment(row["assignment"])[1] for row in fields["assignments"]]
    assert (api_key, fields["generation_id"]) == (14, 4)
    assert [one["assigned_partitions"][0]["partitions"] for one in shares] == [[0], [1]]
    assert not member.settled
    assert not member.take(answer(14, 3, {"assignment": b""}))
    assert member.settled
    assert asked(member.request())[0] == 12
    assert member.take(answer(12, 3, {"error_code": 27}))
    assert asked(member.request())[0] == 11
    assert not member.settled


def test_a_consumer_adopts_what_it_is_given_and_says_so() -> None:
    """It is settled when it has one partition and the broker knows."""
    member = ConsumerMember("g", "topic", 2)
    api_key, fields = asked(member.request())
    assert (api_key, fields["member_epoch"], fields["topic_partitions"]) == (68, 0, [])
    assert fields["subscribed_topic_names"] == ["topic"]
    given = {"topic_partitions": [{"topic_id": TOPIC_ID, "partitions": [1]}]}
    response: Message = {"member_id": "m", "member_epoch": 2, "assignment": given}
    assert member.take(answer(68, 0, response))
    assert not member.settled
    fields = asked(member.request())[1]
    assert (fields["member_id"], fields["member_epoch"]) == ("m", 2)
    assert fields["topic_partitions"] == [{"topic_id": TOPIC_ID, "partitions": [1]}]
    assert not member.take(answer(68, 0, {"member_id": "m", "member_epoch": 2}))
    assert member.settled
    assert member.partitions == [1]
    assert asked(member.request())[1]["topic_partitions"] is None
