"""logserver.http.request: what is HTTP, what is not, and what we refuse to guess about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logserver.http.request import (
    FIELD_COUNT_MAX,
    HEAD_BYTES_MAX,
    Refused,
    Request,
    parse_request,
)
from logserver.http.response import head, text

GOOD = b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:8080\r\nAccept:  text/plain \r\n\r\n"

REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "two host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413, "bodies"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400, "two"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "bodies"),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "header field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, "header field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, "header field"),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/1.1"),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "too long"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "not HTTP"),
    (b"\x00\x00\x00\x13\x00\x12\x00\x03", 400, "not HTTP"),
    (b"G" + b"a" * HEAD_BYTES_MAX, 431, "too large"),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (FIELD_COUNT_MAX + 1) + b"\r\n", 431, "too many"),
]


def test_a_request_is_taken_apart() -> None:
    """Method, path, query, fields with lower-case names and trimmed values."""
    request = parse_request(bytearray(GOOD))
    assert request == Request(
        "GET",
        "/metrics",
        "x=1",
        {"host": "localhost:8080", "accept": "text/plain"},
        keep_alive=True,
        chunked_ok=True,
    )


def test_every_prefix_of_a_request_is_just_incomplete() -> None:
    """Bytes arrive as they like."""
    for end in range(len(GOOD)):
        buffer = bytearray(GOOD[:end])
        assert parse_request(buffer) is None
        assert buffer == GOOD[:end]


def test_pipelined_requests_come_off_one_by_one() -> None:
    """What follows the head stays in the buffer."""
    buffer = bytearray(GOOD + GOOD + b"GET")
    assert parse_request(buffer) is not None
    assert parse_request(buffer) is not None
    assert parse_request(buffer) is None
    assert buffer == b"GET"


@pytest.mark.parametrize(
    ("line", "keep_alive"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ],
)
def test_who_closes_follows_version_and_connection(line: bytes, keep_alive: bool) -> None:
    """HTTP/1.0 closes, HTTP/1.1 stays unless asked to close."""
    request = parse_request(bytearray(line))
    assert request is not None
    assert request.keep_alive is keep_alive


@pytest.mark.parametrize(("data", "status", "words"), REFUSED)
def test_what_is_unusual_is_refused(data: bytes, status: int, words: str) -> None:
    """Each with the status that names the fault."""
    with pytest.raises(Refused) as caught:
        parse_request(bytearray(data))
    assert caught.value.status == status
    assert words in caught.value.reason


PIECES = [
    b"GET ",
    b"/",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n",
    b"\n",
    b"Host: a",
    b":",
    b" ",
    b"\x00",
]
PIECES += [b"Content-Length: 0", b"Connection: close", b"\xff", b"x" * 70]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=30))
def test_no_bytes_do_anything_but_be_taken_refused_or_waited_for(pieces: list[bytes]) -> None:
    """A parser that raises something else would cost the connection its goodbye."""
    buffer = bytearray(b"".join(pieces))
    before = len(buffer)
    try:
        request = parse_request(buffer)
    except Refused as refused:
        head(text(refused.status, refused.reason), keep_alive=False, chunked=False)
        return
    assert (request is None) == (len(buffer) == before)
