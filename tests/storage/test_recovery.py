"""Recovery of one partition directory: every row of the table, carried out."""

from __future__ import annotations

import errno
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from logserver.storage import checkpoint, quarantine
from logserver.storage.failing_files import FailingFiles
from logserver.storage.failure import StorageError
from logserver.storage.producers import ProducerStates, encode_window
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles
from tests.storage.partition_bench import DIRECTORY, Bench, batch, mark_at, offsets

A, B, C = batch(0, 3), batch(3, 2), batch(5, 4)
UNKNOWN = None


def three(zeros: int = 0) -> Bench:
    """One segment with offsets 0..8 in three batches."""
    bench = Bench()
    bench.write(0, A, B, C, zeros=zeros)
    return bench


def test_an_empty_directory_is_a_new_partition() -> None:
    """Epoch 0 begins at offset 0."""
    bench = Bench()
    bench.files.unlink(f"{DIRECTORY}/leader-epoch-checkpoint")
    found = bench.recover(mark_at(0, 0, 0), clean=True)
    assert (found.segments, found.end_offset, found.epochs.starts) == ([], 0, [(0, 0)])
    assert bench.files.exists(f"{DIRECTORY}/leader-epoch-checkpoint")


def test_a_clean_stop_is_believed_without_reading_a_batch() -> None:
    """The mark says where the log ends; not one byte of the segment is read."""
    bench = three()
    for suffix in (".index", ".timeindex"):
        bench.files.open(bench.path(0, suffix), create=True).close()
    bench.remember_producers(ProducerStates(), 9)
    bench.files = FailingFiles(bench.files)
    found = bench.recover(mark_at(9, 0, len(A + B + C)), clean=True)
    assert (found.end_offset, found.end_position) == (9, len(A + B + C))
    assert (found.walked_bytes, found.scanned_bytes) == (0, 0)
    assert found.segments[0].indexed
    assert found.epochs.starts == [(0, 0)]


def test_an_unclean_start_scans_above_the_mark_and_begins_an_epoch() -> None:
    """Below it only headers are walked."""
    bench = three()
    found = bench.recover(mark_at(3, 0, len(A)))
    assert found.end_offset == 9
    assert (found.walked_bytes, found.scanned_bytes) == (len(A), len(B + C))
    assert found.epochs.starts == [(0, 0), (1, 9)]
    stored = checkpoint.read_epochs(bench.files, DIRECTORY)
    assert stored is not None
    assert stored.starts == found.epochs.starts
    assert bench.recover(mark_at(3, 0, len(A))).epochs.starts == [(0, 0), (2, 9)]


def test_preallocated_space_is_trimmed() -> None:
    """Zeros behind the last batch are no loss and no cut."""
    bench = three(zeros=5000)
    found = bench.recover(mark_at(3, 0, len(A)))
    assert (found.end_offset, found.cuts) == (9, [])
    assert bench.read(0) == A + B + C


@pytest.mark.parametrize("followed", [True, False])
def test_an_invalid_batch_above_the_mark_ends_the_log_and_is_kept_as_a_copy(
    followed: bool,
) -> None:
    """Even when valid batches follow: unsynced pages reach the device in any order."""
    bench = Bench()
    tail = (B, C) if followed else (B,)
    bench.write(0, A, *tail, zeros=100)
    bench.flip(0, len(A) + 70)
    damaged = bench.read(0)[len(A) :]
    found = bench.recover(mark_at(3, 0, len(A)))
    assert found.end_offset == 3
    assert bench.read(0) == A
    assert bench.read(0, ".cut") == damaged
    assert [(cut.size_bytes, cut.offset) for cut in found.cuts] == [(len(damaged), 3)]
    assert "never promised" in next(found.sentences("t-0"))
    bench.overwrite(0, len(A), B[:30])
    again = bench.recover(mark_at(3, 0, len(A)))
    assert again.cuts[0].path.endswith(".2.cut")


def test_a_torn_batch_above_the_mark_is_cut() -> None:
    """The end of the file in the middle of a batch."""
    bench = three()
    bench.shorten(0, len(A + B) + 30)
    found = bench.recover(mark_at(3, 0, len(A)))
    assert (found.end_offset, bench.read(0), bench.read(0, ".cut")) == (5, A + B, C[:30])


