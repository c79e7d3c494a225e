"""A sealed segment's seal: what its files are, byte for byte, so that bit rot shows.

Each batch carries a CRC-32C of its own, but nothing in Kafka's formats covers the first 21 bytes of
a batch, a whole batch that is gone, or an index. So when a segment is sealed, one small text file
beside it, `<base>.digest`, records size and XXH3 (64 bits) of everything that belongs to it:

    logserver digest 1
    base_offset 0
    end_offset 81930
    max_timestamp_ms 1760000000000
    .log 104857312 4a5e1e4baab89f3a
    .index 204784 8c1d...
    .timeindex 307176 ...
    .snapshot 56 ...                 taken at base_offset; absent for the first segment
    checksum 77be...                 XXH3 of all lines above

The files are synced before the digest is written: a segment with a valid digest is on the device,
whatever the durable mark says, and recovery opens it without reading it. The text is read strictly
(decoded, encoded again, compared), so each flipped bit of the digest itself shows too.

XXH3 and not CRC-32C here: 100 MB of it must be summed on one of two cores beside the serving
thread, in calls that release the GIL (`update` on more than 100 kB does), at memory speed.
This is the one module that imports xxhash.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import xxhash

from .files import Files

DIGEST_SUFFIX: Final = ".digest"
COVERED_SUFFIXES: Final = (".log", ".index", ".timeindex", ".txnindex", ".snapshot", ".window")
CHUNK_BYTES: Final = 1 << 20  # long enough to release the GIL, short enough to stay in the cache
TITLE: Final = "logserver digest 1"


Sum = xxhash.xxh3_64


class DigestError(ValueError):
    """A digest file that must not be believed; the message says why."""


class Part(NamedTuple):
    """One file of the segment: its size and its XXH3."""

    suffix: str
    size_bytes: int
    xxh3: int


class SegmentDigest(NamedTuple):
    """What a sealed segment is. `end_offset` is the base offset of the next segment."""

    base_offset: int
    end_offset: int
    max_timestamp_ms: int
    parts: tuple[Part, ...]

    def size_of(self, suffix: str) -> int | None:
        """The size of one of the segment's files, None if it has none of that kind."""
        for part in self.parts:
            if part.suffix == suffix:
                return part.size_bytes
        return None


def xxh3(data: bytes | bytearray | memoryview) -> int:
    """XXH3, 64 bits, seed 0."""
    return xxhash.xxh3_64_intdigest(data)


def xxh3_128(data: bytes, seed: int) -> bytes:
    """XXH3, 128 bits: the keys of a compaction's offset map."""
    return xxhash.xxh3_128_digest(data, seed)


def new_sum() -> xxhash.xxh3_64:
    """An XXH3 to be fed piece by piece (`update`, `intdigest`), for a file as it is written."""
    return xxhash.xxh3_64()


def file_name(base_offset: int, suffix: str) -> str:
    """Kafka's name of a segment's file: the base offset in 20 digits."""
    return f"{base_offset:020d}{suffix}"


def digest_file(files: Files, path: str) -> tuple[int, int]:
    """Size and XXH3 of a file, read in chunks; for a helper thread."""
    file = files.open(path, write=False)
    try:
        state = xxhash.xxh3_64()
        position = 0
        while chunk := file.pread(CHUNK_BYTES, position):
            state.update(chunk)
            position += len(chunk)
        return position, state.intdigest()
    finally:
        file.close()


def seal_segment(
    files: Files,
    directory: str,
    base_offset: int,
    end_offset: int,
    max_timestamp_ms: int,
    log_xxh3: int | None = None,
) -> SegmentDigest:
    """Sum up the files of a trimmed, synced segment and write its digest; for a helper thread.

    `log_xxh3`: the sum of the `.log`, where it was made as the batches came.
    """
    parts = []
    for suffix in COVERED_SUFFIXES:
        path = f"{directory}/{file_name(base_offset, suffix)}"
        if suffix == ".log" and log_xxh3 is not None:
            parts.append(Part(suffix, files.file_size(path), log_xxh3))
        elif files.exists(path):
            parts.append(Part(suffix, *digest_file(files, path)))
    digest = SegmentDigest(base_offset, end_offset, max_timestamp_ms, tuple(parts))
    path = f"{directory}/{file_name(base_offset, DIGEST_SUFFIX)}"
    files.write_atomically(path, encode_digest(digest))
    return digest


def encode_digest(digest: SegmentDigest) -> bytes:
    """The bytes of a `.digest` file."""
    lines = [
        TITLE,
        f"base_offset {digest.base_offset}",
        f"end_offset {digest.end_offset}",
        f"max_timestamp_ms {digest.max_timestamp_ms}",
        *(f"{part.suffix} {part.size_bytes} {part.xxh3:016x}" for part in digest.parts),
    ]
    text = ("\n".join(lines) + "\n").encode()
    return text + f"checksum {xxh3(text):016x}\n".encode()


def decode_digest(data: bytes) -> SegmentDigest:
    """Read a `.digest` file strictly. Raises DigestError."""
    try:
        lines = data.decode("ascii").split("\n")
        if lines[0] != TITLE:
            raise DigestError(f"digest begins with {lines[0][:40]!r}, not with {TITLE!r}")
        heads = [int(line.split(" ")[1]) for line in lines[1:4]]
        parts = []
        for line in lines[4:-2]:
            suffix, size, digest = line.split(" ")
            parts.append(Part(suffix, int(size), int(digest, 16)))
        result = SegmentDigest(heads[0], heads[1], heads[2], tuple(parts))
    except DigestError:
        raise
    except (ValueError, IndexError) as error:
        raise DigestError(f"digest cannot be read: {error}") from error
    if encode_digest(result) != data:
        raise DigestError("digest does not match its checksum")
    return result


def read_digest(files: Files, directory: str, base_offset: int) -> SegmentDigest | None:
    """The digest of a segment; None where it is absent or not to be believed."""
    try:
        data = files.read_file(f"{directory}/{file_name(base_offset, DIGEST_SUFFIX)}")
        digest = decode_digest(data)
    except (FileNotFoundError, DigestError):
        return None
    return digest if digest.base_offset == base_offset else None
