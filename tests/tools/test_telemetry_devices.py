"""Devices number their records, and a ledger notices what happens to any of them."""

import json

import pytest

from tools.telemetry.devices import Fleet, Ledger, Record
from tools.telemetry.host import Host


def records(count: int, devices: int = 3) -> list[Record]:
    """Some records of some devices."""
    fleet = Fleet(devices)
    fleet.observe(Host().sample())
    return [fleet.record(1_700_000_000_000 + number) for number in range(count)]


def ledger(seen: list[Record]) -> Ledger:
    """The ledger of whoever saw these."""
    out = Ledger()
    for record in seen:
        out.note(record.key, record.value)
    return out


def test_values_are_json_numbered_per_device_without_gaps() -> None:
    """Seven records of three devices."""
    seen = [json.loads(record.value) for record in records(7)]
    assert [row["seq"] for row in seen] == [0, 0, 0, 1, 1, 1, 2]
    assert [row["device"] for row in seen[:4]] == ["cpu-0000", "memory-0001", "disk-0002",
                                                   "cpu-0000"]  # fmt: skip
    assert seen[0]["at_ms"] == 1_700_000_000_000
    assert "busy_percent" in seen[0]["cpu"]


def test_equal_records_in_another_order_between_devices_are_the_same_ledger() -> None:
    """A log with several partitions promises order per device only."""
    seen = records(9)
    by_device = sorted(seen, key=lambda record: record.key)
    assert ledger(seen).differences(ledger(by_device)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda seen: seen[:-1], "came back"),
        (lambda seen: [*seen, seen[-1]], "came back"),
        (lambda seen: [seen[3], *seen[1:3], seen[0], *seen[4:]], "order or content"),
        (lambda seen: [seen[0]._replace(value=b"{}"), *seen[1:]], "order or content"),
    ],
    ids=["lost", "repeated", "reordered", "damaged"],
)
def test_what_happens_to_a_record_is_noticed(change, word) -> None:  # type: ignore[no-untyped-def]
    """Lost, repeated, reordered within a device, damaged."""
    seen = records(9)
    (difference,) = ledger(seen).differences(ledger(change(seen)))
    assert word in difference
