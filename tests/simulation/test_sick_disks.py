"""A sync that fails once and then lies: fenced, never retried, nothing false after the restart."""

from __future__ import annotations

import os
from random import Random

import pytest

from logserver.storage.simulated_files import MemoryFile
from tests.simulation.sick import DroppableFile, SickRun

pytestmark = pytest.mark.simulation


def seeds(count: int) -> list[int]:
    """Fresh seeds, printed; LOGSERVER_SEED repeats one."""
    given = os.environ.get("LOGSERVER_SEED")
    if given:
        return [int(given)]
    first = Random().randrange(1 << 32)
    print(f"seeds {first} to {first + count - 1}")
    return list(range(first, first + count))


def survive(seed: int) -> None:
    """Fall ill, restart without losing power, work, lose power, start again."""
    run = SickRun(seed)
    try:
        run.fall_ill(400)
        run.restart()
        for _ in range(100):
            run.work()
        run.files.cut_at = -1
        run.files = run.files.after_cut(run.random)
        run.start()
    except BaseException:
        print(f"failing seed: LOGSERVER_SEED={seed}")
        raise


def survive_all(count: int) -> None:
    """That many runs."""
    for seed in seeds(count):
        survive(seed)


def test_a_failed_sync_is_final_and_nothing_that_it_lost_comes_back(full: bool) -> None:
    """Acknowledged batches stay, the log is a prefix, appends go on after the restart."""
    survive_all(400 if full else 40)


def test_a_planted_recovery_that_trusts_the_page_cache_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dropping the range above the mark, batches are shown that the device never got."""
    monkeypatch.setattr(DroppableFile, "dontneed", MemoryFile.dontneed)
    with pytest.raises(AssertionError):
        survive_all(100)
