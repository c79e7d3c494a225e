"""From a request frame to its handler; the one place where refusals become error codes.

Produce and Fetch run at full rate and have decoders of their own: they are recognised from the
first bytes of the frame and get the frame as it lies in the receive buffer. Every other API is the
control plane: decoded to a dict, handled, encoded.

An API is served only with a row in `authorization` as well: a handler without one fails at import,
not in production.

A request of an API or version that is not served closes the connection, as Kafka does, with one
exception that clients rely on: ApiVersions of an unknown version is answered in version 0 with
UNSUPPORTED_VERSION and the ranges (KIP-511).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from logserver.broker.api_versions import handle_api_versions
from logserver.broker.authorization import AUTHORIZATION
from logserver.broker.fetch import handle_fetch
from logserver.broker.handlers import HANDLERS, refuse
from logserver.broker.peer import Context, ControlWaiter
from logserver.broker.produce import handle_produce, handle_repeat
from logwire import errors
from logwire.errors import ProtocolError, Refusal
from logwire.frame import parse_request_header, response_frame
from logwire.messages import APIS, decode_request, encode_response

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Answer, Peer

PRODUCE = 0
FETCH = 1
API_VERSIONS = 18

assert set(HANDLERS) | {PRODUCE, FETCH} == set(AUTHORIZATION) <= set(APIS)

# size is gone already: api key, version, correlation id, length of the client id
HEAD = Struct(">hhih")
HEAD_BYTES = HEAD.size
PRODUCE_API = APIS[PRODUCE]
FETCH_API = APIS[FETCH]


def handle(broker: Broker, peer: Peer, frame: memoryview, now_ms: int) -> Answer:
    """Handle one request frame (without its size). Raises ProtocolError for a breach.

    `frame` must be writable and is valid during the call only. Returns the answer, or None when
    nothing is to be sent now.
    """
    repeat = peer.repeat
    if repeat is not None:
        records = repeat.records(frame)
        if records is not None:
            return handle_repeat(broker, peer, repeat, records, now_ms)
    if len(frame) < HEAD_BYTES:
        raise ProtocolError(f"a request of {len(frame)} bytes")
    api_key, version, correlation_id, client_id_bytes = HEAD.unpack_from(frame)
    if api_key == PRODUCE:
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
    handler = HANDLERS.get(api_key)
    if handler is None:
        raise ProtocolError(f"api key {api_key} version {version} is not served")
    api = APIS[api_key]
    context = Context(broker, peer, api_key, version, correlation_id, client_id, now_ms)
    broker.counters.requests[api_key] += 1
    if not api.min_version <= version <= api.max_version:
        if api_key != API_VERSIONS:
            raise ProtocolError(f"{api.name} version {version} is not served")
        return _unknown_api_versions(broker, context)
    request = decode_request(api_key, version, frame[position:])
    activity = peer.activity
    activity.client_id, activity.api_key = client_id, api_key
    if "group_id" in request:
        activity.group_id = request["group_id"]
    try:
        response = handler(broker, request, context)
    except Refusal as refusal:
        response = refuse(api_key, request, refusal)
    if response is None:
        return None
    body = encode_response(api_key, version, response)
    answer = response_frame(api_key, version, correlation_id, body)
    if context.after_sync:
        broker.commit.waiting.append(ControlWaiter(peer.reserve(), answer))
        return None
    return answer


def _unknown_api_versions(broker: Broker, context: Context) -> bytes:
    context.api_version = 0
    response = handle_api_versions(broker, {}, context)
    response["error_code"] = errors.UNSUPPORTED_VERSION
    # Kafka tells the range of ApiVersions and nothing else: the client asks again.
    response["api_keys"] = [row for row in response["api_keys"] if row["api_key"] == API_VERSIONS]
    body = encode_response(API_VERSIONS, 0, response)
    return response_frame(API_VERSIONS, 0, context.correlation_id, body)
