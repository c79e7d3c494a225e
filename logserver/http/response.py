"""HTTP responses as bytes, and what a route hands back.

A body is bytes, sent with Content-Length, or an asynchronous iterator of bytes, sent in chunks
(RFC 9112, 7.1) so that a long page is neither built in memory nor in one go. Every response says
that it must not be cached, sniffed or framed: the port may one day show topic names in a browser.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
LAST_CHUNK = b"0\r\n\r\n"
PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
"""The statuses we answer (RFC 9110, 15; RFC 6585 for 431)."""


class Response(NamedTuple):
    """Status, media type, body, and further header fields."""

    status: int
    media_type: str
    body: bytes | AsyncIterator[bytes]
    fields: tuple[tuple[str, str], ...] = ()


def text(status: int, body: str, *fields: tuple[str, str]) -> Response:
    """A line of text for people and probes."""
    return Response(status, TEXT, (body + "\n").encode(), fields)


def head(response: Response, *, keep_alive: bool, chunked: bool) -> bytes:
    """Status line and header fields, ending with the empty line."""
    lines = [
        f"HTTP/1.1 {response.status} {PHRASES[response.status]}",
        f"Content-Type: {response.media_type}",
    ]
    if isinstance(response.body, bytes):
        lines.append(f"Content-Length: {len(response.body)}")
    elif chunked:
        lines.append("Transfer-Encoding: chunked")
    lines += [f"{name}: {value}" for name, value in response.fields]
    lines += [
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one would end it, so it gives nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
