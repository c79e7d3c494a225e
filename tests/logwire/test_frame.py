"""Frames and headers: classic and flexible, requests and answers, and the one exception."""

import struct

import pytest

from logwire import frame
from logwire.errors import ProtocolError
from logwire.messages import APIS

VERSIONS = [
    (api.key, version)
    for api in APIS.values()
    for version in range(api.advertised_min, api.max_version + 1)
]


@pytest.mark.parametrize("client_id", [None, "", "sensor-17", "m\u00fcller"])
@pytest.mark.parametrize(("api_key", "version"), VERSIONS)
def test_a_request_header_survives_both_ways(
    api_key: int, version: int, client_id: str | None
) -> None:
    """Of every API and version, with and without a client id."""
    body = b"\7" * 9
    whole = frame.request_header(api_key, version, -5, client_id) + body
    *header, position = frame.parse_request_header(memoryview(whole))
    assert header == [api_key, version, -5, client_id]
    assert whole[position:] == body


@pytest.mark.parametrize(("api_key", "version"), VERSIONS)
def test_a_response_frame_survives_both_ways(api_key: int, version: int) -> None:
    """The correlation id comes back, and the body starts where it should."""
    whole = frame.response_frame(api_key, version, 77, b"body")
    assert frame.SIZE.unpack_from(whole) == (len(whole) - 4,)
    correlation_id, position = frame.parse_response_header(memoryview(whole)[4:], api_key, version)
    assert (correlation_id, whole[4 + position :]) == (77, b"body")


def test_the_header_of_an_api_versions_answer_is_always_classic() -> None:
    """A client must read it before it knows what the server speaks (KIP-511)."""
    assert not any(frame.response_header_is_flexible(18, version) for version in range(20))
    assert frame.request_header_is_flexible(18, 3)
    assert frame.response_header_is_flexible(3, 9)
    assert not frame.response_header_is_flexible(3, 8)


def test_tagged_fields_of_a_request_header_are_skipped() -> None:
    """A future client may add some."""
    header = frame.request_header(3, 12, 1, "a")[:-1] + b"\1\5\2hi"
    assert frame.parse_request_header(memoryview(header + b"body"))[-1] == len(header)


@pytest.mark.parametrize("api_key", [-1, 4, 5, 76, 999, 0x7FFF])
def test_the_header_of_an_unknown_api_is_read_as_classic(api_key: int) -> None:
    """So that the caller can say which API it refuses."""
    header = frame.REQUEST_HEADER.pack(api_key, 99, 5, -1)
    assert frame.parse_request_header(memoryview(header)) == (api_key, 99, 5, None, len(header))


def test_a_client_id_that_is_not_utf8_is_a_label_with_marks() -> None:
    """Nothing depends on it, so nobody is disconnected for it."""
    header = frame.REQUEST_HEADER.pack(3, 1, 5, 3) + b"a\xffb"
    assert frame.parse_request_header(memoryview(header))[3] == "a\ufffdb"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes(9),
        frame.REQUEST_HEADER.pack(3, 1, 5, -2),
        frame.REQUEST_HEADER.pack(3, 1, 5, 4) + b"abc",
        frame.REQUEST_HEADER.pack(3, 1, 5, 0x7FFF),
        frame.REQUEST_HEADER.pack(3, 9, 5, -1),
        frame.REQUEST_HEADER.pack(3, 9, 5, -1) + b"\x80\x80\x80\x80\x80\x80",
        frame.REQUEST_HEADER.pack(3, 9, 5, -1) + b"\xff\xff\xff\xff\x0f",
    ],
)
def test_a_header_that_breaks_the_rules_is_a_protocol_error(data: bytes) -> None:
    """Too short, negative, or with tagged fields that are not there."""
    with pytest.raises(ProtocolError):
        frame.parse_request_header(memoryview(data))


def test_a_short_answer_is_a_protocol_error() -> None:
    """No room for the correlation id, or for the tagged section."""
    for data in (b"", b"\0\0\0", struct.pack(">i", 1)):
        with pytest.raises(ProtocolError):
            frame.parse_response_header(memoryview(data), 3, 12)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"\x16\x03\x01\x02\0\x01\0\x01", "TLS hello"),
        (b"GET /met", "HTTP request"),
        (b"POST / H", "HTTP request"),
        (b"PRI * HT", "HTTP/2"),
        (b"PROXY TC", "PROXY header"),
        (b"\r\n\r\n\0\r\nQ", "PROXY header"),
        (b"SSH-2.0-", "SSH"),
        (b"AMQP\0\0\x09\x01", "AMQP"),
        (b"\x7f\xff\xff\xff\0\0\0\0", "a frame of 2147483647 bytes"),
        (b"\xff\xff\xff\xff", "a frame of -1 bytes"),
    ],
)
def test_a_foreign_protocol_is_named(first: bytes, words: str) -> None:
    """By its first bytes, which stand where a size should; anything else is told as its size."""
    size_bytes = int.from_bytes(first[:4], "big", signed=True)
    assert words in frame.describe_size(memoryview(first), size_bytes)
    # None of them can be taken for a request under the default limit.
    assert not 0 < size_bytes <= 100 << 20
