"""Which log is compacted next, and what becomes of outcomes, good, bad and late."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from logserver.broker import compaction
from logserver.broker.compaction import REST_MS, Order
from logserver.broker.partition import Partition
from logserver.storage import cleaner_checkpoint
from logserver.storage.compaction import Compaction
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import Files
from logserver.storage.retention import JUMP_MS
from logserver.storage.simulated_files import RecordingFiles
from logwire.batch import decode_batch, encode_batch, iterate_batches
from tests.broker.data_bench import DataBench
from tests.broker.groups.offsets_bench import OffsetsBench
from tests.storage.bench import run_chores

SEGMENT_BYTES = "1000"


class CompactedBench(DataBench):
    """Topics that are compacted, and a cleaner without a process."""

    def __init__(self, given: dict[str, str] | None = None, files: Files | None = None) -> None:
        super().__init__(given, files)
        self.offsets = 0

    def compacted(self, name: str, **configs: str) -> Partition:
        """A compacted topic with small segments."""
        self.durable(
            name, 1, cleanup_policy="compact", internal_segment_bytes=SEGMENT_BYTES, **configs
        )
        return self.partition(name)

    def put(self, name: str, *keys: int, value_bytes: int = 100) -> None:
        """One batch for each key."""
        for key in keys:
            self.offsets += 1
            value = b"%d" % self.offsets
            records = [(b"k%d" % key, value.ljust(value_bytes, b"."), (), self.now_ms)]
            self.send(name, bytes(encode_batch(records)))
        self.settle()

    def settle(self) -> None:
        """Commit, and everything that helpers would do."""
        self.sync()
        while run_chores(self.broker.tick(self.now_ms)):
            pass

    def begin(self) -> Order | None:
        """The broker's next job."""
        self.broker.uptime_ms = self.now_ms
        return self.broker.compactions.begin(self.now_ms)

    def work(self, order: Order) -> None:
        """What the process does."""
        compactions = self.broker.compactions
        job = Compaction(self.files, order.directory, order.job, lambda _: None)
        for cleaned in job.outputs():
            compactions.offered(cleaned, self.now_ms)
        compactions.finished(job.end_offset, job.read_bytes, job.written_bytes, self.now_ms)
        self.settle()

    def values(self, name: str) -> dict[bytes, bytes | None]:
        """The newest value of each key."""
        log = self.partition(name).log
        found: dict[bytes, bytes | None] = {}
        offset = log.log_start_offset
        while (piece := log.read(offset, 1 << 20, log.end_offset)) is not None:
            data = piece.read()
            for position, header in iterate_batches(data):
                for record in decode_batch(data[position : position + header.batch_length + 12]):
                    assert record.key is not None
                    found[record.key] = record.value
            offset = piece.next_offset
            piece.release()
        return found


@pytest.fixture
def bench() -> CompactedBench:
    """Without topics."""
    return CompactedBench()


def test_the_dirtiest_log_comes_first(bench: CompactedBench) -> None:
    """By the share of its closed segments that was never compacted."""
    first = bench.compacted("a")
    bench.put("a", *range(30))
    order = bench.begin()
    assert order is not None
    bench.work(order)
    bench.put("a", *range(20))
    bench.compacted("b")
    bench.put("b", *[1] * 20)
    order = bench.begin()
    assert order is not None
    assert order.directory.endswith("/b-0")
    assert bench.broker.compactions.dirty_ratio_max == 1.0
    bench.work(order)
    assert bench.begin() is None  # a is dirty by less than half
    assert 0 < bench.broker.compactions.dirty_ratio_max < 0.5
    assert first.log.swap is None


def test_a_compacted_log_reads_the_same_and_the_checkpoint_follows(bench: CompactedBench) -> None:
    """In Kafka's file; a restart believes it."""
    log = bench.compacted("a").log
    bench.put("a", *[number % 7 for number in range(60)])
    before = bench.values("a")
    size_bytes = log.size_bytes
    order = bench.begin()
    assert order is not None
    bench.work(order)
    assert bench.values("a") == before
    assert log.size_bytes < size_bytes / 2
    end_offset = order.job.sources[-1].end_offset
    assert cleaner_checkpoint.read(bench.files, "/data") == {"a-0": end_offset}
    figures = bench.broker.compactions.figures()
    assert figures["compactions"] == 1
    assert figures["compaction_read_bytes"] > size_bytes / 2
    bench.restart()
    assert bench.values("a") == before
    assert bench.begin() is None
    assert cleaner_checkpoint.read(bench.files, "/data") == {"a-0": end_offset}


