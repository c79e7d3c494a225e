"""kill -9 under group load, again and again on one data directory, also at delicate moments.

    load       in the middle of commits
    join       between JoinGroup and SyncGroup of a new generation, or, in groups of KIP-848, before
               the heartbeat of a new subscription is answered
    sync       after SyncGroup was sent, before it was answered
    loading    during the next start, twice, about when coordinators are loaded
    stop       during a clean stop

Groups, half of them classic, read a topic that grows meanwhile, and commit with five commits under
way each; see `group_reader` for what is checked after each restart. Segments of
`__consumer_offsets` are small, so that they roll and are compacted between the kills.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from logwire.batch import encode_batch
from tests.crash.group_reader import ConsumerReader, GroupReader
from tests.crash.raw_client import RawClient
from tests.server_process import ServerProcess

pytestmark = pytest.mark.crash

TOPIC = "work"
PARTITIONS_COUNT = 4
GROUPS_COUNT = 8
STEPS_MIN = 200
AIMS = ("load", "join", "sync", "loading", "stop")
CHAIN_KILLS_COUNT = 25  # on one data directory
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "5",
    "offsets.topic.segment.bytes": "1048576",
    "log.cleaner.backoff.ms": "200",
    "group.consumer.max.session.timeout.ms": "120000",
    "group.consumer.session.timeout.ms": "120000",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """How many kills: LOGSERVER_KILLS, or 200 in full, or 5 (one of each aim), in chains."""
    if "kills_count" in metafunc.fixturenames:
        default = "200" if metafunc.config.getoption("--full") else "5"
        wanted = int(os.environ.get("LOGSERVER_KILLS", default))
        whole, rest = divmod(wanted, CHAIN_KILLS_COUNT)
        chains = [CHAIN_KILLS_COUNT] * whole + [rest] * bool(rest)
        names = [f"chain {number}" for number in range(len(chains))]
        metafunc.parametrize("kills_count", chains, ids=names)


class GroupLoad:
    """The groups, what they read, and the murder."""

    def __init__(self, server: ServerProcess, random: Random) -> None:
        self.server = server
        self.random = random
        client = RawClient(server.kafka_address)
        client.create_topic(TOPIC, PARTITIONS_COUNT)
        client.close()
        self.readers = [
            kind(f"{kind.__name__}-{number}", TOPIC, PARTITIONS_COUNT, random)
            for number in range(GROUPS_COUNT // 2)
            for kind in (GroupReader, ConsumerReader)
        ]

    def produce(self) -> None:
        """Some more records in every partition."""
        client = RawClient(self.server.kafka_address)
        now_ms = time.time_ns() // 1_000_000
        for index in range(PARTITIONS_COUNT):
            batch = encode_batch([(None, b"record", (), now_ms)] * 400)
            client.send_batch(TOPIC, index, batch)
            code, _ = client.receive_offset()
            assert code == 0
        client.close()

    def run(self, aim: str) -> None:
        """Read and commit for a while, then kill."""
        self.produce()
        for _ in range(STEPS_MIN + self.random.randrange(STEPS_MIN)):
            self.random.choice(self.readers).step()
        if aim in ("join", "sync"):
            for reader in self.random.sample(self.readers, 3):
                while reader.in_flight:
                    reader.receive_commit()
                reader.join(until=aim)
        if aim == "stop":
            self.interrupt_stop()
        else:
            self.server.kill()
        for reader in self.readers:
            reader.end()

    def begin(self) -> None:
        """All groups go on after a start."""
        for reader in self.readers:
            reader.begin(self.server.kafka_address)

    def interrupt_stop(self) -> None:
        """SIGTERM, and SIGKILL before it is done (or not)."""
        assert self.server.process is not None
        os.kill(self.server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.server.process.wait(self.random.random() * 0.1)
        self.server.kill()

    def interrupt_start(self) -> None:
        """Start, and SIGKILL about when coordinators are loaded."""
        process = subprocess.Popen(
            self.server.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2 + self.random.random() * 0.3)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_no_kill_takes_a_commit_back_or_skips_a_record(
    start_server: Callable[..., ServerProcess], kills_count: int
) -> None:
    """One data directory, killed again and again."""
    seed = int(os.environ.get("LOGSERVER_SEED", Random().randrange(1 << 32)))
    print(f"seed {seed}")
    server = start_server(SETTINGS)
    load = GroupLoad(server, Random(seed))
    load.begin()
    for number in range(kills_count):
        aim = AIMS[number % len(AIMS)]
        load.run(aim)
        if aim == "loading":
            load.interrupt_start()
            load.interrupt_start()
        server.start()
        load.begin()
    for reader in load.readers:
        reader.end()
    assert server.stop() == 0
    commits_count = sum(reader.commits_count for reader in load.readers)
    assert commits_count > kills_count * STEPS_MIN // 2
    print(f"{kills_count} kills, {commits_count} commits answered before them")
