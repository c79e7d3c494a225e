"""Verify finds what is wrong, says where, and stays silent when nothing is."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from logserver.storage.digest import file_name
from logserver.storage.mark import MARK_FILE
from logserver.storage.simulated_files import MemoryFiles
from logserver.storage.sparse import SPARSE_FILE
from logserver.storage.verify import Finding, verify_directory
from tests.storage.compaction_bench import compact_log
from tests.storage.directory_bench import DATA, NOW_MS, DirectoryBench, filled, produce

SEALED_SUFFIXES = (".log", ".index", ".timeindex", ".snapshot", ".window", ".digest")


def findings(bench: DirectoryBench) -> list[Finding]:
    """All findings of the bench's directory."""
    return list(verify_directory(bench.files, DATA))


def kinds(bench: DirectoryBench) -> set[str]:
    """What kinds of findings there are."""
    return {finding.kind for finding in findings(bench)}


def overwrite(bench: DirectoryBench, path: str, data: bytes) -> None:
    """Put other bytes in a file."""
    file = bench.files.open(path)
    file.truncate(0)
    file.pwrite(data, 0)


def second_segment(bench: DirectoryBench) -> int:
    """The base offset of a sealed segment that has a snapshot."""
    return bench.log().segments[1].base_offset


def test_a_sound_directory_has_no_findings_running_stopped_or_killed() -> None:
    """While it runs, after a clean stop, after a kill, and after the start that follows."""
    bench = filled(5)
    assert findings(bench) == []
    produce(bench.log(), 2)
    assert findings(bench) == []
    bench.commit()
    bench.stop()
    assert findings(bench) == []
    bench.directory = bench.open()
    produce(bench.log(), 2)
    bench.stop(clean=False)
    assert findings(bench) == []
    bench.directory = bench.open()
    bench.log()
    bench.mark()
    assert findings(bench) == []


def test_bytes_above_the_mark_are_not_judged() -> None:
    """A torn tail is what a crash may leave; recovery will see to it."""
    bench = filled()
    produce(bench.log(), 5)
    log = bench.log()
    file = bench.files.open(log.active.path(".log"))
    file.pwrite(b"\xff" * 10, log.active.size_bytes - 50)
    assert findings(bench) == []
    bench.commit()
    bench.mark()
    assert kinds(bench) == {"batch"}


def sealed_files(bench: DirectoryBench) -> dict[str, bytes]:
    """The files of one sealed segment, and the durable mark."""
    base = second_segment(bench)
    paths = [f"{DATA}/t-0/{file_name(base, suffix)}" for suffix in SEALED_SUFFIXES]
    return {path: bench.files.read_file(path) for path in [*paths, f"{DATA}/{MARK_FILE}"]}


