"""A sync that fails once and then lies: fenced, never retried, nothing false after the restart."""

from __future__ import annotations

import pytest

from logserver.storage.simulated_files import MemoryFile
from tests.seeds import is_found, played, wanted
from tests.simulation.sick import DroppableFile, SickRun

pytestmark = pytest.mark.simulation


def survive(seed: int) -> SickRun:
    """Fall ill, restart without losing power, work, lose power, start again."""
    run = SickRun(seed)
    run.fall_ill(400)
    run.restart()
    for _ in range(100):
        run.work()
    run.files.cut_at = -1
    run.files = run.files.after_cut(run.random)
    run.start()
    return run


def test_a_failed_sync_is_final_and_nothing_that_it_lost_comes_back(full: bool) -> None:
    """Acknowledged batches stay, the log is a prefix, appends go on after the restart."""
    runs = played(survive, wanted(full, short=40, long=400))
    failures_count = sum(run.sick.failures_count for run in runs)
    assert failures_count, "no disk fell ill"


def test_a_planted_recovery_that_trusts_the_page_cache_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dropping the range above the mark, batches are shown that the device never got."""
    monkeypatch.setattr(DroppableFile, "dontneed", MemoryFile.dontneed)
    assert is_found(survive, range(100))
