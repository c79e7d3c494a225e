"""From an offset to a segment and a byte, with few mappings and few memories."""

from __future__ import annotations

from logserver.storage import retention
from logserver.storage.lookup import HINTS_COUNT_MAX, MAPPED_COUNT_MAX
from tests.storage.bench import DIRECTORY, Bench


def sealed_bench(segments_count: int) -> Bench:
    """Sealed segments of several index entries each, reopened: nothing is in memory."""
    bench = Bench(segment_bytes=5000, index_interval_bytes=300)
    while len(bench.log.segments) <= segments_count:
        bench.write()
    bench.sync()
    bench.maintain()
    bench.reopen()
    return bench


def test_every_offset_leads_to_its_segment() -> None:
    """The first and the last of each, too."""
    bench = sealed_bench(4)
    for segment in bench.log.segments:
        for offset in {segment.base_offset, max(segment.base_offset, segment.end_offset - 1)}:
            assert bench.log.lookup.segment_of(offset) is segment


def test_few_sealed_segments_stay_mapped() -> None:
    """A mapping costs descriptors; a replay of a thousand segments must not keep a thousand."""
    bench = sealed_bench(MAPPED_COUNT_MAX + 5)
    for batch in bench.written:
        bench.log.lookup.locate(batch.base_offset)
    mapped = [s for s in bench.log.segments if s.sealed and s.lazy_offset_index is not None]
    assert len(mapped) == MAPPED_COUNT_MAX
    assert mapped == bench.log.lookup.mapped


def test_few_places_are_remembered() -> None:
    """The newest stay."""
    bench = Bench()
    bench.write()
    for offset in range(HINTS_COUNT_MAX + 10):
        bench.log.lookup.remember(offset, bench.log.active, 0)
    assert list(bench.log.lookup.hints) == list(range(10, HINTS_COUNT_MAX + 10))


def test_dropped_segments_are_forgotten_everywhere() -> None:
    """No hint and no mapping may lead to a file that is being unlinked."""
    bench = sealed_bench(5)
    bench.read_all(max_bytes=500)
    dropped = retention.drop(bench.log, 3)
    lookup = bench.log.lookup
    assert not set(dropped) & {segment for segment, _ in lookup.hints.values()}
    assert not set(dropped) & set(lookup.mapped)
    assert lookup.bases == [segment.base_offset for segment in lookup.segments]


def test_an_index_with_flipped_bits_never_leads_a_reader_astray() -> None:
    """Entries are checked against the log when used; a wrong index is rebuilt."""
    reference = sealed_bench(1)
    name = "00000000000000000000.index"
    bits_count = reference.files.file_size(f"{DIRECTORY}/{name}") * 8
    rebuilds_count = 0
    for bit in range(0, bits_count, 5):
        bench = reference
        bench.flip(name, bit)
        bench.log.segments[0].forget_indexes()
        for batch in bench.written[:: len(bench.written) // 7]:
            _, position = bench.log.lookup.locate(batch.base_offset)
            segment = bench.log.lookup.segment_of(batch.base_offset)
            assert segment.file.pread(len(batch.data), position) == batch.data, bit
        rebuilds_count += bench.log.lookup.rebuilds_count > 0
        bench.log.lookup.rebuilds_count = 0
        bench.log.lookup.hints.clear()
        bench.flip(name, bit)
    assert rebuilds_count > 0


def test_an_offset_in_a_gap_is_found_at_the_batch_behind_it() -> None:
    """Also where the gap reaches the segment's end, as other programs leave it."""
    bench = Bench(segment_bytes=400, index_interval_bytes=100)
    bench.write_many(9)
    bench.sync()
    bench.maintain()
    first, second = bench.log.segments[:2]
    assert first.sealed
    last = list(first.walk(0, first.size_bytes))[-1]
    first.size_bytes = last.position
    first.rebuild_indexes(100)
    assert bench.log.lookup.locate(last.first_offset) == (second, 0)
    piece = bench.log.read(last.first_offset, 1, bench.log.end_offset)
    assert piece is not None
    assert (piece.segment, piece.position) == (second, 0)
    piece.release()
