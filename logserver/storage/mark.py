"""The durable mark: how far each partition of a log directory is known to be on the device.

The rule of the file: the mark is a *lower bound*. It is written after the syncs it speaks of, so it
may lag and never leads. Whoever owns the directory asks once a second whether it is due: after
`MARK_INTERVAL_MS`, `MARK_INTERVAL_BYTES` or a roll. Recovery draws its line there: below the mark
an invalid batch is corruption and nothing is cut, above it the first invalid batch ends the log
(see `recovery`).

One file per directory, `durable-mark`, two slots of equal size. A write fills the slot that the
last write did not, and is synced before the other may be touched: a power cut can spoil one slot,
the one being written, and the other still holds the mark before it.

    slot:  0         4        8            12      16           24
           crc32c    "LMRK"   slot_bytes   count   generation   entry ... zeros to slot_bytes
           uint32    4 bytes  uint32       uint32  uint64

    entry: name_bytes uint16 | name | topic id 16 bytes |
           offset int64 | segment base offset int64 | position int64

The checksum covers the slot from byte 4 to its end, the zeros too: so each flipped bit of the file
shows. The topic id is in the entry because a topic may be deleted and made again under its name:
the old mark must not judge the new log. When the entries outgrow a slot the whole file is replaced
atomically by one with larger slots.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Final, NamedTuple

from logwire.checksum import crc32c

from .files import File, Files

MARK_FILE: Final = "durable-mark"
MARK_INTERVAL_MS: Final = 900  # just below the second after which it is asked for again
MARK_INTERVAL_BYTES: Final = 16 << 20  # a few ms of CRC
SLOT_BYTES_MIN: Final = 4096  # a page; room for some 60 partitions before the first growth
MAGIC: Final = b"LMRK"

SLOT_HEAD: Final = Struct(">I4sIIQ")
ENTRY_TAIL: Final = Struct(">16sqqq")
CHECKED_FROM: Final = 4


class MarkEntry(NamedTuple):
    """A partition's durable end: everything before `offset` is on the device.

    `position` is a byte in the segment that begins at `segment_base_offset`.
    """

    topic_id: bytes
    offset: int
    segment_base_offset: int
    position: int


class Slot(NamedTuple):
    """A slot that passed its checks."""

    generation: int
    entries: dict[str, MarkEntry]


class MarkWrite:
    """One write of the mark. `run` belongs to a helper thread; it touches nothing but the file."""

    __slots__ = ("_data", "_file", "_files", "_path", "_position")

    def __init__(
        self, files: Files, path: str, file: File | None, data: bytes, position: int
    ) -> None:
        self._files = files
        self._path = path
        self._file = file
        self._data = data
        self._position = position

    def run(self) -> None:
        """Write and sync; an OSError fences the directory."""
        if self._file is None:
            self._files.write_atomically(self._path, self._data)
            return
        self._file.pwrite(self._data, self._position)
        self._file.datasync()


class Mark:
    """The marks of one log directory.

    `known` is False when a file was there and no slot of it could be believed, or none was there:
    then recovery must decide without (see its table).
    """

    __slots__ = (
        "_file",
        "_files",
        "_path",
        "_slot_bytes",
        "dirty",
        "entries",
        "generation",
        "known",
    )

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path
        self._file: File | None = None
        self._slot_bytes = 0
        self.entries: dict[str, MarkEntry] = {}
        self.generation = 0
        self.known = False
        self.dirty = False

    @classmethod
    def load(cls, files: Files, directory: str) -> Mark:
        """Read the mark of a log directory; an absent or spoilt file gives one not `known`."""
        mark = cls(files, f"{directory}/{MARK_FILE}")
        try:
            data = files.read_file(mark._path)
        except FileNotFoundError:
            return mark
        slots = [slot for slot in decode_file(data) if not isinstance(slot, str)]
        if slots:
            newest = max(slots, key=lambda slot: slot.generation)
            mark.entries = newest.entries
            mark.generation = newest.generation
            mark.known = True
        return mark

    def bound(self, name: str, topic_id: bytes) -> MarkEntry | None:
        """The lower bound for one partition: nothing of it, where the mark does not name it.

        None when the mark is not known: then nothing may be concluded.
        """
        if not self.known:
            return None
        entry = self.entries.get(name)
        if entry is None or entry.topic_id != topic_id:
            return MarkEntry(topic_id, 0, 0, 0)
        return entry

    def note(self, name: str, entry: MarkEntry) -> None:
        """Remember a durable end of the partition directory `name`, to be written with the next."""
        if self.entries.get(name) != entry:
            self.entries[name] = entry
            self.dirty = True

    def forget(self, name: str) -> None:
        """Drop a deleted partition."""
        if self.entries.pop(name, None) is not None:
            self.dirty = True

    def begin_write(self) -> MarkWrite:
        """The write of what is noted now. One at a time: the next only after this one ran."""
        self.dirty = False
        self.generation += 1
        slot = encode_slot(self.generation, self.entries, self._slot_bytes)
        if len(slot) != self._slot_bytes or self._file is None:
            return self._begin_replacement()
        position = (self.generation & 1) * self._slot_bytes
        return MarkWrite(self._files, self._path, self._file, slot, position)

    def _begin_replacement(self) -> MarkWrite:
        # Both slots anew; the file is opened when the new one has its name.
        self.close()
        newest = encode_slot(self.generation + 1, self.entries, SLOT_BYTES_MIN)
        older = encode_slot(self.generation, self.entries, len(newest))
        self.generation += 1
        self._slot_bytes = len(newest)
        pair = (older, newest) if self.generation & 1 else (newest, older)
        return _Replacement(self, b"".join(pair))

    def withdraw_write(self) -> None:
        """The last write has failed: the next one goes to the same slot, and spares the other."""
        self.generation -= 1
        self.dirty = True

    def write(self) -> None:
        """Write and sync what is noted now, here."""
        self.begin_write().run()

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Replacement(MarkWrite):
    """Replaces the whole file, then opens it for the writes that follow."""

    __slots__ = ("_mark",)

    def __init__(self, mark: Mark, data: bytes) -> None:
        super().__init__(mark._files, mark._path, None, data, 0)  # noqa: SLF001 - same file
        self._mark = mark

    def run(self) -> None:
        super().run()
        self._mark._file = self._files.open(self._path)  # noqa: SLF001 - one assignment, one writer


def encode_slot(generation: int, entries: dict[str, MarkEntry], slot_bytes: int) -> bytes:
    """One slot; doubled from `slot_bytes` until the entries fit."""
    body = bytearray()
    for name, entry in entries.items():
        encoded = name.encode()
        body += len(encoded).to_bytes(2, "big") + encoded + ENTRY_TAIL.pack(*entry)
    slot_bytes = max(slot_bytes, SLOT_BYTES_MIN)
    while slot_bytes < SLOT_HEAD.size + len(body):
        slot_bytes *= 2
    slot = bytearray(slot_bytes)
    SLOT_HEAD.pack_into(slot, 0, 0, MAGIC, slot_bytes, len(entries), generation)
    slot[SLOT_HEAD.size : SLOT_HEAD.size + len(body)] = body
    checksum = crc32c(memoryview(slot)[CHECKED_FROM:])
    slot[:CHECKED_FROM] = checksum.to_bytes(4, "big")
    return bytes(slot)


def decode_file(data: bytes) -> list[Slot | str]:
    """Both slots of a mark file; a string says what is wrong with that slot."""
    slot_bytes = len(data) // 2
    if not data or len(data) % 2:
        return [f"a file of {len(data)} bytes has no two equal slots"] * 2
    return [decode_slot(data[:slot_bytes]), decode_slot(data[slot_bytes:])]


def decode_slot(slot: bytes) -> Slot | str:
    """A slot's content, or what is wrong with it."""
    if len(slot) < SLOT_HEAD.size:
        return f"a slot of {len(slot)} bytes is shorter than its head"
    stored_crc, magic, slot_bytes, count, generation = SLOT_HEAD.unpack_from(slot)
    if magic != MAGIC or slot_bytes != len(slot):
        return "not a slot of a durable mark"
    if stored_crc != crc32c(memoryview(slot)[CHECKED_FROM:]):
        return "the checksum does not match"
    entries = {}
    position = SLOT_HEAD.size
    try:
        for _ in range(count):
            end = position + 2 + int.from_bytes(slot[position : position + 2], "big")
            name = slot[position + 2 : end].decode()
            entries[name] = MarkEntry(*ENTRY_TAIL.unpack_from(slot, end))
            position = end + ENTRY_TAIL.size
    except (struct.error, UnicodeDecodeError) as error:
        return f"an entry cannot be read: {error}"
    return Slot(generation, entries)
