"""kill -9 under load, again and again on one data directory, also aimed at the delicate moments.

    load       in the middle of whatever happens
    roll       as soon as a new segment appears
    mark       as soon as the durable mark changes
    recovery   during the next start, twice, before it is ready
    stop       during a clean stop

Each loop acknowledges at least 5,000 records with acks=all from idempotent producers that keep five
batches in flight per partition, kills, starts again, reads everything that is new, and sends again
what was not answered, with the same sequences.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from logserver.storage.files import RealFiles
from logserver.storage.verify import verify_directory
from tests.crash.interruptions import interrupt_start, interrupt_stop
from tests.crash.ledger import IN_FLIGHT_MAX, Ledger
from tests.crash.raw_client import RawClient
from tests.seeds import draw
from tests.server_process import ServerProcess

pytestmark = pytest.mark.crash

TOPIC = "kills"
PARTITIONS_COUNT = 2
RECORDS_MIN = 5000
SEGMENT_BYTES = 150_000  # a roll every thirty batches
AIMS = ("load", "roll", "mark", "recovery", "stop")
KILLS_COUNT = 200


class Load:
    """The producer, its ledgers, and the murder."""

    def __init__(self, server: ServerProcess, random: Random) -> None:
        self.server = server
        self.random = random
        self.numbers = count()
        self.data_dir = Path(server.data_dir)
        client = RawClient(server.kafka_address)
        client.create_topic(TOPIC, PARTITIONS_COUNT, internal_segment_bytes=str(SEGMENT_BYTES))
        self.ledgers = [
            Ledger(partition, client.new_producer()) for partition in range(PARTITIONS_COUNT)
        ]
        client.close()

    def run(self, aim: str) -> int:
        """Produce until enough is acknowledged and the aim is in sight, then kill."""
        client = RawClient(self.server.kafka_address)
        wanted = RECORDS_MIN + self.random.randrange(2000)
        acknowledged = 0
        order: list[Ledger] = []  # whose batch the next answer is about
        before = None
        try:
            while True:
                ledger = self.random.choice(self.ledgers)
                while len(ledger.unanswered) < IN_FLIGHT_MAX:
                    size = self.random.choice((1, 20, 100, 200))
                    batch = ledger.make(next(self.numbers), size, time.time_ns() // 1_000_000)
                    client.send_batch(TOPIC, ledger.partition, batch.data)
                    order.append(ledger)
                code, offset = client.receive_offset()
                assert code == 0, code
                acknowledged += order.pop(0).acknowledge(offset)
                if acknowledged >= wanted:
                    state = self.look(aim)
                    if (before is not None and state != before) or aim in ("load", "recovery"):
                        self.server.kill()
                        break
                    if aim == "stop":
                        interrupt_stop(self.server, self.random.random())
                        break
                    before = state
        finally:
            with suppress(EOFError, ConnectionError):
                while order:  # answers that were on their way when it died
                    code, offset = client.receive_offset()
                    if code == 0:
                        acknowledged += order.pop(0).acknowledge(offset)
            client.close()
        return acknowledged

    def look(self, aim: str) -> object:
        """What must change before the kill."""
        if aim == "roll":
            return [len(list(path.glob("*.log"))) for path in self.data_dir.glob(f"{TOPIC}-*")]
        if aim == "mark":
            return (self.data_dir / "durable-mark").read_bytes()
        return None

    def settle(self) -> None:
        """After the restart: read what is new, send again what was not answered, check."""
        client = RawClient(self.server.kafka_address)
        for ledger in self.ledgers:
            self.read(client, ledger)
            for batch in list(ledger.unanswered):
                client.send_batch(TOPIC, ledger.partition, batch.data)
            for _ in list(ledger.unanswered):
                code, offset = client.receive_offset()
                assert code == 0, f"code {code} for a batch that was sent again"
                ledger.acknowledge(offset)
            self.read(client, ledger)
            ledger.check()
        client.close()

    def read(self, client: RawClient, ledger: Ledger) -> None:
        """Everything from where the ledger stopped reading to the high watermark."""
        while True:
            data, high_watermark = client.fetch(TOPIC, ledger.partition, ledger.checked_offset)
            ledger.read(data)
            if ledger.checked_offset >= high_watermark:
                return


def test_no_kill_loses_or_doubles_an_acknowledged_record(
    start_server: Callable[..., ServerProcess], kills_count: int
) -> None:
    """One data directory, killed again and again."""
    (seed,) = draw()
    random = Random(seed)
    server = start_server({"log.index.interval.bytes": "1000"})
    load = Load(server, random)
    records_count = 0
    for number in range(kills_count):
        aim = AIMS[number % len(AIMS)]
        acknowledged = load.run(aim)
        assert acknowledged >= RECORDS_MIN
        records_count += acknowledged
        if aim == "recovery":
            for _ in range(2):  # before it is ready
                interrupt_start(server, 0.1 + random.random() * 0.25)
        if number % 10 == 4:
            findings = [
                f for f in verify_directory(RealFiles(), str(server.data_dir)) if f.kind != "mark"
            ]  # fmt: skip - a slot that was being written
            assert findings == []
        server.start()
        load.settle()
    for ledger in load.ledgers:
        ledger.found.clear()
        ledger.checked_offset = 0
    load.settle()
    assert server.stop() == 0
    assert list(verify_directory(RealFiles(), str(server.data_dir))) == []
    print(f"{kills_count} kills, {records_count} records acknowledged before them")


def test_verify_beside_a_server_under_load_finds_nothing(
    start_server: Callable[..., ServerProcess],
) -> None:
    """It keeps below the durable mark, while segments roll, are sealed and marks are written."""
    server = start_server({"log.index.interval.bytes": "1000"})
    load = Load(server, Random(1))
    ledger = load.ledgers[0]
    client = RawClient(server.kafka_address)
    for _ in range(40):
        for _ in range(10):
            for _ in range(IN_FLIGHT_MAX):
                batch = ledger.make(next(load.numbers), 100, time.time_ns() // 1_000_000)
                client.send_batch(TOPIC, ledger.partition, batch.data)
            for _ in range(IN_FLIGHT_MAX):
                code, offset = client.receive_offset()
                assert code == 0
                ledger.acknowledge(offset)
        assert list(verify_directory(RealFiles(), str(server.data_dir))) == []
    client.close()
