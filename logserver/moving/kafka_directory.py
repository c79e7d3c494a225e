"""A log directory of Apache Kafka, as it lies there: whose it is, and which partitions it holds.

    meta.properties                 version=1, cluster.id, node.id (KRaft; before it broker.id)
    .lock                           locked by a running broker with fcntl
    log-start-offset-checkpoint     "topic partition offset" lines, below a version and a count
    <topic>-<n>/                    one log each; names with a suffix (-delete, -future, -stray)
                                    are what Kafka itself is done with
    __cluster_metadata-0/           topics and their configuration (`kafka_metadata`)

The rule of the file: nothing in it writes. The lock is held as a reader's for as long as the
directory is open, so that no broker starts meanwhile.

Source: org.apache.kafka.storage.internals.log.UnifiedLog, LogManager, MetaPropertiesEnsemble.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from logserver.storage import checkpoint
from logserver.storage.directory import is_partition_name
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import Files
from logserver.storage.identity import FORMAT_KEY, IDENTITY_FILE
from logserver.storage.recovery import segment_base_offsets

LOCK_FILE: Final = ".lock"
LOG_START_FILE: Final = "log-start-offset-checkpoint"
SWAP_SUFFIX: Final = ".swap"  # written whole, and the old segments may be gone already
METADATA_NAME: Final = "__cluster_metadata-0"


class PartitionSource(NamedTuple):
    """One partition directory of Kafka's. `topic_id` is None where no file says it."""

    topic: str
    partition: int
    path: str
    topic_id: bytes | None
    base_offsets: list[int]
    log_start_offset: int

    @property
    def name(self) -> str:
        """`<topic>-<n>`."""
        return f"{self.topic}-{self.partition}"


class KafkaDirectory(NamedTuple):
    """What a directory says of itself. `metadata_path` is empty where it has no metadata log."""

    path: str
    cluster_id: str
    node_id: int
    partitions: list[PartitionSource]
    metadata_path: str


@contextlib.contextmanager
def kafka_directory(files: Files, path: str) -> Iterator[KafkaDirectory]:
    """Open a directory and keep brokers away from it. Raises StorageError, OSError.

    LOCKED: a broker runs on it. IDENTITY: it is not Kafka's.
    """
    fields = _identity(files, path)
    with _no_broker(path):
        names = files.list_directory(path)
        starts = _log_starts(files, path)
        partitions = [
            _partition(files, path, name, starts)
            for name in names
            if is_partition_name(name) and files.is_directory(f"{path}/{name}")
        ]
        metadata_path = f"{path}/{METADATA_NAME}" if METADATA_NAME in names else ""
        node_id = fields.get("node.id", fields.get("broker.id", ""))
        yield KafkaDirectory(
            path,
            fields.get("cluster.id", ""),
            int(node_id) if node_id.isascii() and node_id.isdigit() else 1,
            [one for one in partitions if one.name != METADATA_NAME],
            metadata_path,
        )


def _identity(files: Files, path: str) -> dict[str, str]:
    try:
        text = files.read_file(f"{path}/{IDENTITY_FILE}").decode("utf-8", "replace")
    except FileNotFoundError:
        raise StorageError(
            Kind.IDENTITY,
            f"{path} is no log directory of Kafka: it has no {IDENTITY_FILE}. "
            "Name the directory that log.dirs of its server.properties names.",
        ) from None
    fields = dict(line.strip().split("=", 1) for line in text.split("\n") if "=" in line)
    if FORMAT_KEY in fields:
        raise StorageError(
            Kind.IDENTITY,
            f"{path} was written by logserver: serve it as it is, or use `logserver backup`.",
        )
    return fields


@contextlib.contextmanager
def _no_broker(path: str) -> Iterator[None]:
    """Hold the lock as one of many readers; a broker wants it for itself."""
    try:
        descriptor = os.open(f"{path}/{LOCK_FILE}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # of a copy that somebody made
        yield
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(
            Kind.LOCKED, f"a Kafka broker is running on {path}. Stop it first; it is only read."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _partition(
    files: Files, path: str, name: str, starts: dict[tuple[str, int], int]
) -> PartitionSource:
    topic, _, index = name.rpartition("-")
    directory = f"{path}/{name}"
    try:
        topic_id = checkpoint.read_topic_id(files, directory)
    except checkpoint.CheckpointError as error:
        raise StorageError(Kind.CORRUPT, f"{directory}: {error}") from None
    swapping = [file for file in files.list_directory(directory) if file.endswith(SWAP_SUFFIX)]
    if swapping:
        raise StorageError(
            Kind.CORRUPT,
            f"{directory}/{swapping[0]}: the broker ended while it put compacted segments in their "
            "place. Start Kafka and stop it once: it finishes that.",
        )
    bases = segment_base_offsets(files, directory)
    start = max(starts.get((topic, int(index)), 0), bases[0] if bases else 0)
    return PartitionSource(topic, int(index), directory, topic_id, bases, start)


def _log_starts(files: Files, path: str) -> dict[tuple[str, int], int]:
    """Where logs begin that were trimmed (DeleteRecords); empty without the file."""
    try:
        text = files.read_file(f"{path}/{LOG_START_FILE}").decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    found = {}
    for line in text.split("\n")[2:]:
        words = line.split(" ")
        if len(words) == 3 and all(word.isascii() and word.isdigit() for word in words[1:]):
            found[words[0], int(words[1])] = int(words[2])
    return found
