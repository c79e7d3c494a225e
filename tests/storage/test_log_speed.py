"""What the hot calls of a log cost on this machine (`make bench`); nothing here judges a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from logserver.config import TopicConfig
from logserver.storage.files import RealFiles
from logserver.storage.log import Log
from tests.storage.bench import TOPIC_ID, make_batch

CALLS_COUNT = 2000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log on the file system of the tests, with segments of the usual size."""
    log = Log.open(
        RealFiles(), str(tmp_path / "t-0"), TopicConfig(), topic_id=TOPIC_ID, now_ms=0, clean=False
    )
    yield log
    log.close(clean=False)


@pytest.mark.parametrize("value_bytes", [950, 65_000])
def test_the_cost_of_appends(benchmark: Any, log: Log, value_bytes: int) -> None:
    """2,000 appends of one batch, the pwrite included."""
    benchmark.group = "append, 2000 batches"
    batch = memoryview(make_batch(value_bytes=value_bytes))

    def append() -> None:
        for _ in range(CALLS_COUNT):
            log.append(batch, 0, 1000, 0)

    benchmark.pedantic(append, rounds=5)


def test_the_cost_of_reads_at_the_tail(benchmark: Any, log: Log) -> None:
    """2,000 reads of the newest batch, without a byte of it."""
    benchmark.group = "read, 2000 slices"
    log.append(memoryview(make_batch(value_bytes=950)), 0, 1000, 0)

    def read() -> None:
        for _ in range(CALLS_COUNT):
            piece = log.read(0, 1 << 20, 1)
            assert piece is not None
            piece.release()

    benchmark.pedantic(read, rounds=5)


def test_the_cost_of_a_replay_in_slices(benchmark: Any, log: Log) -> None:
    """A whole segment in slices of at most 64 KB, as a consumer that catches up reads it."""
    benchmark.group = "replay, 100 MB in slices of 64 KB"
    while log.size_bytes < 100 << 20:
        log.append(memoryview(make_batch(value_bytes=950)), 0, 1000, 0)

    def replay() -> None:
        offset = 0
        while (piece := log.read(offset, 65_536, log.end_offset)) is not None:
            offset = piece.next_offset
            piece.release()

    benchmark.pedantic(replay, rounds=3)


def test_the_cost_of_group_commit_bookkeeping(benchmark: Any, log: Log) -> None:
    """2,000 times append, begin and finish a sync, without waiting for the device."""
    benchmark.group = "append and sync bookkeeping, 2000 times"
    batch = memoryview(make_batch(value_bytes=950))

    def commit() -> None:
        for _ in range(CALLS_COUNT):
            log.append(batch, 0, 1000, 0)
            task = log.begin_sync()
            assert task is not None
            log.synced(task)

    benchmark.pedantic(commit, rounds=5)
