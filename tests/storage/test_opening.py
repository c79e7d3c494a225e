"""Opening puts a log together from a directory; what it believes and what it makes anew."""

from __future__ import annotations

from random import Random

import pytest

from logserver.config import TopicConfig
from logserver.storage.checkpoint import CheckpointError, encode_metadata
from logserver.storage.log import Log
from logserver.storage.mark import MarkEntry
from logserver.storage.opening import prepare_directory
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.storage.bench import DIRECTORY, TOPIC_ID, Bench, make_batch

FIRST = "00000000000000000000"
INDEXES = (".index", ".timeindex")


def test_a_new_directory_belongs_to_its_topic_durably() -> None:
    """Made, named and signed before the first record: nothing of it is left to a sync."""
    files = RecordingFiles()
    files.make_directory("data")
    files.sync_directory("")
    prepare_directory(files, DIRECTORY, bytes(16))
    assert files.pending_count() == 0
    assert files.list_directory(DIRECTORY) == ["partition.metadata"]


def test_the_directory_of_another_topic_is_refused() -> None:
    """A topic that was deleted and made again must not find the old one's records."""
    bench = Bench()
    with pytest.raises(CheckpointError, match="belongs to topic"):
        Log.open(bench.files, DIRECTORY, bench.config, topic_id=bytes(16), now_ms=0)


def test_an_index_that_does_not_fit_is_rebuilt() -> None:
    """Cut, overlong or wiped after a clean stop: the batches say what belongs in it."""
    for suffix in (".index", ".timeindex"):
        for size in (0, 3, 13):
            bench = Bench()
            bench.write_many(500)
            bench.log.close()
            mark = MarkEntry(TOPIC_ID, *bench.log.durable_end())
            before = [bench.files.read_file(f"{DIRECTORY}/{FIRST}{s}") for s in INDEXES]
            bench.cut(FIRST + suffix, size)
            bench.log = bench.open(clean=True, mark=mark)
            assert bench.log.recovery.walked_bytes == 0, "the clean stop was not believed"
            assert bench.read_all() == bench.kept()
            bench.log.close()
            after = [bench.files.read_file(f"{DIRECTORY}/{FIRST}{s}") for s in INDEXES]
            assert after == before or (suffix, size) == (".index", 0)


def test_what_lies_below_the_log_start_is_removed() -> None:
    """Unlinks that a power cut undid in part leave a hole; the log start says it is none."""
    bench = Bench(segment_bytes=1000)
    bench.write_many(40)
    bench.sync()
    bench.log.trim(30)
    bench.log.close(clean=False)
    left = [name for name in bench.names() if name.endswith(".log")]
    bench.files.unlink(f"{DIRECTORY}/{left[1]}")
    bench.log = bench.open(clean=False)
    assert bench.log.recovery.quarantine is None
    assert (bench.log.log_start_offset, bench.log.end_offset) == (30, 40)
    assert bench.read_all() == bench.kept()
    assert f"{left[0]}" not in bench.names()


def test_a_log_goes_on_in_the_segment_that_was_active() -> None:
    """After a clean stop its indexes are continued, not begun again."""
    twice, once = Bench(), Bench(MemoryFiles())
    for bench in (twice, once):
        bench.write_many(300)
        if bench is twice:
            bench.reopen()
        bench.write_many(300, timestamp_ms=5000)
    assert bytes(twice.log.active.offset_index.data) == bytes(once.log.active.offset_index.data)
    assert twice.log.active.index_after_position == once.log.active.index_after_position


def test_a_topic_id_is_durable_before_there_are_records() -> None:
    """It was renamed into place just before a kill; a power cut later must not make it nobody's."""
    files = RecordingFiles()
    files.make_directory("data")
    files.sync_directory("")
    files.make_directory("data/topic-0")
    files.sync_directory("data")
    file = files.open("data/topic-0/partition.metadata.tmp", create=True)
    file.pwrite(encode_metadata(TOPIC_ID), 0)
    file.datasync()
    files.rename("data/topic-0/partition.metadata.tmp", "data/topic-0/partition.metadata")
    log = Log.open(files, "data/topic-0", TopicConfig(), topic_id=TOPIC_ID, now_ms=0, clean=False)
    log.append(memoryview(make_batch()), 0, 1000, 0)
    for seed in range(30):
        names = files.power_cut(Random(seed)).list_directory("data/topic-0")
        assert "partition.metadata" in names
