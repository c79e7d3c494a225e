"""A bench for compacted topics: batches whose keys matter, and what a log holds of them."""

from __future__ import annotations

from typing import Any

from logwire.batch import (
    HEADER_BYTES,
    LAST_OFFSET_DELTA_POSITION,
    RECORD_COUNT_POSITION,
    decode_batch,
    encode_batch,
    iterate_batches,
    stamp_producer,
)
from logwire.compression import compress
from tests.broker.data_bench import DataBench
from tests.broker.fake_peer import FakeReply

TIMESTAMP_MS = 1_700_000_000_000
GZIP, ZSTD = 1, 4


def batch(*keys: bytes | None, codec: int = 0, value: bytes = b"value", **fields: Any) -> bytes:
    """One batch with a record for each key."""
    records = [(key, value, (), TIMESTAMP_MS) for key in keys]
    return bytes(encode_batch(records, codec=codec, **fields))


def around(records: bytes, count: int, codec: int = 0) -> bytes:
    """A batch with a right header and CRC around any records section."""
    made = encode_batch([(b"k", b"v", (), TIMESTAMP_MS)])
    made[HEADER_BYTES:] = compress(codec, records) if codec else records
    made[8:12] = (len(made) - 12).to_bytes(4, "big")
    made[22] = codec
    made[LAST_OFFSET_DELTA_POSITION : LAST_OFFSET_DELTA_POSITION + 4] = (count - 1).to_bytes(
        4, "big", signed=True
    )
    made[RECORD_COUNT_POSITION:HEADER_BYTES] = count.to_bytes(4, "big", signed=True)
    stamp_producer(made, -1, -1, -1)  # also computes the CRC
    return bytes(made)


def compacted_bench() -> DataBench:
    """Compacted topics: `c`, relaxed, with two partitions, and `d`, durable; `r` is ordinary."""
    bench = DataBench()
    bench.relaxed("c", 2, cleanup_policy="compact")
    bench.durable("d", cleanup_policy="compact,delete")
    bench.relaxed("r")
    return bench


def alter(bench: DataBench, name: str, policy: str) -> None:
    """Give a topic another cleanup.policy."""
    config = {"name": "cleanup.policy", "config_operation": 0, "value": policy}
    resource = {"resource_type": 2, "resource_name": name, "configs": [config]}
    (row,) = bench.call(44, 1, {"resources": [resource], "validate_only": False})["responses"]
    assert row["error_code"] == 0
    bench.sync()


def keys(bench: DataBench, name: str, index: int = 0) -> list[bytes | None]:
    """The keys of all records of a partition."""
    log = bench.partition(name, index).log
    found = []
    offset = 0
    while (piece := log.read(offset, 1 << 30, log.end_offset)) is not None:
        data = memoryview(piece.read())
        piece.release()
        for position, header in iterate_batches(data):
            records = decode_batch(data[position : position + 12 + header.batch_length])
            for expected, record in enumerate(records, offset):
                assert record.offset == expected
                found.append(record.key)
            offset = header.base_offset + header.last_offset_delta + 1
    return found


def row_of(bench: DataBench, reply: FakeReply) -> Any:
    """The one partition of an answer."""
    return bench.read(0, 11, reply)["responses"][0]["partition_responses"][0]
