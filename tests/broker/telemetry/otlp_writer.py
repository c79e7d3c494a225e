"""Writes OTLP metrics, the few messages that clients push: an independent hand for the tests."""

from __future__ import annotations

from struct import pack

CUMULATIVE, DELTA = 2, 1


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def flag(number: int, value: int) -> bytes:
    """A varint field."""
    return varint(number << 3) + varint(value)


def attribute(name: str, text: str) -> bytes:
    """A KeyValue with a text."""
    return field(1, name.encode()) + field(2, field(1, text.encode()))


def point(value: float, **attributes: str) -> bytes:
    """A NumberDataPoint: ints as sfixed64, floats as double, with a start and an end."""
    number = b"\x31" + pack("<q", value) if isinstance(value, int) else b"\x21" + pack("<d", value)
    labels = b"".join(field(7, attribute(name, text)) for name, text in attributes.items())
    return b"\x11" + pack("<Q", 1) + b"\x19" + pack("<Q", 2) + number + labels


def gauge(name: str, *points: bytes) -> bytes:
    """A Metric that is a gauge."""
    return field(1, name.encode()) + field(3, b"ms") + field(5, b"".join(map(_first, points)))


def total(name: str, *points: bytes, temporality: int = DELTA, monotonic: bool = True) -> bytes:
    """A Metric that is a sum."""
    body = b"".join(map(_first, points)) + flag(2, temporality) + flag(3, monotonic)
    return field(1, name.encode()) + field(7, body)


def push(*metrics: bytes, **attributes: str) -> bytes:
    """MetricsData of one resource with these attributes."""
    resource = b"".join(field(1, attribute(name, text)) for name, text in attributes.items())
    scope = field(1, field(1, b"scope")) + b"".join(field(2, metric) for metric in metrics)
    return field(1, field(1, resource) + field(2, scope))


def _first(body: bytes) -> bytes:
    return field(1, body)
