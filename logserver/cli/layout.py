"""How one consumed record is printed: a format with placeholders, or one JSON object per line.

    %v value   %k key   %h headers   %o offset   %p partition   %t topic   %T timestamp (ms)
    %V length of the value   %K length of the key   %% a percent sign
    \\n \\t \\r \\0 \\\\ as usual

The letters are kcat's where kcat has one (its %s, the value, works too; its lengths are %S and %K).
Values and keys are written as they are, byte for byte; a null is nothing. On a terminal control
bytes are shown as escapes instead: a record must not be able to steer the terminal.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

DEFAULT_FORMAT = "%v\\n"


class Consumed(Protocol):
    """What a record must have (`logserver.client`)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


Render = Callable[[Consumed], bytes]

PLACEHOLDERS: dict[str, Render] = {
    "v": lambda record: record.value or b"",
    "s": lambda record: record.value or b"",
    "k": lambda record: record.key or b"",
    "h": lambda record: _headers_text(record.headers),
    "o": lambda record: b"%d" % record.offset,
    "p": lambda record: b"%d" % record.partition,
    "t": lambda record: record.topic.encode(),
    "T": lambda record: b"%d" % record.timestamp_ms,
    "V": lambda record: _length(record.value),
    "S": lambda record: _length(record.value),
    "K": lambda record: _length(record.key),
}
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_PIECE = re.compile(r"%(.?)|\\(.?)|([^%\\]+)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def compile_format(text: str) -> Render:
    """The format as a function from record to bytes; raises ValueError for what it cannot be."""
    pieces: list[bytes | Render] = []
    for match in _PIECE.finditer(text):
        placeholder, escape, literal = match.groups()
        if literal is not None:
            pieces.append(literal.encode())
        elif escape is not None:
            if escape not in _ESCAPES:
                raise ValueError(
                    f"\\{escape} is no escape of a format; known are \\n \\t \\r \\0 \\\\"
                )
            pieces.append(_ESCAPES[escape])
        elif placeholder == "%":
            pieces.append(b"%")
        elif placeholder in PLACEHOLDERS:
            pieces.append(PLACEHOLDERS[placeholder])
        else:
            known = " ".join(f"%{letter}" for letter in PLACEHOLDERS)
            raise ValueError(f"%{placeholder} is no placeholder of a format; known are {known} %%")
    return _joined(pieces)


def _joined(pieces: list[bytes | Render]) -> Render:
    match pieces:
        case [field, bytes(end)] if callable(field):
            return lambda record: field(record) + end
    renders = [_constant(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return lambda record: b"".join([render(record) for render in renders])


def _constant(data: bytes) -> Render:
    return lambda _: data


def _length(data: bytes | None) -> bytes:
    """kcat's convention: -1 is null."""
    return b"%d" % (-1 if data is None else len(data))


def _headers_text(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    return b",".join(name.encode() + b"=" + (value or b"") for name, value in headers)


def for_terminal(data: bytes) -> bytes:
    """Control bytes other than tab and newline as \\x escapes, C1 controls too."""
    return _CONTROL.sub(lambda match: b"".join(b"\\x%02x" % byte for byte in match.group()), data)


def as_json_line(record: Consumed) -> bytes:
    """One object per record; bytes that are not UTF-8 appear as base64 under `..._base64`."""
    document: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
    }
    _put(document, "key", record.key)
    _put(document, "value", record.value)
    if record.headers:
        document["headers"] = [_header(name, value) for name, value in record.headers]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _header(name: str, value: bytes | None) -> dict[str, Any]:
    document: dict[str, Any] = {"name": name}
    _put(document, "value", value)
    return document


def _put(document: dict[str, Any], name: str, data: bytes | None) -> None:
    if data is None:
        document[name] = None
        return
    try:
        document[name] = str(data, "utf-8")
    except UnicodeDecodeError:
        document[f"{name}_base64"] = base64.b64encode(data).decode()
