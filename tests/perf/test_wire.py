"""The load's frames are what a Kafka client would send."""

import struct

import pytest

from perf.batches import LoadError, ring
from perf.wire import FetchFrame, produce_frames

TOPIC = "perf-000000000001"


def test_produce_frames_are_of_one_size_and_carry_their_number() -> None:
    """The correlation id tells the position in the ring."""
    frames = produce_frames(ring(2, 5, 0), TOPIC)
    assert len(frames.view) == frames.frame_bytes * frames.frame_count
    for number in range(5):
        size, key, version, correlation = struct.unpack_from(
            ">ihhi", frames.view, number * frames.frame_bytes
        )
        assert (size + 4, key, version, correlation) == (frames.frame_bytes, 0, 11, number)


def test_logwire_reads_the_produce_frame() -> None:
    """The batch inside is the ring's, byte for byte."""
    codec = pytest.importorskip("logwire.produce_codec")
    frame = pytest.importorskip("logwire.frame")
    source = ring(2, 3, 0)
    frames = produce_frames(source, TOPIC, 7)
    one = frames.view[4 : frames.frame_bytes]
    key, version, _, client, position = frame.parse_request_header(one)
    assert (key, client) == (0, "perf")
    transactional, acks, _, topics = codec.decode_produce(version, one, position)
    assert (transactional, acks) == (None, -1)
    ((name, ((index, records),)),) = topics
    assert (name, index, bytes(records)) == (TOPIC, 7, source.batches[0])


def test_logwire_reads_the_fetch_frame_at_its_offset() -> None:
    """Patching the offset leaves everything else."""
    codec = pytest.importorskip("logwire.fetch_codec")
    frame = pytest.importorskip("logwire.frame")
    request = FetchFrame(TOPIC, 3, max_bytes=65536, max_wait_ms=250)
    data = memoryview(bytes(request.at(123456)))[4:]
    _, version, _, _, position = frame.parse_request_header(data)
    decoded = codec.decode_fetch(version, data, position)
    assert decoded[:4] == (250, 1, 65536, 0)
    ((name, ((index, _, offset, *_),)),) = decoded[6]
    assert (name, index, offset) == (TOPIC, 3, 123456)


def fetch_answer(request: FetchFrame, records: bytes, error: int = 0) -> memoryview:
    """An answer as Kafka lays it out."""
    name = b"\x12" + TOPIC.encode()
    body = struct.pack(">iBihi", 0, 0, 0, 0, 0) + b"\x02" + name + b"\x02"
    body += struct.pack(">ihqqq", 3, error, 10, 10, 0) + b"\x00" + struct.pack(">i", -1)
    body += bytes([(len(records) + 1) & 0x7F | 0x80, (len(records) + 1) >> 7]) + records
    assert request.answer.size
    return memoryview(struct.pack(">i", len(body) + 3) + body + b"\0\0\0")


def test_records_of_an_answer_are_found_and_an_error_is_one() -> None:
    """Records with a two-byte length, and error code 1 (OFFSET_OUT_OF_RANGE)."""
    request = FetchFrame(TOPIC, 3, max_bytes=1000)
    assert bytes(request.records(fetch_answer(request, b"x" * 300))) == b"x" * 300
    with pytest.raises(LoadError, match="error code 1"):
        request.records(fetch_answer(request, b"", error=1))
