"""Codecs return what went in, read what others wrote, and stop at their caps."""

from __future__ import annotations

import contextlib
import gzip
import random
import time

import cramjam
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from logwire.compression import CODECS, WINDOW_BYTES_MAX, compress, decompress
from logwire.errors import ProtocolError
from tests.logwire.peers import aiokafka_codec, kafka_python_codec

REAL_CODECS = [codec for codec in CODECS if codec]
JSON = b'{"device":"pump-%d","pressure_kpa":%d,"state":"running"}' % (17, 431)
LIMIT = 1 << 20


def stream_zstd(data: bytes) -> bytes:
    """A frame as streaming producers make it: many blocks, no content size."""
    encoder = zstandard.ZstdCompressor().compressobj()
    pieces = []
    for position in range(0, len(data), 1000):
        pieces.append(encoder.compress(data[position : position + 1000]))
        pieces.append(encoder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    return b"".join([*pieces, encoder.flush()])


OTHERS = {
    1: [aiokafka_codec.gzip_encode, kafka_python_codec.gzip_encode, gzip.compress],
    2: [
        aiokafka_codec.snappy_encode,
        lambda data: bytes(cramjam.snappy.compress_raw(data)),
        lambda data: aiokafka_codec.snappy_encode(data, xerial_compatible=True),
    ],
    3: [
        aiokafka_codec.lz4_encode,
        lambda data: lz4.frame.compress(data, content_checksum=True, block_checksum=True),
        lambda data: lz4.frame.compress(data, compression_level=9, block_size=7),
    ],
    4: [
        aiokafka_codec.zstd_encode,
        lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        lambda data: zstandard.ZstdCompressor(level=19, write_content_size=False).compress(data),
        stream_zstd,
    ],
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size_bytes", [0, 1, 100, 32768, 32769, 65536, 300_000])
@pytest.mark.parametrize("kind", ["zeros", "random", "json"])
def test_what_goes_in_comes_out(codec: int, size_bytes: int, kind: str) -> None:
    """Every codec, sizes around the block boundaries, and exactly at the output cap."""
    source = {
        "zeros": bytes(size_bytes),
        "random": random.Random(7).randbytes(size_bytes),
        "json": (JSON * (size_bytes // len(JSON) + 1))[:size_bytes],
    }[kind]
    for data in (source, bytearray(source), memoryview(source)):
        assert decompress(codec, compress(codec, data), size_bytes) == source


@given(data=st.binary(max_size=2000), codec=st.sampled_from(REAL_CODECS))
def test_any_bytes_survive_every_codec(data: bytes, codec: int) -> None:
    """The same on generated data."""
    assert decompress(codec, compress(codec, data), len(data)) == data


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_what_other_clients_write_is_read(codec: int) -> None:
    """Framings of aiokafka, kafka-python and the bare libraries, checksums and all."""
    data = JSON * 3000
    for encode in OTHERS[codec]:
        assert decompress(codec, encode(data), LIMIT) == data


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_other_clients_read_what_we_write(codec: int) -> None:
    """aiokafka's decoders stand for strict readers."""
    data = JSON * 3000
    decode = getattr(aiokafka_codec, f"{CODECS[codec]}_decode")
    assert bytes(decode(compress(codec, data))) == data


def test_levels_reach_the_codecs() -> None:
    """A higher level is smaller, and lz4's stay readable."""
    rng = random.Random(3)
    data = b"".join(JSON[: rng.randrange(60)] + rng.randbytes(3) for _ in range(2000))
    for codec, low, high in ((1, 1, 9), (3, 0, 9), (4, 1, 15)):
        fast, small = compress(codec, data, low), compress(codec, data, high)
        assert len(small) < len(fast)
        assert decompress(codec, small, LIMIT) == decompress(codec, fast, LIMIT) == data


def test_snappy_is_written_as_xerial_does() -> None:
    """Magic, versions 1 and 1, then blocks of 32 KB, each with a big-endian length."""
    data = random.Random(5).randbytes(40_000)
    compressed = compress(2, data)
    assert compressed[:16] == b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
    first_length = int.from_bytes(compressed[16:20], "big")
    assert bytes(cramjam.snappy.decompress_raw(compressed[20 : 20 + first_length])) == data[:32768]
    assert compress(2, b"") == compressed[:16]


def test_lz4_blocks_are_independent_and_of_64_kb() -> None:
    """Java's reader refuses linked blocks; the content size is left out, as Java leaves it."""
    info = lz4.frame.get_frame_info(compress(3, bytes(200_000)))
    assert not info["block_linked"]
    assert info["block_size"] == 65536
    assert info["content_size"] == 0


@pytest.mark.parametrize("codec", CODECS)
def test_one_byte_above_the_cap_is_refused(codec: int) -> None:
    """The cap is exact, for tiny and for large outputs."""
    for size_bytes in (1, 100, 200_000):
        compressed = compress(codec, bytes(size_bytes))
        with pytest.raises(ProtocolError, match="more than"):
            decompress(codec, compressed, size_bytes - 1)


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_a_cut_is_noticed(codec: int) -> None:
    """Every proper prefix that ends inside a member or block is refused."""
    data = random.Random(11).randbytes(50) * 8
    compressed = compress(codec, data)
    whole_prefixes = {16} if codec == 2 else set()  # xerial's header alone is an empty stream
    for cut in set(range(len(compressed))) - whole_prefixes:
        with pytest.raises(ProtocolError):
            decompress(codec, compressed[:cut], LIMIT) if cut or codec != 4 else refuse()
    for cut in whole_prefixes:
        assert decompress(codec, compressed[:cut], LIMIT) == b""


def refuse() -> None:
    """Zero zstd frames are a legal stream of nothing."""
    assert decompress(4, b"", LIMIT) == b""
    raise ProtocolError("counted as refused")


@pytest.mark.parametrize("codec", REAL_CODECS)
@given(junk=st.binary(max_size=300))
def test_junk_is_a_protocol_error_or_nothing(codec: int, junk: bytes) -> None:
    """Random bytes, alone and behind a valid stream, raise nothing but ProtocolError."""
    for data in (junk, compress(codec, JSON) + junk):
        with contextlib.suppress(ProtocolError):
            assert len(decompress(codec, data, 4096)) <= 4096


@pytest.mark.parametrize("codec", REAL_CODECS)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_never_escape_the_cap(codec: int, flips: list[tuple[int, int]]) -> None:
    """Damage in a valid stream gives an error or bounded bytes."""
    damaged = bytearray(compress(codec, JSON * 40))
    for position, bit in flips:
        damaged[position % len(damaged)] ^= 1 << bit
    with contextlib.suppress(ProtocolError):
        assert len(decompress(codec, damaged, 4096)) <= 4096


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_members_follow_each_other(codec: int) -> None:
    """Concatenated gzip members, lz4 and zstd frames are one stream."""
    parts = [JSON, b"", JSON * 3000, b"x"]
    joined = b"".join(compress(codec, part) for part in parts)
    assert decompress(codec, joined, LIMIT) == b"".join(parts)
    with pytest.raises(ProtocolError):
        decompress(codec, joined, len(b"".join(parts)) - 1)


def test_xerial_streams_follow_each_other() -> None:
    """A header in the middle starts a second stream, as SnappyInputStream reads it."""
    assert decompress(2, compress(2, JSON) + compress(2, b"tail"), LIMIT) == JSON + b"tail"


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_many_empty_members_cost_linear_time(codec: int) -> None:
    """Four times the members take about four times as long, not sixteen."""
    empty = compress(codec, b"")
    if codec == 2:
        empty = empty + b"\x00\x00\x00\x01\x00"

    def cost_s(member_count: int) -> float:
        data = empty * member_count
        best_s = 60.0
        for _ in range(3):
            begin_s = time.process_time()
            assert decompress(codec, data, 10) == b""
            best_s = min(best_s, time.process_time() - begin_s)
        return best_s

    assert cost_s(20_000) < 9 * cost_s(5_000)


def test_a_zstd_window_above_8_mib_is_refused() -> None:
    """Window 2^24 is refused before it is allocated; 2^23 is what every decoder supports."""
    for window_log, accepted in ((23, True), (24, False)):
        parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
        encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        compressed = encoder.compress(JSON) + encoder.flush()
        assert (1 << window_log <= WINDOW_BYTES_MAX) == accepted
        if accepted:
            assert decompress(4, compressed, LIMIT) == JSON
        else:
            with pytest.raises(ProtocolError, match="memory"):
                decompress(4, compressed, LIMIT)


def test_a_declared_size_is_not_believed() -> None:
    """A zstd frame and a snappy block that promise a gigabyte cost nothing and are refused."""
    # single segment, 4-byte content size: 1 GiB, then one empty last block
    frame = bytes.fromhex("28b52ffd a0 00000040 010000".replace(" ", ""))
    with pytest.raises(ProtocolError):
        decompress(4, frame, 1 << 31)
    with pytest.raises(ProtocolError, match="cannot hold"):
        decompress(2, b"\x80\x80\x80\x80\x04" + b"\x00" * 100, 1 << 31)


def test_skippable_zstd_frames_are_skipped() -> None:
    """RFC 8878 3.1.2: a length and bytes without meaning."""
    skippable = b"\x5e\x2a\x4d\x18\x05\x00\x00\x00hello"
    assert decompress(4, skippable + compress(4, JSON) + skippable, LIMIT) == JSON


def test_unknown_codecs_are_refused() -> None:
    """5 to 7 fit the attributes and mean nothing: a breach by a peer, a mistake by a caller."""
    for codec in (5, 6, 7, -1):
        with pytest.raises(ProtocolError, match="unknown"):
            decompress(codec, b"", 10)
        with pytest.raises(ValueError, match="none of"):
            compress(codec, b"")


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_compress_64_kb(benchmark: object, codec: int) -> None:
    """Micro-benchmark: one batch of telemetry."""
    benchmark(compress, codec, JSON * 1150)  # type: ignore[operator]


@pytest.mark.parametrize("codec", REAL_CODECS)
def test_decompress_64_kb(benchmark: object, codec: int) -> None:
    """Micro-benchmark: one batch of telemetry."""
    benchmark(decompress, codec, compress(codec, JSON * 1150), LIMIT)  # type: ignore[operator]