@pytest.mark.parametrize("damage", ["flip", "zeros", "short"])
@pytest.mark.parametrize("clean", [True, False])
def test_damage_below_the_mark_is_quarantined_and_nothing_is_changed(
    damage: str, clean: bool
) -> None:
    """It was durable: corruption. Readable below, no byte cut, told, and remembered."""
    bench = three()
    if damage == "flip":
        bench.flip(0, len(A) + 16)  # the magic byte: a header walk sees it
    elif damage == "zeros":
        bench.overwrite(0, len(A), bytes(len(B + C)))
    else:
        bench.shorten(0, len(A))
    before = bench.read(0)
    mark = mark_at(9, 0, len(A + B + C))
    found = bench.recover(mark, clean=clean)
    assert found.quarantine is not None
    assert (found.quarantine.offset, found.quarantine.position) == (3, len(A))
    assert (found.end_offset, found.segments[-1].size_bytes) == (3, len(A))
    assert bench.read(0) == before
    assert bench.names(".cut") == []
    assert "quarantined from offset 3" in next(found.sentences("t-0"))
    again = bench.recover(mark, clean=True)
    assert again.quarantine == found.quarantine


def test_a_verdict_stands_until_its_file_is_removed() -> None:
    """Also when the damage is not seen again, as by a walk that reads only headers."""
    bench = three()
    verdict = quarantine.Quarantine(3, 0, len(A), "the checksum of the batch does not match")
    quarantine.write_quarantine(bench.files, DIRECTORY, verdict)
    mark = mark_at(9, 0, len(A + B + C))
    found = bench.recover(mark, clean=True)
    assert (found.quarantine, found.end_offset) == (verdict, 3)
    assert bench.read(0) == A + B + C
    bench.files.unlink(f"{DIRECTORY}/quarantine")
    assert bench.recover(mark).end_offset == 9


def test_an_unreadable_place_is_quarantined_even_above_the_mark() -> None:
    """EIO tells nothing about what was written: nothing may be cut."""
    bench = three()
    inner = bench.files
    for number in range(1, 50):
        files = FailingFiles(inner, fail_at=number, error=errno.EIO, kinds=["pread"])
        bench.files = files
        try:
            found = bench.recover(mark_at(0, 0, 0))
        except OSError:
            continue  # a small file: the start is refused, nothing was changed
        finally:
            bench.files = inner
            assert bench.read(0) == A + B + C
        if files.failed_count == 0:
            assert found.end_offset == 9
            return
        assert found.quarantine is not None
        bench.files.unlink(f"{DIRECTORY}/quarantine")
    raise AssertionError("fifty reads did not reach the end")


def test_without_a_mark_a_torn_tail_is_cut_and_a_hole_is_quarantined() -> None:
    """A valid batch behind the damage decides."""
    bench = three()
    bench.flip(0, len(A + B) + 70)
    assert bench.recover(UNKNOWN).end_offset == 5
    bench = three()
    bench.flip(0, len(A) + 70)
    found = bench.recover(UNKNOWN)
    assert found.quarantine is not None
    assert bench.read(0)[: len(A)] == A
    assert bench.names(".cut") == []


def test_after_a_clean_stop_without_a_mark_nothing_is_taken_for_a_torn_tail() -> None:
    """A clean stop leaves whole batches."""
    bench = three()
    assert bench.recover(UNKNOWN, clean=True).end_offset == 9
    bench.shorten(0, len(A + B) + 10)
    found = bench.recover(UNKNOWN, clean=True)
    assert found.quarantine is not None
    assert found.quarantine.offset == 5


def test_a_log_that_ends_below_its_mark_is_quarantined() -> None:
    """A whole segment that was durable is missing."""
    bench = Bench()
    bench.write(0, A)
    found = bench.recover(mark_at(9, 3, 100))
    assert found.quarantine is not None
    assert found.end_offset == 3
    bench = Bench()
    with pytest.raises(StorageError, match="holds no segment"):
        bench.recover(mark_at(9, 3, 100))


def test_an_empty_segment_that_only_the_mark_saw_is_no_loss() -> None:
    """The roll's new file had no bytes yet."""
    bench = Bench()
    bench.write(0, A, zeros=50)
    found = bench.recover(mark_at(3, 3, 0))
    assert (found.quarantine, found.end_offset) == (None, 3)
    assert bench.read(0) == A


def test_rolled_segments_are_walked_in_order() -> None:
    """Zeros at the end of a rolled segment are its preallocated space."""
    bench = Bench()
    bench.write(0, A, zeros=300)
    bench.write(3, B)
    bench.write(5, C, zeros=40)
    for mark in (mark_at(0, 0, 0), mark_at(3, 3, 0), mark_at(5, 5, 0), UNKNOWN):
        found = bench.recover(mark)
        assert (found.end_offset, found.quarantine, found.cuts) == (9, None, [])
        assert [s[:3] for s in found.segments] == [
            (0, 3, len(A)),
            (3, 5, len(B)),
            (5, 9, len(C)),
        ]


