"""The verdict on a partition is kept until a person removes it."""

from __future__ import annotations

from logserver.storage.quarantine import (
    QUARANTINE_FILE,
    Quarantine,
    read_quarantine,
    write_quarantine,
)
from tests.storage.partition_bench import DIRECTORY, Bench


def test_a_verdict_is_read_back_as_it_was_written() -> None:
    """Also with an equals sign in its reason."""
    bench = Bench()
    assert read_quarantine(bench.files, DIRECTORY) is None
    verdict = Quarantine(4711, 4000, 88123, "base offset = 7, expected 8")
    write_quarantine(bench.files, DIRECTORY, verdict)
    assert read_quarantine(bench.files, DIRECTORY) == verdict


def test_a_verdict_that_cannot_be_read_condemns_the_whole_partition() -> None:
    """It must not be taken for no verdict."""
    bench = Bench()
    for data in (b"", b"offset=x\n", b"\xff\xfe", b"offset=1\nposition=2\n"):
        bench.files.write_atomically(f"{DIRECTORY}/{QUARANTINE_FILE}", data)
        verdict = read_quarantine(bench.files, DIRECTORY)
        assert verdict is not None
        assert verdict.offset == 0
