"""OTLP: what is read, and that nothing else can happen."""

from random import Random

import pytest

from logserver.broker.telemetry.otlp import FIELDS_COUNT_MAX, Metrics, Point, decode_metrics
from logwire.errors import ProtocolError
from tests.broker.telemetry import otlp_writer as otlp

# Recorded from Apache Kafka's Java consumer 4.3.1 is what tests/compat pushes; here by hand.
PUSH = otlp.push(
    otlp.gauge("a.rate", otlp.point(1.5, node_id="1"), otlp.point(-2.0)),
    otlp.total("b.total", otlp.point(7)),
    otlp.total("c", otlp.point(8), temporality=otlp.CUMULATIVE, monotonic=False),
    group_id="g",
    client_rack="r",
)


def test_gauges_and_sums_are_read_with_their_resource() -> None:
    """Doubles and integers, delta and cumulative; units and attributes of points are skipped."""
    (metrics,) = decode_metrics(PUSH)
    assert metrics.attributes == {"group_id": "g", "client_rack": "r"}
    assert metrics.points == [
        Point("a.rate", 1.5, is_monotonic=False, is_delta=False),
        Point("a.rate", -2.0, is_monotonic=False, is_delta=False),
        Point("b.total", 7.0, is_monotonic=True, is_delta=True),
        Point("c", 8.0, is_monotonic=False, is_delta=False),
    ]


def test_fields_may_come_in_any_order_and_more_than_once() -> None:
    """The name of a metric may stand behind its values; two resources are two."""
    body = otlp.field(5, otlp.field(1, otlp.point(1.0))) + otlp.field(1, b"late")
    scope = otlp.field(2, body)
    twice = otlp.field(1, otlp.field(2, scope)) * 2
    assert [[point.name for point in one.points] for one in decode_metrics(twice)] == [["late"]] * 2
    assert decode_metrics(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05a",
        b"\xff" * 11,
        b"\x0b",
        b"\x0f\x00",
        b"\x09\x00",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        PUSH[:-1],
    ],
)
def test_what_is_no_otlp_is_refused(data: bytes) -> None:
    """Cut short, unknown wire types, lengths beyond the end, varints without an end."""
    with pytest.raises(ProtocolError):
        decode_metrics(data)


def test_a_bomb_of_tiny_fields_is_refused_after_so_many() -> None:
    """All levels together have one budget."""
    fields = otlp.flag(9, 0) * (FIELDS_COUNT_MAX + 1)
    with pytest.raises(ProtocolError, match="more than 20000 fields"):
        decode_metrics(fields)
    deep = otlp.field(1, otlp.field(2, otlp.field(2, otlp.flag(9, 0) * FIELDS_COUNT_MAX)))
    with pytest.raises(ProtocolError, match="more than 20000 fields"):
        decode_metrics(deep)


def test_long_texts_are_cut_and_bad_ones_replaced() -> None:
    """A name may be a megabyte of anything."""
    (metrics,) = decode_metrics(
        otlp.push(otlp.gauge("x" * 10_000, otlp.point(1)), group_id="y" * 999)
    )
    assert len(metrics.points[0].name) == len(metrics.attributes["group_id"]) == 256
    name = otlp.field(1, b"\xff\xfe") + otlp.field(5, otlp.field(1, otlp.point(1)))
    (metrics,) = decode_metrics(otlp.field(1, otlp.field(2, otlp.field(2, name))))
    assert metrics.points[0].name == "\ufffd\ufffd"


def test_whatever_bytes_come_the_answer_is_points_or_a_refusal() -> None:
    """A thousand damaged pushes; the seed is printed."""
    seed = 714
    print(f"seed {seed}")
    random = Random(seed)
    for _ in range(1000):
        data = bytearray(PUSH)
        for _ in range(random.randrange(1, 5)):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            found = decode_metrics(bytes(data[: random.randrange(len(data) + 1)]))
        except ProtocolError:
            continue
        assert all(isinstance(metrics, Metrics) for metrics in found)
