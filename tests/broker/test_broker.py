"""The broker as a whole: starts, topics that come and go, and what time asks for."""

from __future__ import annotations

import errno

import pytest

from logserver.storage.failing_files import FailingFiles
from logserver.storage.mark import Mark
from logserver.storage.retention import JUMP_MS
from logserver.storage.simulated_files import MemoryFiles
from logwire import errors
from tests.broker.data_bench import DataBench, batch
from tests.storage.bench import run_chores


@pytest.fixture
def bench() -> DataBench:
    """A broker with a relaxed topic `r` of two partitions."""
    bench = DataBench()
    bench.relaxed("r", 2)
    return bench


def chores(bench: DataBench) -> int:
    """Run everything that one tick asks for, as the helper would; how much it was."""
    return run_chores(bench.broker.tick(bench.now_ms))


@pytest.mark.parametrize("clean", [True, False])
def test_a_restart_serves_what_was_served(bench: DataBench, clean: bool) -> None:
    """Topics, configurations and records, after a stop and after a kill."""
    bench.send("r", batch(4))
    bench.sync()
    bench.restart(clean=clean)
    assert bench.partition("r", 0).log.end_offset == 4
    assert not bench.partition("r", 1).durable
    assert bench.sent(bench.send("r", batch())) == (0, 4)


def test_a_start_tells_what_it_cut(bench: DataBench, caplog: pytest.LogCaptureFixture) -> None:
    """A torn tail goes, and one line says how much and where its copy is."""
    bench.send("r", batch(4))
    bench.sync()
    log = bench.partition("r", 0).log
    log.active.file.pwrite(b"half a batch", log.active.size_bytes)
    bench.restart(clean=False)
    told = [record.message for record in caplog.records if "r-0" in record.message]
    assert len(told) == 1
    assert "after offset 4 were never promised and are cut" in told[0]
    assert ".cut" in told[0]


def test_routes_find_a_partition_by_name_and_by_id(bench: DataBench) -> None:
    """And neither once the topic is gone."""
    topic_id = bench.topic_id("r")
    assert bench.broker.routes["r"] is bench.broker.routes[topic_id]
    bench.delete("r")
    assert "r" not in bench.broker.routes
    assert topic_id not in bench.broker.routes
    assert not bench.broker.partitions
    assert not bench.broker.partitions_by_name


def test_a_recreated_topic_never_shows_old_bytes(bench: DataBench) -> None:
    """Another id, another directory, offset 0."""
    bench.send("r", batch(4))
    bench.delete("r")
    bench.relaxed("r")
    assert bench.partition("r").log.end_offset == 0
    bench.restart(clean=False)
    assert bench.partition("r").log.end_offset == 0


def test_the_space_of_a_deleted_topic_is_freed_after_the_delay(bench: DataBench) -> None:
    """`file.delete.delay.ms` later, and not while somebody still sends from it."""
    bench.send("r", batch(4))
    piece = bench.partition("r").log.read(0, 1 << 20, 4)
    assert piece is not None
    bench.delete("r")
    bench.sync()
    chores(bench)
    assert len(bench.broker.deleted) == 2
    bench.now_ms += 60_000
    chores(bench)
    chores(bench)
    assert len(bench.broker.deleted) == 1, "the one that is held"
    assert piece.read() != b""
    piece.release()
    chores(bench)
    chores(bench)
    assert not bench.broker.deleted
    names = bench.files.list_directory("/data")
    assert not [name for name in names if name.startswith("r-")]


def test_the_durable_mark_follows_within_a_second(bench: DataBench) -> None:
    """Recovery scans at most what was written in one second, or 16 MB."""
    bench.durable("d")
    chores(bench)
    bench.send("d", batch(4))
    bench.sync()
    bench.now_ms += 1000
    chores(bench)
    assert bench.directory.mark.entries["d-0"].offset == 4


def test_a_full_disk_is_a_state_and_not_a_fence() -> None:
    """It resumes by itself."""
    files = FailingFiles(MemoryFiles(), error=errno.ENOSPC, kinds={"pwrite"})
    bench = DataBench(files=files)
    bench.relaxed("r")
    files.fail_at = files.matching_count + 1
    code, _ = bench.sent(bench.send("r", batch()))
    assert code == errors.KAFKA_STORAGE_ERROR
    assert files.failed_count == 1
    assert not bench.broker.writable
    assert not bench.directory.fenced
    bench.broker.check_disk()
    assert bench.broker.writable
    assert bench.sent(bench.send("r", batch())) == (0, 0)


