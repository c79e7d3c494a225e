"""A swap on the disk, stopped after every operation: what a start makes of it."""

from __future__ import annotations

from random import Random

import pytest

from logserver.storage import swap_files
from logserver.storage.compaction import Compaction
from logserver.storage.compaction_output import Cleaned
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import Files
from logserver.storage.recovery import segment_base_offsets
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.simulation.power import CuttingFiles, PowerCut
from tests.storage.bench import DIRECTORY
from tests.storage.compaction_bench import CompactionBench, no_pace

LEFT_SUFFIXES = (".cleaned", ".swap", ".deleted")


def prepared(files: Files) -> tuple[CompactionBench, Cleaned]:
    """A log of three sealed segments and the finished output that replaces them."""
    bench = CompactionBench(files, segment_bytes=4000)
    for number in range(3):
        bench.write_keys([number, 7, number, 7])
        bench.roll()
    outputs = list(Compaction(bench.files, DIRECTORY, bench.job(), no_pace).outputs())
    assert len(outputs) == 1
    assert outputs[0].bases == (0, 4, 8)
    return bench, outputs[0]


def swap_all(files: Files, cleaned: Cleaned) -> None:
    """Commit and complete, as the chores do."""
    swap_files.commit(files, DIRECTORY, cleaned.base_offset)
    swap_files.complete(files, DIRECTORY, cleaned.base_offset, cleaned.bases, keep_logs=True)


def test_a_swap_leaves_the_new_segment_and_the_old_batches() -> None:
    """The old batches under a name that Kafka uses, for who still reads them; nothing else."""
    bench, cleaned = prepared(MemoryFiles())
    swap_all(bench.files, cleaned)
    assert segment_base_offsets(bench.files, DIRECTORY) == [0, 12]
    left = [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]
    assert left == [f"{base:020d}.log.deleted" for base in (0, 4, 8)]
    for base in cleaned.bases:
        swap_files.remove_replaced(bench.files, DIRECTORY, base)
    assert swap_files.recover(bench.files, DIRECTORY) == []
    assert not [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]


def test_completing_twice_changes_nothing() -> None:
    """A completion that failed half-way is repeated."""
    bench, cleaned = prepared(MemoryFiles())
    swap_all(bench.files, cleaned)
    names = bench.names()
    swap_files.complete(bench.files, DIRECTORY, 0, cleaned.bases, keep_logs=True)
    assert bench.names() == names


def operations_of_a_swap() -> int:
    """How many operations a swap takes on a file system that counts them."""
    files = CuttingFiles()
    bench, cleaned = prepared(files)
    before = files.operations_count
    swap_all(bench.files, cleaned)
    return files.operations_count - before


@pytest.mark.parametrize("operation", range(1, operations_of_a_swap() + 1))
def test_a_kill_at_any_operation_of_a_swap_loses_nothing(operation: int) -> None:
    """Everything done until then is there, nothing after it: old or new, and the same records."""
    files = CuttingFiles()
    bench, cleaned = prepared(files)
    files.cut_at = files.operations_count + operation
    with pytest.raises(PowerCut):
        swap_all(files, cleaned)
    files.cut_at = -1
    bench.log = bench.open(clean=False)
    assert bench.latest() == bench.expected()
    assert bench.log.recovery.quarantine is None
    assert [s.base_offset for s in bench.log.segments] in ([0, 4, 8, 12], [0, 12])
    assert not [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]


@pytest.mark.parametrize("operation", range(1, operations_of_a_swap() + 1))
def test_a_power_cut_at_any_operation_of_a_swap_loses_nothing(operation: int) -> None:
    """Any names that no sync has covered are there or not, each on its own."""
    for seed in range(12):
        files = CuttingFiles()
        bench, cleaned = prepared(files)
        files.cut_at = files.operations_count + operation
        with pytest.raises(PowerCut):
            swap_all(files, cleaned)
        bench.files = files.after_cut(Random(seed))
        bench.log = bench.open(clean=False)
        assert bench.latest() == bench.expected(), seed
        assert bench.log.recovery.quarantine is None
        assert bench.log.segments[0].sealed
        assert not [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]


@pytest.mark.parametrize("operation", range(1, 30))
def test_a_power_cut_while_a_swap_is_finished_loses_nothing(operation: int) -> None:
    """A start that is interrupted in its turn."""
    for seed in range(6):
        files = CuttingFiles()
        bench, cleaned = prepared(files)
        swap_files.commit(files, DIRECTORY, cleaned.base_offset)
        files = files.after_cut(Random(seed))
        files.cut_at = files.operations_count + operation
        try:
            swap_files.recover(files, DIRECTORY)
        except PowerCut:
            files = files.after_cut(Random(seed + 100))
        files.cut_at = -1
        bench.files = files
        bench.log = bench.open(clean=False)
        assert bench.latest() == bench.expected()
        assert [s.base_offset for s in bench.log.segments] == [0, 12]


