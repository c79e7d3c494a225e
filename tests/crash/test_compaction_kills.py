"""kill -9 of a server whose logs are being compacted, and of the process that compacts them.

    cleaned    as soon as an output is being written
    swap       as soon as an output is decided or half of its names are changed
    deleted    as soon as old segments have gone
    cleaner    the compacting process alone: the server goes on
    load       in the middle of whatever happens

Numbers rise and are written to few keys, tombstones among them. After each restart a reader from
the log start must learn of every key a number that is not older than the last acknowledged one and
that was sent with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from logserver.storage.files import RealFiles
from logserver.storage.verify import verify_directory
from logwire.batch import Record, decode_batch, encode_batch, iterate_batches
from tests.crash.raw_client import RawClient
from tests.seeds import draw
from tests.server_process import ServerProcess

pytestmark = pytest.mark.crash

TOPIC = "compacted"
KEYS_COUNT = 200
IN_FLIGHT_MAX = 5
SEGMENT_BYTES = 60_000
AIMS = ("cleaned", "swap", "deleted", "cleaner", "load")
KILLS_COUNT = 50
AIM_S = 4.0  # the cleaner looks once a second
CONFIGS = {
    "cleanup_policy": "compact",
    "internal_segment_bytes": str(SEGMENT_BYTES),
    "min_cleanable_dirty_ratio": "0.1",
    "delete_retention_ms": "1000",
    "file_delete_delay_ms": "500",
}
SETTINGS = {"log.cleaner.backoff.ms": "0", "log.index.interval.bytes": "1000"}


class KeyedLoad:
    """The producer, what it knows, and the murder."""

    def __init__(self, server: ServerProcess, random: Random) -> None:
        self.server = server
        self.random = random
        self.numbers = count(1)
        self.directory = Path(server.data_dir) / f"{TOPIC}-0"
        self.sent: dict[bytes, dict[int, bytes | None]] = {}  # key -> number -> value
        self.acknowledged: dict[bytes, int] = {}
        self.hits_count = 0
        client = RawClient(server.kafka_address)
        client.create_topic(TOPIC, 1, **CONFIGS)
        client.close()

    def run(self, aim: str) -> None:
        """Produce until the aim is in sight, then kill."""
        client = RawClient(self.server.kafka_address)
        order: list[list[tuple[bytes, int]]] = []
        give_up_s = time.monotonic() + AIM_S
        batches_count = 0
        try:
            while True:
                while len(order) < IN_FLIGHT_MAX:
                    order.append(self.send(client))
                self.acknowledge(client, order.pop(0))
                batches_count += 1
                if batches_count >= 200 and (self.sees(aim) or time.monotonic() > give_up_s):
                    break
            if aim == "cleaner":
                self.kill_cleaner()
            else:
                self.server.kill()
        finally:
            with suppress(EOFError, ConnectionError):
                while order:
                    self.acknowledge(client, order.pop(0))
            client.close()

    def send(self, client: RawClient) -> list[tuple[bytes, int]]:
        """One batch; what of it must be there when it is acknowledged."""
        records = []
        written = []
        now_ms = time.time_ns() // 1_000_000
        for _ in range(self.random.randint(1, 8)):
            number = next(self.numbers)
            key = b"key %d" % self.random.randrange(KEYS_COUNT)
            value = b"%d" % number + bytes(self.random.randrange(300))
            stored = None if self.random.random() < 0.1 else value
            self.sent.setdefault(key, {})[number] = stored
            headers = (("number", b"%d" % number),)
            records.append((key, stored, headers, now_ms))
            written.append((key, number))
        batch = encode_batch(records, codec=self.random.choice((0, 0, 1, 3, 4)))
        client.send_batch(TOPIC, 0, batch)
        return written

    def acknowledge(self, client: RawClient, written: list[tuple[bytes, int]]) -> None:
        """The oldest batch without an answer is durable."""
        code, _ = client.receive_offset()
        assert code == 0, code
        for key, number in written:
            self.acknowledged[key] = number

    def sees(self, aim: str) -> bool:
        """Whether what the kill is aimed at is happening now."""
        if aim == "load":
            return True
        if aim == "cleaner":
            hit = bool(self.cleaners())
        else:
            hit = any(name.endswith(f".{aim}") for name in os.listdir(self.directory))
        self.hits_count += hit
        return hit

    def cleaners(self) -> list[int]:
        """The compacting processes of the server."""
        path = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def kill_cleaner(self) -> None:
        """The process alone."""
        for pid in self.cleaners():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def check(self) -> int:
        """Read everything and compare; how many records there are."""
        client = RawClient(self.server.kafka_address)
        found: dict[bytes, Record] = {}
        offset = records_count = 0
        last = -1
        while True:
            data, high_watermark = client.fetch(TOPIC, 0, offset)
            for position, header in iterate_batches(data):
                batch = data[position : position + header.batch_length + 12]
                for record in decode_batch(batch):
                    assert record.offset > last, "offsets rise"
                    last = record.offset
                    assert record.key is not None
                    found[record.key] = record
                    records_count += 1
                offset = header.base_offset + header.last_offset_delta + 1
            if offset >= high_watermark:
                break
        client.close()
        for key, sent in self.sent.items():
            oldest = self.acknowledged.get(key, 0)
            allowed = {number for number in sent if number >= oldest}
            newest = found.get(key)
            if newest is None:
                # No record at all: what was acknowledged last was a tombstone, and it has gone.
                assert not oldest or any(sent[number] is None for number in allowed), key
                continue
            number = int(newest.headers[0][1] or b"")
            assert number in allowed, f"{key!r} reads as {number}, acknowledged was {oldest}"
            assert newest.value == sent[number]
            self.acknowledged[key] = number
        return records_count


def test_no_kill_during_compaction_loses_the_last_value_of_a_key(
    start_server: Callable[..., ServerProcess], kills_count: int
) -> None:
    """One data directory, killed again and again."""
    (seed,) = draw()
    server = start_server(SETTINGS)
    load = KeyedLoad(server, Random(seed))
    records_count = 0
    for number in range(kills_count):
        aim = AIMS[number % len(AIMS)]
        load.run(aim)
        if aim != "cleaner":
            server.start()
        records_count = load.check()
    written_count = next(load.numbers)
    assert records_count < written_count, "nothing was ever compacted"
    assert server.stop() == 0
    assert list(verify_directory(RealFiles(), str(server.data_dir))) == []
    print(f"{kills_count} kills, {load.hits_count} on the spot; {records_count} of {written_count}")
