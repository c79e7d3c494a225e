"""Log directories as Apache Kafka leaves them, made by hand: small, and with any fault wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from logserver.storage.checkpoint import encode_metadata
from logwire.batch import encode_batch
from logwire.checksum import crc32c
from logwire.messages import encode_record

CLUSTER_ID = "yNOxrgFJQ8qQYu15Ng4apQ"
NOW_MS = 1_700_000_000_000


def topic_id(name: str) -> bytes:
    """The id that a topic of the bench has."""
    return name.encode().ljust(16, b"\1")[:16]


def batch(base_offset: int, count: int = 1, *, epoch: int = 0, **options: Any) -> bytes:
    """One batch of records `<offset>`, stamped as a leader does."""
    records = [
        (b"k%d" % offset, b"v%d" % offset, (), NOW_MS + offset)
        for offset in range(base_offset, base_offset + count)
    ]
    data = encode_batch(records, **options)
    data[:8] = base_offset.to_bytes(8, "big")
    data[12:16] = epoch.to_bytes(4, "big")
    return bytes(data)


def with_attributes(data: bytes, attributes: int) -> bytes:
    """The batch with these bits as well, its checksum right."""
    changed = bytearray(data)
    changed[21:23] = (int.from_bytes(data[21:23], "big") | attributes).to_bytes(2, "big")
    changed[17:21] = crc32c(memoryview(changed)[21:]).to_bytes(4, "big")
    return bytes(changed)


class KafkaBench:
    """A stopped broker's log directory."""

    def __init__(self, path: Path, node_id: int = 1) -> None:
        self.path = path
        self.records: list[tuple[str, int, dict[str, Any]]] = []
        path.mkdir()
        lines = [f"node.id={node_id}", "version=1", f"cluster.id={CLUSTER_ID}"]
        (path / "meta.properties").write_text("\n".join(lines) + "\n")
        (path / ".lock").touch()

    def partition(
        self,
        topic: str,
        partition: int,
        segments: dict[int, Sequence[bytes]],
        *,
        named: bool = True,
    ) -> Path:
        """Segments by base offset, each a row of batches."""
        directory = self.path / f"{topic}-{partition}"
        directory.mkdir()
        for base_offset, batches in segments.items():
            (directory / f"{base_offset:020d}.log").write_bytes(b"".join(batches))
            (directory / f"{base_offset:020d}.index").write_bytes(b"never believed")
        (directory / "leader-epoch-checkpoint").write_text("0\n1\n0 0\n")
        if named:
            (directory / "partition.metadata").write_bytes(encode_metadata(topic_id(topic)))
        return directory

    def topic(self, name: str, partitions: int, **configs: str) -> None:
        """Tell the metadata log of a topic; `_` in a key's name stands for a dot."""
        self.records.append(("TopicRecord", 0, {"name": name, "topic_id": topic_id(name)}))
        for key, value in configs.items():
            resource = {"resource_type": 2, "resource_name": name}
            key = key.replace("_", ".")
            self.records.append(("ConfigRecord", 0, {**resource, "name": key, "value": value}))
        for index in range(partitions):
            fields: dict[str, Any] = {
                "partition_id": index,
                "topic_id": topic_id(name),
                "replicas": [1],
                "isr": [1],
                "removing_replicas": [],
                "adding_replicas": [],
                "leader": 1,
                "leader_epoch": 0,
                "partition_epoch": 0,
            }
            self.records.append(("PartitionRecord", 0, fields))

    def metadata(self, *, checkpoint_offset: int | None = None, base_offset: int = 0) -> None:
        """Write what was told to the metadata log, or as its checkpoint, and forget it."""
        directory = self.path / "__cluster_metadata-0"
        directory.mkdir(exist_ok=True)
        values = [encode_record(*record) for record in self.records]
        data = encode_batch([(None, value, (), NOW_MS) for value in values])
        data[:8] = base_offset.to_bytes(8, "big")
        name = f"{base_offset:020d}.log"
        if checkpoint_offset is not None:
            name = f"{checkpoint_offset:020d}-0000000001.checkpoint"
        (directory / name).write_bytes(data)
        self.records.clear()
