"""The newest offset of each key, in a fixed amount of memory: what compaction decides by.

A Python dictionary of keys and numbers takes some 170 bytes an entry. This is one array of slots,
open addressing with linear probing, of 24 bytes each (Kafka's SkimpyOffsetMap has the same):

    keys      16 bytes a slot: XXH3-128 of the key, zeros where the slot is free
    offsets    8 bytes a slot: the newest offset of that key

At most `LOAD_MAX` of the slots are used; a full map is no error: compaction then goes as far as the
map reaches and the rest waits for the next round.

Two keys of one hash would be one key, and the older record of the two would be lost. With 128 bits
that does not happen by itself; against keys made for it the hash is seeded, from outside, anew for
each run.
"""

from __future__ import annotations

from typing import Final

from .digest import xxh3_128

HASH_BYTES: Final = 16
ENTRY_BYTES: Final = HASH_BYTES + 8
FREE: Final = bytes(HASH_BYTES)
LOAD_MAX: Final = 0.75  # 2.5 slots are looked at for a key that is there; at Kafka's 0.9 it is 5.5
SLOTS_COUNT_MIN: Final = 64
NEW: Final = -1
FULL: Final = -2


class OffsetMap:
    """Keys of any length to offsets; `count` of at most `count_max` of them."""

    __slots__ = ("_end", "_keys", "_offsets", "_seed", "_slots_count", "count", "count_max")

    def __init__(
        self, memory_bytes: int, *, load_factor: float = LOAD_MAX, keys_max: int, seed: int
    ) -> None:
        """Take `memory_bytes`, or less where no more than `keys_max` keys can come."""
        load = min(load_factor, LOAD_MAX)
        wanted = max(SLOTS_COUNT_MIN, int(keys_max / load) + 1)
        self._slots_count = max(SLOTS_COUNT_MIN, min(memory_bytes // ENTRY_BYTES, wanted))
        self._keys = bytearray(self._slots_count * HASH_BYTES)
        self._offsets = memoryview(bytearray(self._slots_count * 8)).cast("q")
        self._end = len(self._keys)
        self._seed = seed
        self.count = 0
        self.count_max = int(self._slots_count * load)

    def put(self, key: bytes, offset: int) -> int:
        """Remember the newest offset of a key and return the one before it.

        `NEW` for a key that was not there, `FULL` if there is no room for it.
        """
        hashed = xxh3_128(key, self._seed)
        keys = self._keys
        position = hash(hashed) % self._slots_count * HASH_BYTES
        found = keys[position : position + HASH_BYTES]
        while found != hashed:
            if found == FREE:
                if self.count >= self.count_max:
                    return FULL
                keys[position : position + HASH_BYTES] = hashed
                self.count += 1
                self._offsets[position // HASH_BYTES] = offset
                return NEW
            position += HASH_BYTES
            if position == self._end:
                position = 0
            found = keys[position : position + HASH_BYTES]
        position //= HASH_BYTES
        before = self._offsets[position]
        self._offsets[position] = offset
        return before

    def get(self, key: bytes) -> int:
        """Return the newest offset of a key, -1 if the map does not know it."""
        hashed = xxh3_128(key, self._seed)
        keys = self._keys
        position = hash(hashed) % self._slots_count * HASH_BYTES
        found = keys[position : position + HASH_BYTES]
        while found != hashed:
            if found == FREE:
                return -1
            position += HASH_BYTES
            if position == self._end:
                position = 0
            found = keys[position : position + HASH_BYTES]
        return self._offsets[position // HASH_BYTES]
