"""Compaction end to end on files in memory: what stays, what goes, what never changes."""

from __future__ import annotations

from random import Random

import pytest

from logserver.storage.compaction import Compaction, UncleanableError
from logserver.storage.simulated_files import MemoryFiles
from logwire.batch import (
    BASE_TIMESTAMP_POSITION,
    DELETE_HORIZON,
    HEADER,
    MAX_TIMESTAMP_POSITION,
    decode_batch,
    encode_batch,
    stamp_producer,
    verify_batch,
)
from tests.storage.compaction_bench import (
    CompactionBench,
    headers_of,
    no_pace,
    random_writes,
)

ALL_CODECS = range(5)


def test_of_each_key_the_last_record_stays() -> None:
    """Two hundred writes to ten keys, and a reader from the start learns the same."""
    bench = CompactionBench()
    bench.write_keys([number % 10 for number in range(200)])
    bench.roll()
    before = bench.log.size_bytes
    work = bench.compact()
    assert work.end_offset == 200
    assert work.keys_count == 10
    assert bench.latest() == bench.expected()
    assert len(bench.records()) == 10
    assert bench.log.size_bytes < before / 10
    assert bench.log.end_offset == 200


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_batches_of_every_codec_lose_only_superseded_records(codec: int) -> None:
    """A batch that loses some records keeps offsets, epoch, producer and codec."""
    bench = CompactionBench()
    pairs = [(b"a", b"1" * 50), (b"b", b"2" * 50), (b"c", b"3" * 50), (b"d", b"4" * 50)]
    bench.write(*pairs, codec=codec, producer=(9, 2, 0))
    bench.write((b"b", b"new"), codec=codec, producer=(9, 2, 4))
    bench.roll()
    original = bench.batches()
    bench.compact()
    first, second = bench.batches()
    assert second == original[1]
    assert verify_batch(first) is None
    kept = [(r.offset, r.timestamp_ms, r.key, r.value) for r in decode_batch(first)]
    wanted = [(r.offset, r.timestamp_ms, r.key, r.value) for r in decode_batch(original[0])]
    assert kept == [wanted[0], wanted[2], wanted[3]]
    old, new = HEADER.unpack_from(original[0]), HEADER.unpack_from(first)
    assert new[:1] + new[2:4] + new[5:8] == old[:1] + old[2:4] + old[5:8]
    assert new[9:12] == (9, 2, 0)
    assert new[12] == 3


def test_a_batch_that_loses_everything_goes() -> None:
    """No header of it stays, and a read of its offset gives the next one."""
    bench = CompactionBench()
    bench.write((b"a", b"old"))
    bench.write((b"b", b"only"))
    bench.write((b"a", b"new"))
    bench.roll()
    bench.compact()
    assert [headers_of(data)[0][0] for data in bench.batches()] == [1, 2]
    piece = bench.log.read(0, 1, bench.log.end_offset)
    assert piece is not None
    assert headers_of(piece.read())[0][0] == 1
    piece.release()


@pytest.mark.parametrize("interval_bytes", [1, 300, 4096])
@pytest.mark.parametrize("stay_count", range(1, 8))
def test_every_offset_that_went_reads_as_the_next_one(interval_bytes: int, stay_count: int) -> None:
    """Also where the gap lies right before a batch that is indexed, and after a restart."""
    bench = CompactionBench(segment_bytes=9000, index_interval_bytes=interval_bytes)
    bench.write_keys(range(stay_count))
    bench.write_keys([77] * 6)
    bench.write_keys(range(20, 50))
    bench.roll()
    bench.compact()
    for restarts in (False, True):
        if restarts:
            bench.reopen()
        left = [record.offset for record in bench.records()]
        for offset in range(bench.log.end_offset):
            bench.log.lookup.hints.clear()
            piece = bench.log.read(offset, 1, bench.log.end_offset)
            assert piece is not None
            assert headers_of(piece.read())[0][0] == min(o for o in left if o >= offset)
            piece.release()


def test_the_last_batch_of_a_producer_stays_without_its_records() -> None:
    """Its header says what the producer's next sequence must be."""
    bench = CompactionBench()
    bench.write((b"a", b"old"), (b"b", b"old"), producer=(5, 1, 0))
    bench.write((b"a", b"older"), producer=(6, 0, 0))
    bench.write((b"a", b"new"), (b"b", b"new"), producer=(6, 0, 1))
    bench.roll()
    bench.compact()
    found = [headers_of(data)[0] for data in bench.batches()]
    assert found == [(0, 1, 0, 0), (3, 4, 0, 2)]
    header = HEADER.unpack_from(bench.batches()[0])
    assert header[7] == -1
    assert header[8] == bench.now_ms + 1
    assert header[9:12] == (5, 1, 0)
    bench.reopen(clean=False)
    entry = bench.log.producers.entries[5]
    assert (entry.epoch, entry.next_sequence) == (1, 2)