def test_a_mark_that_cannot_be_synced_fences_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reason is in the log once; `/readyz` only says that it happened."""
    files = FailingFiles(MemoryFiles(), error=errno.EIO, kinds={"datasync"}, for_good=True)
    bench = DataBench(files=files)
    bench.relaxed("r")
    bench.sync()
    bench.now_ms += 1000
    files.fail_at = files.matching_count + 1
    chores(bench)
    assert bench.directory.fenced
    assert not bench.broker.writable
    told = [one.message for one in caplog.records if "is fenced" in one.message]
    assert len(told) == 1


@pytest.mark.parametrize("kind", ["pwrite", "open"])
def test_a_mark_that_finds_no_room_fences_nothing(kind: str) -> None:
    """It is a lower bound and may lag: a full disk mends itself, and then the mark follows."""
    files = FailingFiles(MemoryFiles(), error=errno.ENOSPC, kinds={kind}, for_good=True)
    bench = DataBench(files=files)
    bench.durable("d")
    bench.send("d", batch(4))
    bench.sync()
    bench.now_ms += 1000
    files.fail_at = files.matching_count + 1
    chores(bench)
    assert files.failed_count >= 1
    assert not bench.directory.fenced
    assert bench.broker.writable
    files.fail_at = 0
    bench.now_ms += 1000
    chores(bench)
    assert Mark.load(files, bench.directory.path).entries["d-0"].offset == 4


def test_retention_drops_what_is_too_old(bench: DataBench) -> None:
    """By `retention.ms`, from the front, whole segments."""
    bench.durable("old", retention_ms="1000", segment_bytes="1048576")
    for _ in range(8):
        bench.send("old", batch(1, 300_000))
    bench.sync()
    log = bench.partition("old").log
    segments = len(log.segments)
    assert segments > 1
    bench.broker.retention(bench.now_ms + 10_000)
    assert log.log_start_offset > 0
    assert len(log.segments) < segments


def test_retention_that_looks_once_a_day_is_no_jump_of_the_clock(bench: DataBench) -> None:
    """`log.retention.check.interval.ms` may be long; time was seen to go on all the same."""
    bench.durable("old", retention_ms="1000", segment_bytes="1048576")
    for _ in range(8):
        bench.send("old", batch(1, 300_000))
    bench.sync()
    bench.broker.clock_guard.trusts(bench.now_ms)
    for _ in range(25):
        bench.now_ms += JUMP_MS - 1
        bench.broker.tick(bench.now_ms)
    bench.broker.retention(bench.now_ms)
    assert bench.partition("old").log.log_start_offset > 0


def test_storage_figures_are_sums_over_all_logs(bench: DataBench) -> None:
    """For the statistics page."""
    bench.send("r", batch())
    bench.send("r", batch(), index=1)
    figures = bench.broker.storage_figures()
    assert figures["segments"] == 2
    assert figures["log_size_bytes"] == 2 * len(batch())


def test_a_roll_without_a_descriptor_left_is_refused_and_fences_nothing() -> None:
    """Peers may have taken them all; the next roll may find one."""
    files = FailingFiles(MemoryFiles(), error=errno.EMFILE, kinds={"open"})
    bench = DataBench(files=files)
    bench.relaxed("r", segment_bytes="1048576")
    bench.send("r", batch(1, 1_000_000))
    files.fail_at = files.matching_count + 1
    assert bench.sent(bench.send("r", batch(1, 100_000)))[0] == errors.KAFKA_STORAGE_ERROR
    assert not bench.directory.fenced
    assert bench.sent(bench.send("r", batch(1, 100_000))) == (0, 1)


@pytest.mark.parametrize("kind", ["rename", "sync_directory"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_directory_that_cannot_be_set_aside_keeps_no_name(kind: str, code: int) -> None:
    """The topic is gone, a new one of that name has no old bytes; a sick disk is fenced."""
    files = FailingFiles(MemoryFiles(), error=code, kinds={kind})
    bench = DataBench(files=files)
    bench.relaxed("r")
    bench.send("r", batch())
    parked = bench.poll(("r", 0, 1))
    files.fail_at = files.matching_count + 1
    bench.delete("r")
    bench.turn()
    assert files.failed_count == 1
    assert bench.fetched(parked)["r", 0]["error_code"] == errors.UNKNOWN_TOPIC_OR_PARTITION
    assert bool(bench.directory.fenced) == (code == errno.EIO)
    row = bench.create("r", flush_messages=str(2**63 - 1))
    if code == errno.ENOSPC:
        assert row["error_code"] == 0
        assert bench.sent(bench.send("r", batch())) == (0, 0)
        bench.sync()
        bench.restart()
        assert bench.partition("r").log.end_offset == 1
    else:
        assert row["error_code"] == errors.KAFKA_STORAGE_ERROR


def test_a_creation_that_failed_does_not_block_its_name() -> None:
    """The directory it left carries the id of a topic that never came to be."""
    files = FailingFiles(MemoryFiles(), error=errno.ENOSPC, kinds={"open"})
    bench = DataBench(files=files)
    files.fail_at = files.matching_count + 3
    assert bench.create("r")["error_code"] == errors.KAFKA_STORAGE_ERROR
    assert files.failed_count == 1
    assert "r-0" in files.list_directory("/data")
    bench.sync()
    assert bench.create("r")["error_code"] == 0
    bench.sync()
    assert bench.sent(bench.send("r", batch(), acks=1)) == (0, 0)


def test_a_metadata_log_that_cannot_be_written_fences_the_directory() -> None:
    """Else nothing could be changed any more, and /readyz would say that all is well."""
    files = FailingFiles(MemoryFiles(), error=errno.EIO, kinds={"pwrite"})
    bench = DataBench(files=files)
    bench.relaxed("r")
    files.fail_at = files.matching_count + 1
    assert bench.create("x")["error_code"] == errors.KAFKA_STORAGE_ERROR
    bench.broker.tick(bench.now_ms)
    assert bench.directory.fenced
    assert bench.sent(bench.send("r", batch()))[0] == errors.KAFKA_STORAGE_ERROR


def test_the_durable_mark_follows_every_16_megabytes(bench: DataBench) -> None:
    """Not only once a second: recovery scans what lies above it."""
    bench.durable("d")
    chores(bench)
    for _ in range(20):
        bench.send("d", batch(1, 1_000_000))
        bench.sync()
        for run, finish in bench.broker.take_upkeep():
            finish(run())
    assert bench.directory.mark.entries["d-0"].offset >= 16
