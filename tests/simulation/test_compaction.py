"""Power cuts at any operation of a compacted log's life; and planted bugs that must be found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from logserver.storage import compaction, swap, swap_files
from logserver.storage.compaction_output import CLEANED_SUFFIX, Cleaned
from logserver.storage.digest import DIGEST_SUFFIX, file_name
from logserver.storage.files import Files
from logserver.storage.log import Log
from tests.seeds import is_found, played, wanted
from tests.simulation.compaction_run import CompactionRun

pytestmark = pytest.mark.simulation


LIVES_COUNT = 5  # power cuts in a row on one disk
ALWAYS = range(400)


def survive(seed: int, make: type[CompactionRun] = CompactionRun) -> CompactionRun:
    """Lose power some times in a row; each start is compared with the oracle."""
    run = make(seed)
    run.survive(LIVES_COUNT, (100, 600, 600, 3000))
    for _ in range(200):
        run.work()
    run.finish_commit()
    run.stop()
    return run


def test_no_power_cut_loses_the_last_record_of_a_key(full: bool) -> None:
    """Sampled cuts, in the middle of looks, swaps and their recovery."""
    cuts_count = swaps_count = finished_count = 0
    for run in played(survive, wanted(full, short=12, long=100)):
        cuts_count += run.cuts_count
        swaps_count += run.swaps_count
        finished_count += run.finished_count
    print(f"{cuts_count} power cuts, {swaps_count} swaps, {finished_count} finished by a start")
    assert swaps_count > cuts_count


def test_a_planted_swap_that_syncs_no_names_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old segments are gone before the new one has a name."""

    def careless(files: Files, directory: str, base_offset: int) -> None:
        for suffix in (*swap_files.PART_SUFFIXES, DIGEST_SUFFIX):
            path = f"{directory}/{file_name(base_offset, suffix)}"
            files.rename(path + CLEANED_SUFFIX, path + swap_files.SWAP_SUFFIX)

    monkeypatch.setattr(swap_files, "commit", careless)
    assert is_found(survive, ALWAYS)


def test_a_planted_start_that_forgets_decided_swaps_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It removes the only copy."""

    def forgetful(files: Files, directory: str) -> list[int]:
        for name in files.list_directory(directory):
            if name.endswith((CLEANED_SUFFIX, swap_files.SWAP_SUFFIX)):
                files.unlink(f"{directory}/{name}")
        return []

    monkeypatch.setattr(swap_files, "recover", forgetful)
    assert is_found(survive, ALWAYS)


def test_a_planted_gap_in_the_order_of_outputs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An output is lost and what was compacted after it goes in all the same: a tombstone goes
    before what it deletes, and the deleted comes back.
    """
    whole = compaction.Compaction.outputs

    def lossy(self: compaction.Compaction) -> Iterator[Cleaned]:
        for cleaned in whole(self):
            if (cleaned.size_bytes + self.end_offset) % 3:
                yield cleaned

    monkeypatch.setattr(compaction.Compaction, "outputs", lossy)
    assert is_found(survive, ALWAYS[30:])


def test_a_planted_map_of_unsealed_records_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record goes for the sake of a newer one that a power cut takes."""
    whole = compaction.Compaction._map_keys

    def too_far(self: compaction.Compaction) -> int:
        end_offset = whole(self)
        log = RUNNING[-1].log
        for segment in [s for s in log.segments if s.base_offset >= end_offset]:
            source = compaction.Source(segment.base_offset, log.end_offset, segment.size_bytes)
            with_tail = self._job._replace(sources=(source,), first_dirty_offset=end_offset)
            before, self._job = self._job, with_tail
            whole(self)
            self._job = before
        return end_offset

    monkeypatch.setattr(compaction.Compaction, "_map_keys", too_far)
    assert is_found(lambda seed: survive(seed, Remembered), ALWAYS)


RUNNING: list[CompactionRun] = []


class Remembered(CompactionRun):
    """Known to the planted bug above."""

    def compact(self) -> None:
        RUNNING[:] = [self]
        super().compact()


def test_a_planted_swap_shown_before_it_is_decided_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old files go while the new ones may still vanish."""
    plain = swap.chores

    def hasty(log: Log) -> list[object]:
        found = plain(log)
        if log.swap is not None and log.swap.step is swap.Step.COMMIT and found:
            for segment in log.swap.old[1:]:
                path = f"{log.directory}/{file_name(segment.base_offset, '.log')}"
                log.files.unlink(path)
        return list(found)

    monkeypatch.setattr(swap, "chores", hasty)
    assert is_found(survive, ALWAYS)