class NeverSyncsNames(CuttingFiles):
    """Planted: a commit that does not wait for the directory."""

    def sync_directory(self, path: str) -> None:
        if not self.forgets:
            super().sync_directory(path)

    forgets = False


def test_a_planted_missing_directory_sync_is_found() -> None:
    """The tests above see what they are there for."""
    for seed in range(200):
        files = NeverSyncsNames()
        bench, cleaned = prepared(files)
        files.forgets = True
        swap_all(files, cleaned)
        bench.files = files.after_cut(Random(seed))
        try:
            bench.log = bench.open(clean=False)
            if bench.log.recovery.quarantine or bench.latest() != bench.expected():
                return
        except Exception as error:  # noqa: BLE001 - however it shows
            print(f"seed {seed}: {error!r}")
            return
    pytest.fail("no power cut showed that the names were not synced")


def test_a_planted_early_end_of_the_manifest_is_found() -> None:
    """A digest that gets its name beside the others no longer says what is whole."""

    def careless(files: Files, cleaned: Cleaned) -> None:
        stem = f"{DIRECTORY}/{cleaned.base_offset:020d}"
        for suffix in (".digest", ".log", ".index", ".timeindex"):
            files.rename(f"{stem}{suffix}.cleaned", f"{stem}{suffix}.swap")
        files.sync_directory(DIRECTORY)
        for base in cleaned.bases[1:]:
            files.unlink(f"{DIRECTORY}/{base:020d}.log")
        for suffix in (".digest", ".log", ".index", ".timeindex"):
            files.rename(f"{stem}{suffix}.swap", f"{stem}{suffix}")

    for seed in range(200):
        files = RecordingFiles()
        bench, cleaned = prepared(files)
        careless(files, cleaned)
        bench.files = files.power_cut(Random(seed))
        try:
            bench.log = bench.open(clean=False)
            if bench.log.recovery.quarantine or bench.latest() != bench.expected():
                return
        except Exception as error:  # noqa: BLE001 - however it shows
            print(f"seed {seed}: {error!r}")
            return
    pytest.fail("no power cut showed that the manifest went too early")


@pytest.mark.parametrize("suffix", [".log", ".index", ".timeindex", ".digest"])
@pytest.mark.parametrize("done", ["commit", "complete"])
def test_a_spoilt_part_of_a_swap_is_never_put_in(suffix: str, done: str) -> None:
    """While the old segments are there they win; when they are gone nothing is touched."""
    bench, cleaned = prepared(MemoryFiles())
    swap_files.commit(bench.files, DIRECTORY, cleaned.base_offset)
    stem = f"{DIRECTORY}/{0:020d}"
    if done == "complete":
        bench.files.rename(f"{stem}.log.swap", f"{stem}.log")
        name = f"{stem}{suffix}" + ("" if suffix == ".log" else ".swap")
    else:
        name = f"{stem}{suffix}.swap"
    file = bench.files.open(name)
    if not file.size():
        file.pwrite(b"x", 0)
    file.pwrite(bytes([file.pread(1, 3)[0] ^ 1]) if file.size() > 3 else b"y", 3)
    names = bench.names()
    assert swap_files.recover(bench.files, DIRECTORY) == []
    if done == "complete":
        assert bench.names() == names
        return
    assert segment_base_offsets(bench.files, DIRECTORY) == [0, 4, 8, 12]
    assert not [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]
    bench.log = bench.open(clean=False)
    assert bench.latest() == bench.expected()


def test_leftovers_without_a_manifest_are_removed() -> None:
    """Of an interrupted compaction, of a commit that did not get far, of an old swap."""
    bench, _ = prepared(MemoryFiles())
    for suffix in (".log.swap", ".log.deleted", ".index.swap"):
        bench.files.open(f"{DIRECTORY}/{4:020d}{suffix}", create=True)
    swap_files.recover(bench.files, DIRECTORY)
    assert not [name for name in bench.names() if name.endswith(LEFT_SUFFIXES)]
    bench.reopen(clean=False)
    assert bench.latest() == bench.expected()


def test_an_interrupted_compaction_is_cleared_away() -> None:
    """Before the next job begins in the same directory."""
    bench, _ = prepared(MemoryFiles())
    assert [name for name in bench.names() if name.endswith(".cleaned")]
    swap_files.remove_cleaned(bench.files, DIRECTORY)
    assert not [name for name in bench.names() if name.endswith(".cleaned")]


def test_a_start_without_leftovers_reads_nothing_but_names() -> None:
    """What every start of every log pays."""
    files = FailingFiles(MemoryFiles())
    bench = CompactionBench(files)
    before = files.calls.copy()
    swap_files.recover(bench.files, DIRECTORY)
    assert files.calls == before
