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


def test_long_ids_are_hashed_like_short_ones() -> None:
    """Only short ones are remembered: clients choose them."""
    for length in (63, 64, 65, 1000):
        expected = (java_hash("g" * length) & 0x7FFFFFFF) % 50
        assert partition_of("g" * length, 50) == expected
        assert partition_of("g" * length, 50) == expected
