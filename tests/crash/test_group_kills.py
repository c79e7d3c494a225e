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

import time
from collections.abc import Callable
from random import Random

import pytest

from logwire.batch import encode_batch
from tests.crash.group_reader import ConsumerReader, GroupReader
from tests.crash.interruptions import interrupt_start, interrupt_stop
from tests.crash.raw_client import RawClient
from tests.seeds import draw
from tests.server_process import ServerProcess

pytestmark = pytest.mark.crash

TOPIC = "work"
PARTITIONS_COUNT = 4
GROUPS_COUNT = 8
STEPS_MIN = 200
AIMS = ("load", "join", "sync", "loading", "stop")
KILLS_COUNT = 200
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "5",
    "offsets.topic.segment.bytes": "1048576",
    "log.cleaner.backoff.ms": "200",
    "group.consumer.max.session.timeout.ms": "120000",
    "group.consumer.session.timeout.ms": "120000",
}


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
            interrupt_stop(self.server, self.random.random())
        else:
            self.server.kill()
        for reader in self.readers:
            reader.end()

    def begin(self) -> None:
        """All groups go on after a start."""
        for reader in self.readers:
            reader.begin(self.server.kafka_address)


def test_no_kill_takes_a_commit_back_or_skips_a_record(
    start_server: Callable[..., ServerProcess], kills_count: int
) -> None:
    """One data directory, killed again and again."""
    (seed,) = draw()
    random = Random(seed)
    server = start_server(SETTINGS)
    load = GroupLoad(server, random)
    load.begin()
    for number in range(kills_count):
        aim = AIMS[number % len(AIMS)]
        load.run(aim)
        if aim == "loading":
            for _ in range(2):  # about when coordinators are loaded
                interrupt_start(server, 0.2 + random.random() * 0.3)
        server.start()
        load.begin()
    for reader in load.readers:
        reader.end()
    assert server.stop() == 0
    commits_count = sum(reader.commits_count for reader in load.readers)
    assert commits_count > kills_count * STEPS_MIN // 2
    print(f"{kills_count} kills, {commits_count} commits answered before them")
