"""Durable is what a sync has covered, no byte more, whatever rolls or fails meanwhile."""

from __future__ import annotations

import errno
from random import Random

import pytest

from logserver.storage.failing_files import FailingFiles
from logserver.storage.log import FencedError
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
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
