"""From a time to an offset, exactly, against a search that looks at every record."""

from __future__ import annotations

from random import Random

import pytest

from logwire.batch import decode_batch, encode_batch
from tests.storage.bench import Bench, counting_bench


def stored_records(bench: Bench) -> list[tuple[int, int]]:
    """(timestamp, offset) of every record at or after the log start."""
    return [
        (record.timestamp_ms, record.offset)
        for data in bench.read_all()
        for record in decode_batch(data)
        if record.offset >= bench.log.log_start_offset
    ]


def write_times(bench: Bench, timestamps_ms: list[int], codec: int = 0) -> None:
    """One batch whose records have these times."""
    batch = encode_batch([(None, b"x" * 40, (), t) for t in timestamps_ms], codec=codec)
    bench.log.append(memoryview(batch), len(timestamps_ms) - 1, max(timestamps_ms), bench.now_ms)


@pytest.mark.parametrize("seed", range(12))
def test_every_time_leads_to_the_first_record_as_young(seed: int) -> None:
    """Times out of order, within batches too; before and after seal and restart."""
    random = Random(seed)
    bench = Bench(segment_bytes=2000, index_interval_bytes=200)
    for _ in range(60):
        count = random.randrange(1, 6)
        times = [random.randrange(0, 300) for _ in range(count)]
        write_times(bench, times, codec=random.choice((0, 0, 1, 4)))
    for phase in range(3):
        records = stored_records(bench)
        for wanted_ms in range(-1, 302):
            expected = next(((t, o) for t, o in records if t >= wanted_ms), None)
            assert bench.log.offset_for_timestamp(wanted_ms) == expected, (seed, wanted_ms)
        youngest_ms = max(t for t, _ in records)
        assert bench.log.max_timestamp() == next(r for r in records if r[0] == youngest_ms)
        if phase == 0:
            bench.sync()
            bench.maintain()
            bench.reopen()
        else:
            bench.log.trim(50)


def test_an_empty_log_knows_no_time() -> None:
    """(-1, -1) and None, as ListOffsets answers them."""
    bench = Bench()
    assert bench.log.offset_for_timestamp(0) is None
    assert bench.log.max_timestamp() == (-1, -1)


def test_records_without_a_time_are_never_found() -> None:
    """-1 is no timestamp; a search for -1 or less still finds the first record, as in Kafka."""
    bench = Bench()
    write_times(bench, [-1, -1])
    assert bench.log.max_timestamp() == (-1, -1)
    assert bench.log.offset_for_timestamp(0) is None
    assert bench.log.offset_for_timestamp(-1) == (-1, 0)


def test_a_batch_with_append_time_has_one_time_for_all() -> None:
    """The header's, whatever its records say."""
    bench = Bench()
    batch = encode_batch([(None, b"x", (), 5)] * 3, log_append_time=True)
    header_ms = int.from_bytes(batch[35:43], "big")
    bench.log.append(memoryview(batch), 2, header_ms, bench.now_ms)
    assert bench.log.offset_for_timestamp(header_ms) == (header_ms, 0)
    assert bench.log.max_timestamp() == (header_ms, 0)
    assert bench.log.offset_for_timestamp(header_ms + 1) is None


def test_a_search_by_time_reads_some_pages_and_one_batch() -> None:
    """Not the segment."""
    bench, files = counting_bench()
    bench.write_many(3000)
    for wanted_ms in (1000, 2345, 3999):
        before = files.pread_bytes
        found = bench.log.offset_for_timestamp(wanted_ms)
        assert found == (wanted_ms, wanted_ms - 1000)
        assert files.pread_bytes - before < 20_000