@pytest.mark.simulation
def test_every_flipped_bit_of_a_sealed_segment_and_of_the_mark_is_found(full: bool) -> None:
    """Segment of >= 50 batches, indexes, snapshot, window, digest, mark; sampled unless --full."""
    bench = filled(3, segment_bytes=9000)
    bench.stop()
    bench.directory = bench.open()
    segment = bench.log().segments[1]
    batches_count = sum(1 for _ in segment.walk(0, segment.size_bytes))
    assert batches_count >= 50
    files = sealed_files(bench)
    bits = [(path, bit) for path, data in files.items() for bit in range(len(data) * 8)]
    if not full:
        seed = Random().randrange(1 << 32)
        print(f"seed {seed}")
        bits = Random(seed).sample(bits, 600)
    missed = []
    assert isinstance(bench.files, MemoryFiles)
    for path, bit in bits:
        file = bench.files.open(path)
        byte = files[path][bit // 8]
        file.pwrite(bytes([byte ^ 1 << bit % 8]), bit // 8)
        if next(verify_directory(bench.files, DATA), None) is None:
            missed.append((path, bit))
        file.pwrite(bytes([byte]), bit // 8)
    assert missed == []
    assert findings(bench) == []


def test_a_missing_or_shortened_file_of_a_sealed_segment_is_found() -> None:
    """Each kind but the digest itself, without which the segment counts as not yet sealed."""
    for suffix in SEALED_SUFFIXES[:-1]:
        for size in (None, 0, 20):
            bench = filled()
            path = f"{DATA}/t-0/{file_name(second_segment(bench), suffix)}"
            if size is None:
                bench.files.unlink(path)
            else:
                overwrite(bench, path, bench.files.read_file(path)[:size])
            assert findings(bench) != []


def test_an_index_of_the_active_segment_is_compared_with_its_batches() -> None:
    """No digest covers it: each entry must point to the batch it names."""
    bench = filled()
    bench.stop()
    for suffix in (".index", ".timeindex"):
        names = bench.files.list_directory(f"{DATA}/t-0")
        path = f"{DATA}/t-0/{max(name for name in names if name.endswith(suffix))}"
        data = bytearray(bench.files.read_file(path))
        assert data
        for bit in range(len(data) * 8):
            data[bit // 8] ^= 1 << bit % 8
            overwrite(bench, path, bytes(data))
            assert kinds(bench) == {"index"}
            data[bit // 8] ^= 1 << bit % 8
        overwrite(bench, path, bytes(data))
    assert findings(bench) == []


def test_a_lost_segment_is_found() -> None:
    """The first is deletion by retention for all we know, any other is a hole."""
    for number in (1, 2):
        bench = filled(3)
        bench.files.unlink(bench.log().segments[number].path(".log"))
        assert "continuity" in kinds(bench) or "batch" in kinds(bench)


def test_a_lost_or_spoilt_mark_identity_topic_id_and_epoch_file_is_found() -> None:
    """Small files, one finding each."""
    for path, kind in (
        (f"{DATA}/{MARK_FILE}", "mark"),
        (f"{DATA}/meta.properties", "identity"),
        (f"{DATA}/t-0/partition.metadata", "metadata"),
        (f"{DATA}/t-0/leader-epoch-checkpoint", "epoch"),
    ):
        bench = filled()
        overwrite(bench, path, b"junk")
        assert kinds(bench) == {kind}
        bench.files.unlink(path)
        assert kinds(bench) == {kind}


def test_a_wrong_leader_epoch_in_a_batch_is_found() -> None:
    """No checksum covers it: the epoch checkpoint does."""
    bench = filled()
    bench.mark()
    log = bench.log()
    file = bench.files.open(log.active.path(".log"))
    file.pwrite(b"\x07", 15)
    assert "epoch" in kinds(bench)


def test_a_window_that_the_batches_contradict_is_found() -> None:
    """With a right checksum: the writer was wrong."""
    bench = filled(4)
    base = bench.log().segments[2].base_offset
    earlier = bench.log().segments[1].base_offset
    for suffix in (".window", ".snapshot"):
        data = bench.files.read_file(f"{DATA}/t-0/{file_name(earlier, suffix)}")
        overwrite(bench, f"{DATA}/t-0/{file_name(base, suffix)}", data)
    assert "producers" in kinds(bench)


def test_a_quarantine_is_a_finding() -> None:
    """Until a person has dealt with it."""
    bench = filled()
    bench.mark()
    log = bench.log()
    file = bench.files.open(log.active.path(".log"))
    file.pwrite(b"\xff", 16)
    bench.restart(clean=False)
    assert bench.log().recovery.quarantine is not None
    assert {"quarantine", "batch"} <= kinds(bench)


def test_progress_is_told_in_bytes() -> None:
    """For a bar on the terminal."""
    bench = filled()
    told: list[int] = []
    assert list(verify_directory(bench.files, DATA, progress=told.append)) == []
    assert sum(told) >= bench.log().size_bytes


def test_a_compacted_log_has_no_findings_and_other_gaps_are_some() -> None:
    """Gaps are excused below what `sparse-below` says, not above it, and not without the file."""
    bench = filled(3, segment_bytes=9000)
    log = bench.log()
    before = log.size_bytes
    compact_log(log, NOW_MS)
    bench.maintain()
    assert log.size_bytes < before / 2
    assert findings(bench) == []
    bench.stop()
    assert findings(bench) == []
    bench.directory = bench.open()
    assert bench.log().recovery.quarantine is None
    path = f"{DATA}/t-0/{SPARSE_FILE}"
    bench.files.unlink(path)
    assert "batch" in kinds(bench)
    bench.files.open(path, create=True).pwrite(b"1\nnot its checksum\n", 0)
    assert kinds(bench) == {"metadata"}


class ReplacesMeanwhile(MemoryFiles):
    """Compaction puts a segment in as soon as the digest of the old one was read."""

    swap_in: Callable[[], object] | None = None

    def read_file(self, path: str) -> bytes:
        data = super().read_file(path)
        if self.swap_in is not None and path.endswith(f"{0:020d}.digest"):
            swap_in, self.swap_in = self.swap_in, None
            swap_in()
        return data


def test_a_segment_that_is_replaced_while_it_is_read_is_no_finding() -> None:
    """The partition is read once more, and then it is as its files say."""
    files = ReplacesMeanwhile()
    bench = filled(3, files=files, segment_bytes=9000)
    files.swap_in = lambda: compact_log(bench.log(), NOW_MS)
    assert findings(bench) == []
    assert files.swap_in is None
    assert len(bench.log().replaced) > 0
