"""logserver.moving.kafka_directory: whose a directory is, and what it holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from logserver.moving.kafka_directory import KafkaDirectory, kafka_directory
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from tests.moving.kafka_bench import CLUSTER_ID, KafkaBench, batch, topic_id

HOLD_THE_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bench(tmp_path: Path) -> KafkaBench:
    """A broker with node id 7."""
    return KafkaBench(tmp_path / "kafka", node_id=7)


def survey(path: Path) -> KafkaDirectory:
    """Open and close."""
    with kafka_directory(RealFiles(), str(path)) as found:
        return found


def test_partitions_are_told_with_ids_segments_and_starts(bench: KafkaBench) -> None:
    """What Kafka is done with is left out."""
    bench.partition("t", 0, {0: [batch(0)], 5: [batch(5)]})
    bench.partition("with-dash", 11, {3: []}, named=False)
    for name in ("t-1.0a-delete", "t-1.0b-future", "t-1.0c-stray", "__cluster_metadata-0"):
        (bench.path / name).mkdir()
    (bench.path / "log-start-offset-checkpoint").write_text("0\n1\nt 0 4\n")
    found = survey(bench.path)
    assert (found.cluster_id, found.node_id) == (CLUSTER_ID, 7)
    assert found.metadata_path == f"{bench.path}/__cluster_metadata-0"
    one, two = sorted(found.partitions)
    assert (one.name, one.topic_id, one.base_offsets) == ("t-0", topic_id("t"), [0, 5])
    assert one.log_start_offset == 4
    assert (two.topic, two.partition, two.topic_id) == ("with-dash", 11, None)
    assert two.log_start_offset == 3


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Without meta.properties it is not Kafka's; with our line in it, it is ours."""
    with pytest.raises(StorageError, match="is no log directory of Kafka") as caught:
        survey(tmp_path)
    assert caught.value.kind is Kind.IDENTITY
    (tmp_path / "meta.properties").write_text("version=1\nlogserver.format.version=1\n")
    with pytest.raises(StorageError, match="written by logserver"):
        survey(tmp_path)


def test_a_running_broker_is_noticed(bench: KafkaBench) -> None:
    """It holds its lock as Java does, with fcntl."""
    words = [sys.executable, "-c", HOLD_THE_LOCK, str(bench.path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as broker:
        assert broker.stdout is not None
        assert broker.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match="broker is running on") as caught:
            survey(bench.path)
        assert caught.value.kind is Kind.LOCKED
        broker.communicate()
    survey(bench.path)


def test_no_broker_starts_meanwhile(bench: KafkaBench) -> None:
    """The lock is held as long as the directory is open."""
    words = [sys.executable, "-c", HOLD_THE_LOCK, str(bench.path / ".lock")]
    with kafka_directory(RealFiles(), str(bench.path)):
        refused = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert refused.returncode != 0
    assert b"BlockingIOError" in refused.stderr


def test_an_interrupted_compaction_is_kafkas_to_finish(bench: KafkaBench) -> None:
    """The old segments may be gone already, and the new ones have not got their names."""
    directory = bench.partition("t", 0, {0: [batch(0)]})
    (directory / f"{0:020d}.log.swap").touch()
    with pytest.raises(StorageError, match="Start Kafka and stop it once"):
        survey(bench.path)


def test_a_spoilt_topic_id_is_refused(bench: KafkaBench) -> None:
    """It cannot be made up: another one would be another topic."""
    directory = bench.partition("t", 0, {0: []})
    (directory / "partition.metadata").write_text("version: 0\ntopic_id: nonsense")
    with pytest.raises(StorageError, match="t-0"):
        survey(bench.path)
