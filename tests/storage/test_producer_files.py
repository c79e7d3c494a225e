"""Where the producers' memory waits between two runs."""

from __future__ import annotations

from logserver.storage.producer_files import encode, load, offsets_of, remove_stray
from logserver.storage.producers import ProducerStates, batches
from tests.storage.partition_bench import DIRECTORY, Bench


def states(batch_count: int) -> ProducerStates:
    """One producer that wrote that many batches of one record."""
    result = ProducerStates()
    for number in range(batch_count):
        result.update(1, 0, number, number, number, number, 0)
    return result


def test_the_newest_window_that_is_not_beyond_the_limit_is_loaded() -> None:
    """Beyond it the log may have been cut."""
    bench = Bench()
    for count in (1, 3, 6):
        encode(states(count), count).write(bench.files, DIRECTORY)
    loaded = load(bench.files, DIRECTORY, 0, 5)
    assert loaded.offset == 3
    assert len(list(batches(loaded.states))) == 3


def test_a_spoilt_window_is_passed_over() -> None:
    """The one before it and more replay are as exact."""
    bench = Bench()
    encode(states(1), 1).write(bench.files, DIRECTORY)
    encode(states(3), 3).write(bench.files, DIRECTORY)
    bench.flip(3, 40, suffix=".window")
    assert load(bench.files, DIRECTORY, 0, 5).offset == 1


def test_without_any_window_kafkas_snapshot_of_the_first_segment_is_the_start() -> None:
    """A directory that Kafka wrote; without that either, nothing is remembered."""
    bench = Bench()
    encode(states(3), 3).write(bench.files, DIRECTORY)
    bench.files.unlink(bench.path(3, ".window"))
    loaded = load(bench.files, DIRECTORY, 3, 9)
    assert (loaded.offset, len(list(batches(loaded.states)))) == (3, 1)
    assert load(bench.files, DIRECTORY, 0, 9).offset == 0
    assert not load(bench.files, DIRECTORY, 0, 9).states.entries


def test_stray_files_go_and_those_of_segments_and_of_the_end_stay() -> None:
    """A clean stop leaves one at the end."""
    bench = Bench()
    for offset in (0, 3, 5, 9):
        encode(states(1), offset).write(bench.files, DIRECTORY)
    bench.flip(3, 40, suffix=".window")
    remove_stray(bench.files, DIRECTORY, [0, 3], 9, [])
    assert sorted(offsets_of(bench.names(), ".window")) == [0, 3, 9]
    assert sorted(offsets_of(bench.names(), ".snapshot")) == [0, 3, 9]
    remove_stray(bench.files, DIRECTORY, [0, 3], 9, [0, 3, 9])
    assert sorted(offsets_of(bench.names(), ".window")) == [0, 9]
