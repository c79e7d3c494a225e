"""Walking batches: where they end and what stands there."""

from __future__ import annotations

import errno

import pytest

from logserver.storage import scan
from logserver.storage.failing_files import FailingFiles
from logserver.storage.files import File
from logserver.storage.scan import Found, Header, Stop, all_zeros, find_batch, last_nonzero, walk
from logserver.storage.simulated_files import MemoryFiles
from tests.storage.partition_bench import batch

BATCHES = [batch(0, 3), batch(3, 1, value_bytes=900, codec=4), batch(4, 10, codec=3), batch(14)]
WHOLE = b"".join(BATCHES)


def file_of(data: bytes) -> File:
    """A file in memory."""
    files = MemoryFiles()
    file = files.open("f", create=True)
    file.pwrite(data, 0)
    return file


def walked(data: bytes, *, checked: bool = True, epoch: int = 0) -> tuple[Stop, list[int]]:
    """The stop of a walk over all of `data`, and the positions it reported."""
    positions: list[int] = []

    def observe(position: int, header: Header) -> None:
        assert header[3] == 2
        positions.append(position)

    file = file_of(data)
    return walk(file, 0, file.size(), 0, epoch, observe, checked=checked), positions


@pytest.mark.parametrize("checked", [True, False])
def test_whole_batches_are_walked_to_the_end(checked: bool) -> None:
    """Each is reported once; the stop names the next offset."""
    stop, positions = walked(WHOLE, checked=checked)
    assert stop[:4] == (Found.END, len(WHOLE), 15, 0)
    assert len(positions) == 4


@pytest.mark.parametrize("checked", [True, False])
def test_preallocated_zeros_are_told_from_damage(checked: bool) -> None:
    """Zeros to the end are space; zeros with something behind them are not."""
    for count in (1, 60, 61, 10_000):
        stop, _ = walked(WHOLE + bytes(count), checked=checked)
        assert stop[:3] == (Found.ZEROS, len(WHOLE), 15)
    stop, _ = walked(WHOLE + bytes(9000) + b"x", checked=checked)
    assert stop[:3] == (Found.INVALID, len(WHOLE), 15)


def test_a_batch_that_ends_beyond_the_range_is_torn() -> None:
    """Cut at any byte: torn, or the exact end of a batch."""
    ends = {sum(map(len, BATCHES[:n])): sum((3, 1, 10, 1)[:n]) for n in range(5)}
    for size in range(len(WHOLE) + 1):
        stop, _ = walked(WHOLE[:size])
        end = max(position for position in ends if position <= size)
        expected = Found.END if size == end else stop.found
        assert (stop.position, stop.offset) == (end, ends[end])
        assert stop.found is expected
        # the first bytes of a batch may be zeros (its base offset): then it looks like space
        assert stop.found in (Found.END, Found.TORN, Found.ZEROS)


def test_a_checked_walk_finds_every_flipped_bit_that_matters() -> None:
    """All but the leader epoch's, which nothing covers and a rise is legal."""
    data = bytearray(BATCHES[0] + BATCHES[3])
    data[len(BATCHES[0]) : len(BATCHES[0]) + 8] = (3).to_bytes(8, "big")
    assert walked(bytes(data))[0].found is Found.END
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        stop, _ = walked(bytes(data))
        place = bit // 8 if bit // 8 < len(BATCHES[0]) else bit // 8 - len(BATCHES[0])
        if not 12 <= place < 16:
            assert stop.found is not Found.END
        data[bit // 8] ^= 1 << bit % 8


def test_offsets_must_follow_and_epochs_must_not_fall() -> None:
    """A stale batch of the right size and checksum is refused for its offset or its epoch."""
    assert walked(batch(0) + batch(2))[0].why == "a batch has base offset 2, expected 1"
    assert walked(batch(0, epoch=4) + batch(1, epoch=3))[0].why == "leader epoch 3 after 4"
    assert walked(batch(0, epoch=2), epoch=3)[0].found is Found.INVALID
    assert walked(batch(0, epoch=2) + batch(1, epoch=5))[0][:4] == (
        Found.END,
        2 * len(batch(0)),
        2,
        5,
    )


@pytest.mark.parametrize("checked", [True, False])
def test_batches_larger_than_a_chunk_are_walked_too(
    checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of a walk is bounded by the chunk, not by the batch."""
    monkeypatch.setattr(scan, "CHECKED_CHUNK_BYTES", 512)
    monkeypatch.setattr(scan, "HEADER_CHUNK_BYTES", 128)
    data = batch(0, 5, value_bytes=700) + batch(5) + batch(6, 1, value_bytes=3000) + batch(7)
    stop, positions = walked(data, checked=checked)
    assert (stop.found, stop.offset, len(positions)) == (Found.END, 8, 4)
    damaged = bytearray(data)
    damaged[-200 - len(batch(7))] ^= 1
    stop, _ = walked(bytes(damaged), checked=checked)
    assert stop.offset == (6 if checked else 8)


def test_an_unreadable_place_is_not_taken_for_the_end() -> None:
    """EIO says nothing about what was written there."""
    files = FailingFiles(MemoryFiles(), fail_at=1, error=errno.EIO, kinds=["pread"])
    file = files.open("f", create=True)
    file.pwrite(WHOLE, 0)
    stop = walk(file, 0, len(WHOLE), 0, 0, lambda *_: None, checked=True)
    assert stop.found is Found.UNREADABLE


def test_a_valid_batch_is_found_behind_damage_at_any_distance() -> None:
    """No boundary is known any more: the search looks at every byte."""
    for distance in (0, 1, 7, 511, 5000, 70_000):
        data = WHOLE + b"\x02\x00\xff" * (distance // 3) + bytes(distance % 3) + batch(40, 2)
        position = find_batch(file_of(data), len(WHOLE), len(data), 15)
        assert position == len(data) - len(batch(40, 2))
    data = WHOLE + bytes(100_000) + batch(40, 2) + bytes(5000)
    assert find_batch(file_of(data), len(WHOLE), len(data), 15) == len(WHOLE) + 100_000
    assert find_batch(file_of(data), len(WHOLE), len(data), 41) is None
    damaged = bytearray(data)
    damaged[len(WHOLE) + 100_000 + 80] ^= 1
    assert find_batch(file_of(bytes(damaged)), len(WHOLE), len(data), 15) is None


def test_zeros_are_recognised_across_chunks() -> None:
    """The last nonzero byte decides where a copy ends."""
    file = file_of(b"abc" + bytes(10_000) + b"x" + bytes(9_000_000))
    assert last_nonzero(file, 0, file.size()) == 10_004
    assert last_nonzero(file, 10_004, file.size()) == 10_004
    assert all_zeros(file, 10_004, file.size())
    assert not all_zeros(file, 10_003, file.size())
