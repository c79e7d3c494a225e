"""Kafka's five codecs: bytes to bytes, and never more bytes than the caller allowed.

The records section of a batch is compressed as a whole; bits 0-2 of its attributes name the codec.

    0 none    as it is
    1 gzip    RFC 1952, members may follow each other
    2 snappy  xerial's framing, as Java's SnappyOutputStream writes it, or one raw block:
              82 'SNAPPY' 00 | version int32 = 1 | compatible int32 = 1 | (length int32 | block)*
    3 lz4     LZ4 frames, independent blocks of 64 KB (Java's reader refuses linked blocks)
    4 zstd    RFC 8878 frames

What is compressed came from a stranger, so decompression is bounded three ways:

- Output: a call that would produce more than `max_output_bytes` raises. Memory grows with what was
  decoded, chunk by chunk, never to a size that a header promises (zstandard's `max_output_size`
  is ignored when a frame declares its size; snappy's blocks are refused when they claim a ratio
  that the format cannot reach).
- Window: a zstd frame may ask for at most 8 MiB, what RFC 8878 tells every decoder to support and
  the most that zstd levels up to 19 use. gzip has 32 KB and lz4 64 KB by format.
- Time: linear in input plus output. A decoder that hands back what it did not use would make a
  million empty members quadratic; members are fed in pieces that grow from 512 bytes.

Everything malformed, truncated or too large raises `ProtocolError`. Libraries are imported on
first use and only here: a server that stores what it is sent never loads one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from logwire.errors import ProtocolError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor

    Buffer = bytes | bytearray | memoryview

__all__ = ["CODECS", "WINDOW_BYTES_MAX", "OutputTooLarge", "compress", "decompress"]

CODECS: Final = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

WINDOW_BYTES_MAX: Final = 8 << 20

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK_BYTES: Final = 32 << 10  # SnappyOutputStream's default block
_LENGTH: Final = struct.Struct(">i")

# A snappy copy of 64 bytes takes 3 bytes of input: no block grows by more than 21.4.
_SNAPPY_RATIO_MAX: Final = 22

_FEED_BYTES_MIN: Final = 512  # first piece of a gzip or lz4 member, doubled up to ...
_FEED_BYTES_MAX: Final = 64 << 10
_READ_BYTES_MIN: Final = 64 << 10  # first piece of output, doubled up to ...
_READ_BYTES_MAX: Final = 1 << 20


class OutputTooLarge(ProtocolError):
    """What was compressed may be well, but it is more than the caller allowed."""


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """Compress `data` as Kafka's Java client would. `level` None is the codec's default.

    Levels: gzip 1-9 (6), lz4 0-16 (0, fast), zstd -7 to 22 (3); snappy has none. Levels above 19
    of zstd use windows that `decompress` refuses. An unknown codec is a `ValueError`.
    """
    encoder = _COMPRESSORS.get(codec)
    if encoder is None:
        raise ValueError(f"codec {codec} is none of {CODECS}")
    return encoder(data, level)


def decompress(codec: int, data: Buffer, max_output_bytes: int) -> bytes:
    """Decompress `data`, at most `max_output_bytes` of it.

    Raises `OutputTooLarge` for a larger output and `ProtocolError`, of which that is one, for an
    unknown codec, malformed or truncated input or a zstd window above 8 MiB.
    """
    decoder = _DECOMPRESSORS.get(codec)
    if decoder is None:
        raise ProtocolError(f"compression codec {codec} is unknown")
    return decoder(memoryview(data), max_output_bytes)


def _too_large(codec: str, max_output_bytes: int) -> OutputTooLarge:
    return OutputTooLarge(f"{codec}: decompresses to more than {max_output_bytes} bytes")


# none


def _keep(data: Buffer, level: int | None) -> bytes:  # noqa: ARG001 - one signature for all
    return bytes(data)


def _keep_bounded(data: memoryview, max_output_bytes: int) -> bytes:
    if data.nbytes > max_output_bytes:
        raise _too_large("none", max_output_bytes)
    return bytes(data)


# gzip

_GZIP_WINDOW_BITS: Final = 31  # 15 bits of window, + 16: with gzip's header and trailer


def _gzip(data: Buffer, level: int | None) -> bytes:
    import zlib

    encoder = zlib.compressobj(6 if level is None else level, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    return encoder.compress(data) + encoder.flush()


def _gunzip(data: memoryview, max_output_bytes: int) -> bytes:
    import zlib

    pieces: list[bytes] = []
    room_bytes = max_output_bytes
    position = 0
    while True:
        member = zlib.decompressobj(_GZIP_WINDOW_BITS)
        feed_bytes = _FEED_BYTES_MIN
        while not member.eof:
            piece = data[position : position + feed_bytes]
            if not piece:
                raise ProtocolError("gzip: the data ends inside a member")
            try:
                output = member.decompress(piece, room_bytes + 1)
            except zlib.error as error:
                raise ProtocolError(f"gzip: {error}") from None
            room_bytes -= len(output)
            if room_bytes < 0:
                raise _too_large("gzip", max_output_bytes)
            pieces.append(output)
            position += len(piece) - len(member.unused_data)
            feed_bytes = min(feed_bytes * 2, _FEED_BYTES_MAX)
        if position == len(data):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


# snappy


def _snappy(data: Buffer, level: int | None) -> bytes:  # noqa: ARG001 - snappy has no levels
    from cramjam import snappy

    parts = [_XERIAL_HEADER]
    view = memoryview(data)
    for position in range(0, len(view), _XERIAL_BLOCK_BYTES):
        block = bytes(snappy.compress_raw(view[position : position + _XERIAL_BLOCK_BYTES]))
        parts += (_LENGTH.pack(len(block)), block)
    return b"".join(parts)


def _unsnappy(data: memoryview, max_output_bytes: int) -> bytes:
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _unsnappy_block(data, max_output_bytes, max_output_bytes)
    pieces: list[bytes] = []
    room_bytes = max_output_bytes
    position = 0
    end = len(data)
    while position < end:
        if bytes(data[position : position + len(_XERIAL_MAGIC)]) == _XERIAL_MAGIC:
            # The start, or a second stream behind the first: xerial's reader joins them.
            position += len(_XERIAL_HEADER)
            if position > end:
                raise ProtocolError("snappy: the data ends inside the xerial header")
            continue
        start = position + _LENGTH.size
        if start > end:
            raise ProtocolError("snappy: the data ends inside a block length")
        length = _LENGTH.unpack_from(data, position)[0]
        position = start + length
        if length <= 0 or position > end:
            raise ProtocolError(f"snappy: block of {length} bytes with {end - start} left")
        block = _unsnappy_block(data[start:position], room_bytes, max_output_bytes)
        room_bytes -= len(block)
        pieces.append(block)
    return b"".join(pieces)


def _unsnappy_block(block: memoryview, room_bytes: int, max_output_bytes: int) -> bytes:
    from cramjam import DecompressionError, snappy

    try:
        size_bytes = snappy.decompress_raw_len(block)
        if size_bytes > room_bytes:
            raise _too_large("snappy", max_output_bytes)
        if size_bytes > len(block) * _SNAPPY_RATIO_MAX:
            raise ProtocolError(f"snappy: {len(block)} bytes cannot hold {size_bytes}")
        return bytes(snappy.decompress_raw(block))
    except DecompressionError as error:
        raise ProtocolError(str(error)) from None


# lz4


def _lz4(data: Buffer, level: int | None) -> bytes:
    from lz4 import frame  # type: ignore[import-untyped]

    compressed: bytes = frame.compress(
        data,
        compression_level=0 if level is None else level,
        block_size=frame.BLOCKSIZE_MAX64KB,
        block_linked=False,
        store_size=False,
    )
    return compressed


def _unlz4(data: memoryview, max_output_bytes: int) -> bytes:
    from lz4 import frame

    context = frame.create_decompression_context()
    pieces: list[bytes] = []
    room_bytes = max_output_bytes
    position = 0
    read_bytes = _READ_BYTES_MIN
    while True:
        piece = data[position : position + _FEED_BYTES_MAX]
        try:
            output, used_bytes, at_end = frame.decompress_chunk(
                context, piece, max_length=min(read_bytes, room_bytes + 1)
            )
        except RuntimeError as error:
            raise ProtocolError(f"lz4: {error}") from None
        room_bytes -= len(output)
        if room_bytes < 0:
            raise _too_large("lz4", max_output_bytes)
        pieces.append(output)
        position += used_bytes
        if at_end:
            if position == len(data):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            frame.reset_decompression_context(context)
        elif not output and not used_bytes:
            raise ProtocolError("lz4: the data ends inside a frame")
        else:
            read_bytes = min(read_bytes * 2, _READ_BYTES_MAX)


# zstd

# A compressor keeps some MB of tables and serves one thread at a time: taken here, put back.
# list.pop and list.append are atomic.
_idle_zstd: dict[int, list[ZstdCompressor]] = {}


def _zstd(data: Buffer, level: int | None) -> bytes:
    import zstandard

    wanted_level = 3 if level is None else level
    idle = _idle_zstd.setdefault(wanted_level, [])
    try:
        encoder = idle.pop()
    except IndexError:
        encoder = zstandard.ZstdCompressor(level=wanted_level)
    compressed = encoder.compress(data)
    idle.append(encoder)
    return compressed


def _unzstd(data: memoryview, max_output_bytes: int) -> bytes:
    import zstandard

    _check_zstd_frames(data)
    decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    pieces: list[bytes] = []
    room_bytes = max_output_bytes
    read_bytes = _READ_BYTES_MIN
    with decoder.stream_reader(data, read_across_frames=True) as reader:
        while True:
            try:
                output = reader.read(min(read_bytes, room_bytes + 1))
            except zstandard.ZstdError as error:
                raise ProtocolError(f"zstd: {error}") from None
            room_bytes -= len(output)
            if room_bytes < 0:
                raise _too_large("zstd", max_output_bytes)
            if not output:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.append(output)
            read_bytes = min(read_bytes * 2, _READ_BYTES_MAX)


_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_SKIPPABLE: Final = 0x184D2A50  # to ...5F: a length and bytes that mean nothing
_ZSTD_DICTIONARY_ID_BYTES: Final = (0, 1, 2, 4)
_ZSTD_CONTENT_SIZE_BYTES: Final = (0, 2, 4, 8)
_U32: Final = struct.Struct("<I")


def _check_zstd_frames(data: memoryview) -> None:
    """Walk frames and block headers: the library's stream reader takes a cut frame for its end.

    Frame: magic u32le | descriptor u8 | window u8 unless single segment | dictionary id 0-4 |
    content size 0-8 | blocks | checksum u32 if asked. Block: 3 bytes little-endian, bit 0 last,
    bits 1-2 type (1 is RLE: one byte of content), bits 3-23 size. RFC 8878 3.1.1.
    """
    end = len(data)
    position = 0
    try:
        while position < end:
            magic = _U32.unpack_from(data, position)[0]
            position += 4
            if magic & 0xFFFFFFF0 == _ZSTD_SKIPPABLE:
                position += 4 + _U32.unpack_from(data, position)[0]
                continue
            if magic != _ZSTD_MAGIC:
                raise ProtocolError("zstd: no frame where one should start")
            descriptor = data[position]
            single_segment = descriptor >> 5 & 1
            position += 2 - single_segment + _ZSTD_DICTIONARY_ID_BYTES[descriptor & 3]
            position += _ZSTD_CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
            last = 0
            while not last:
                block = data[position] | data[position + 1] << 8 | data[position + 2] << 16
                last = block & 1
                position += 3 + (1 if block & 6 == 2 else block >> 3)
            position += 4 * (descriptor >> 2 & 1)
    except (IndexError, struct.error):
        position = end + 1
    if position != end:
        raise ProtocolError("zstd: the data ends inside a frame")


_COMPRESSORS: Final[dict[int, Callable[[Buffer, int | None], bytes]]] = {
    0: _keep,
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
_DECOMPRESSORS: Final[dict[int, Callable[[memoryview, int], bytes]]] = {
    0: _keep_bounded,
    1: _gunzip,
    2: _unsnappy,
    3: _unlz4,
    4: _unzstd,
}
assert set(_COMPRESSORS) == set(_DECOMPRESSORS) == set(CODECS)
