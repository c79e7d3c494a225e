"""What is cut is copied first."""

from __future__ import annotations

from logserver.storage.cutting import PAGE_BYTES, copy_end, free_path, shorten, take_segment
from tests.storage.partition_bench import DIRECTORY, Bench, batch

A, B = batch(0, 3), batch(3, 2)


def test_the_end_of_a_segment_is_copied_without_its_preallocated_pages() -> None:
    """The zeros of the last page stay: a batch may end with some."""
    bench = Bench()
    bench.write(0, A, B, zeros=100_000)
    copied = copy_end(bench.files, DIRECTORY, 0, len(A))
    assert copied == (bench.path(0, ".cut"), PAGE_BYTES - len(A))
    assert bench.read(0, ".cut").rstrip(b"\0") == B.rstrip(b"\0")
    assert copy_end(bench.files, DIRECTORY, 0, len(A + B)) is None


def test_a_whole_segment_is_renamed_and_an_empty_one_removed() -> None:
    """Nothing is copied that can be renamed."""
    bench = Bench()
    bench.write(0, A)
    bench.write(3, zeros=10)
    assert take_segment(bench.files, DIRECTORY, 0) == (bench.path(0, ".cut"), len(A))
    assert take_segment(bench.files, DIRECTORY, 3) is None
    assert (bench.bases(), bench.read(0, ".cut")) == ([], A)


def test_earlier_copies_are_never_overwritten() -> None:
    """The second cut of a segment is `<base>.2.cut`."""
    bench = Bench()
    names = []
    for _ in range(3):
        path = free_path(bench.files, DIRECTORY, 7)
        bench.files.open(path, create=True).close()
        names.append(path[-8:])
    assert names == ["0007.cut", "07.2.cut", "07.3.cut"]


def test_a_segment_is_shortened() -> None:
    """To the end of its last valid batch."""
    bench = Bench()
    bench.write(0, A, B)
    shorten(bench.files, DIRECTORY, 0, len(A))
    assert bench.read(0) == A
