"""The durable mark: a lower bound that survives a torn write of itself."""

from __future__ import annotations

from random import Random

import pytest

from logserver.storage.mark import (
    MARK_FILE,
    SLOT_BYTES_MIN,
    Mark,
    MarkEntry,
    Slot,
    decode_file,
    encode_slot,
)
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles

ID = bytes(range(16))
PATH = f"d/{MARK_FILE}"


def entry(offset: int, topic_id: bytes = ID) -> MarkEntry:
    """A mark in the first segment, a byte for each offset."""
    return MarkEntry(topic_id, offset, 0, offset)


def directory(files: MemoryFiles | None = None) -> MemoryFiles:
    """An empty log directory."""
    files = files or MemoryFiles()
    files.make_directory("d")
    return files


def test_a_written_mark_is_read_back() -> None:
    """Names, topic ids and positions."""
    files = directory()
    mark = Mark.load(files, "d")
    assert not mark.known
    mark.note("a-0", entry(5))
    mark.note("ü-1", MarkEntry(bytes(16), 1 << 40, 1 << 39, 99))
    mark.write()
    again = Mark.load(files, "d")
    assert again.known
    assert again.entries == {"a-0": entry(5), "ü-1": MarkEntry(bytes(16), 1 << 40, 1 << 39, 99)}


def test_the_newest_slot_counts_and_writes_alternate() -> None:
    """Each write touches the slot that the last one did not."""
    files = directory()
    mark = Mark.load(files, "d")
    before = b""
    for offset in range(10):
        mark.note("a-0", entry(offset))
        mark.write()
        data = files.read_file(PATH)
        if offset >= 2:
            halves = [(data[i : i + SLOT_BYTES_MIN], before[i : i + SLOT_BYTES_MIN])
                      for i in (0, SLOT_BYTES_MIN)]  # fmt: skip
            assert sum(new != old for new, old in halves) == 1
        before = data
        assert Mark.load(files, "d").entries["a-0"].offset == offset


def test_a_spoilt_newest_slot_leaves_the_mark_before_it() -> None:
    """Lower, and therefore still true."""
    files = directory()
    mark = Mark.load(files, "d")
    for offset in (1, 2, 3):
        mark.note("a-0", entry(offset))
        mark.write()
    position = (mark.generation & 1) * SLOT_BYTES_MIN
    file = files.open(PATH)
    file.pwrite(b"\xff", position + 30)
    again = Mark.load(files, "d")
    assert again.entries["a-0"].offset == 2
    file.pwrite(b"\xff", SLOT_BYTES_MIN - position + 30)
    assert not Mark.load(files, "d").known


def test_every_flipped_bit_of_the_file_is_found() -> None:
    """Entries, checksum, and the zeros behind them."""
    files = directory()
    mark = Mark.load(files, "d")
    for offset in (1, 2):
        mark.note("a-0", entry(offset))
        mark.write()
    data = bytearray(files.read_file(PATH))
    assert all(isinstance(slot, Slot) for slot in decode_file(bytes(data)))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        slots = decode_file(bytes(data))
        assert [type(slot) for slot in slots].count(str) == 1
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("data", [b"", b"x", b"LMRK" * 3, bytes(2 * SLOT_BYTES_MIN)])
def test_a_file_that_is_no_mark_is_not_known(data: bytes) -> None:
    """Empty, short, zeros: no bound may be concluded, and nothing raised."""
    files = directory()
    files.write_atomically(PATH, data)
    mark = Mark.load(files, "d")
    assert not mark.known
    assert mark.bound("a-0", ID) is None


def test_the_slots_grow_with_the_partitions() -> None:
    """Once the entries do not fit, the file is replaced by one with larger slots."""
    files = directory()
    mark = Mark.load(files, "d")
    for number in range(300):
        mark.note(f"topic-{number}", entry(number))
        if number % 50 == 0:
            mark.write()
    mark.write()
    assert len(Mark.load(files, "d").entries) == 300
    assert len(files.read_file(PATH)) > 2 * SLOT_BYTES_MIN
    mark.note("topic-0", entry(1000))
    mark.write()
    assert Mark.load(files, "d").entries["topic-0"].offset == 1000


def test_a_mark_bounds_only_the_topic_it_was_written_for() -> None:
    """A topic made again under its name starts unbounded."""
    files = directory()
    mark = Mark.load(files, "d")
    mark.note("a-0", entry(5))
    mark.write()
    again = Mark.load(files, "d")
    assert again.bound("a-0", ID) == entry(5)
    assert again.bound("a-0", bytes(16)) == MarkEntry(bytes(16), 0, 0, 0)
    assert again.bound("b-0", ID) == MarkEntry(ID, 0, 0, 0)
    again.forget("a-0")
    assert again.dirty
    assert again.bound("a-0", ID) == MarkEntry(ID, 0, 0, 0)


def test_a_mark_that_says_nothing_new_is_not_dirty() -> None:
    """An idle directory writes nothing."""
    mark = Mark.load(directory(), "d")
    mark.note("a-0", entry(5))
    mark.begin_write()
    mark.note("a-0", entry(5))
    assert not mark.dirty


def test_no_power_cut_takes_a_synced_mark_back() -> None:
    """Cut at any place of any write: the mark of the last finished write, or a newer one."""
    seed = Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    files = RecordingFiles()
    directory(files)
    files.sync_directory("")
    mark = Mark.load(files, "d")
    mark.note("a-0", entry(0))
    mark.write()
    for offset in range(1, 200):
        for number in range(random.randint(1, 3)):
            mark.note(f"{'x' * random.randint(1, 200)}-{number}", entry(offset))
        mark.note("a-0", entry(offset))
        write = mark.begin_write()
        if write._file is not None and random.random() < 0.5:
            write._file.pwrite(write._data, write._position)  # cut between write and sync
            found = Mark.load(files.power_cut(random), "d")
            assert found.known
            assert found.entries["a-0"].offset in (offset - 1, offset)
        write.run()
        found = Mark.load(files.power_cut(random), "d")
        assert found.entries["a-0"].offset == offset


def test_a_write_that_failed_spares_the_slot_that_is_whole() -> None:
    """Half a slot was written when the disk was full; so is the next attempt, in the same place."""
    files = directory()
    mark = Mark.load(files, "d")
    for offset in range(3):
        mark.note("a-0", entry(offset))
        mark.write()
    for offset in range(3, 6):
        mark.note("a-0", entry(offset))
        write = mark.begin_write()
        assert write._file is not None
        write._file.pwrite(write._data[:20], write._position)
        mark.withdraw_write()
        assert mark.dirty
        assert Mark.load(files, "d").entries == {"a-0": entry(2)}
    mark.write()
    assert Mark.load(files, "d").entries == {"a-0": entry(5)}


def test_a_slot_is_as_large_as_its_entries_need() -> None:
    """Doubling from 4 KB."""
    assert len(encode_slot(1, {}, 0)) == SLOT_BYTES_MIN
    many = {f"t-{number}": entry(number) for number in range(200)}
    assert len(encode_slot(1, many, 0)) % SLOT_BYTES_MIN == 0
