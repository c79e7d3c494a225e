"""Frames and headers: what stands before the body of every request and response.

    request    int32 size | int16 api_key | int16 api_version | int32 correlation_id
               | nullable string client_id (always classic) | tagged section, flexible versions only
    response   int32 size | int32 correlation_id | tagged section, flexible versions only

`size` counts what follows it. In this package a *frame* is what follows the size. Whether the
header carries a tagged section depends on the API and its version (`flexible_from` in
`messages.APIS`); the one exception is the ApiVersions response, whose header never does, because a
client must be able to read it before it knows what the server speaks (KIP-511).

Source: kafka.apache.org/protocol, RequestHeader v1/v2, ResponseHeader v0/v1, KIP-482, KIP-511.
"""

import struct

from logwire.errors import ProtocolError
from logwire.messages import APIS
from logwire.primitives import BREACHES, end_of, skip_tagged

SIZE = struct.Struct(">i")
REQUEST_HEADER = struct.Struct(">hhih")  # api_key, api_version, correlation_id, client_id length
RESPONSE_HEADER = struct.Struct(">ii")  # size, correlation_id

API_VERSIONS = 18
NEVER_FLEXIBLE = 0x7FFF

FLEXIBLE_FROM = [NEVER_FLEXIBLE] * (max(APIS) + 1)
for _api in APIS.values():
    FLEXIBLE_FROM[_api.key] = _api.flexible_from


# What else is sent to the wrong port, by its first bytes, and what its sender should do.
TLS = "a TLS hello: this listener takes no encryption, set security.protocol=PLAINTEXT"
HTTP = "an HTTP request: this port speaks Kafka, metrics and health have a port of their own"
OTHER_PROTOCOLS = (
    (b"\x16\x03", TLS),
    *((method, HTTP) for method in (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"CONN")),
    (b"PRI *", "HTTP/2: this port speaks Kafka"),
    (b"PROXY ", "a PROXY header: let the load balancer pass connections on as they are"),
    (b"\r\n\r\n\0\r\nQ", "a PROXY header: let the load balancer pass connections on as they are"),
    (b"SSH-", "SSH"),
    (b"AMQP", "AMQP"),
)


def describe_size(first: bytes | memoryview, size_bytes: int) -> str:
    """What a frame of an impossible size really is, where its first eight bytes tell."""
    for prefix, what in OTHER_PROTOCOLS:
        if bytes(first[: len(prefix)]) == prefix:
            return what
    return f"a frame of {size_bytes} bytes"


def request_header_is_flexible(api_key: int, version: int) -> bool:
    """Whether a request header ends with a tagged section; an unknown API counts as classic."""
    return 0 <= api_key < len(FLEXIBLE_FROM) and version >= FLEXIBLE_FROM[api_key]


def response_header_is_flexible(api_key: int, version: int) -> bool:
    return api_key != API_VERSIONS and request_header_is_flexible(api_key, version)


def parse_request_header(frame: memoryview) -> tuple[int, int, int, str | None, int]:
    """Takes a request frame (without its size) apart.

    Returns (api_key, api_version, correlation_id, client_id, position of the body). Bytes of a
    client id that are not UTF-8 are replaced, not refused: it is a label, nothing depends on it.
    Raises ProtocolError when the frame is too short for what its header says.
    """
    try:
        api_key, version, correlation_id, size = REQUEST_HEADER.unpack_from(frame)
        position = REQUEST_HEADER.size
        client_id = None
        if size > 0:
            end = end_of(frame, position, size)
            client_id = str(frame[position:end], "utf-8", "replace")
            position = end
        elif size == 0:
            client_id = ""
        elif size < -1:
            raise ProtocolError(f"negative client id length {size}")
        if 0 <= api_key < len(FLEXIBLE_FROM) and version >= FLEXIBLE_FROM[api_key]:
            position = position + 1 if frame[position] == 0 else skip_tagged(frame, position)
    except BREACHES as error:
        raise ProtocolError(f"truncated request header ({len(frame)} bytes)") from error
    return api_key, version, correlation_id, client_id, position


def request_header(api_key: int, version: int, correlation_id: int, client_id: str | None) -> bytes:
    """The header a client sends before a body, without the frame's size."""
    data = b"" if client_id is None else client_id.encode()
    size = -1 if client_id is None else len(data)
    tail = b"\0" if request_header_is_flexible(api_key, version) else b""
    return REQUEST_HEADER.pack(api_key, version, correlation_id, size) + data + tail


def response_frame(api_key: int, version: int, correlation_id: int, body: bytes) -> bytes:
    """A whole response as it goes onto the wire: size, header, body."""
    if response_header_is_flexible(api_key, version):
        return RESPONSE_HEADER.pack(len(body) + 5, correlation_id) + b"\0" + body
    return RESPONSE_HEADER.pack(len(body) + 4, correlation_id) + body


def parse_response_header(frame: memoryview, api_key: int, version: int) -> tuple[int, int]:
    """Takes a response frame (without its size) apart: (correlation_id, position of the body).

    The caller knows `api_key` and `version` from the request that it sent under that correlation
    id; `SIZE.unpack_from(frame)` alone reads the id. Raises ProtocolError on a short frame.
    """
    try:
        (correlation_id,) = SIZE.unpack_from(frame)
        position = 4
        if response_header_is_flexible(api_key, version):
            position = skip_tagged(frame, position)
    except BREACHES as error:
        raise ProtocolError(f"truncated response header ({len(frame)} bytes)") from error
    return correlation_id, position
