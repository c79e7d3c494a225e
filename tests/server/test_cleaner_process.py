"""The process that compacts, its orders and reports, and how it holds back."""

from __future__ import annotations

import os

import pytest

from logserver.server.cleaner_process import (
    Report,
    ServerGone,
    Throttle,
    decode_order,
    encode_order,
    work,
)
from logserver.storage.compaction_output import Cleaned
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import MemoryFiles
from tests.storage.bench import TOPIC_ID
from tests.storage.compaction_bench import CompactionBench, no_pace


def dirty_bench(files: FailingFiles | None = None) -> CompactionBench:
    """A log that is worth compacting."""
    bench = CompactionBench(files)
    bench.write_keys([1, 2, 1, 2, 1])
    bench.roll()
    return bench


def reports_of(bench: CompactionBench, topic_id: bytes = TOPIC_ID) -> list[Report]:
    """What the process says of a job."""
    said: list[Report] = []
    order = (bench.log.directory, topic_id, bench.job(), 1e9)
    work(bench.files, order, no_pace, said.append)
    return said


def test_orders_and_reports_come_back_as_they_were() -> None:
    """Through JSON and a pipe."""
    bench = dirty_bench()
    job = bench.job()
    data = encode_order("data/topic-0", TOPIC_ID, job, 1.5)
    assert decode_order(data) == ("data/topic-0", TOPIC_ID, job, 1.5)
    for report in (
        Report("cleaned", Cleaned(0, 9, 100, 5, (0, 3))),
        Report("done", None, 9, 100, 50),
        Report("failed", sentence="a\nb"),
    ):
        line = report.encode()
        assert line.count(b"\n") == 1
        assert Report.decode(line) == report


def test_a_job_is_told_output_by_output_and_at_the_end() -> None:
    """With what was read and written."""
    bench = dirty_bench()
    first, last = reports_of(bench)
    assert first.kind == "cleaned"
    assert first.cleaned is not None
    assert first.cleaned.bases == (0,)
    assert (last.kind, last.end_offset) == ("done", 5)
    assert last.read_bytes == 2 * bench.log.segments[0].size_bytes
    assert last.written_bytes == first.cleaned.size_bytes


def test_another_topic_under_the_name_is_left_alone() -> None:
    """Deleted and made again while the process was starting."""
    (report,) = reports_of(dirty_bench(), bytes(16))
    assert (report.kind, report.sentence) == ("failed", "the topic was deleted")


def test_a_segment_that_left_meanwhile_is_no_failure_of_the_disk() -> None:
    """Retention was faster."""
    bench = dirty_bench()
    order = bench.job()
    bench.files.unlink(bench.log.segments[0].path(".log"))
    said: list[Report] = []
    work(bench.files, (bench.log.directory, TOPIC_ID, order, 1e9), no_pace, said.append)
    assert [report.kind for report in said] == ["failed"]
    assert said[0].sentence == f"{bench.log.segments[0].path('.log')} left the log meanwhile"


def test_spoilt_batches_and_sick_disks_are_told_apart() -> None:
    """The one is for a person, the other may pass."""
    files = FailingFiles(MemoryFiles())
    bench = dirty_bench(files)
    files.kinds, files.fail_at = {"pwrite"}, files.calls["pwrite"] + 1
    files.matching_count, files.error = files.calls["pwrite"], 28
    assert [report.kind for report in reports_of(bench)] == ["failed"]
    file = bench.files.open(bench.log.segments[0].path(".log"))
    file.pwrite(b"\xff", 70)
    (report,) = reports_of(bench)
    assert report.kind == "spoilt"
    assert "data/topic-0/00000000000000000000.log" in report.sentence


def test_leftovers_of_an_earlier_process_are_removed_first() -> None:
    """It was killed; nobody has asked for them."""
    bench = dirty_bench()
    name = f"{bench.log.directory}/{77:020d}.log.cleaned"
    bench.files.open(name, create=True)
    reports_of(bench)
    assert not bench.files.exists(name)


def test_the_throttle_waits_until_the_bytes_are_due() -> None:
    """On a pipe, and by a clock that the test holds; a pause earns nothing."""
    waits: list[float] = []
    now = [100.0]

    class Poll:
        """Remembers, and lets the time pass."""

        def poll(self, wait_ms: float) -> list[object]:
            waits.append(wait_ms)
            now[0] += wait_ms / 1000
            return []

    reader, writer = os.pipe()
    throttle = Throttle(1000, reader, lambda: now[0])
    throttle._poll = Poll()  # type: ignore[assignment]
    for _ in range(4):
        throttle(500)
    assert waits == [0, 500, 500, 500]
    now[0] += 3600
    throttle(500)
    assert waits[-1] == 0
    throttle(500)
    assert waits[-1] == 500
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("rate", [1, 1e18])
def test_the_end_of_the_server_ends_the_work(rate: float) -> None:
    """Its end of the pipe is closed. At a byte a second a read of 4 MB takes seven weeks, which is
    longer than poll(2) can wait.
    """
    reader, writer = os.pipe()
    throttle = Throttle(rate, reader)
    throttle(4 << 20)
    os.close(writer)
    with pytest.raises(ServerGone):
        throttle(4 << 20)
    os.close(reader)
