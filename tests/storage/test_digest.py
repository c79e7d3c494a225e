"""The seal of a segment: every byte of every file of it."""

from __future__ import annotations

import pytest

from logserver.storage import digest
from logserver.storage.digest import (
    DigestError,
    Part,
    SegmentDigest,
    decode_digest,
    digest_file,
    encode_digest,
    read_digest,
    xxh3,
)
from tests.storage.partition_bench import DIRECTORY, Bench, batch

EXAMPLE = SegmentDigest(0, 81930, 1_760_000_000_000, (Part(".log", 5, 17), Part(".index", 0, 0)))


def test_a_digest_is_readable_text() -> None:
    """An operator can compare it with xxhsum -H3."""
    lines = encode_digest(EXAMPLE).decode().split("\n")
    assert lines[:6] == [
        "logserver digest 1",
        "base_offset 0",
        "end_offset 81930",
        "max_timestamp_ms 1760000000000",
        ".log 5 0000000000000011",
        ".index 0 0000000000000000",
    ]
    assert decode_digest(encode_digest(EXAMPLE)) == EXAMPLE


def test_xxh3_is_the_published_function() -> None:
    """Test value of the XXH3 specification: the empty input, seed 0."""
    assert xxh3(b"") == 0x2D06800538D394C2


def test_every_flipped_bit_and_every_cut_of_a_digest_is_found() -> None:
    """Read strictly: also an upper-case digit or a second space is refused."""
    data = bytearray(encode_digest(EXAMPLE))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DigestError):
            decode_digest(bytes(data))
        data[bit // 8] ^= 1 << bit % 8
    for size in range(len(data)):
        with pytest.raises(DigestError):
            decode_digest(bytes(data[:size]))
    with pytest.raises(DigestError):
        decode_digest(bytes(data) + b"\n")


def test_sealing_covers_the_files_that_the_segment_has() -> None:
    """Those of its own base offset; absent kinds are absent from the digest."""
    bench = Bench()
    bench.write(0, batch(0, 3))
    bench.seal(0, 3)
    found = read_digest(bench.files, DIRECTORY, 0)
    assert found is not None
    assert [part.suffix for part in found.parts] == [".log", ".index", ".timeindex"]
    assert found.size_of(".log") == len(batch(0, 3))
    assert found.size_of(".snapshot") is None
    assert found.parts[0].xxh3 == xxh3(batch(0, 3))


def test_a_large_file_is_summed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks make no difference to the sum."""
    monkeypatch.setattr(digest, "CHUNK_BYTES", 100)
    bench = Bench()
    data = b"".join(batch(i) for i in range(50))
    bench.write(0, data)
    assert digest_file(bench.files, bench.path(0)) == (len(data), xxh3(data))


def test_a_digest_that_is_absent_spoilt_or_of_another_segment_is_none() -> None:
    """The segment is then walked like one that was never sealed."""
    bench = Bench()
    assert read_digest(bench.files, DIRECTORY, 0) is None
    bench.files.write_atomically(bench.path(0, ".digest"), b"junk")
    assert read_digest(bench.files, DIRECTORY, 0) is None
    bench.files.write_atomically(bench.path(7, ".digest"), encode_digest(EXAMPLE))
    assert read_digest(bench.files, DIRECTORY, 7) is None
