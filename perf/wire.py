"""The few frames that the load consists of: Produce 11 and Fetch 12, as bytes made beforehand.

Both are the newest versions that name a topic by its name. A Produce answer has a constant size as
long as nothing fails, so the hot loop needs one `unpack_from` per answer; whatever deviates (an
error message, another size) is a failed run and may be slow.

    Produce answer: size i32 | correlation i32 | tags | topics n+1 | name | partitions n+1 |
                    index i32 | error i16 | base offset i64 | ...
    Fetch answer:   size i32 | correlation i32 | tags | throttle i32 | error i16 | session i32 |
                    topics n+1 | name | partitions n+1 | index i32 | error i16 | high watermark i64
                    | last stable offset i64 | log start offset i64 | aborted n+1 |
                    preferred replica i32 | records uvarint(n+1) | bytes | tags ...

Source: ProduceRequest.json and FetchRequest.json of Apache Kafka, KIP-482 (flexible versions).
"""

import struct
from typing import NamedTuple

from perf.batches import LoadError, Ring, uvarint

PRODUCE, PRODUCE_VERSION = 0, 11
FETCH, FETCH_VERSION = 1, 12
CLIENT_ID = b"perf"
SIZE = struct.Struct(">i")


def compact(text: str) -> bytes:
    """A compact string: uvarint of length + 1, then the bytes."""
    data = text.encode()
    return uvarint(len(data) + 1) + data


def header(api_key: int, version: int, correlation: int, *, flexible: bool) -> bytes:
    """A request header without the frame's size: v2 when `flexible`, else v1."""
    out = struct.pack(">hhih", api_key, version, correlation, len(CLIENT_ID)) + CLIENT_ID
    return out + b"\0" if flexible else out


def frame(body: bytes) -> bytes:
    """The 4-byte size and the body."""
    return SIZE.pack(len(body)) + body


class Frames(NamedTuple):
    """A ring of finished Produce requests of one size, back to back in one buffer."""

    view: memoryview
    frame_bytes: int
    frame_count: int
    ring: Ring
    answer: struct.Struct  # correlation, error, base offset of one answer; its size is the frame's


def produce_request(topic: str, partition: int, correlation: int, batch: bytes) -> bytes:
    """A Produce request (acks=all) for one batch."""
    return frame(
        header(PRODUCE, PRODUCE_VERSION, correlation, flexible=True)
        + b"\0"  # no transactional id
        + struct.pack(">hi", -1, 30_000)
        + b"\x02" + compact(topic)
        + b"\x02" + struct.pack(">i", partition)
        + uvarint(len(batch) + 1) + batch
        + b"\0\0\0"
    )  # fmt: skip


def produce_frames(ring: Ring, topic: str, partition: int = 0) -> Frames:
    """One Produce request (acks=all) per batch of the ring; the correlation id is its number."""
    frames = [
        produce_request(topic, partition, number, one) for number, one in enumerate(ring.batches)
    ]
    sizes = {len(one) for one in frames}
    assert len(sizes) == 1, "every frame of a ring has one size"
    return Frames(
        memoryview(b"".join(frames)), sizes.pop(), len(frames), ring, produce_answer(topic)
    )


def produce_answer(topic: str) -> struct.Struct:
    """The layout of a Produce answer without an error: correlation, error, base offset."""
    skip = 1 + 1 + len(compact(topic)) + 1 + 4
    return struct.Struct(f">4xi{skip}xhq8x8x1x1x1x1x4x1x")


def produce_failure(view: memoryview, topic: str) -> LoadError:
    """Say what an answer of an unexpected size means; `view` starts at the frame's size."""
    skip = 4 + 4 + 1 + 1 + len(compact(topic)) + 1 + 4
    (code,) = struct.unpack_from(">h", view, skip)
    return LoadError(f"produce to {topic}: error code {code}")


class FetchFrame:
    """One Fetch request for one partition, patched in place before each send."""

    def __init__(
        self, topic: str, partition: int = 0, *, max_bytes: int, max_wait_ms: int = 500
    ) -> None:
        """`max_bytes` bounds the answer and the partition; a fetch waits for the first byte."""
        before = (
            header(FETCH, FETCH_VERSION, 0, flexible=True)
            + struct.pack(">iiiibii", -1, max_wait_ms, 1, max_bytes, 0, 0, -1)
            + b"\x02" + compact(topic)
            + b"\x02" + struct.pack(">ii", partition, -1)
        )  # fmt: skip
        after = struct.pack(">iqi", -1, -1, max_bytes) + b"\0\0\x01\x01\0"
        self.data = bytearray(frame(before + bytes(8) + after))
        self._patch = struct.Struct(">q")
        self._offset_position = SIZE.size + len(before)
        self._name_bytes = len(compact(topic))
        self.answer = struct.Struct(f">ii1xihi1x{self._name_bytes}x1x4xhqqq")
        """size, correlation, throttle, error, session, partition error, high watermark, ..."""

    def at(self, offset: int) -> bytearray:
        """The request for `offset`; valid until the next call."""
        self._patch.pack_into(self.data, self._offset_position, offset)
        return self.data

    def records(self, view: memoryview) -> memoryview:
        """The record bytes of one whole answer; raises LoadError for an error code."""
        _, _, _, error, _, partition_error, *_ = self.answer.unpack_from(view)
        if error or partition_error:
            raise LoadError(f"fetch: error code {error or partition_error}")
        position = self.answer.size + 1 + 4  # aborted transactions: none; preferred replica
        length = shift = 0
        while True:
            byte = view[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        return view[position : position + max(0, length - 1)]
