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


@pytest.mark.parametrize(
    ("group_id", "expected"),
    [
        ("group", 47),
        ("g1", 42),
        ("connect-cluster", 13),
        ("my-group", 12),  # from here on the hash is negative
        ("orders", 31),
        ("polygenelubricants", 0),  # -2147483648
        ("g" * 63, 13),
        ("g" * 64, 36),
        ("g" * 65, 25),
        ("g" * 1000, 40),
    ],
)
def test_a_group_belongs_to_the_partition_that_kafka_computes(group_id: str, expected: int) -> None:
    """`Utils.abs(groupId.hashCode()) % 50` as Java computes it; twice, short ids are remembered."""
    assert partition_of(group_id, 50) == expected
    assert partition_of(group_id, 50) == expected
