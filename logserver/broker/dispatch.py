"""From a request frame to its handler; the one place where refusals become error codes.

Produce and Fetch run at full rate and have decoders of their own: they are recognised from the
first bytes of the frame and get the frame as it lies in the receive buffer. Every other API is the
control plane: decoded to a dict, handled, encoded.

An API is served only with a row in `AUTHORIZATION`: the operation it needs and the resource it
needs it on, in Kafka's words (kafka.apache.org, "Authorization and ACLs"). A handler without a row
fails at import, not in production.

A request of an API or version that is not served closes the connection, as Kafka does, with one
exception that clients rely on: ApiVersions of an unknown version is answered in version 0 with
UNSUPPORTED_VERSION and the ranges (KIP-511).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from logserver.broker.fetch import handle_fetch
from logserver.broker.handlers import HANDLERS, refuse
from logserver.broker.peer import Context
from logserver.broker.produce import handle_produce, handle_repeat
from logwire import errors
from logwire.errors import ProtocolError, Refusal
from logwire.frame import parse_request_header, response_frame
from logwire.messages import APIS, decode_request, encode_response

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Answer, Peer, Reply

PRODUCE = 0
FETCH = 1
API_VERSIONS = 18

# api key -> (operation, resource type)
AUTHORIZATION: dict[int, tuple[str, str]] = {
    0: ("WRITE", "TOPIC"),
    1: ("READ", "TOPIC"),
    2: ("DESCRIBE", "TOPIC"),
    3: ("DESCRIBE", "TOPIC"),
    10: ("DESCRIBE", "GROUP"),
    18: ("ANY", "NONE"),
    19: ("CREATE", "CLUSTER"),
    20: ("DELETE", "TOPIC"),
    21: ("DELETE", "TOPIC"),
    22: ("IDEMPOTENT_WRITE", "CLUSTER"),
    23: ("DESCRIBE", "TOPIC"),
    32: ("DESCRIBE_CONFIGS", "TOPIC"),
    33: ("ALTER_CONFIGS", "TOPIC"),
    35: ("DESCRIBE", "CLUSTER"),
    37: ("ALTER", "TOPIC"),
    44: ("ALTER_CONFIGS", "TOPIC"),
    60: ("DESCRIBE", "CLUSTER"),
    61: ("READ", "TOPIC"),
    75: ("DESCRIBE", "TOPIC"),
}
assert set(HANDLERS) | {PRODUCE, FETCH} == set(AUTHORIZATION) == set(APIS)

# size is gone already: api key, version, correlation id, length of the client id
HEAD = Struct(">hhih")
HEAD_BYTES = HEAD.size
PRODUCE_API = APIS[PRODUCE]
FETCH_API = APIS[FETCH]


class ControlWaiter:
    """A control-plane answer that waits until the metadata log is synced."""

    __slots__ = ("frame", "reply")

    def __init__(self, reply: Reply, frame: bytes) -> None:
        self.reply = reply
        self.frame = frame

    def synced(self) -> None:
        """What the answer promises is durable."""
        self.reply.complete(self.frame)

    def failed(self) -> None:
        """It may or may not be: say nothing."""
        self.reply.abandon()


def handle(broker: Broker, peer: Peer, frame: memoryview, now_ms: int) -> Answer:
    """Handle one request frame (without its size). Raises ProtocolError for a breach.

    `frame` must be writable and is valid during the call only. Returns the answer, or None when
    nothing is to be sent now.
    """
    if len(frame) < HEAD_BYTES:
        raise ProtocolError(f"a request of {len(frame)} bytes")
    api_key, version, correlation_id, client_id_bytes = HEAD.unpack_from(frame)
    repeat = peer.repeat
    if api_key == PRODUCE and repeat is not None and version == repeat.version:
        records = repeat.records(frame)
        if records is not None:
            return handle_repeat(broker, peer, repeat, correlation_id, records, now_ms)
        peer.repeat = None
    if api_key == PRODUCE and PRODUCE_API.min_version <= version <= PRODUCE_API.max_version:
        position = HEAD_BYTES + client_id_bytes if client_id_bytes > 0 else HEAD_BYTES
        if version >= PRODUCE_API.flexible_from:
            position = _skip_tags(frame, position)
        return handle_produce(broker, peer, version, correlation_id, frame, position, now_ms)
    if api_key == FETCH and FETCH_API.min_version <= version <= FETCH_API.max_version:
        position = HEAD_BYTES + client_id_bytes if client_id_bytes > 0 else HEAD_BYTES
        if version >= FETCH_API.flexible_from:
            position = _skip_tags(frame, position)
        return handle_fetch(broker, peer, version, correlation_id, frame, position)
    return handle_control(broker, peer, frame, now_ms)


def _skip_tags(frame: memoryview, position: int) -> int:
    # Clients send no header tags: one zero byte. Anything else takes the careful way.
    if position < len(frame) and frame[position] == 0:
        return position + 1
    return parse_request_header(frame)[4]


def handle_control(broker: Broker, peer: Peer, frame: memoryview, now_ms: int) -> Answer:
    """Decode, handle and encode a request of the control plane."""
    api_key, version, correlation_id, client_id, position = parse_request_header(frame)
    api = APIS.get(api_key)
    if api is None or api_key in (PRODUCE, FETCH):
        raise ProtocolError(f"api key {api_key} version {version} is not served")
    context = Context(api_key, version, client_id, peer.listener, peer.local_address, now_ms)
    broker.counters.requests[api_key] += 1
    if not api.min_version <= version <= api.max_version:
        if api_key != API_VERSIONS:
            raise ProtocolError(f"{api.name} version {version} is not served")
        return _unknown_api_versions(broker, context, correlation_id)
    request = decode_request(api_key, version, frame[position:])
    try:
        response = HANDLERS[api_key](broker, request, context)
    except Refusal as refusal:
        response = refuse(api_key, request, refusal)
    body = encode_response(api_key, version, response)
    answer = response_frame(api_key, version, correlation_id, body)
    if context.after_sync:
        broker.commit.waiting.append(ControlWaiter(peer.reserve(), answer))
        return None
    return answer


def _unknown_api_versions(broker: Broker, context: Context, correlation_id: int) -> bytes:
    context.api_version = 0
    response = HANDLERS[API_VERSIONS](broker, {}, context)
    response["error_code"] = errors.UNSUPPORTED_VERSION
    # Kafka tells the range of ApiVersions and nothing else: the client asks again.
    response["api_keys"] = [row for row in response["api_keys"] if row["api_key"] == API_VERSIONS]
    body = encode_response(API_VERSIONS, 0, response)
    return response_frame(API_VERSIONS, 0, correlation_id, body)
