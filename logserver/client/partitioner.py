"""Which partition a record goes to: by its key as Java's producer decides, else one at a time.

A key always lands where Java's, librdkafka's `murmur2` and franz-go's default partitioner put it:
murmur2 of its bytes, the sign bit cleared, modulo the number of partitions. Adding partitions moves
keys.

Records without a key stay with one partition until about a batch of bytes has gone there, then
move to a random other (KIP-480, KIP-794): full batches instead of one record to each partition.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2 of 32 bits as in Kafka's Utils.murmur2, unsigned."""
    length = len(data)
    words = length // 4
    state = _SEED ^ length
    for word in unpack_from(f"<{words}I", data):
        mixed = word * _M & _MASK
        mixed ^= mixed >> 24
        state = (state * _M & _MASK) ^ (mixed * _M & _MASK)
    if length % 4:
        state ^= int.from_bytes(data[words * 4 :], "little")
        state = state * _M & _MASK
    state ^= state >> 13
    state = state * _M & _MASK
    return state ^ state >> 15


@lru_cache(maxsize=1 << 15)  # devices repeat: 3 us become 0.1
def _positive_hash(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def partition_for_key(key: bytes, partition_count: int) -> int:
    """The partition of a key, the same in every client that follows Java's."""
    return _positive_hash(key) % partition_count


class StickyChoice:
    """The current partition for records without a key."""

    __slots__ = ("_left_bytes", "_random", "_stay_bytes", "current", "partition_count")

    def __init__(self, partition_count: int, stay_bytes: int, seed: int | None = None) -> None:
        self.partition_count = partition_count
        self._stay_bytes = stay_bytes
        self._left_bytes = stay_bytes
        # Imported here: it brings OpenSSL's hashes along, 10 ms that most commands can do without.
        from random import Random

        self._random = Random(seed)
        self.current = self._random.randrange(partition_count)

    def choose(self, size_bytes: int) -> int:
        """The partition for the next record or records of `size_bytes`."""
        if self._left_bytes <= 0:
            self.move()
        self._left_bytes -= size_bytes
        return self.current

    def move(self) -> None:
        """Go to another partition, each equally likely."""
        self._left_bytes = self._stay_bytes
        if self.partition_count > 1:
            step = self._random.randrange(1, self.partition_count)
            self.current = (self.current + step) % self.partition_count
