"""A bench for the data plane: Produce and Fetch as frames through dispatch, on files in memory.

A fake peer keeps the answers in the order in which a connection would send them, so that parking,
group commits and wake-ups are seen as a client sees them. Nothing here sleeps: time is `now_ms`.
"""

from __future__ import annotations

from typing import Any

from logserver.broker.dispatch import handle
from logwire.batch import encode_batch
from logwire.frame import request_header, response_header_is_flexible
from logwire.messages import Message, decode_response, encode_request
from tests.broker.control_bench import ControlBench
from tests.broker.fake_peer import FakeReply

PRODUCE_VERSION = 11
FETCH_VERSION = 12
RELAXED = str(2**63 - 1)


def batch(count: int = 1, size_bytes: int = 20, **fields: Any) -> bytes:
    """One batch of `count` records."""
    records = [(None, bytes([n % 256]) * size_bytes, (), 1_700_000_000_000) for n in range(count)]
    return bytes(encode_batch(records, **fields))


class DataBench(ControlBench):
    """A broker, one peer, and its Produce and Fetch requests."""

    def start(self) -> None:
        """As ControlBench, with a clock for what lasts."""
        super().start()
        self.broker.uptime_ms = self.now_ms
        self.correlation_id = 0

    def relaxed(self, name: str, count: int = 1, **configs: str) -> None:
        """A topic that is answered from the page cache."""
        assert self.create(name, count, flush_messages=RELAXED, **configs)["error_code"] == 0
        self.sync()

    def durable(self, name: str, count: int = 1, **configs: str) -> None:
        """A topic with the default promise."""
        assert self.create(name, count, **configs)["error_code"] == 0
        self.sync()

    def ask(self, api_key: int, version: int, message: Message) -> FakeReply:
        """Send one request; its reply is complete if the broker answered at once."""
        self.correlation_id += 1
        self.broker.uptime_ms = self.now_ms
        frame = request_header(api_key, version, self.correlation_id, "bench")
        frame += encode_request(api_key, version, message)
        answer = handle(self.broker, self.peer, memoryview(bytearray(frame)), self.now_ms)
        if answer is None and self.peer.answers and self.peer.answers[-1].answer is None:
            return self.peer.answers[-1]
        reply = FakeReply(self.peer)
        if answer is not None:
            reply.complete(answer)
        return reply

    def read(self, api_key: int, version: int, reply: FakeReply) -> Message:
        """The decoded answer of a reply that is complete."""
        assert reply.answer is not None, "not answered yet"
        size_bytes = int.from_bytes(reply.answer[:4], "big")
        assert size_bytes == len(reply.answer) - 4
        body = memoryview(reply.answer)[8:]
        if response_header_is_flexible(api_key, version):
            assert body[0] == 0
            body = body[1:]
        return decode_response(api_key, version, body)

    def send(
        self, name: str, records: bytes | None, index: int = 0, acks: int = -1, **fields: Any
    ) -> FakeReply:
        """Produce one batch."""
        partition = {"index": index, "records": records}
        return self.ask(
            0,
            PRODUCE_VERSION,
            {
                "transactional_id": None,
                "acks": acks,
                "timeout_ms": 1000,
                "topic_data": [{"name": name, "partition_data": [partition]}],
                **fields,
            },
        )

    def sent(self, reply: FakeReply) -> tuple[int, int]:
        """(error code, base offset) of a produce answer about one partition."""
        response = self.read(0, PRODUCE_VERSION, reply)
        (partition,) = response["responses"][0]["partition_responses"]
        return partition["error_code"], partition["base_offset"]

    def poll(self, *wanted: tuple[str, int, int], **fields: Any) -> FakeReply:
        """Fetch (topic, partition, offset)s; `partition_max_bytes` applies to each."""
        limit = fields.pop("partition_max_bytes", 1 << 20)
        topics: dict[str, list[Message]] = {}
        for name, index, offset in wanted:
            topics.setdefault(name, []).append(
                {
                    "partition": index,
                    "current_leader_epoch": fields.get("leader_epoch", -1),
                    "fetch_offset": offset,
                    "partition_max_bytes": limit,
                }
            )
        fields.pop("leader_epoch", None)
        return self.ask(
            1,
            FETCH_VERSION,
            {
                "max_wait_ms": 500,
                "min_bytes": 1,
                "max_bytes": 1 << 20,
                "session_id": 0,
                "session_epoch": -1,
                "topics": [{"topic": name, "partitions": rows} for name, rows in topics.items()],
                "forgotten_topics_data": [],
                **fields,
            },
        )

    def fetched(self, reply: FakeReply) -> dict[tuple[str, int], Message]:
        """The partitions of a fetch answer by (topic, index)."""
        response = self.read(1, FETCH_VERSION, reply)
        return {
            (topic["topic"], row["partition_index"]): row
            for topic in response["responses"]
            for row in topic["partitions"]
        }

    def check_keys(self) -> None:
        """Do what a helper and the loop do for held batches, until none is left."""
        checks = self.broker.key_checks
        while checks.held_count:
            for run, finish in checks.decompressions():
                finish(run())
            checks.advance(self.now_ms)

    def turn(self) -> None:
        """What the server does at the end of a turn."""
        self.broker.wake_waiting()
