"""Kafka's DumpLogSegments testifies for the files: segments, indexes, snapshots, metadata.

It walks every record, checks the CRCs, compares both indexes with the log and names what it does
not like; this test reads its words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.conftest import CODECS
from tests.compat.records import FIRST_MS, Records, Sent
from tests.compat.test_confluent_kafka import produce
from tests.server_process import ServerProcess

Java = Callable[..., str]
DUMP = "org.apache.kafka.tools.DumpLogSegments"
SEGMENT_BYTES = 1_048_576  # the smallest that Kafka allows
ROUNDS = 2
COMPLAINTS = re.compile(
    r"Mismatches in|Non-consecutive|Found timestamp mismatch|Found out of order|not found|"
    r"isvalid: false|Exception|Error|corrupt|invalid|failed|trailing",
    re.IGNORECASE,
)
# The tool of 4.3.1 says this of every segment that does not begin at offset 0, Kafka's own too.
FIRST_OFFSET = re.compile(
    r"^Non-consecutive offsets in .*/0*(\d+)\.log\n  -1 is followed by \1\n?", re.MULTILINE
)

pytestmark = pytest.mark.usefixtures("only_ours")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a stopped server: several sealed segments, each codec, idempotent producers."""
    directory = tmp_path_factory.mktemp("dump") / "data"
    settings = {"log.segment.bytes": str(SEGMENT_BYTES), "log.index.interval.bytes": "4096"}
    with ServerProcess(directory, settings) as server:
        for number in range(ROUNDS):
            for codec in CODECS:
                options = {"compression.type": codec, "enable.idempotence": number % 2 == 0}
                options["batch.num.messages"] = (10_000, 5)[number % 2]
                produce(server.bootstrap, "dumped", large(), **options)
        assert server.stop() == 0
    return directory


def large() -> list[Sent]:
    """The usual records, and so much noise that compression does not help: half a megabyte."""
    chance = random.Random(1)
    noise = [Sent(None, chance.randbytes(4000), (), FIRST_MS + number) for number in range(100)]
    return [*Records(), *noise]


def test_files_that_survived_a_kill_are_as_good(java: Java, tmp_path: Path) -> None:
    """SIGKILL in the middle of preallocated segments, recovery, a clean stop: no complaint."""
    directory = tmp_path / "data"
    server = ServerProcess(directory, {"log.segment.bytes": str(SEGMENT_BYTES)}).start()
    try:
        for _ in range(2):
            produce(server.bootstrap, "dumped", large(), **{"enable.idempotence": True})
            server.kill()
            server.start()
        produce(server.bootstrap, "dumped", Records())
        assert server.stop() == 0
    finally:
        server.close()
    text = dump(java, *files(directory, ".log"), more=("--deep-iteration",))
    offsets = [int(found) for found in re.findall(r"^\| offset: (\d+)", text, re.MULTILINE)]
    assert offsets == list(range(500))
    dump(java, *files(directory, ".index"), *files(directory, ".timeindex"))
    dump(java, *files(directory, ".snapshot"))


def dump(java: Java, *paths: Path, more: tuple[str, ...] = ()) -> str:
    """The tool's words about these files, which must hold no complaint."""
    text = java(DUMP, "--files", ",".join(str(path) for path in paths), *more)
    text = FIRST_OFFSET.sub("", text)
    assert not COMPLAINTS.search(text), text[-3000:]
    return text


def files(data_dir: Path, suffix: str) -> list[Path]:
    """Files of the partition with this suffix, in the order of their offsets."""
    return sorted((data_dir / "dumped-0").glob(f"*{suffix}"))


def test_every_segment_is_whole_and_continuous(java: Java, data_dir: Path) -> None:
    """All records are found, at consecutive offsets, in batches whose CRC is right."""
    logs = files(data_dir, ".log")
    assert len(logs) >= 3
    text = dump(java, *logs, more=("--deep-iteration",))
    offsets = [int(found) for found in re.findall(r"^\| offset: (\d+)", text, re.MULTILINE)]
    assert offsets == list(range(200 * len(CODECS) * ROUNDS))
    codecs = set(re.findall(r"compresscodec: (\w+)", text))
    assert codecs == set(CODECS)
    assert len(re.findall(r"^baseOffset: ", text, re.MULTILINE)) == text.count("isvalid: true")


def test_segments_end_where_their_last_batch_ends(java: Java, data_dir: Path) -> None:
    """No preallocated tail is left after a clean stop: the tool would take zeros for a batch."""
    for log in files(data_dir, ".log"):
        text = dump(java, log)
        last = re.findall(r"position: (\d+) .*? size: (\d+) ", text)[-1]
        assert int(last[0]) + int(last[1]) == log.stat().st_size


def test_offset_indexes_agree_with_the_log(java: Java, data_dir: Path) -> None:
    """Each entry points at the batch that holds its offset; sealed segments have entries."""
    indexes = files(data_dir, ".index")
    text = dump(java, *indexes)
    assert len(re.findall(r"^offset: \d+ position: \d+", text, re.MULTILINE)) > len(indexes)
    sane = java(DUMP, "--files", ",".join(map(str, indexes)), "--index-sanity-check")
    assert sane.count("passed sanity check") == len(indexes)


def test_time_indexes_agree_with_the_log(java: Java, data_dir: Path) -> None:
    """Each entry names the largest timestamp up to its offset."""
    indexes = files(data_dir, ".timeindex")
    text = dump(java, *indexes)
    assert len(re.findall(r"^timestamp: \d+ offset: \d+", text, re.MULTILINE)) >= len(indexes)
    sane = java(DUMP, "--files", ",".join(map(str, indexes)), "--index-sanity-check")
    assert sane.count("passed sanity check") == len(indexes)


def test_producer_snapshots_are_read(java: Java, data_dir: Path) -> None:
    """Kafka's format, version 1, with the producers that were idempotent."""
    snapshots = files(data_dir, ".snapshot")
    assert snapshots
    text = dump(java, *snapshots)
    assert re.search(r"^producerId: \d+ producerEpoch: 0 ", text, re.MULTILINE), text


def test_the_metadata_log_is_made_of_kafkas_records(java: Java, data_dir: Path) -> None:
    """`--cluster-metadata-decoder` shows the topic, its partition and nothing unreadable."""
    logs = sorted((data_dir / "__cluster_metadata-0").glob("*.log"))
    text = dump(java, *logs, more=("--cluster-metadata-decoder",))
    assert '"type":"TOPIC_RECORD"' in text.replace(" ", "")
    assert '"name":"dumped"' in text.replace(" ", "")
    assert '"type":"PARTITION_RECORD"' in text.replace(" ", "")
