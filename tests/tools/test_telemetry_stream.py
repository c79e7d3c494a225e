"""The schedule of a stream, with a producer that acknowledges at once."""

from typing import Any, cast

from logserver.client import Producer
from tools.telemetry.devices import Fleet, Record
from tools.telemetry.host import Host
from tools.telemetry.stream import Stream, nearest_rank


class Acknowledged:
    """A delivery without an error."""

    error: Exception | None = None


class Instant:
    """A producer whose every record is delivered, or fails, the moment it is sent."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[bytes] = []
        self.delivery = Acknowledged()
        self.delivery.error = error

    def send(self, topic: str, value: bytes, **options: Any) -> None:
        """Take and acknowledge."""
        assert topic == "t"
        self.sent.append(value)
        options["on_delivery"](self.delivery)


def run(producer: Instant, stall_s: float = 0) -> Stream:
    """Two seconds at 100 a second on a clock that each tick moves; once it jumps by `stall_s`."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        jump = stall_s if now[0] < 1 <= now[0] + seconds else 0
        now[0] += seconds + jump

    noted: list[Record] = []
    made = Stream(
        cast(Producer, producer), "t", Fleet(5), Host(), 100, noted.append,
        clock=lambda: round(now[0] * 1e9), sleep=sleep,
    )  # fmt: skip
    assert len(list(made.run(2.0))) >= 2
    assert [record.value for record in noted] == producer.sent
    return made


def test_every_record_of_the_schedule_is_sent_once() -> None:
    """Two seconds at 100 a second are 200, each a little late at most."""
    made = run(Instant())
    assert made.sent_count == len(made.latencies_ns) == 200
    assert made.percentile_ms(100) <= 2.1


def test_a_stall_is_charged_to_every_record_that_was_due() -> None:
    """Half a second without a record makes half of a second's records late, the first by 0.5 s."""
    made = run(Instant(), stall_s=0.5)
    late = [one for one in made.latencies_ns if one > 10e6]
    assert made.sent_count == 200
    assert 48 <= len(late) <= 50
    assert max(late) > 0.48e9


def test_a_record_that_failed_has_no_latency() -> None:
    """It is kept as a failure."""
    made = run(Instant(ValueError("refused")))
    assert len(made.failed) == 200
    assert made.percentile_ms(99) == 0


def test_nearest_rank_of_nothing_is_nothing() -> None:
    """A stream that delivered nothing yet has no latency."""
    assert nearest_rank([], 99) == 0
    assert nearest_rank([1, 2, 3, 4], 50) == 2
