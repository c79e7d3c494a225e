"""Many simulated devices that measure one host, and the ledger that proves nothing was lost.

Device number i watches kind i % 5 of the host's samples through a sensor of its own: a fixed gain
and a little noise, both reproducible by seed. Its records are numbered without gaps:

    key    cpu-0017
    value  {"device":"cpu-0017","seq":42,"at_ms":1700000000123,"reading":12.7,"cpu":{...}}

A ledger is what both ends keep: per device the number of records, the last sequence number, and a
checksum chained over all values in order. Two equal ledgers have seen the same records in the same
order per device, which is the order a keyed log promises; nothing has to be kept for it.
"""

import json
import random
import zlib
from typing import NamedTuple

from tools.telemetry.host import KINDS, PRIMARY, Sample

NOISE_STEPS = 1024


class Record(NamedTuple):
    """One message of one device."""

    key: bytes
    value: bytes
    at_ms: int


class Fleet:
    """`count` devices; records come device by device, round and round."""

    def __init__(self, count: int, seed: int = 1) -> None:
        """`count` >= 1."""
        chance = random.Random(seed)
        self.names = [f"{KINDS[number % len(KINDS)]}-{number:04d}" for number in range(count)]
        self._keys = [name.encode() for name in self.names]
        self._gains = [chance.gauss(1.0, 0.02) for _ in range(count)]
        self._noise = [chance.gauss(1.0, 0.005) for _ in range(NOISE_STEPS)]
        self._sent = 0
        self._readings = [0.0] * len(KINDS)
        self._bodies = ["{}"] * len(KINDS)

    def observe(self, samples: dict[str, Sample]) -> None:
        """Show the devices a new state of the host."""
        for number, kind in enumerate(KINDS):
            self._readings[number] = samples[kind][PRIMARY[kind]]
            self._bodies[number] = json.dumps(samples[kind], separators=(",", ":"))

    def record(self, at_ms: int) -> Record:
        """The next record of the next device."""
        round_, device = divmod(self._sent, len(self.names))
        kind = device % len(KINDS)
        noise = self._noise[self._sent % NOISE_STEPS]
        reading = self._readings[kind] * self._gains[device] * noise
        self._sent += 1
        value = (
            f'{{"device":"{self.names[device]}","seq":{round_},"at_ms":{at_ms},'
            f'"reading":{reading:.3f},"{KINDS[kind]}":{self._bodies[kind]}}}'
        )
        return Record(self._keys[device], value.encode(), at_ms)


class Ledger:
    """Per device: count, and a checksum of all values in their order."""

    def __init__(self) -> None:
        self.record_count = 0
        self.value_bytes = 0
        self.chains: dict[bytes, tuple[int, int]] = {}

    def note(self, key: bytes, value: bytes) -> None:
        """Take one record down."""
        count, checksum = self.chains.get(key, (0, 0))
        self.chains[key] = (count + 1, zlib.crc32(value, checksum))
        self.record_count += 1
        self.value_bytes += len(value)

    def differences(self, other: "Ledger") -> list[str]:
        """What the other ledger has seen otherwise, in words; empty when nothing."""
        found = []
        for key in sorted(self.chains.keys() | other.chains.keys()):
            count, checksum = self.chains.get(key, (0, 0))
            other_count, other_checksum = other.chains.get(key, (0, 0))
            if count != other_count:
                found.append(f"{key.decode()}: {count} sent, {other_count} came back")
            elif checksum != other_checksum:
                found.append(f"{key.decode()}: order or content changed among {count} records")
        return found
