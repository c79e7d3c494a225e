"""Which coordinator a group belongs to."""

from __future__ import annotations

import pytest

from logserver.broker.groups.coordinators import java_hash, partition_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("a", 97), ("group", 98629247), ("Aa", 2112), ("BB", 2112), ("\U0001f600", 1772899)],
)
def test_the_hash_is_that_of_java(text: str, expected: int) -> None:
    """Values of Java's own `String.hashCode`, one beyond the basic plane."""
    assert java_hash(text) == expected


def test_a_group_belongs_to_the_partition_that_tools_compute() -> None:
    """A hash whose sign bit is set loses the bit, as Kafka's Utils.abs has it."""
    assert java_hash("polygenelubricants") == 0x80000000
    assert partition_of("polygenelubricants", 50) == 0
    assert partition_of("group", 50) == 47