def test_segments_behind_the_end_are_cut_whole() -> None:
    """The first invalid batch above the mark ends the log, also for later segments."""
    bench = Bench()
    bench.write(0, A, B)
    bench.write(5, C)
    bench.write(9, zeros=500)
    bench.flip(0, len(A) + 70)
    found = bench.recover(mark_at(3, 0, len(A)))
    assert (found.end_offset, bench.bases()) == (3, [0])
    assert bench.read(5, ".cut") == C
    assert [cut.size_bytes for cut in found.cuts] == [len(B), len(C)]


def test_a_missing_segment_above_the_mark_ends_the_log() -> None:
    """Its name was never synced; what came after it was never promised either."""
    bench = Bench()
    bench.write(0, A)
    bench.write(5, C)
    found = bench.recover(mark_at(3, 0, len(A)))
    assert (found.end_offset, bench.bases(), bench.names(".cut")) == (3, [0], ["0" * 19 + "5.cut"])


def test_a_missing_segment_below_the_mark_is_quarantined() -> None:
    """Never a silent gap."""
    bench = Bench()
    bench.write(0, A)
    bench.write(5, C)
    found = bench.recover(mark_at(9, 5, len(C)))
    assert found.quarantine is not None
    assert (found.end_offset, bench.bases()) == (3, [0, 5])


def test_a_sealed_segment_is_not_read() -> None:
    """Its digest was written after it was synced; sizes are compared."""
    bench = Bench()
    bench.write(0, A)
    bench.seal(0, 3)
    bench.write(3, B, C)
    found = bench.recover(mark_at(0, 0, 0))
    assert found.segments[0].sealed
    assert found.scanned_bytes == len(B + C)
    bench.shorten(0, len(A) - 1)
    found = bench.recover(mark_at(3, 3, 0))
    assert found.quarantine is not None


def test_the_last_segment_is_never_sealed() -> None:
    """A digest of a segment that became the last one again would be wrong with the next append."""
    bench = Bench()
    bench.write(0, A)
    bench.seal(0, 3)
    bench.recover(mark_at(3, 0, len(A)))
    assert bench.names(".digest") == []


def test_the_index_builder_sees_each_batch_of_each_walked_segment() -> None:
    """Positions and headers in order, below and above the mark."""
    bench = Bench()
    bench.write(0, A, B)
    bench.write(5, C)
    seen: list[tuple[int, int, int]] = []

    def observer(base: int):  # type: ignore[no-untyped-def]
        return lambda position, header: seen.append((base, position, header[0]))

    bench.recover(mark_at(3, 0, len(A)), observer=observer)
    assert seen == [(0, 0, 0), (0, len(A), 3), (5, 0, 5)]


def test_a_mark_in_the_middle_of_a_batch_is_not_believed() -> None:
    """A mark that lies is corruption of the mark or of the log: both need a person."""
    bench = three()
    assert bench.recover(mark_at(3, 0, len(A) + 1)).quarantine is not None
    bench = three()
    assert bench.recover(mark_at(4, 0, len(A))).quarantine is not None


def test_a_spoilt_epoch_file_is_rebuilt_from_the_batches() -> None:
    """Each batch carries its epoch; sealed segments are walked for it too."""
    bench = Bench()
    bench.write(0, batch(0, epoch=0), batch(1, epoch=2))
    bench.seal(0, 2)
    bench.write(2, batch(2, epoch=2), batch(3, epoch=5))
    bench.files.write_atomically(f"{DIRECTORY}/leader-epoch-checkpoint", b"junk")
    found = bench.recover(mark_at(0, 0, 0))
    assert found.epochs.starts == [(0, 0), (2, 1), (5, 3), (6, 4)]


def test_leftovers_of_interrupted_work_are_removed() -> None:
    """Temporary files, side files of no segment, snapshots beyond the end."""
    bench = three()
    states = ProducerStates()
    bench.remember_producers(states, 20)
    bench.remember_producers(states, 4)
    bench.remember_producers(states, 9)
    for name in ("x.tmp", "0" * 19 + "7.index", "0" * 19 + "7.digest", "notes.txt"):
        bench.files.open(f"{DIRECTORY}/{name}", create=True).close()
    bench.recover(mark_at(0, 0, 0))
    assert bench.names() == sorted(
        [
            "0" * 20 + ".log",
            "0" * 19 + "9.snapshot",
            "0" * 19 + "9.window",
            "leader-epoch-checkpoint",
            "notes.txt",
            "partition.metadata",
        ]
    )