def test_a_topic_made_again_is_compacted_from_its_start(bench: CompactedBench) -> None:
    """The checkpoint of its name is that of another log, until the first job has ended, too.

    What a job that was cut off has left is compacted in parts: believed to be clean, its tombstones
    would go before the records that they delete.
    """
    bench.compacted("a")
    bench.put("a", *[1] * 60)
    order = bench.begin()
    assert order is not None
    bench.work(order)
    bench.delete("a")
    bench.sync()
    bench.compacted("a")
    bench.put("a", *range(30))
    bench.put("a", *range(30))
    for clean in (True, False):
        order = bench.begin()
        if order is None:  # the checkpoint is corrected first
            bench.settle()
            order = bench.begin()
        assert order is not None
        assert order.job.first_dirty_offset == 0
        job = Compaction(bench.files, order.directory, order.job, lambda _: None)
        bench.broker.compactions.offered(next(job.outputs()), bench.now_ms)
        bench.settle()
        bench.restart(clean=clean)


def test_the_space_of_old_segments_is_freed_later(bench: CompactedBench) -> None:
    """file.delete.delay.ms after they were replaced."""
    log = bench.compacted("a", file_delete_delay_ms="5000").log
    bench.put("a", *[1] * 30)
    order = bench.begin()
    assert order is not None
    bench.work(order)
    assert log.replaced
    bench.now_ms += 5000
    bench.settle()
    assert not log.replaced
    assert not [n for n in bench.files.list_directory(log.directory) if n.endswith(".deleted")]


def test_a_failed_job_rests_its_log_and_others_have_their_turn(bench: CompactedBench) -> None:
    """A minute, then two, then four."""
    bench.compacted("a")
    bench.compacted("b")
    bench.put("a", *[1] * 30)
    assert bench.begin() is not None
    bench.broker.compactions.failed("the disk is full", bench.now_ms)
    bench.put("b", *[1] * 30)
    order = bench.begin()
    assert order is not None
    assert order.directory.endswith("/b-0")
    bench.work(order)
    for rest_ms in (REST_MS, REST_MS * 2, REST_MS * 4):
        bench.now_ms += rest_ms - 2
        assert bench.begin() is None
        bench.now_ms += 2
        assert bench.begin() is not None
        bench.broker.compactions.failed("the disk is full", bench.now_ms)
    assert bench.broker.compactions.last_error == "a-0: the disk is full"
    assert bench.broker.compactions.failures_count == 4


def test_a_spoilt_log_is_not_compacted_before_a_restart(bench: CompactedBench) -> None:
    """A person must look at it first."""
    bench.compacted("a")
    bench.put("a", *[1] * 30)
    assert bench.begin() is not None
    bench.broker.compactions.failed("no valid batch at 61", bench.now_ms, spoilt=True)
    bench.now_ms += 10 * REST_MS
    assert bench.begin() is None
    assert bench.broker.compactions.figures()["partitions_uncleanable"] == 1
    bench.restart()
    assert bench.begin() is not None


def test_what_comes_after_an_output_that_did_not_fit_is_dropped(bench: CompactedBench) -> None:
    """A tombstone must not go before everything that it deletes."""
    log = bench.compacted("a").log
    bench.put("a", *[number % 3 for number in range(40)], value_bytes=400)
    order = bench.begin()
    assert order is not None
    job = Compaction(bench.files, order.directory, order.job, lambda _: None)
    outputs = list(job.outputs())
    assert len(outputs) > 1
    log.trim(log.segments[1].base_offset)
    segments = list(log.segments)
    for cleaned in outputs:
        bench.broker.compactions.offered(cleaned, bench.now_ms)
        bench.settle()
    assert bench.broker.compactions.work is None
    assert [s for s in log.segments if s in segments] == segments
    assert "left the log" in bench.broker.compactions.last_error


def test_a_log_that_was_deleted_or_altered_meanwhile_is_void(bench: CompactedBench) -> None:
    """The process is for nothing, and that is no failure."""
    bench.compacted("a")
    bench.put("a", *[1] * 30)
    assert bench.begin() is not None
    compactions = bench.broker.compactions
    assert not compactions.is_void()
    bench.delete("a")
    assert compactions.work is None
    assert not compactions.is_void()
    bench.compacted("b")
    bench.put("b", *[1] * 30)
    order = bench.begin()
    assert order is not None
    config = {"name": "cleanup.policy", "config_operation": 0, "value": "delete"}
    resource = {"resource_type": 2, "resource_name": "b", "configs": [config]}
    bench.call(44, 1, {"resources": [resource], "validate_only": False})
    assert compactions.is_void()
    compactions.failed("it is not compacted any more", bench.now_ms)
    assert compactions.failures_count == 0
    assert bench.begin() is None