def test_the_last_batch_of_an_output_stays_without_its_records() -> None:
    """So a segment ends where the next one begins, and a gap there is corruption."""
    bench = CompactionBench()
    bench.write_keys([1])
    bench.write_keys([2])
    bench.roll()
    bench.write_keys([2, 1])
    bench.roll()
    bench.config = bench.log.config = type(bench.config)(
        cleanup_policy=("compact",), segment_bytes=256
    )
    bench.compact()
    assert [segment.base_offset for segment in bench.log.segments] == [0, 2, 4]
    assert [headers_of(data)[0] for data in bench.batches()] == [
        (1, 1, 0, 0),
        (2, 2, 0, 1),
        (3, 3, 0, 1),
    ]
    assert bench.latest() == bench.expected()


def test_small_segments_become_one() -> None:
    """What fits into segment.bytes is put together, and the old files go."""
    bench = CompactionBench(segment_bytes=4000)
    for number in range(8):
        bench.write_keys([number, number + 1])
        bench.roll()
    assert len(bench.log.segments) == 9
    bench.compact()
    assert [segment.base_offset for segment in bench.log.segments] == [0, 16]
    assert bench.latest() == bench.expected()


def test_a_segment_that_loses_nothing_is_not_written_again() -> None:
    """Neither a new file nor a swap, but the checkpoint moves on."""
    bench = CompactionBench()
    bench.write_keys(range(10))
    bench.roll()
    names = bench.names()
    work = bench.compact()
    assert (work.written_bytes, work.end_offset) == (0, 10)
    assert [name for name in bench.names() if name != "sparse-below"] == names
    assert bench.ends == []


def test_the_active_segment_is_never_touched() -> None:
    """Not even where it holds the last record of a key."""
    bench = CompactionBench()
    bench.write_keys([1, 1, 1])
    bench.roll()
    bench.write_keys([1, 1])
    bench.compact()
    assert [record.offset for record in bench.records()] == [2, 3, 4]


def test_a_tombstone_stays_until_its_horizon_and_goes_then() -> None:
    """KIP-534: the first compaction sets the time, one after that time removes it."""
    bench = CompactionBench(delete_retention_ms=5000)
    first_ms = bench.now_ms
    bench.write((b"a", b"value"), (b"b", b"value"))
    bench.write((b"a", None), (b"c", b"value"))
    bench.roll()
    bench.compact()
    data = bench.batches()[-1]
    header = HEADER.unpack_from(data)
    assert header[5] & DELETE_HORIZON
    assert header[7] == bench.now_ms + 5000
    assert header[8] == first_ms + 1
    assert [(r.key, r.value, r.timestamp_ms) for r in decode_batch(data)] == [
        (b"a", None, first_ms),
        (b"c", b"value", first_ms + 1),
    ]
    for later_ms, tombstones_count in ((4999, 1), (1, 0)):
        bench.now_ms += later_ms
        bench.write_keys([7])
        bench.roll()
        bench.compact()
        found = [record for record in bench.records() if record.value is None]
        assert len(found) == tombstones_count
        assert bench.latest() == bench.expected()
    horizons = [HEADER.unpack_from(data)[7] for data in bench.batches()]
    assert horizons[1] == first_ms + 5000  # the batch keeps it for the record that is left


def test_a_horizon_leaves_append_times_alone() -> None:
    """With LogAppendTime all records have the time of the batch, whatever its base timestamp."""
    bench = CompactionBench()
    bench.write((b"a", None), (b"b", b"v"), log_append_time=True)
    bench.roll()
    before = [record.timestamp_ms for record in bench.records()]
    bench.compact()
    assert HEADER.unpack_from(bench.batches()[0])[5] & DELETE_HORIZON
    assert [record.timestamp_ms for record in bench.records()] == before


def test_records_without_a_key_go() -> None:
    """A topic that was not always compacted may have some; Kafka drops them too."""
    bench = CompactionBench()
    bench.write((None, b"nobody's"), (b"a", b"value"))
    bench.roll()
    bench.compact()
    assert [record.key for record in bench.records()] == [b"a"]


def test_a_full_map_ends_the_round_early_and_the_next_goes_on() -> None:
    """Memory is bounded: as many rounds as it takes, the same outcome."""
    bench = CompactionBench()
    bench.write_keys([number % 200 for number in range(600)], value=b"")
    bench.roll()
    rounds = 0
    while bench.checkpoint_offset < 600:
        before = bench.checkpoint_offset
        work = bench.compact(map_bytes=64 * 24)
        assert work.keys_count <= 48
        assert bench.checkpoint_offset > before
        rounds += 1
    assert rounds > 5
    assert bench.latest() == bench.expected()
    assert len(bench.records()) == 200


def test_transactions_are_kept_whole() -> None:
    """Nothing here knows which were aborted: their records neither go nor make others go."""
    bench = CompactionBench()
    bench.write((b"a", b"plain"))
    batch = encode_batch([(b"a", b"in a transaction", (), 1)], transactional=True, producer_id=1)
    bench.log.append(memoryview(batch), 0, 1, bench.now_ms)
    bench.roll()
    bench.compact()
    assert [record.value for record in bench.records()] == [b"plain", b"in a transaction"]


