"""Every file of a log directory can be shown."""

from __future__ import annotations

import pytest

from logserver.storage.dump import UnknownFileError, describe, text
from tests.storage.directory_bench import DATA, DirectoryBench, filled, produce


@pytest.fixture(scope="module")
def bench() -> DirectoryBench:
    """A directory with three segments, cleanly stopped."""
    bench = filled()
    bench.stop()
    return bench


def test_every_file_is_described_or_refused_by_name(bench: DirectoryBench) -> None:
    """Nothing that the server writes is unknown, but the lock and the marker."""
    for name in bench.files.list_directory(f"{DATA}/t-0"):
        rows = list(describe(bench.files, f"{DATA}/t-0/{name}"))
        assert not [row for row in rows if "error" in row]
    for name in ("durable-mark", "meta.properties"):
        assert list(describe(bench.files, f"{DATA}/{name}"))
    with pytest.raises(UnknownFileError, match=r"is none of the files .*\.timeindex"):
        list(describe(bench.files, f"{DATA}/.lock"))


def test_a_segment_is_shown_batch_by_batch_and_record_by_record(bench: DirectoryBench) -> None:
    """Offsets rise, nothing is faulty, each codec by name."""
    path = f"{DATA}/t-0/{0:020d}.log"
    batches = list(describe(bench.files, path))
    assert {row["codec"] for row in batches} == {"none", "gzip", "snappy", "lz4", "zstd"}
    assert all(row["fault"] is None for row in batches)
    rows = list(describe(bench.files, path, records=True))
    offsets = [row["offset"] for row in rows if "offset" in row]
    assert offsets == list(range(batches[-1]["last_offset"] + 1))
    assert rows[1]["key"] == "k0"


def test_a_spoilt_segment_is_shown_up_to_the_fault() -> None:
    """A wrong checksum is told with the batch, a missing header ends the list."""
    bench = DirectoryBench()
    log = bench.log()
    for _ in range(3):
        produce(log, 2)
    size = log.active.size_bytes // 3
    file = bench.files.open(log.active.path(".log"))
    file.pwrite(b"\xff", size + 70)
    file.pwrite(b"\xff" * 20, 2 * size)
    rows = list(describe(bench.files, log.active.path(".log")))
    assert [bool(row.get("fault")) for row in rows] == [False, True, False]
    assert rows[2]["position"] == 2 * size
    assert "error" in rows[2]
    file.truncate(2 * size)
    file.truncate(3 * size)
    assert list(describe(bench.files, log.active.path(".log")))[2] == {
        "position": 2 * size,
        "zeros_bytes": size,
    }


def test_a_spoilt_side_file_ends_in_an_error(bench: DirectoryBench) -> None:
    """Never an exception for what is in a file."""
    for name in ("0" * 20 + ".window", "0" * 20 + ".snapshot", "0" * 20 + ".digest",
                 "leader-epoch-checkpoint", "partition.metadata", "durable-mark"):  # fmt: skip
        bench.files.write_atomically(f"{DATA}/{name}", b"junk, and not a little of it")
        assert "error" in list(describe(bench.files, f"{DATA}/{name}"))[-1]


def test_bytes_are_shown_as_text_where_they_are_text() -> None:
    """Otherwise in hexadecimal."""
    assert (text(b"k\xc3\xbc"), text(b"\xff\x00"), text(None)) == ("kü", "0xff00", None)
