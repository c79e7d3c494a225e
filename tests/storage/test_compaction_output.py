"""The files that compaction writes, as a digest, `verify` and Kafka's rules want them."""

from __future__ import annotations

from logserver.storage import digest
from logserver.storage.compaction_output import SYNC_STEP_BYTES, WRITE_BYTES, Output
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import MemoryFiles
from logwire.batch import HEADER
from tests.storage.bench import make_batch
from tests.storage.compaction_bench import no_pace


def made(files: FailingFiles, *, replaces: bytes | None = None) -> Output:
    """An output in `d`, for several segments, or for one that holds `replaces`."""
    files.make_directory("d")
    source = None
    if replaces is not None:
        source = files.open("d/old.log", create=True)
        source.pwrite(replaces, 0)
    return Output(files, "d", 5, 4096, no_pace, source)


def stamped(base_offset: int, count: int, value_bytes: int) -> bytes:
    """A batch of `count` records at an offset."""
    batch = make_batch(count, value_bytes)
    batch[:8] = base_offset.to_bytes(8, "big")
    return bytes(batch)


def test_the_digest_describes_what_is_in_the_files() -> None:
    """Kept ranges, new batches, both indexes, and the producers' files that were there."""
    files = FailingFiles(MemoryFiles())
    output = made(files)
    files.open(f"d/{5:020d}.window", create=True).pwrite(b"window", 0)
    kept = stamped(5, 3, 3000) + stamped(8, 3, 3000)
    half = len(kept) // 2
    output.keep(kept, 0, half, HEADER.unpack_from(kept))
    output.keep(kept, half, len(kept), HEADER.unpack_from(kept, half))
    new = stamped(12, 1, 200)
    output.write(new, HEADER.unpack_from(new), 1000)
    cleaned = output.finish(20, (5, 9, 13))
    output.close()
    assert cleaned == (5, 20, len(kept) + len(new), 1002, (5, 9, 13))
    stem = f"d/{5:020d}"
    assert files.read_file(f"{stem}.log.cleaned") == kept + new
    summary = digest.decode_digest(files.read_file(f"{stem}.digest.cleaned"))
    assert (summary.base_offset, summary.end_offset, summary.max_timestamp_ms) == (5, 20, 1002)
    names = {".log": ".log.cleaned", ".index": ".index.cleaned", ".timeindex": ".timeindex.cleaned"}
    for part in summary.parts:
        path = stem + names.get(part.suffix, part.suffix)
        assert digest.digest_file(files, path) == (part.size_bytes, part.xxh3)
    assert [part.suffix for part in summary.parts] == [".log", ".index", ".timeindex", ".window"]


def test_nothing_is_written_while_nothing_changes() -> None:
    """One segment that loses nothing stays as it is."""
    files = FailingFiles(MemoryFiles())
    data = stamped(5, 3, 100)
    output = made(files, replaces=data)
    output.keep(data, 0, len(data), HEADER.unpack_from(data))
    assert output.finish(8, (5,)) is None
    assert files.list_directory("d") == ["old.log"]


def test_the_first_change_brings_over_what_came_before() -> None:
    """A batch that goes, behind two that stay."""
    files = FailingFiles(MemoryFiles())
    data = stamped(5, 3, 100) + stamped(8, 3, 100)
    half = len(data) // 2
    output = made(files, replaces=data + stamped(11, 1, 10))
    output.keep(data, 0, half, HEADER.unpack_from(data))
    output.keep(data, half, len(data), HEADER.unpack_from(data, half))
    output.drop()
    assert output.finish(12, (5,)) is not None
    assert files.read_file(f"d/{5:020d}.log.cleaned") == data


def test_writes_are_large_and_syncs_are_frequent() -> None:
    """A megabyte at least, and not many more than four of them unsynced."""
    files = FailingFiles(MemoryFiles())
    output = made(files)
    data = stamped(5, 10, 10_000)
    header = HEADER.unpack_from(data)
    count = (SYNC_STEP_BYTES * 2 + 4 * WRITE_BYTES) // len(data)
    for _ in range(count):
        output.keep(bytes(data), 0, len(data), header)
    assert files.calls["pwrite"] <= count * len(data) // WRITE_BYTES
    assert files.calls["datasync"] == 2