def test_nothing_is_begun_while_the_clock_is_not_to_be_believed(bench: CompactedBench) -> None:
    """Years ahead, every tombstone would be due."""
    bench.compacted("a")
    bench.put("a", *[1] * 30)
    assert bench.begin() is not None
    bench.broker.compactions.failed("for this test", bench.now_ms)
    bench.now_ms += 10**11
    assert bench.begin() is None


def test_a_job_of_many_hours_is_no_jump_of_the_clock(bench: CompactedBench) -> None:
    """Nothing is begun meanwhile, but the clock was seen to go on."""
    bench.compacted("a")
    bench.compacted("b")
    bench.put("a", *[1] * 30)
    bench.put("b", *[1] * 30)
    order = bench.begin()
    assert order is not None
    for _ in range(5):
        bench.now_ms += JUMP_MS - 1
        bench.settle()
    bench.work(order)
    assert bench.begin() is not None


def test_nothing_is_begun_where_it_is_switched_off() -> None:
    """log.cleaner.enable."""
    bench = CompactedBench({"log.cleaner.enable": "false"})
    bench.compacted("a")
    bench.put("a", *[1] * 30)
    assert bench.begin() is None


def test_an_active_segment_rolls_when_its_records_wait_too_long(bench: CompactedBench) -> None:
    """max.compaction.lag.ms is a promise also to a topic that nobody writes to."""
    log = bench.compacted("a", max_compaction_lag_ms="5000").log
    bench.put("a", 1, 1, 1)
    assert bench.begin() is None
    bench.now_ms += 5001
    assert bench.begin() is None  # rolled now, sealed soon
    bench.settle()
    order = bench.begin()
    assert order is not None
    bench.work(order)
    assert len(bench.values("a")) == 1
    assert log.segments[0].size_bytes < 200


def test_a_checkpoint_that_cannot_be_synced_fences_the_directory() -> None:
    """The first sync error is the last, whoever meets it."""
    files = FailingFiles(RecordingFiles())
    bench = CompactedBench(files=files)
    bench.compacted("a")
    bench.put("a", *range(30))
    order = bench.begin()
    assert order is not None
    job = Compaction(bench.files, order.directory, order.job, lambda _: None)
    assert list(job.outputs()) == []
    bench.broker.compactions.finished(job.end_offset, 0, 0, bench.now_ms)
    files.kinds, files.error = {"datasync"}, errno.EIO
    files.fail_at = files.matching_count + 1
    bench.settle()
    assert bench.broker.commit.fenced
    assert bench.begin() is None


def test_many_logs_are_looked_at_a_few_at_a_time(
    bench: CompactedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn of the loop stays short; the dirtiest is known when all were seen."""
    monkeypatch.setattr(compaction, "LOOKS_COUNT", 2)
    for name in "abcde":
        bench.compacted(name)
    bench.put("c", *[1] * 30)
    for _ in range(2):
        assert bench.begin() is None
        assert bench.broker.compactions.looking
    bench.delete("e")
    order = bench.begin()
    assert order is not None
    assert order.directory.endswith("/c-0")
    assert not bench.broker.compactions.looking


def test_committed_offsets_are_compacted_and_a_coordinator_loads_what_is_left() -> None:
    """`__consumer_offsets` is a compacted topic like any other: of each key the newest stays."""
    bench = OffsetsBench()
    log = bench.coordinator.partition.log
    log.config = replace(log.config, segment_bytes=2000)
    for number in range(120):
        bench.commit({0: number, number % 4: 1000 + number})
        bench.sync()
    while log.unsealed:
        run_chores(bench.broker.tick(bench.now_ms))
    before = bench.fetch(0, 1, 2, 3)
    size_bytes = log.size_bytes
    compactions = bench.broker.compactions
    order = compactions.begin(bench.now_ms)
    assert order is not None
    assert order.directory.startswith("/data/__consumer_offsets-")
    job = Compaction(bench.files, order.directory, order.job, lambda _: None)
    for cleaned in job.outputs():
        compactions.offered(cleaned, bench.now_ms)
        bench.run_chores()
    compactions.finished(job.end_offset, job.read_bytes, job.written_bytes, bench.now_ms)
    assert compactions.runs_count == 1
    assert log.size_bytes < size_bytes / 4
    bench.restart(clean=False)
    assert bench.fetch(0, 1, 2, 3) == before
    assert bench.commit({0: 7}) == [0]
