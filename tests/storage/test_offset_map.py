"""The packed map of keys beside a dictionary."""

from __future__ import annotations

from random import Random

from logserver.storage.offset_map import ENTRY_BYTES, FULL, NEW, SLOTS_COUNT_MIN, OffsetMap


def test_the_map_answers_as_a_dictionary_does() -> None:
    """Keys of all lengths, the empty one too, put again and again, in a table nearly full."""
    random = Random(1)
    keys = [random.randbytes(random.randrange(40)) for _ in range(3000)]
    found = OffsetMap(1 << 20, keys_max=len(set(keys)), seed=1)
    known: dict[bytes, int] = {}
    for offset in range(20_000):
        key = random.choice(keys)
        assert found.put(key, offset) == known.get(key, NEW)
        known[key] = offset
    assert found.count == len(known) <= found.count_max
    assert all(found.get(key) == known.get(key, -1) for key in keys)
    assert found.get(b"never put there") == -1


def test_a_full_map_refuses_new_keys_and_takes_known_ones() -> None:
    """The caller learns that the round ends here."""
    found = OffsetMap(SLOTS_COUNT_MIN * ENTRY_BYTES, keys_max=10_000, seed=1)
    taken = 0
    while found.put(b"key %d" % taken, taken) != FULL:
        taken += 1
    assert taken == found.count_max == SLOTS_COUNT_MIN * 3 // 4
    assert found.put(b"key 3", 99) == 3
    assert found.get(b"key 3") == 99
    assert found.get(b"key %d" % taken) == -1


def test_memory_is_what_was_given_or_what_is_needed() -> None:
    """24 bytes a slot, and no more slots than keys can come."""
    assert OffsetMap(128 << 20, keys_max=1000, seed=1).count_max == 1000
    assert OffsetMap(24_000, keys_max=1 << 40, seed=1).count_max == 750
    assert OffsetMap(24_000, keys_max=1 << 40, load_factor=0.5, seed=1).count_max == 500


def test_another_seed_lays_the_keys_out_differently() -> None:
    """Keys that were made to meet under one seed do not under the next."""
    first, second = (OffsetMap(1 << 16, keys_max=100, seed=seed) for seed in (1, 2))
    for found in (first, second):
        found.put(b"key", 1)
    assert first._keys != second._keys
