"""What a power cut may take and what it may not: the simulation must be as cruel as a disk."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from logserver.storage.files import Files
from logserver.storage.simulated_files import SECTOR_BYTES, MemoryFiles, RecordingFiles

CUTS_COUNT = 400


def cut_states(prepare: Callable[[RecordingFiles], object], seed: int = 1) -> list[Files]:
    """Many power cuts after the same operations; the seed is fixed, so a failure repeats."""
    files = RecordingFiles()
    prepare(files)
    random = Random(seed)
    return [files.power_cut(random) for _ in range(CUTS_COUNT)]


def contents(states: list[Files], path: str) -> set[bytes | None]:
    """What a file may hold after the cut, None for not being there."""
    return {files.read_file(path) if files.exists(path) else None for files in states}


def test_what_was_synced_stays() -> None:
    """Data, size and name, all three synced: every state has them."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.pwrite(b"x" * 1500, 0)
        file.datasync()
        files.sync_directory("")

    assert contents(cut_states(prepare), "a") == {b"x" * 1500}


def test_a_synced_file_without_a_synced_name_may_be_gone() -> None:
    """The bug that a missing directory sync is."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.pwrite(b"x", 0)
        file.datasync()

    assert contents(cut_states(prepare), "a") == {b"x", None}


def test_an_unsynced_write_is_torn_at_sectors() -> None:
    """Each sector on its own: old or new, never a mixture within."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.pwrite(b"o" * 2048, 0)
        file.datasync()
        files.sync_directory("")
        file.pwrite(b"n" * 1400, 300)

    seen = set()
    for data in contents(cut_states(prepare), "a"):
        assert data is not None
        assert data[:300] == b"o" * 300
        assert data[1700:] == b"o" * 348
        pieces = [data[300:512], data[512:1024], data[1024:1536], data[1536:1700]]
        assert all(len(set(piece)) == 1 for piece in pieces)
        seen.add(tuple(piece[:1] for piece in pieces))
    assert len(seen) == 16, "some tearing never happens"


def test_later_writes_may_persist_without_earlier_ones() -> None:
    """A disk knows no order between two syncs."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.allocate(0, 2 * SECTOR_BYTES)
        file.datasync()
        files.sync_directory("")
        file.pwrite(b"1" * SECTOR_BYTES, 0)
        file.pwrite(b"2" * SECTOR_BYTES, SECTOR_BYTES)

    zero, one, two = bytes(SECTOR_BYTES), b"1" * SECTOR_BYTES, b"2" * SECTOR_BYTES
    assert contents(cut_states(prepare), "a") == {zero * 2, one + zero, zero + two, one + two}


def test_size_and_data_are_independent() -> None:
    """A size without its data reads as zeros; data without its size is lost."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.datasync()
        files.sync_directory("")
        file.pwrite(b"x" * 100, 0)

    assert contents(cut_states(prepare), "a") == {b"", bytes(100), b"x" * 100}


def test_an_unsynced_truncate_may_not_have_happened() -> None:
    """Until a sync the longer file may come back."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.pwrite(b"x" * 100, 0)
        file.datasync()
        files.sync_directory("")
        file.truncate(10)

    found = contents(cut_states(prepare), "a")
    assert {b"x" * 10, b"x" * 100} <= found <= {b"x" * 10, b"x" * 100, b"x" * 10 + bytes(90)}


def test_a_rename_happens_or_not_but_never_loses_the_file() -> None:
    """One name or the other, for a file whose first name was durable."""

    def prepare(files: RecordingFiles) -> None:
        file = files.open("a", create=True)
        file.pwrite(b"new", 0)
        file.datasync()
        files.open("b", create=True).datasync()
        files.sync_directory("")
        files.rename("a", "b")

    found = {(files.exists("a"), files.read_file("b")) for files in cut_states(prepare)}
    assert found == {(True, b""), (False, b"new")}


def test_unlinks_persist_in_any_order() -> None:
    """Three files unlinked one after another: any of them may come back."""

    def prepare(files: RecordingFiles) -> None:
        for name in "abc":
            files.open(name, create=True)
        files.sync_directory("")
        for name in "abc":
            files.unlink(name)

    found = {tuple(files.list_directory("")) for files in cut_states(prepare)}
    assert len(found) == 8


def test_a_lost_directory_takes_its_files_along() -> None:
    """The name of the directory is an entry of its parent."""

    def prepare(files: RecordingFiles) -> None:
        files.make_directory("d")
        files.open("d/a", create=True).datasync()
        files.sync_directory("d")

    assert {files.exists("d/a") for files in cut_states(prepare)} == {True, False}


def test_a_file_system_sync_leaves_nothing_pending() -> None:
    """One call for everything, as at a clean stop."""
    files = RecordingFiles()
    files.make_directory("d")
    files.open("d/a", create=True).pwrite(b"x", 0)
    assert files.pending_count() == 3
    files.sync_file_system("")
    assert files.pending_count() == 0
    assert files.power_cut(Random(1)).read_file("d/a") == b"x"


def test_an_atomic_write_is_old_or_new() -> None:
    """The one promise that every small file rests on."""

    def prepare(files: RecordingFiles) -> None:
        files.write_atomically("a", b"old")
        files.write_atomically("a", b"newer")

    assert contents(cut_states(prepare), "a") == {b"newer"}

    def interrupted(files: RecordingFiles) -> None:
        files.write_atomically("a", b"old")
        file = files.open("a.tmp", create=True)
        file.pwrite(b"newer", 0)
        file.datasync()
        files.rename("a.tmp", "a")

    assert contents(cut_states(interrupted), "a") == {b"old", b"newer"}


def test_a_cut_can_be_recorded_and_cut_again() -> None:
    """A second failure during recovery is the interesting one."""
    files = RecordingFiles()
    files.open("a", create=True)
    files.sync_directory("")
    again = files.power_cut(Random(1))
    assert isinstance(again, RecordingFiles)
    again.open("a").pwrite(b"x", 0)
    assert again.pending_count() == 1
    assert isinstance(again.power_cut(Random(2)), MemoryFiles)
    assert files.read_file("a") == b""


def test_the_same_seed_gives_the_same_state() -> None:
    """A failure that cannot be repeated is a rumour."""
    files = RecordingFiles()
    for name in "abcdef":
        files.open(name, create=True).pwrite(name.encode() * 5000, 0)
    one, other = (files.power_cut(Random(77)) for _ in range(2))
    assert one.list_directory("") == other.list_directory("")
    assert all(one.read_file(n) == other.read_file(n) for n in one.list_directory(""))
