"""The same requests to two servers, and where their answers differ.

Requests are generated from the schemas (`tests.broker.request_generator`), so they are mostly wrong
in one way or another: which error a server answers, and which it answers first, is what is
compared. Both servers live through the same requests, so that their states agree.

What cannot agree is made alike before: topic ids become names, times, sizes and sentences go, lists
are put in order. What is left is a list of `Difference`: the API, the path of the field, and the
two values. A difference that is meant stands in `differences.toml` with its reason.

Apache Kafka's answers about topics come from a copy of the metadata that follows its controller, so
after a change the copies are waited for, and an answer that differs is asked for again.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from logwire.errors import ProtocolError
from logwire.frame import parse_response_header, request_header
from logwire.messages import APIS, Message, decode_response, encode_request

METADATA, API_VERSIONS = 3, 18
# What they change is seen in the metadata.
CHANGING = frozenset((3, 19, 20, 33, 37, 44, 45, 57))
# Asked again, they answer the same.
READING = frozenset((2, 3, 9, 10, 15, 16, 18, 23, 32, 35, 46, 55, 60, 61, 65, 66, 69, 74, 75))
ANSWER_TIMEOUT_S = 3.0
TRIES_MAX = 30
NO_ANSWER = {"outcome": "no answer"}
CLOSED = {"outcome": "closed"}

# Fields whose values say nothing about how a request was understood.
IGNORED = frozenset(
    (
        "cluster_id", "error_message", "finalized_features_epoch", "free_bytes", "host",
        "high_watermark", "last_caught_up_timestamp", "last_fetch_timestamp", "leader_epoch",
        "log_dir", "log_end_offset", "member_id", "partition_size", "port", "producer_id",
        "throttle_time_ms", "timestamp", "total_bytes", "usable_bytes", "documentation",
    )
)  # fmt: skip


class Difference(NamedTuple):
    """One field that two answers disagree about; the path has no list indexes."""

    api: str
    path: str
    reference: str
    ours: str


class Wire:
    """One connection to a server, opened again when the server closes it."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.topic_ids: dict[bytes, bytes] = {}
        self._socket: socket.socket | None = None
        self._correlation_id = 0

    def ask(self, api_key: int, version: int, request: Message) -> Message:
        """The answer, or what happened instead of one."""
        try:
            return self._ask(api_key, version, self._sent(request))
        except TimeoutError:
            self.close()
            return NO_ANSWER
        except OSError:
            self.close()
            return CLOSED

    def _ask(self, api_key: int, version: int, request: Message) -> Message:
        if self._socket is None:
            self._socket = socket.create_connection(self.address, ANSWER_TIMEOUT_S)
        self._correlation_id += 1
        frame = request_header(api_key, version, self._correlation_id, "differential")
        frame += encode_request(api_key, version, request)
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        (size_bytes,) = struct.unpack(">i", self._receive(4))
        answer = memoryview(self._receive(size_bytes))
        _, position = parse_response_header(answer, api_key, version)
        try:
            return decode_response(api_key, version, answer[position:])
        except ProtocolError as error:
            return {"outcome": f"cannot be decoded: {error}"}

    def _receive(self, size_bytes: int) -> bytes:
        assert self._socket is not None
        parts = bytearray()
        while len(parts) < size_bytes:
            part = self._socket.recv(size_bytes - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)

    def _sent(self, value: Any) -> Any:
        """A request with this server's topic ids for the placeholders."""
        if isinstance(value, dict):
            return {name: self._sent(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._sent(item) for item in value]
        return self.topic_ids.get(value, value) if isinstance(value, bytes) else value

    def topics(self) -> dict[str, int]:
        """Partitions of each topic by name; remembers the topic ids on the way."""
        answer = self.ask(METADATA, 12, {"topics": None})
        self.topic_ids = {
            placeholder(topic["name"]): bytes(topic["topic_id"]) for topic in answer["topics"]
        }
        return {topic["name"]: len(topic["partitions"]) for topic in answer["topics"]}

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def placeholder(name: str) -> bytes:
    """Stands for the id of a topic in requests and in compared answers."""
    return name.encode()[:16].rjust(16, b"#")


def compared(answer: Message, wire: Wire) -> Any:
    """An answer with what cannot agree taken out, and in an order of its own."""
    names = {topic_id: name for name, topic_id in wire.topic_ids.items()}
    return _compared(answer, names)


def _compared(value: Any, names: dict[bytes, bytes]) -> Any:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in IGNORED}
        return {name: _compared(item, names) for name, item in kept.items()}
    if isinstance(value, list):
        found = {json.dumps(item, sort_keys=True): item for item in _merged(value, names)}
        return [found[text] for text in sorted(found)]
    if isinstance(value, bytes | memoryview):
        raw = bytes(value)
        return names.get(raw, raw).decode("latin-1") if len(raw) == 16 else raw.hex()
    return value


def _merged(items: list[Any], names: dict[bytes, bytes]) -> list[Any]:
    """Compared items of a list; rows of one topic are one row, however often it was named."""
    merged: dict[str, Any] = {}
    for item in (_compared(item, names) for item in items):
        keys = [] if not isinstance(item, dict) else [k for k, v in item.items() if _is_rows(v)]
        if len(keys) == 1:
            rest = json.dumps({**item, keys[0]: None}, sort_keys=True)
            rows = merged[rest][keys[0]] if rest in merged else []
            merged[rest] = {**item, keys[0]: _compared([*rows, *item[keys[0]]], names)}
        else:
            merged[json.dumps(item, sort_keys=True)] = item
    return list(merged.values())


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def differences(api_key: int, reference: Any, ours: Any) -> Iterator[Difference]:
    """Where two compared answers differ."""
    for path, left, right in _walk("", reference, ours):
        yield Difference(APIS[api_key].name, path, _text(left), _text(right))


def _walk(path: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, dict) and isinstance(right, dict):
        for name in sorted({*left, *right}):
            yield from _walk(f"{path}.{name}" if path else name, left.get(name), right.get(name))
    elif isinstance(left, list) and isinstance(right, list):
        yield from _walk_lists(path, left, right)
    elif left != right:
        yield path, left, right


def _walk_lists(path: str, left: list[Any], right: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Items are paired by what names them, then in order."""
    by_name = {_name(item): item for item in left}, {_name(item): item for item in right}
    if len(by_name[0]) == len(left) and len(by_name[1]) == len(right):
        for name in sorted({*by_name[0], *by_name[1]}):
            inner = f"{path}[{name}]" if path.endswith("configs") else f"{path}[]"
            yield from _walk(inner, by_name[0].get(name), by_name[1].get(name))
        return
    for index in range(max(len(left), len(right))):
        pair = [items[index] if index < len(items) else None for items in (left, right)]
        yield from _walk(f"{path}[]", *pair)


_NAMES = (
    "name", "topic", "topic_name", "group_id", "group", "resource_name", "api_key", "feature",
    "coordinator_key", "key", "transactional_id", "resource_type", "topic_id", "partition_index",
    "partition_id", "partition", "index",
)  # fmt: skip


def _name(item: Any) -> str:
    if isinstance(item, dict):
        return "|".join(str(item[name]) for name in _NAMES if name in item)
    return str(item)


def _text(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return re.sub(r"\s+", " ", text)[:200]
