"""OTLP metrics as clients push them (KIP-714): the few fields that are exported, read in place.

A protobuf message is a sequence of fields, each a tag and a value. A varint has seven bits a byte,
lowest first, and bit 7 set in all but its last byte.

    tag = varint: field number << 3 | wire type
    value by wire type: 0 varint | 1 eight bytes | 2 varint length, so many bytes | 5 four bytes

What is read, by field number (opentelemetry-proto, metrics/v1); all else is skipped by its length:

    MetricsData      1 ResourceMetrics*
    ResourceMetrics  1 Resource         2 ScopeMetrics*
    Resource         1 KeyValue*
    KeyValue         1 key              2 AnyValue (1 string)
    ScopeMetrics     2 Metric*
    Metric           1 name             5 Gauge          7 Sum
    Gauge            1 NumberDataPoint*
    Sum              1 NumberDataPoint* 2 temporality (1 delta, 2 cumulative)  3 is monotonic
    NumberDataPoint  4 double           6 sfixed64

Histograms and summaries are skipped: no client pushes them. A protobuf library would cost more
memory than the server has and read every field; its bound would be the size of the message.

Every field looked at is counted against a budget, so that a bomb (a megabyte of two-byte fields)
costs a few milliseconds. Nesting is fixed by the schema: nothing recurses on the peer's word.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from logwire.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
DELTA = 1

# A Java consumer of a hundred partitions pushes some 600 points: 4,000 fields.
FIELDS_COUNT_MAX = 20_000
TEXT_BYTES_MAX = 256
VARINT_BYTES_MAX = 10

_DOUBLE = Struct("<d")
_SFIXED64 = Struct("<q")


class Point(NamedTuple):
    """One value of a metric. `is_delta`: it is to be added to what was pushed before."""

    name: str
    value: float
    is_monotonic: bool
    is_delta: bool


class Metrics(NamedTuple):
    """What one resource (one client) pushed: its attributes that are text, and its points."""

    attributes: dict[str, str]
    points: list[Point]


def decode_metrics(data: bytes) -> list[Metrics]:
    """The points of a push, by resource. Raises ProtocolError: no OTLP, or too much of it."""
    reader = _Reader(data)
    return [
        _resource_metrics(reader, *value)
        for number, value in reader.fields(0, len(data))
        if number == 1 and isinstance(value, tuple)
    ]


Span = tuple[int, int]


class _Reader:
    """Walks the fields of messages in `data`; all walks together have one budget."""

    __slots__ = ("data", "left_count")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left_count = FIELDS_COUNT_MAX

    def fields(self, position: int, end: int) -> Iterator[tuple[int, int | Span]]:
        """Number and value of each field: an int, or the span of bytes that it takes."""
        while position < end:
            self.left_count -= 1
            if self.left_count < 0:
                raise ProtocolError(f"more than {FIELDS_COUNT_MAX} fields")
            tag, position = self.varint(position, end)
            kind = tag & 7
            if kind == VARINT:
                number, position = self.varint(position, end)
                yield tag >> 3, number
                continue
            if kind == LENGTH:
                size_bytes, position = self.varint(position, end)
            elif kind in (EIGHT_BYTES, FOUR_BYTES):
                size_bytes = 8 if kind == EIGHT_BYTES else 4
            else:
                raise ProtocolError(f"wire type {kind}")
            if size_bytes > end - position:
                raise ProtocolError(
                    f"a field of {size_bytes} bytes where {end - position} are left"
                )
            yield tag >> 3, (position, position + size_bytes)
            position += size_bytes

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """The number at `position` and the position behind it."""
        value = shift = 0
        for at in range(position, min(end, position + VARINT_BYTES_MAX)):
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at + 1
            shift += 7
        raise ProtocolError("a varint without an end")

    def text(self, span: Span) -> str:
        """The text of a field; the beginning of a long one."""
        start, end = span
        return self.data[start : min(end, start + TEXT_BYTES_MAX)].decode("utf-8", "replace")


def _resource_metrics(reader: _Reader, start: int, end: int) -> Metrics:
    metrics = Metrics({}, [])
    for number, value in reader.fields(start, end):
        if not isinstance(value, tuple):
            continue
        if number == 1:
            metrics.attributes.update(_attributes(reader, *value))
        elif number == 2:
            for inner, metric in reader.fields(*value):
                if inner == 2 and isinstance(metric, tuple):
                    metrics.points.extend(_metric(reader, *metric))
    return metrics


def _attributes(reader: _Reader, start: int, end: int) -> Iterator[tuple[str, str]]:
    for number, value in reader.fields(start, end):
        if number == 1 and isinstance(value, tuple):
            name, text = "", None
            for inner, part in reader.fields(*value):
                if inner == 1 and isinstance(part, tuple):
                    name = reader.text(part)
                elif inner == 2 and isinstance(part, tuple):
                    text = _string(reader, *part)
            if text is not None:
                yield name, text


def _string(reader: _Reader, start: int, end: int) -> str | None:
    for number, value in reader.fields(start, end):
        if number == 1 and isinstance(value, tuple):
            return reader.text(value)
    return None


def _metric(reader: _Reader, start: int, end: int) -> Iterator[Point]:
    name = ""
    spans: list[tuple[bool, Span]] = []
    for number, value in reader.fields(start, end):
        if number == 1 and isinstance(value, tuple):
            name = reader.text(value)
        elif number in (5, 7) and isinstance(value, tuple):
            spans.append((number == 7, value))
    for is_sum, span in spans:
        values: list[float] = []
        is_monotonic = is_delta = False
        for number, value in reader.fields(*span):
            if number == 1 and isinstance(value, tuple):
                values.extend(_numbers(reader, *value))
            elif is_sum and number == 2:
                is_delta = value == DELTA
            elif is_sum and number == 3:
                is_monotonic = bool(value)
        for number_value in values:
            yield Point(name, number_value, is_monotonic, is_delta)


def _numbers(reader: _Reader, start: int, end: int) -> Iterator[float]:
    for number, value in reader.fields(start, end):
        if isinstance(value, tuple) and value[1] - value[0] == 8:
            if number == 4:
                yield _DOUBLE.unpack_from(reader.data, value[0])[0]
            elif number == 6:
                yield float(_SFIXED64.unpack_from(reader.data, value[0])[0])
