"""A bench for partition directories in memory: write batches, break things, recover, look.

The directory is written by hand, without `Log`: what recovery is given is then known byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

from logserver.storage import checkpoint, digest, producer_files
from logserver.storage.files import Files
from logserver.storage.mark import MarkEntry
from logserver.storage.producers import ProducerStates
from logserver.storage.recovery import Recovery, recover
from logserver.storage.scan import Observe
from logserver.storage.simulated_files import MemoryFiles
from logwire.batch import HEADER, encode_batch, stamp

TOPIC_ID = bytes(range(16))
DIRECTORY = "data/t-0"
NOW_MS = 1_700_000_000_000


def batch(
    base_offset: int,
    count: int = 1,
    *,
    value_bytes: int = 20,
    codec: int = 0,
    epoch: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
    timestamp_ms: int = NOW_MS,
) -> bytes:
    """One stamped batch; `producer` is (id, epoch, base sequence)."""
    value = bytes((base_offset + i) % 251 for i in range(value_bytes))
    records = [(b"k%d" % (base_offset + i), value, (), timestamp_ms + i) for i in range(count)]
    data = encode_batch(
        records,
        codec=codec,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
    )
    stamp(data, base_offset, epoch)
    return bytes(data)


class Bench:
    """One partition directory; each segment is a list of batches until `write` puts it there."""

    def __init__(self, files: Files | None = None) -> None:
        self.files = files if files is not None else MemoryFiles()
        for path in ("data", DIRECTORY):
            self.files.make_directory(path)
        checkpoint.write_topic_id(self.files, DIRECTORY, TOPIC_ID)
        checkpoint.write_epochs(
            self.files, DIRECTORY, checkpoint.LeaderEpochs([checkpoint.EpochStart(0, 0)])
        )

    def path(self, base_offset: int, suffix: str = ".log") -> str:
        """A segment's file."""
        return f"{DIRECTORY}/{digest.file_name(base_offset, suffix)}"

    def write(self, base_offset: int, *batches: bytes, zeros: int = 0) -> int:
        """Write a whole segment; the size of its batches."""
        data = b"".join(batches)
        file = self.files.open(self.path(base_offset), create=True)
        file.truncate(0)
        file.pwrite(data + bytes(zeros), 0)
        file.datasync()
        file.close()
        self.files.sync_directory(DIRECTORY)
        return len(data)

    def read(self, base_offset: int, suffix: str = ".log") -> bytes:
        """A file's bytes."""
        return self.files.read_file(self.path(base_offset, suffix))

    def overwrite(self, base_offset: int, position: int, data: bytes, suffix: str = ".log") -> None:
        """Damage a file in place."""
        file = self.files.open(self.path(base_offset, suffix))
        file.pwrite(data, position)
        file.datasync()
        file.close()

    def flip(self, base_offset: int, position: int, bit: int = 0, suffix: str = ".log") -> None:
        """Flip one bit."""
        byte = self.read(base_offset, suffix)[position]
        self.overwrite(base_offset, position, bytes([byte ^ 1 << bit]), suffix)

    def shorten(self, base_offset: int, size_bytes: int, suffix: str = ".log") -> None:
        """Cut a file."""
        file = self.files.open(self.path(base_offset, suffix))
        file.truncate(size_bytes)
        file.datasync()
        file.close()

    def seal(self, base_offset: int, end_offset: int, max_timestamp_ms: int = NOW_MS) -> None:
        """Give a segment empty indexes and a digest."""
        for suffix in (".index", ".timeindex"):
            self.files.open(self.path(base_offset, suffix), create=True).close()
        digest.seal_segment(self.files, DIRECTORY, base_offset, end_offset, max_timestamp_ms)

    def remember_producers(self, states: ProducerStates, offset: int) -> None:
        """Write the producers' files as of `offset`."""
        producer_files.encode(states, offset).write(self.files, DIRECTORY)

    def recover(
        self,
        mark: MarkEntry | None = None,
        *,
        clean: bool = False,
        observer: Callable[[int], Observe] | None = None,
    ) -> Recovery:
        """Run recovery."""
        return recover(
            self.files, DIRECTORY, clean=clean, mark=mark, now_ms=NOW_MS, observer=observer
        )

    def names(self, suffix: str = "") -> list[str]:
        """The directory's file names with that suffix."""
        return [n for n in self.files.list_directory(DIRECTORY) if n.endswith(suffix)]

    def bases(self) -> list[int]:
        """The base offsets of the segments on disk."""
        return [int(name[:20]) for name in self.names(".log")]


def mark_at(offset: int, segment_base_offset: int, position: int) -> MarkEntry:
    """A durable mark of the bench's partition."""
    return MarkEntry(TOPIC_ID, offset, segment_base_offset, position)


def offsets(data: bytes) -> list[tuple[int, int]]:
    """(base offset, last offset) of each batch of a segment's bytes."""
    found = []
    position = 0
    while position < len(data):
        header = HEADER.unpack_from(data, position)
        found.append((header[0], header[0] + header[6]))
        position += header[1] + 12
    return found
