"""A bench for the control plane: a real broker on files in memory, and verbs to drive it.

Requests and responses pass through the real codec, so a response that a client could not decode,
or a field that no schema knows, fails here.
"""

from __future__ import annotations

from random import Random
from typing import Any

from logserver.broker.broker import Broker
from logserver.broker.handlers import HANDLERS, refuse
from logserver.broker.partition import Partition
from logserver.broker.peer import Context
from logserver.config import load
from logserver.storage.directory import LogDirectory
from logserver.storage.failure import StorageError
from logserver.storage.files import Files
from logserver.storage.simulated_files import RecordingFiles
from logwire.batch import encode_batch
from logwire.errors import Refusal
from logwire.messages import (
    Message,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    schema,
)
from tests.broker.fake_peer import FakePeer

NO_ID = bytes(16)
NOW_MS = 1_700_000_000_000
SEED = 20_260_101


class ControlBench:
    """A broker in `/data`; `call` asks it, `sync` ends the group commit, `restart` starts anew."""

    client_id = "bench"

    def __init__(self, given: dict[str, str] | None = None, files: Files | None = None) -> None:
        self.files: Files = files or RecordingFiles()
        self.config = load({"log.dirs": "/data", **(given or {})})
        self.now_ms = NOW_MS
        self.broker: Broker
        self.context: Context
        self.start()

    def start(self) -> None:
        """Open the directory and replay what is there."""
        self.directory = LogDirectory.open(
            self.files, self.config, now_ms=self.now_ms, random=Random(SEED)
        )
        try:
            random = Random(self.now_ms)
            self.broker = Broker.open(self.config, self.directory, random, self.now_ms)
        except StorageError:
            self.directory.close()
            raise
        self.peer = FakePeer()
        self.now_ms += 1000

    def restart(self, *, clean: bool = True) -> None:
        """Stop and start; `clean=False` is a kill: what was written is still there."""
        self.directory.close(clean=clean)
        self.start()

    def power_cut(self, random: Random) -> ControlBench:
        """Another bench, on one of the states that a power cut at this moment may leave."""
        assert isinstance(self.files, RecordingFiles)
        return ControlBench(dict(self.config.given), self.files.power_cut(random))

    def sync(self) -> None:
        """Run the group commit until nothing is unsynced."""
        while (task := self.broker.commit.begin()) is not None:
            self.broker.finish_commit(task, task.run(), self.now_ms)

    def call(self, api_key: int, version: int, request: Message) -> Message:
        """The response to a request, through the codec both ways; the context stays readable."""
        body = encode_request(api_key, version, request)
        decoded = decode_request(api_key, version, body)
        self.context = Context(
            self.broker, self.peer, api_key, version, 0, self.client_id, self.now_ms
        )
        try:
            response = HANDLERS[api_key](self.broker, decoded, self.context)
        except Refusal as refusal:
            response = refuse(api_key, decoded, refusal)
        if response is None:
            return {}  # deferred: `DataBench.ask` has the answer when it comes
        require_known_fields(response, schema(api_key)["response"], f"API {api_key}")
        return decode_response(api_key, version, encode_response(api_key, version, response))

    # Verbs

    def create(self, name: str, count: int = 1, **configs: str) -> Message:
        """Create a topic; configs with underscores for dots. Returns its row of the response."""
        topic = new_topic(name, count, {key.replace("_", "."): v for key, v in configs.items()})
        row: Message = self.call(19, 7, {"topics": [topic]})["topics"][0]
        return row

    def delete(self, *names: str) -> list[Message]:
        """Delete topics by name; returns the rows of the response."""
        topics = [{"name": name, "topic_id": NO_ID} for name in names]
        rows: list[Message] = self.call(20, 6, {"topics": topics})["responses"]
        return rows

    def topic_id(self, name: str) -> bytes:
        """The id of a topic that exists."""
        return self.broker.image.topics_by_name[name].topic_id

    def partition(self, name: str, index: int = 0) -> Partition:
        """A partition that is served."""
        return self.broker.partitions[self.topic_id(name), index]

    def partitions_served(self) -> list[tuple[str, int]]:
        """Topic and index of every partition that is served, sorted."""
        return sorted((item.name, item.index) for item in self.broker.partitions.values())

    def append(
        self, name: str, timestamps_ms: list[int], index: int = 0, producer_id: int = -1
    ) -> int:
        """Append one batch with a record for each timestamp; returns its base offset."""
        partition = self.partition(name, index)
        epoch, sequence = (-1, -1) if producer_id < 0 else (0, 0)
        batch = encode_batch(
            [(None, b"value", (), at_ms) for at_ms in timestamps_ms],
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
        last, max_timestamp_ms = len(timestamps_ms) - 1, max(timestamps_ms)
        base_offset = partition.log.append(memoryview(batch), last, max_timestamp_ms, self.now_ms)
        if producer_id >= 0:
            partition.log.producers.update(
                producer_id,
                epoch,
                sequence,
                last,
                base_offset,
                base_offset + last,
                max_timestamp_ms,
            )
        self.broker.appended(partition, len(batch), len(timestamps_ms))
        return base_offset


def new_topic(name: str, count: int = 1, configs: dict[str, Any] | None = None) -> Message:
    """One topic of a CreateTopics request."""
    return {
        "name": name,
        "num_partitions": count,
        "replication_factor": 1,
        "assignments": [],
        "configs": [{"name": key, "value": value} for key, value in (configs or {}).items()],
    }


def require_known_fields(message: Message, fields: tuple[Any, ...], where: str) -> None:
    """Fail on a field that the schema lacks: the encoder would drop it in silence."""
    known = {field.name: field for field in fields}
    extra = set(message) - set(known) - {"error_message"}
    assert not extra, f"{where} has no {sorted(extra)}"
    for name, value in message.items():
        below = known[name].fields if name in known else ()
        if below and value is not None:
            for item in value if isinstance(value, list) else [value]:
                require_known_fields(item, below, f"{where}.{name}")
