"""Durable is what a sync has covered, no byte more, whatever rolls or fails meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from random import Random

import pytest

from logserver.storage import sync
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import File
from logserver.storage.log import FencedError
from logserver.storage.simulated_files import MemoryFile, MemoryFiles, RecordingFiles
from tests.storage.bench import Bench, counting_bench


def test_an_idle_log_has_nothing_to_sync() -> None:
    """The group commit asks every dirty partition and takes None for done."""
    bench = Bench()
    assert bench.log.begin_sync() is None
    bench.write()
    bench.sync()
    assert bench.log.begin_sync() is None


def test_durable_moves_when_the_task_has_run_and_only_as_far() -> None:
    """What is appended while a sync is in flight belongs to the next one."""
    bench = Bench()
    bench.write_many(3)
    task = bench.log.begin_sync()
    assert task is not None
    bench.write_many(2)
    task.run()
    assert bench.log.durable_offset == 0
    bench.log.synced(task)
    assert (bench.log.durable_offset, bench.log.end_offset) == (3, 5)
    assert bench.log.durable_end() == (3, 0, sum(len(b.data) for b in bench.written[:3]))


def test_a_task_that_spans_a_roll_syncs_both_files_and_the_directory() -> None:
    """Old tail, new file, new name; afterwards one file is enough again."""
    bench, files = counting_bench(segment_bytes=500)
    bench.write()
    bench.sync()
    while len(bench.log.segments) < 3:
        bench.write()
    files.calls.clear()
    bench.sync()
    assert (files.calls["datasync"], files.calls["sync_directory"]) == (3, 1)
    bench.write()
    files.calls.clear()
    bench.sync()
    assert (files.calls["datasync"], files.calls["sync_directory"]) == (1, 0)


def test_the_first_sync_of_a_new_log_makes_its_name_durable() -> None:
    """The file of the first segment is as new as any."""
    bench, files = counting_bench()
    bench.write()
    files.calls.clear()
    bench.sync()
    assert files.calls["sync_directory"] == 1


@pytest.mark.parametrize("seed", range(40))
def test_what_is_durable_survives_a_power_cut(seed: int) -> None:
    """Batches, rolls, syncs and seals at random, then the plug; the prefix is whole."""
    random = Random(seed)
    bench = Bench(RecordingFiles(), segment_bytes=3000, index_interval_bytes=300)
    durable_offset = 0
    for _ in range(random.randrange(5, 60)):
        bench.write(count=random.randrange(1, 4), value_bytes=random.randrange(400))
        if random.random() < 0.3:
            bench.sync()
        if random.random() < 0.3:
            bench.maintain()
    durable_offset = bench.log.durable_offset
    bench.lose_unsynced(random)
    assert bench.log.recovery.quarantine is None, f"seed {seed}"
    assert bench.log.end_offset >= durable_offset, f"seed {seed}"
    found = bench.read_all()
    assert found == [batch.data for batch in bench.written][: len(found)], f"seed {seed}"
    bench.write()


@pytest.mark.parametrize("kind", ["datasync", "sync_directory"])
def test_a_failed_sync_fences_for_good(kind: str) -> None:
    """The second fdatasync would say success; it is never asked."""
    files = FailingFiles(MemoryFiles())
    bench = Bench(files, segment_bytes=500)
    bench.write()
    bench.sync()
    while len(bench.log.segments) < 2:
        bench.write()
    files.kinds, files.error, files.fail_at, files.matching_count = [kind], errno.EIO, 1, 0
    task = bench.log.begin_sync()
    assert task is not None
    with pytest.raises(OSError, match="Input/output") as caught:
        task.run()
    bench.log.synced(task, caught.value)
    assert bench.log.durable_offset == 1
    assert bench.log.begin_sync() is None
    with pytest.raises(FencedError, match="a sync failed"):
        bench.write()
    assert bench.read_all() == bench.kept()
    assert bench.log.statistics()["holds_count"] == 0
    datasyncs_count = files.calls["datasync"]
    bench.log.close()
    assert files.calls["datasync"] == datasyncs_count, "a fenced log was synced again"


def test_what_has_rolled_is_synced_by_itself() -> None:
    """The active segment is left alone; what is durable already is not synced again."""
    bench = Bench(segment_bytes=500)
    while len(bench.log.segments) < 3:
        bench.write()
    task = bench.log.begin_sync(rolled=True)
    assert task is not None
    assert task.segments == bench.log.segments[:2]
    task.run()
    bench.log.synced(task)
    assert bench.log.durable_offset == bench.log.active.base_offset
    assert bench.log.begin_sync(rolled=True) is None
    whole = bench.log.begin_sync()
    assert whole is not None
    assert whole.segments == [bench.log.active]
    whole.run()
    bench.log.synced(whole)
    assert bench.log.durable_offset == bench.log.end_offset


class PieceFiles(MemoryFiles):
    """Notes which pieces were handed to the device, and when the files were synced."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, int, int]] = []

    def datasync_all(self, files: Sequence[File]) -> None:
        """All files of a task, at its end."""
        self.notes.append(("sync", len(files), 0))
        super().datasync_all(files)


