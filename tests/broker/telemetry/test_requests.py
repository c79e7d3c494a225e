"""GetTelemetrySubscriptions and PushTelemetry, as clients send them."""

import pytest

from logserver.broker.telemetry.series import SeriesKey
from logwire import errors
from logwire.compression import CODECS, compress
from logwire.messages import Message
from tests.broker.control_bench import ControlBench
from tests.broker.telemetry import otlp_writer as otlp

NO_INSTANCE = bytes(16)
INTERVAL_MS = 1000
PUSH = otlp.push(otlp.gauge("org.apache.kafka.consumer.a", otlp.point(4.0)), group_id="g")


def subscribe(bench: ControlBench, **configs: str) -> None:
    """Set the configs of a subscription; underscores for dots."""
    rows = [
        {
            "name": name.replace("_", ".", 1) if name == "interval_ms" else name,
            "config_operation": 0,
            "value": value,
        }
        for name, value in configs.items()
    ]
    resource = {"resource_type": 16, "resource_name": "m", "configs": rows}
    (row,) = bench.call(44, 1, {"resources": [resource]})["responses"]
    assert row["error_code"] == errors.NONE, row


def ask(bench: ControlBench, instance_id: bytes = NO_INSTANCE) -> Message:
    """The answer to GetTelemetrySubscriptions."""
    return bench.call(71, 0, {"client_instance_id": instance_id})


def push(bench: ControlBench, told: Message, data: bytes = PUSH, **changed: object) -> int:
    """The code of a push by an instance that was told this."""
    request = {
        "client_instance_id": told["client_instance_id"],
        "subscription_id": told["subscription_id"],
        "terminating": False,
        "compression_type": 0,
        "metrics": data,
    }
    code: int = bench.call(72, 0, request | changed)["error_code"]
    return code


@pytest.fixture
def bench() -> ControlBench:
    """A broker with a subscription to everything."""
    bench = ControlBench({"telemetry.max.bytes": "4000"})
    subscribe(bench, metrics="*", interval_ms=str(INTERVAL_MS))
    return bench


def exported(bench: ControlBench) -> dict[SeriesKey, float]:
    """The series of the broker."""
    return bench.broker.telemetry.series.values()


def test_without_a_subscription_nothing_is_asked_and_nothing_looked_at() -> None:
    """An empty list and five minutes: no client loops, and none that pushes is refused."""
    bench = ControlBench()
    told = ask(bench)
    assert (told["error_code"], told["requested_metrics"]) == (errors.NONE, [])
    assert told["push_interval_ms"] == 300_000
    assert told["client_instance_id"] != NO_INSTANCE
    assert push(bench, told, b"\xff" * 100) == errors.NONE
    assert exported(bench) == {}


def test_a_client_is_told_what_to_push_and_what_it_pushes_is_exported(bench: ControlBench) -> None:
    """By client id, group, and the software that it named in ApiVersions."""
    bench.call(18, 4, {"client_software_name": "java", "client_software_version": "4.3.1"})
    told = ask(bench)
    assert told["requested_metrics"] == ["*"]
    assert told["accepted_compression_types"] == [4, 3, 1, 2]
    assert (told["push_interval_ms"], told["telemetry_max_bytes"]) == (INTERVAL_MS, 4000)
    assert told["delta_temporality"]
    assert push(bench, told) == errors.NONE
    ((key, value),) = exported(bench).items()
    assert (key.name, key.client_id, key.group) == ("kafka_client_consumer_a", "bench", "g")
    assert (value, bench.broker.telemetry.pushes_count) == (4.0, 1)


@pytest.mark.parametrize("codec", CODECS)
def test_a_push_may_use_each_of_kafkas_codecs(bench: ControlBench, codec: int) -> None:
    """All that are offered, and none."""
    data = compress(codec, PUSH)
    assert push(bench, ask(bench), data, compression_type=codec) == errors.NONE
    assert len(exported(bench)) == 1


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_bomb_is_refused_before_it_is_unpacked(bench: ControlBench, codec: int) -> None:
    """Four times telemetry.max.bytes is the most; nothing is exported."""
    bomb = compress(codec, bytes(50_000))
    assert len(bomb) < 4000
    told = ask(bench)
    assert push(bench, told, bomb, compression_type=codec) == errors.TELEMETRY_TOO_LARGE
    assert exported(bench) == {}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"client_instance_id": NO_INSTANCE}, errors.INVALID_REQUEST),
        ({"client_instance_id": bytes(15) + b"\x01"}, errors.INVALID_REQUEST),
        ({"subscription_id": 0}, errors.UNKNOWN_SUBSCRIPTION_ID),
        ({"compression_type": 5}, errors.UNSUPPORTED_COMPRESSION_TYPE),
        ({"compression_type": -1}, errors.UNSUPPORTED_COMPRESSION_TYPE),
        ({"metrics": bytes(4001)}, errors.TELEMETRY_TOO_LARGE),
        ({"metrics": b"\xff"}, errors.INVALID_RECORD),
        ({"compression_type": 4}, errors.INVALID_RECORD),
    ],
)
def test_a_push_that_is_wrong_is_refused_with_kafkas_code(
    bench: ControlBench, changed: Message, code: int
) -> None:
    """And changes nothing but that the client has pushed."""
    assert push(bench, ask(bench), **changed) == code
    assert exported(bench) == {}


def test_a_push_too_early_is_throttled(bench: ControlBench) -> None:
    """Time is the broker's uptime, which never jumps."""
    told = ask(bench)
    assert push(bench, told) == errors.NONE
    assert push(bench, told) == errors.THROTTLING_QUOTA_EXCEEDED
    assert ask(bench, told["client_instance_id"])["error_code"] == errors.THROTTLING_QUOTA_EXCEEDED
    bench.broker.uptime_ms += INTERVAL_MS
    assert push(bench, told) == errors.NONE
    assert push(bench, told, terminating=True) == errors.NONE
    bench.broker.uptime_ms += INTERVAL_MS
    assert push(bench, told) == errors.INVALID_REQUEST


def test_a_subscription_that_changes_reaches_the_client(bench: ControlBench) -> None:
    """Its next push is refused, its next question answered; also after a restart."""
    told = ask(bench)
    subscribe(bench, metrics="org.apache.kafka.consumer.")
    assert push(bench, told) == errors.UNKNOWN_SUBSCRIPTION_ID
    again = ask(bench, told["client_instance_id"])
    assert again["requested_metrics"] == ["org.apache.kafka.consumer."]
    assert again["client_instance_id"] == told["client_instance_id"]
    assert push(bench, again) == errors.NONE
    bench.restart(clean=False)
    assert ask(bench, told["client_instance_id"])["subscription_id"] == again["subscription_id"]


def test_a_broker_that_exports_nothing_still_takes_pushes() -> None:
    """logserver.client.metrics.series.max = 0."""
    bench = ControlBench({"logserver.client.metrics.series.max": "0"})
    subscribe(bench, metrics="*")
    assert push(bench, ask(bench)) == errors.NONE
    assert exported(bench) == {}
    assert bench.broker.telemetry.series.dropped_count == 1
