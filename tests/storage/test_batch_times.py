"""When a batch came: what the loop may read, what a helper reads, and that both find the same."""

from __future__ import annotations

import errno
from typing import cast

import pytest

from logserver.storage.batch_times import Errand, errand, recent_time_ms
from logserver.storage.files import Files
from logserver.storage.segment import NO_TIMESTAMP_MS
from tests.storage.bench import DIRECTORY, Bench, counting_bench

FIRST_MS = 5000


def expected_ms(bench: Bench, offset: int) -> int:
    """The largest timestamp of the batch that holds `offset`."""
    return next(one.max_timestamp_ms for one in bench.written if one.last_offset >= offset)


def test_what_was_appended_lately_is_found_at_once() -> None:
    """At every offset, in the active segment and the one before."""
    bench = Bench(segment_bytes=4000, index_interval_bytes=300)
    bench.write_many(50, count=3, timestamp_ms=FIRST_MS)
    recent = bench.log.segments[-2].base_offset
    assert recent > 0
    for offset in range(recent, bench.log.end_offset):
        assert recent_time_ms(bench.log, offset) == expected_ms(bench, offset)


@pytest.mark.parametrize("phase", ["written", "sealed", "restarted", "killed"])
def test_an_errand_finds_the_time_of_every_offset(phase: str) -> None:
    """With the index in memory, in its file, and after each kind of start."""
    bench = Bench(segment_bytes=4000, index_interval_bytes=300)
    bench.write_many(60, count=3, timestamp_ms=FIRST_MS)
    bench.sync()
    if phase != "written":
        bench.maintain()
    if phase in ("restarted", "killed"):
        bench.reopen(clean=phase == "restarted")
    for offset in range(bench.log.end_offset):
        assert errand(bench.log, offset).read() == expected_ms(bench, offset), offset


def test_the_loop_reads_nothing_that_may_be_cold() -> None:
    """Neither old segments nor what was there before the start; not even their indexes."""
    bench, files = counting_bench(segment_bytes=4000, index_interval_bytes=300)
    bench.write_many(60, count=3)
    bench.sync()
    bench.maintain()
    before = dict(files.calls)
    assert recent_time_ms(bench.log, 0) is None
    assert errand(bench.log, 0)
    assert dict(files.calls) == before
    bench.reopen()
    before = dict(files.calls)
    for offset in range(bench.log.end_offset):
        assert recent_time_ms(bench.log, offset) is None
    assert dict(files.calls) == before


def test_a_look_reads_a_page_and_an_errand_a_few_entries() -> None:
    """Whatever the size of the segment."""
    bench, files = counting_bench()
    bench.write_many(3000, timestamp_ms=FIRST_MS)
    before = files.pread_bytes
    assert recent_time_ms(bench.log, 1500) == FIRST_MS + 1500
    assert files.pread_bytes - before <= 8192
    bench.sync()
    bench.reopen()
    before = files.pread_bytes
    assert errand(bench.log, 1500).read() == FIRST_MS + 1500
    assert files.pread_bytes - before <= 8192


def test_an_index_with_long_intervals_is_left_to_the_helper() -> None:
    """The loop gives up after some batches."""
    bench = Bench(index_interval_bytes=1 << 20)
    bench.write_many(300, timestamp_ms=FIRST_MS)
    assert recent_time_ms(bench.log, 50) == FIRST_MS + 50
    assert recent_time_ms(bench.log, 250) is None
    assert errand(bench.log, 250).read() == FIRST_MS + 250


def test_files_that_are_gone_tell_no_time() -> None:
    """Retention was faster; a disk error is told as what it is."""
    bench, files = counting_bench(segment_bytes=4000, index_interval_bytes=300)
    bench.write_many(60, count=3)
    bench.sync()
    bench.maintain()
    bench.reopen()
    late = errand(bench.log, 3)
    files.unlink(f"{DIRECTORY}/{0:020d}.log")
    with pytest.raises(FileNotFoundError):
        late.read()
    files.fail_at, files.error, files.kinds = 1, errno.EIO, {"pread"}
    files.matching_count = 0
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        errand(bench.log, bench.log.end_offset - 1).read()


def test_a_file_that_was_replaced_is_not_believed() -> None:
    """Positions of the old one lead between two batches of the new one: no time, no error."""
    bench = Bench(index_interval_bytes=300)
    bench.write_many(30, timestamp_ms=FIRST_MS)
    late = errand(bench.log, 20)
    assert late.start_position
    assert late._replace(start_position=late.start_position + 1).read() == NO_TIMESTAMP_MS
    assert late._replace(size_bytes=late.start_position).read() == NO_TIMESTAMP_MS


class TornIndex:
    """An index that was cut after its size had been asked for."""

    def size(self) -> int:
        """As it was."""
        return 80

    def pread(self, size_bytes: int, _position: int) -> bytes:
        """Half of what is wanted."""
        return bytes(size_bytes // 2)

    def close(self) -> None:
        """Nothing is open."""


class TornFiles:
    """Files of which each is a torn index."""

    def open(self, _path: str, *, write: bool) -> TornIndex:
        """To be read."""
        assert not write
        return TornIndex()


def test_an_index_that_is_cut_while_it_is_read_tells_no_time() -> None:
    """Half an entry is none."""
    late = Errand(cast(Files, TornFiles()), DIRECTORY, 0, 4000, None, 3)
    assert late.read() == NO_TIMESTAMP_MS
