"""HTTP/1.1 requests as a function of bytes (RFC 9112), the small strict part that we serve.

    request-line   method SP origin-form SP HTTP/1.0 or HTTP/1.1
    fields         name ":" OWS value OWS, no folding, no bytes below 0x20 but tab
    body           none yet: routes here only answer questions

Lenient parsers are how requests get smuggled past a proxy, so everything unusual is refused: bare
LF, space before the colon, obsolete folding, two Host or Content-Length fields, any
Transfer-Encoding, absolute-form targets, control bytes. Nothing is allocated from a promised
length. A refusal carries the status to answer; the connection closes after it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

HEAD_BYTES_MAX = 8192
"""nginx and Apache start at 8 KB for the whole head or one line; we need a tenth."""
FIELD_COUNT_MAX = 64
END_OF_HEAD = b"\r\n\r\n"

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_TARGET = re.compile(rb"/[!-~]{0,2047}")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_VERSION = re.compile(rb"HTTP/1\.[01]")
_FUTURE_VERSION = re.compile(rb"HTTP/[0-9](\.[0-9])?")


class Request(NamedTuple):
    """One request's head. `path` has no query; `fields` are lower-case names, latin-1 values."""

    method: str
    path: str
    query: str
    fields: Mapping[str, str]
    keep_alive: bool
    chunked_ok: bool


class Refused(Exception):
    """The bytes are not a request that we take; `status` says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def parse_request(buffer: bytearray) -> Request | None:
    """Take one request off the front of `buffer`; None while its head is incomplete.

    Raises Refused(400 | 413 | 414 | 431 | 501 | 505).
    """
    end = buffer.find(END_OF_HEAD)
    if end < 0:
        _refuse_early(buffer)
        return None
    if end > HEAD_BYTES_MAX:
        raise Refused(431, "request head is too large")
    lines = bytes(buffer[:end]).split(b"\r\n")
    del buffer[: end + len(END_OF_HEAD)]
    method, target, version = _request_line(lines[0])
    fields = _fields(lines[1:])
    if version == b"HTTP/1.1" and "host" not in fields:
        raise Refused(400, "HTTP/1.1 needs a Host field")
    if "transfer-encoding" in fields:
        raise Refused(501, "request bodies are not taken here")
    if fields.get("content-length", "0") != "0":
        raise Refused(413, "request bodies are not taken here")
    path, _, query = target.partition("?")
    connection = {option.strip().lower() for option in fields.get("connection", "").split(",")}
    keep_alive = version == b"HTTP/1.1" and "close" not in connection
    return Request(method, path, query, fields, keep_alive, version == b"HTTP/1.1")


def _refuse_early(buffer: bytearray) -> None:
    """What can already be told from an incomplete head: a foreign protocol, or too much of it."""
    if len(buffer) > HEAD_BYTES_MAX:
        raise Refused(431, "request head is too large")
    if buffer and not _TOKEN.match(buffer):
        raise Refused(400, "this is not HTTP")


def _request_line(line: bytes) -> tuple[str, str, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise Refused(400, "malformed request line")
    method, target, version = parts
    if not _VERSION.fullmatch(version):
        if _FUTURE_VERSION.fullmatch(version):
            raise Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        raise Refused(400, "malformed request line")
    if len(target) > 2048:
        raise Refused(414, "target is too long")
    if not _TARGET.fullmatch(target):
        raise Refused(400, "malformed target")
    return method.decode(), target.decode(), version


def _fields(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > FIELD_COUNT_MAX:
        raise Refused(431, "too many header fields")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Refused(400, "malformed header field")
        key = name.decode().lower()
        if key in fields and key in ("host", "content-length"):
            raise Refused(400, f"two {key} fields")
        text = value.strip(b" \t").decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
