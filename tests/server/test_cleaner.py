"""A server that compacts: real processes, killed and starved ones too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.broker.partition import Partition
from logserver.server import cleaner
from logserver.server.cleaner_process import NICENESS
from logwire.batch import encode_batch
from tests.server.server_bench import ServerBench

GIVEN = {"log.cleaner.backoff.ms": "0"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServerBench]:
    """A server that looks for dirty logs all the time."""
    made = ServerBench(tmp_path / "data", GIVEN)
    yield made
    made.close()


def fill(bench: ServerBench, batches_count: int = 60) -> Partition:
    """A compacted topic whose ten keys were each written many times; not compacted yet."""
    bench.server.cleaner._due_ms = 2**60
    bench.run(bench.create("c", cleanup_policy="compact", internal_segment_bytes="15000"))
    partition = bench.server.broker.partitions_by_name["c", 0]
    for number in range(batches_count):
        value = b"%d" % number
        now_ms = bench.server.now_ms()
        batch = encode_batch([(b"k%d" % (number % 10), value.ljust(300), (), now_ms)])
        partition.log.append(memoryview(batch), 0, now_ms, now_ms)
        bench.server.broker.appended(partition, len(batch), 1)
    bench.server.turn()
    bench.run(bench.until(lambda: not partition.log.unsealed and not partition.dirty))
    return partition


def begin(bench: ServerBench, bytes_per_s: float = 1e18) -> None:
    """Let the cleaner look."""
    bench.server.broker.config = bench.server.broker.config.with_dynamic(
        {"log.cleaner.io.max.bytes.per.second": f"{bytes_per_s:g}"}
    )
    bench.server.cleaner._due_ms = 0
    bench.server.cleaner.look(bench.server.uptime_ms())


def test_a_dirty_log_is_compacted_by_a_process_of_its_own(bench: ServerBench) -> None:
    """And the loop only swaps."""
    partition = fill(bench)
    before = partition.log.size_bytes
    begin(bench)
    pid = bench.server.cleaner.pid
    assert pid not in (None, os.getpid())
    compactions = bench.server.broker.compactions
    bench.run(bench.until(lambda: compactions.runs_count == 1 and compactions.work is None))
    assert partition.log.size_bytes < before - 10_000
    assert bench.server.cleaner.pid is None
    begin(bench)
    assert bench.server.cleaner.pid is None  # nothing is worth it now


def test_the_process_is_gentle(bench: ServerBench) -> None:
    """Whoever wakes up runs first, and it never starves."""
    fill(bench)
    begin(bench, bytes_per_s=1)
    pid = bench.server.cleaner.pid
    assert pid is not None
    gentle = (min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS), os.SCHED_BATCH)
    bench.run(
        bench.until(
            lambda: (os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid)) == gentle
        )
    )
    assert bench.server.broker.compactions.runs_count == 0


def test_a_killed_process_harms_nothing_and_its_log_is_compacted_later(
    bench: ServerBench,
) -> None:
    """It ends without a word: the log rests, then another process does it."""
    partition = fill(bench)
    begin(bench)
    pid = bench.server.cleaner.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    compactions = bench.server.broker.compactions
    bench.run(bench.until(lambda: compactions.failures_count == 1))
    assert compactions.work is None
    assert "ended without a word" in compactions.last_error
    before = partition.log.end_offset
    compactions._resting.clear()
    begin(bench)
    bench.run(bench.until(lambda: compactions.runs_count == 1))
    assert partition.log.end_offset == before


def test_processes_that_cannot_even_start_rest_the_cleaner(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer each time: they would all die of the same."""
    fill(bench)
    monkeypatch.setattr(cleaner, "MODULE", "logserver.no_such_module")
    compactions = bench.server.broker.compactions
    rests = []
    for count in (1, 2):
        compactions._resting.clear()
        begin(bench)
        bench.run(bench.until(lambda count=count: compactions.failures_count == count))
        rests.append(bench.server.cleaner._due_ms - bench.server.uptime_ms())
    assert 1000 < rests[0] <= 2000 < rests[1] <= 4000
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    compactions._resting.clear()
    begin(bench)
    assert "no process could be started" in compactions.last_error


def test_the_process_of_a_deleted_topic_is_ended(bench: ServerBench) -> None:
    """Nobody wants its outcome."""
    fill(bench)
    begin(bench, bytes_per_s=1)
    assert bench.server.cleaner.pid is not None

    async def delete() -> None:
        client = await bench.connect()
        topics = [{"name": "c", "topic_id": bytes(16)}]
        answer = await client.ask(20, 6, {"topics": topics, "timeout_ms": 1000})
        assert answer["responses"][0]["error_code"] == 0

    bench.run(delete())
    bench.server.cleaner.look(bench.server.uptime_ms())
    assert bench.server.cleaner.pid is None
    assert bench.server.broker.compactions.failures_count == 0
    bench.run(bench.until(lambda: not bench.server.cleaner._ended or _look(bench)))


def _look(bench: ServerBench) -> bool:
    bench.server.cleaner.look(bench.server.uptime_ms())
    return False


def test_a_log_that_is_fenced_within_a_swap_holds_up_nobody(bench: ServerBench) -> None:
    """Its process is gone, its maintenance rests: no output will ever be put in."""
    partition = fill(bench)
    compactions = bench.server.broker.compactions
    assert compactions.begin(bench.server.now_ms()) is not None
    partition.log.fence("a write failed")
    bench.server.cleaner.look(bench.server.uptime_ms())
    assert compactions.work is None
    assert compactions.failures_count == 0


def test_a_stop_ends_the_process_first(tmp_path: Path) -> None:
    """No process outlives its server."""
    made = ServerBench(tmp_path / "data", GIVEN)
    fill(made)
    begin(made, bytes_per_s=1)
    pid = made.server.cleaner.pid
    assert pid is not None
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
