"""A slice keeps its bytes reachable for as long as somebody still sends them."""

from __future__ import annotations

import os
from pathlib import Path

from logserver.storage.files import RealFiles
from logserver.storage.log import Log
from tests.storage.bench import TOPIC_ID, Bench, make_batch


def test_a_slice_says_where_its_bytes_are_and_what_comes_next() -> None:
    """Position and size in the segment, the offset asked for, the offset after the last batch."""
    bench = Bench()
    first, second = bench.write(count=3), bench.write(count=2)
    piece = bench.log.read(4, 1 << 20, 5)
    assert piece is not None
    assert (piece.position, piece.size_bytes) == (len(first.data), len(second.data))
    assert (piece.first_offset, piece.next_offset) == (4, 5)
    assert piece.read() == second.data


def test_a_slice_is_hot_where_this_process_wrote_it() -> None:
    """In the last two segments, behind what was there at the start."""
    bench = Bench(segment_bytes=1000)
    bench.write()
    bench.reopen()
    bench.write_many(30)
    hot = {}
    for batch in bench.written:
        piece = bench.log.read(batch.base_offset, 1, bench.log.end_offset)
        assert piece is not None
        hot[batch.base_offset] = piece.hot
        piece.release()
    previous = bench.log.segments[-2].base_offset
    assert not hot[0]
    assert {offset for offset, is_hot in hot.items() if is_hot} == set(range(previous, 31))


def test_a_slice_outlives_its_deleted_topic(tmp_path: Path) -> None:
    """On a real file system: the descriptor still reads the old bytes when a new topic is there."""
    bench = Bench()
    files, directory = RealFiles(), str(tmp_path / "t-0")
    log = Log.open(files, directory, bench.config, topic_id=TOPIC_ID, now_ms=0, clean=False)
    batch = make_batch(count=5)
    log.append(memoryview(batch), 4, 1004, 0)
    piece = log.read(0, 1 << 20, 5)
    assert piece is not None
    log.delete("1", 0)
    again = Log.open(files, directory, bench.config, topic_id=bytes(16), now_ms=0, clean=False)
    again.append(memoryview(make_batch(value_bytes=1000)), 0, 1000, 0)
    assert log.removal(1 << 60) is None
    assert os.pread(piece.fileno(), piece.size_bytes, piece.position) == bytes(batch)
    piece.release()
    chore = log.removal(1 << 60)
    assert chore is not None
    chore[1](chore[0]())
    assert log.gone
    assert os.listdir(tmp_path) == ["t-0"]
    again.close(clean=False)