def noting_bench(monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, PieceFiles]:
    """A log of segments of ten pieces of 500 bytes."""
    files = PieceFiles()
    monkeypatch.setattr(sync, "PIECE_BYTES", 500)

    def write_back(file: File, position: int, size_bytes: int) -> None:
        files.notes.append((file.path.rpartition("/")[2], position, size_bytes))

    monkeypatch.setattr(MemoryFile, "write_back", write_back)
    return Bench(files, segment_bytes=5000), files


def test_a_gentle_task_hands_over_in_pieces_what_is_not_durable_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the durable offset to the end, across a roll, and the sync last."""
    bench, files = noting_bench(monkeypatch)
    while bench.log.active.size_bytes < 2000:
        bench.write()
    bench.sync()
    first, durable_position = bench.log.active, bench.log.durable_end()[2]
    while bench.log.active is first or bench.log.active.size_bytes < 3000:
        bench.write()
    files.notes.clear()
    task = bench.log.begin_sync()
    assert task is not None
    sync.run_all([task], gently=True)
    *pieces, end = files.notes
    assert end == ("sync", 2, 0)
    for segment, start in ((first, durable_position), (bench.log.active, 0)):
        mine = [
            (position, size)
            for name, position, size in pieces
            if name == f"{segment.base_offset:020d}.log"
        ]
        assert mine == [(at, 500) for at in range(start, segment.size_bytes - 500, 500)]
        assert mine


def test_a_task_that_somebody_waits_for_is_synced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred system calls more would be a hundred too many for a durable answer."""
    bench, files = noting_bench(monkeypatch)
    while bench.log.active.size_bytes < 2000:
        bench.write()
    bench.sync()
    assert files.notes == [("sync", 1, 0)]


def test_an_error_of_a_piece_is_as_final_as_one_of_the_sync() -> None:
    """The kernel tells it once: whoever synced again would hear success."""
    bench, files = counting_bench(segment_bytes=3 << 20)
    bench.write(value_bytes=2 << 20)
    files.fail_at, files.error, files.kinds = files.matching_count + 1, errno.EIO, {"write_back"}
    task = bench.log.begin_sync()
    assert task is not None
    files.calls.clear()
    with pytest.raises(OSError, match="Input/output error"):
        sync.run_all([task], gently=True)
    assert files.calls["datasync"] == 0


def test_a_task_holds_its_segments() -> None:
    """Retention may drop a segment whose sync is in flight; its descriptor stays."""
    bench = Bench(segment_bytes=500, retention_bytes=0)
    while len(bench.log.segments) < 3:
        bench.write()
    task = bench.log.begin_sync()
    assert task is not None
    assert bench.log.statistics()["holds_count"] == 3
    task.run()
    bench.log.synced(task)
    assert bench.log.statistics()["holds_count"] == 0


def test_a_delete_during_a_sync_is_no_sick_disk() -> None:
    """The directory has another name when the helper comes to sync it."""
    bench = Bench()
    bench.write()
    task = bench.log.begin_sync()
    assert task is not None
    bench.log.delete("1", bench.now_ms)
    task.run()
    bench.log.synced(task)
    assert bench.log.fenced == "the topic was deleted"


def test_a_task_behind_a_dropped_segment_syncs_everything_that_is_left() -> None:
    """Retention took the segment that the durable offset lay in; two rolls later nothing did."""
    bench = Bench(segment_bytes=500, retention_bytes=0)
    bench.write()
    bench.sync()
    assert len(bench.log.retention(bench.now_ms)) == 1
    while len(bench.log.segments) < 3:
        bench.write()
    task = bench.log.begin_sync()
    assert task is not None
    assert task.segments == bench.log.segments
    task.run()
    bench.log.synced(task)
    assert bench.log.durable_offset == bench.log.end_offset
