"""Series come with a push and go when nobody pushes; nothing runs in between."""

from logserver.broker.image import Image
from logserver.broker.telemetry.instances import Instance
from logserver.broker.telemetry.otlp import Point
from logserver.broker.telemetry.series import Source
from logserver.broker.telemetry.subscriptions import Wanted
from logserver.broker.telemetry.telemetry import Telemetry
from logserver.broker.timers import NEVER_MS, Timers

SOURCE = Source("c", "g", "java", "1")
POINTS = [Point("a", 1.0, is_monotonic=False, is_delta=False)]


def test_series_expire_by_one_timer() -> None:
    """Set by the first push, gone with the last series."""
    timers = Timers()
    telemetry = Telemetry(Image(), timers)
    assert timers.next_due_ms == NEVER_MS
    instance = Instance(bytes(16), Wanted(("a",), 1000), 1, 5000)
    for _ in range(3):
        telemetry.export(SOURCE, instance, POINTS, 10, 5000)
    assert len(telemetry.series) == 1
    ends_ms = instance.expires_ms()
    while timers.next_due_ms <= ends_ms:
        assert len(telemetry.series) == 1
        timers.expire(timers.next_due_ms)
    assert len(telemetry.series) == 0
    assert timers.next_due_ms == NEVER_MS