def test_the_producers_window_is_exact_across_rolls_and_lost_windows() -> None:
    """Whatever window files are left, recovery remembers what the live partition remembered."""
    seed = Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    for _ in range(60):
        bench, live = Bench(), ProducerStates()
        sequences = dict.fromkeys(range(4), 0)
        offset = 0
        bases = []
        for _ in range(random.randint(1, 6)):
            base, batches = offset, []
            bases.append(base)
            if base and random.random() < 0.6:
                bench.remember_producers(live, base)
            for _ in range(random.randint(1, 6)):
                count, producer = random.randint(1, 3), random.randrange(4)
                first = sequences[producer]
                data = batch(offset, count, producer=(producer, 0, first))
                last = first + count - 1
                live.update(producer, 0, first, last, offset, offset + count - 1, stamp_of(data))
                sequences[producer] += count
                offset += count
                batches.append(data)
            bench.write(base, *batches)
        for base, end in pairwise(bases):
            if random.random() < 0.5:
                bench.seal(base, end)
        found = bench.recover(mark_at(0, 0, 0))
        assert found.end_offset == offset
        assert contents(found.producers) == contents(live)


def stamp_of(data: bytes) -> int:
    """The max timestamp of a batch."""
    return int.from_bytes(data[35:43], "big")


def contents(states: ProducerStates) -> dict[int, tuple[object, ...]]:
    """What `check` looks at, in any order of producers."""
    return {i: (e.epoch, e.next_sequence, *e.batches) for i, e in states.entries.items()}


def test_a_failing_sync_or_write_of_recovery_goes_up() -> None:
    """Whichever call fails: an error, or the full result; never a lost batch."""
    for kinds in (["datasync"], ["sync_directory"], ["pwrite"], ["rename"], ["open"], ["truncate"]):
        for number in range(1, 40):
            bench = three(zeros=100)
            inner = bench.files
            bench.files = FailingFiles(inner, fail_at=number, error=errno.EIO, kinds=kinds)
            try:
                bench.recover(mark_at(3, 0, len(A)))
            except OSError:
                pass
            else:
                assert bench.files.failed_count == 0
                break
            bench.files = inner
            found = bench.recover(mark_at(3, 0, len(A)))
            assert (found.end_offset, found.quarantine) == (9, None)


def test_a_cut_is_safe_against_a_power_cut_of_the_recovery() -> None:
    """Cut the power during the cutting, at every step: the copy is whole or the log is uncut."""
    seed = Random().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    damaged = bytes([*B[:70], B[70] ^ 1, *B[71:]])
    for number in range(1, 30):
        files = RecordingFiles()
        bench = Bench(files)
        files.sync_directory("")
        files.sync_directory("data")
        bench.write(0, A, damaged)
        bench.write(5, C)
        failing = FailingFiles(files, fail_at=number, error=errno.EIO, for_good=True)
        bench.files = failing
        with suppress(OSError):
            bench.recover(mark_at(3, 0, len(A)))
        if failing.failed_count == 0:
            break
        after = Bench.__new__(Bench)
        after.files = files.power_cut(random)
        found = after.recover(mark_at(3, 0, len(A)))
        assert (found.end_offset, after.read(0)) == (3, A)
        copies = b"".join(
            after.files.read_file(f"{DIRECTORY}/{name}") for name in after.names(".cut")
        )
        assert damaged in copies
        assert C in copies


def test_every_cut_recovers_exactly_the_whole_batches_before_it() -> None:
    """A segment of mixed sizes and codecs, cut at every byte."""
    batches, offset = [], 0
    for number in range(60):
        count = number % 7 + 1
        batches.append(batch(offset, count, value_bytes=number * 5 % 97, codec=number % 5))
        offset += count
    whole = b"".join(batches)
    ends = [0]
    for data in batches:
        ends.append(ends[-1] + len(data))
    bench = Bench(MemoryFiles())
    bench.write(0, whole)
    for size in range(len(whole) - 1, -1, -1):
        bench.write(0, whole[:size])
        found = bench.recover(mark_at(0, 0, 0))
        kept = max(end for end in ends if end <= size)
        assert found.end_position == kept
        assert bench.read(0) == whole[:kept]
        for name in bench.names(".cut"):
            bench.files.unlink(f"{DIRECTORY}/{name}")


def test_offsets_of_a_segment_are_read_by_the_bench() -> None:
    """The bench's own view of a segment."""
    assert offsets(A + B + C) == [(0, 2), (3, 4), (5, 8)]
    assert encode_window(ProducerStates())
