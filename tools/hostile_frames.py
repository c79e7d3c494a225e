"""Frames that no client sends: whole connections' worth of bytes, and topic names with teeth.

Each frame is the first thing on a new connection. What a server may do is answer (an ApiVersions of
an unknown version has an answer), hang up, or wait for the bytes that were promised. Packed by hand
like everything a server is judged by; layouts from kafka.apache.org/protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from tools.raw_kafka import framed, header, produce_frame, string
from tools.refusal_cases import Step, batch

API_VERSIONS, FETCH = 18, 1
REQUEST_LIMIT_BYTES = 104_857_600  # socket.request.max.bytes

TOPIC_NAMES: Sequence[str] = (
    "fine",
    "dot.and_underscore-dash",
    "a" * 249,
    "a" * 250,
    "",
    ".",
    "..",
    "...",
    "a/b",
    "../../etc/passwd",
    "/absolute",
    "a\\b",
    "line\nbreak",
    "nul\0byte",
    "bell\x07",
    "two words",
    "colon:",
    "caf\u00e9",
)


class Frame(NamedTuple):
    """Bytes for a new connection; topic `frames` exists.

    `ours` is what this server does where it is stricter than Apache Kafka, with the reason.
    """

    name: str
    data: bytes
    ours: tuple[str, str] | None = None


NEGATIVE = ("closed", "a count below -1 is a breach; Apache Kafka takes it for null")


def foreign_protocols() -> list[Frame]:
    """People who took the wrong port."""
    hello = bytes.fromhex("160301007a010000760303") + b"\x5a" * 32 + b"\0" * 79
    return [
        Frame("HTTP", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        Frame("TLS client hello", hello),
        Frame("SSH banner", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        Frame("Redis", b"*1\r\n$4\r\nPING\r\n"),
        Frame("Redis inline", b"PING\r\n\r\n"),
        Frame("noise", bytes(range(255, 191, -1))),
    ]


def lengths() -> list[Frame]:
    """The four bytes in front, and the header behind them."""
    metadata = struct.pack(">hhi", 3, 4, 1)
    limit = struct.pack(">i", REQUEST_LIMIT_BYTES + 1)
    return [
        Frame("frame length -1", struct.pack(">i", -1)),
        Frame("frame length -2147483648", struct.pack(">i", -0x80000000)),
        Frame("frame length 2147483647", struct.pack(">i", 0x7FFFFFFF)),
        Frame("frame length one above the limit", limit),
        Frame("frame length 0", struct.pack(">i", 0)),
        Frame("frame of one byte", framed(b"\0")),
        Frame("frame that ends before the correlation id", framed(metadata[:6])),
        Frame("frame that ends before the client id", framed(metadata)),
        Frame("client id of 100 bytes in a frame of 12", framed(metadata + b"\0\x64ab")),
        Frame("client id of length -2", framed(metadata + struct.pack(">h", -2))),
        Frame(
            "client id of bytes that are no UTF-8", framed(metadata + b"\0\2\xff\xfe" + b"\xff" * 5)
        ),
    ]


def versions() -> list[Frame]:
    """APIs and versions that nobody serves."""
    return [
        Frame("api key 999", framed(header(999, 0))),
        Frame("api key -1", framed(header(-1, 0))),
        Frame("api key 4, LeaderAndIsr", framed(header(4, 0))),
        Frame("ApiVersions version 99", framed(header(API_VERSIONS, 99) + b"\0\2a\2b\0")),
        Frame("ApiVersions version 99 without tagged fields", framed(header(API_VERSIONS, 99))),
        Frame("ApiVersions version -1", framed(header(API_VERSIONS, -1))),
        Frame("Metadata version 99", framed(header(3, 99))),
        Frame("Metadata version -1", framed(header(3, -1))),
        Frame("Produce version 2", produce_frame("frames", Step(batch(), version=2))),
        Frame("Produce version 99", framed(header(0, 99))),
        Frame("Fetch version 3", framed(header(FETCH, 3) + struct.pack(">iiiii", -1, 0, 0, 0, 0))),
    ]


def api_versions() -> list[Frame]:
    """ApiVersions version 3, flexible: compact strings and tagged fields, right and wrong."""
    head = header(API_VERSIONS, 3) + b"\0"
    name = b"\2a\2b"
    return [
        Frame("ApiVersions 0", framed(header(API_VERSIONS, 0))),
        Frame("ApiVersions 0 with trailing bytes", framed(header(API_VERSIONS, 0) + b"xyz")),
        Frame("ApiVersions 3", framed(head + name + b"\0")),
        Frame("ApiVersions 3 with trailing bytes", framed(head + name + b"\0xyz")),
        Frame("ApiVersions 3 with an empty software name", framed(head + b"\1\2b\0")),
        Frame("ApiVersions 3 with a software name of !", framed(head + b"\2!\2b\0")),
        Frame("ApiVersions 3 with a null software name", framed(head + b"\0\2b\0")),
        Frame("ApiVersions 3 with an unknown tagged field", framed(head + name + b"\1\x63\3abc")),
        Frame("one tag twice", framed(head + name + b"\2\x63\0\x63\0")),
        Frame("tags in falling order", framed(head + name + b"\2\x63\0\x62\0")),
        Frame("a tagged field longer than the frame", framed(head + name + b"\1\x63\x7fabc")),
        Frame("20 million tagged fields promised", framed(head + name + b"\x80\xda\xc4\x09")),
        Frame("20 million tagged fields in the header", framed(head[:-1] + b"\x80\xda\xc4\x09")),
        Frame("a varint of six bytes", framed(head + name + b"\xff\xff\xff\xff\xff\1")),
        Frame("a compact string longer than the frame", framed(head + b"\x7fa\2b\0")),
        Frame("a compact string of 2 GB", framed(head + b"\xff\xff\xff\xff\7a")),
        Frame("no body", framed(head)),
    ]


def counts() -> list[Frame]:
    """Array counts and byte lengths beyond the frame."""
    metadata = header(3, 4)
    produce = produce_frame("frames", Step(batch()))
    start = header(0, 8) + string(None) + struct.pack(">hi", -1, 10_000)
    topic = string("frames")
    huge = struct.pack(">i", 0x7FFFFFFF)
    return [
        Frame("Metadata for 2147483647 topics", framed(metadata + huge)),
        Frame("Metadata for -2 topics", framed(metadata + struct.pack(">i", -2) + b"\0"), NEGATIVE),
        Frame("Metadata for 3 topics, one there", framed(metadata + b"\0\0\0\3" + topic + b"\0")),
        Frame("Metadata without its last byte", framed(metadata + b"\0\0\0\1" + topic)),
        Frame("Metadata with a null topic", framed(metadata + b"\0\0\0\1" + string(None) + b"\0")),
        Frame("Metadata with trailing bytes", framed(metadata + b"\0\0\0\0\0" + b"xyz")),
        Frame("Produce for 2147483647 topics", framed(start + huge)),
        Frame("Produce for -1 topics", framed(start + struct.pack(">i", -1))),
        Frame("Produce for no topics", framed(start + struct.pack(">i", 0))),
        Frame("Produce for 2147483647 partitions", framed(start + b"\0\0\0\1" + topic + huge)),
        Frame("Produce without its last byte", framed(produce[4:-1])),
        Frame("Produce with one trailing byte", framed(produce[4:] + b"x")),
        Frame(
            "Produce with records of 2147483647 bytes",
            framed(start + b"\0\0\0\1" + topic + b"\0\0\0\1" + b"\0\0\0\0" + huge + b"abc"),
        ),
        Frame(
            "Produce with records of -2 bytes",
            framed(start + b"\0\0\0\1" + topic + b"\0\0\0\1" + b"\0\0\0\0" + b"\xff\xff\xff\xfe"),
            NEGATIVE,
        ),
        Frame("Fetch for 2147483647 topics", framed(_fetch_start() + huge)),
        Frame("acks 0 with a good batch", produce_frame("frames", Step(batch(), acks=0))),
        Frame(
            "acks 0 with a wrong CRC", produce_frame("frames", Step(batch(crc_change=1), acks=0))
        ),
        Frame("acks 0 to a topic that is not there", produce_frame("no", Step(batch(), acks=0))),
    ]


def _fetch_start() -> bytes:
    """Fetch version 4 up to its array of topics."""
    return header(FETCH, 4) + struct.pack(">iiiib", -1, 0, 1, 1000, 0)


def hostile_frames() -> list[Frame]:
    """Every frame, in the order of the file."""
    return [*foreign_protocols(), *lengths(), *versions(), *api_versions(), *counts()]