def test_a_flipped_bit_ends_the_job_before_anything_is_replaced() -> None:
    """In the first look or the second: a new checksum must never make rot look healthy."""
    bench = CompactionBench()
    bench.write_keys([1, 1, 2])
    bench.roll()
    path = f"{bench.log.directory}/{0:020d}.log"
    file = bench.files.open(path)
    byte = file.pread(1, 130)[0]
    file.pwrite(bytes([byte ^ 1]), 130)
    work = Compaction(bench.files, bench.log.directory, bench.job(), no_pace)
    with pytest.raises(UncleanableError, match="no valid batch at"):
        list(work.outputs())
    assert not [name for name in bench.names() if name.endswith(".cleaned")]


def test_records_that_do_not_add_up_end_the_job() -> None:
    """A checksum that is right proves nothing about what a producer put under it."""
    bench = CompactionBench()
    batch = encode_batch([(b"key", b"value", (), 1)])
    batch[61] = 60  # a record of 30 bytes
    stamp_producer(batch, -1, -1, -1)
    bench.log.append(memoryview(batch), 0, 1, bench.now_ms)
    bench.roll()
    with pytest.raises(UncleanableError, match="record"):
        bench.compact()


@pytest.mark.parametrize("base_ms", [-(2**63) + 1000, 2**63 - 3])
def test_times_at_the_ends_of_64_bits_go_around_as_they_do_in_kafka(base_ms: int) -> None:
    """A producer may claim any base and any delta; the sum of the two is what counts."""
    bench = CompactionBench(delete_retention_ms=5000)
    batch = encode_batch([(b"gone", b"v", (), 0), (b"key", b"v", (), 999), (b"key", None, (), 5)])
    batch[BASE_TIMESTAMP_POSITION:MAX_TIMESTAMP_POSITION] = base_ms.to_bytes(8, "big", signed=True)
    stamp_producer(batch, -1, -1, -1)
    bench.log.append(memoryview(batch), 2, bench.now_ms, bench.now_ms)
    bench.write((b"gone", b"newer"))
    bench.roll()
    bench.compact()
    (record, _) = bench.records()
    assert record.value is None
    assert (record.timestamp_ms - base_ms - 5) % 2**64 == 0
    bench.compact()


def test_pace_hears_of_every_byte_and_may_end_the_work() -> None:
    """What is read in both looks and what is written."""
    bench = CompactionBench()
    bench.write_keys([1, 1, 2, 2])
    bench.roll()
    heard: list[int] = []
    work = Compaction(bench.files, bench.log.directory, bench.job(), heard.append)
    list(work.outputs())
    assert sum(heard) == work.read_bytes + work.written_bytes

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Compaction(bench.files, bench.log.directory, bench.job(), stop).outputs())


@pytest.mark.parametrize("seed", range(12))
def test_any_history_reads_the_same_after_any_number_of_rounds(seed: int) -> None:
    """Random batches, rounds in between, restarts: latest values, offsets and order stay."""
    random = Random(seed)
    bench = CompactionBench(
        segment_bytes=random.choice((700, 2000, 9000)), delete_retention_ms=random.choice((0, 500))
    )
    by_offset = {}
    for _ in range(6):
        random_writes(bench, random, 40)
        by_offset.update({offset: (key, value) for offset, key, value in bench.written})
        bench.roll()
        bench.compact(map_bytes=random.choice((64 * 24, 1 << 20)))
        if random.random() < 0.5:
            bench.reopen(clean=random.random() < 0.5)
        records = bench.records()
        assert [r.offset for r in records] == sorted({r.offset for r in records})
        assert all(by_offset[r.offset] == (r.key, r.value) for r in records)
        assert bench.latest() == bench.expected()
        assert all(verify_batch(data) is None for data in bench.batches())


def test_a_job_ends_before_it_touches_the_reserve_of_the_disk() -> None:
    """Commits, deletes and the metadata log need it; nothing was written until then."""
    bench = CompactionBench(MemoryFiles(capacity_bytes=100_000))
    bench.write_keys([1, 1, 2, 2])
    bench.roll()
    free_bytes = bench.files.free_bytes("data")
    size_bytes = bench.log.segments[0].size_bytes
    job = bench.job()._replace(reserve_bytes=free_bytes - size_bytes + 1)
    with pytest.raises(OSError, match="too little space"):
        list(Compaction(bench.files, bench.log.directory, job, no_pace).outputs())
    job = job._replace(reserve_bytes=free_bytes - size_bytes - 1000)
    assert len(list(Compaction(bench.files, bench.log.directory, job, no_pace).outputs())) == 1


def test_batches_without_records_go_when_nobody_needs_them_any_more() -> None:
    """The header that a producer needed goes once the producer is forgotten."""
    bench = CompactionBench()
    bench.write((b"a", b"old"), producer=(5, 0, 0))
    bench.write((b"b", b"v"))
    bench.write((b"a", b"new"))
    bench.roll()
    bench.compact()
    assert [headers_of(data)[0][3] for data in bench.batches()] == [0, 1, 1]
    bench.log.producers.entries.clear()
    bench.checkpoint_offset = 0  # it was lost: all of the log is dirty again
    bench.compact()
    assert [headers_of(data)[0][0] for data in bench.batches()] == [1, 2]
