"""logserver.moving.kafka_partition: every batch as it is, and beside them files of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from logserver.config import TopicConfig
from logserver.moving.kafka_directory import kafka_directory
from logserver.moving.kafka_partition import (
    Imported,
    Transactional,
    empty_batch,
    import_partition,
)
from logserver.moving.transfer import Transfer
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from logserver.storage.log import Log
from logwire.batch import decode_batch, iterate_batches, verify_batch
from tests.moving.kafka_bench import NOW_MS, KafkaBench, batch, topic_id, with_attributes


class Bench:
    """One partition, to be imported and opened."""

    def __init__(self, path: Path) -> None:
        self.kafka = KafkaBench(path / "kafka")
        self.target = path / "t-0"
        self.transfer = Transfer(links=True)
        self.told: list[tuple[int, int]] = []

    def carry(self) -> Imported:
        """Import `t-0`."""
        with kafka_directory(RealFiles(), str(self.kafka.path)) as found:
            (source,) = found.partitions
            return import_partition(
                RealFiles(),
                source,
                str(self.target),
                topic_id("t"),
                self.transfer,
                4096,
                lambda *words: self.told.append(words),
            )

    def open(self, imported: Imported) -> Log:
        """Open what was imported as a clean stop has left it; no batch may be read for that."""
        log = Log.open(
            RealFiles(),
            str(self.target),
            TopicConfig(),
            topic_id=topic_id("t"),
            now_ms=NOW_MS,
            clean=True,
            mark=imported.mark,
        )
        assert (log.recovery.scanned_bytes, log.recovery.walked_bytes) == (0, 0)
        assert log.recovery.quarantine is None
        return log


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A stopped broker without partitions."""
    return Bench(tmp_path)


def values(log: Log) -> dict[int, bytes | None]:
    """Every record of a log by its offset."""
    found: dict[int, bytes | None] = {}
    offset = log.log_start_offset
    while offset < log.end_offset:
        piece = log.read(offset, 1 << 20, log.end_offset)
        assert piece is not None
        data = memoryview(piece.read())
        piece.release()
        for position, header in iterate_batches(data):
            whole = data[position : position + header.batch_length + 12]
            assert verify_batch(whole) is None
            found.update((record.offset, record.value) for record in decode_batch(whole))
            offset = header.base_offset + header.last_offset_delta + 1
    return found


def test_segments_are_linked_and_the_last_is_copied(bench: Bench) -> None:
    """The sealed one is the same file; the active one will be written, so it is not."""
    theirs = bench.kafka.partition("t", 0, {0: [batch(0, 3), batch(3, 2)], 5: [batch(5, 4)]})
    imported = bench.carry()
    names = [f"{base:020d}.log" for base in (0, 5)]
    assert [(bench.target / name).samefile(theirs / name) for name in names] == [True, False]
    assert (imported.mark.offset, imported.record_count) == (9, 9)
    assert [records for records, _ in bench.told] == [5, 4]
    log = bench.open(imported)
    assert values(log) == {offset: b"v%d" % offset for offset in range(9)}
    assert log.segments[0].sealed
    log.close(clean=False)


def test_indexes_are_made_from_the_batches(bench: Bench) -> None:
    """Kafka's have no checksum and these are nonsense; times are found all the same."""
    bench.kafka.partition("t", 0, {0: [batch(n * 50, 50) for n in range(40)], 2000: [batch(2000)]})
    log = bench.open(bench.carry())
    assert log.segments[0].offset_index.count > 3
    for offset in (0, 1, 777, 1999, 2000):
        assert log.offset_for_timestamp(NOW_MS + offset) == (NOW_MS + offset, offset)
    log.close(clean=False)


def test_a_torn_end_is_left_out(bench: Bench) -> None:
    """Of the last segment only, as Kafka's own recovery does; preallocated zeros are no loss."""
    torn = batch(2)[:-3]
    bench.kafka.partition("t", 0, {0: [batch(0, 2), torn]})
    imported = bench.carry()
    assert (imported.mark.offset, imported.cut_bytes) == (2, len(torn))
    assert list(values(bench.open(imported))) == [0, 1]


def test_preallocated_zeros_are_not_a_loss(bench: Bench) -> None:
    """`preallocate=true` and a kill leave them."""
    bench.kafka.partition("t", 0, {0: [batch(0, 2), bytes(10_000)]})
    imported = bench.carry()
    assert (imported.mark.offset, imported.cut_bytes) == (2, 0)


def test_damage_before_the_last_segment_is_refused(bench: Bench) -> None:
    """A wrong checksum, and a segment that reaches into the next."""
    spoilt = bytearray(batch(0, 2))
    spoilt[70] ^= 1
    bench.kafka.partition("t", 0, {0: [bytes(spoilt)], 2: [batch(2)]})
    with pytest.raises(StorageError, match=r"damaged at byte 0, offset 0: .*--exclude t") as caught:
        bench.carry()
    assert caught.value.kind is Kind.CORRUPT


def test_overlapping_segments_are_refused(bench: Bench) -> None:
    """No offset may be there twice."""
    bench.kafka.partition("t", 0, {0: [batch(0, 5)], 4: [batch(4)]})
    with pytest.raises(StorageError, match="reaches to offset 5, but the next begins at 4"):
        bench.carry()


def test_records_of_an_older_format_are_refused(bench: Bench) -> None:
    """Format 1 stands where Kafka before 0.11 wrote it, with its own sentence."""
    old = bytearray(batch(0))
    old[16] = 1
    bench.kafka.partition("t", 0, {0: [bytes(old)]})
    with pytest.raises(StorageError, match=r"format 1, from before Kafka 0\.11") as caught:
        bench.carry()
    assert caught.value.kind is Kind.FORMAT


@pytest.mark.parametrize("attributes", [0x10, 0x20, 0x30])
def test_transactions_are_noticed(bench: Bench, attributes: int) -> None:
    """By a transactional batch or a control batch."""
    bench.kafka.partition("t", 0, {0: [batch(0), with_attributes(batch(1), attributes)]})
    with pytest.raises(Transactional):
        bench.carry()


def test_gaps_that_compaction_left_are_kept_and_bridged(bench: Bench) -> None:
    """Within a segment they stay; at its end a batch without records reaches to the next one.

    A segment without any batch becomes one such batch, and every offset can still be asked for.
    """
    bench.kafka.partition(
        "t", 0, {0: [batch(1), batch(4)], 10: [], 20: [batch(25)], 30: [batch(30, 2)]}
    )
    imported = bench.carry()
    log = bench.open(imported)
    assert values(log) == {offset: b"v%d" % offset for offset in (1, 4, 25, 30, 31)}
    assert [segment.base_offset for segment in log.segments] == [0, 10, 20, 30]
    for offset in range(32):
        piece = log.read(offset, 1, log.end_offset)
        assert piece is not None
        assert piece.next_offset > offset
        piece.release()
    log.close(clean=False)


def test_an_empty_batch_is_a_batch() -> None:
    """No records, a right checksum, and the offsets it stands for."""
    data = empty_batch(7, 99, 3)
    assert verify_batch(data) is None
    ((_, header),) = iterate_batches(data)
    assert (header.base_offset, header.last_offset_delta, header.record_count) == (7, 92, 0)
    assert list(decode_batch(data)) == []


def test_a_trimmed_log_begins_where_it_was_trimmed(bench: Bench) -> None:
    """Kafka's checkpoint says where, in the middle of a segment."""
    bench.kafka.partition("t", 0, {0: [batch(0, 5)], 5: [batch(5, 5)]})
    (bench.kafka.path / "log-start-offset-checkpoint").write_text("0\n1\nt 0 3\n")
    log = bench.open(bench.carry())
    assert (log.log_start_offset, log.end_offset) == (3, 10)
    log.close(clean=False)


def test_a_partition_without_any_file_goes_on_at_its_start(bench: Bench) -> None:
    """Kafka makes one at its next start; so do we."""
    bench.kafka.partition("t", 0, {})
    (bench.kafka.path / "log-start-offset-checkpoint").write_text("0\n1\nt 0 9\n")
    log = bench.open(bench.carry())
    assert (log.log_start_offset, log.end_offset) == (9, 9)
    log.close(clean=False)


def test_an_empty_partition_goes_on_at_its_offset(bench: Bench) -> None:
    """Retention may have taken everything: the next record is not the first."""
    bench.kafka.partition("t", 0, {812: []})
    log = bench.open(bench.carry())
    assert (log.log_start_offset, log.end_offset) == (812, 812)
    log.close(clean=False)


def test_epochs_are_believed_where_the_batches_agree(bench: Bench) -> None:
    """Kafka's file may know of epochs without a record; one that contradicts a record is wrong."""
    directory = bench.kafka.partition("t", 0, {0: [batch(0, epoch=1)], 1: [batch(1, epoch=4)]})
    (directory / "leader-epoch-checkpoint").write_text("0\n3\n1 0\n4 1\n6 2\n")
    log = bench.open(bench.carry())
    assert [(start.epoch, start.start_offset) for start in log.leader_epochs.starts] == [
        (1, 0),
        (4, 1),
        (6, 2),
    ]
    log.close(clean=False)


def test_epochs_that_the_file_has_wrong_are_taken_from_the_batches(bench: Bench) -> None:
    """The server would find a contradiction in every batch, and trust none."""
    bench.kafka.partition("t", 0, {0: [batch(0, epoch=1)], 1: [batch(1, epoch=4)]})
    log = bench.open(bench.carry())  # the file of the bench says that epoch 0 began at 0
    found = [(start.epoch, start.start_offset) for start in log.leader_epochs.starts]
    assert found == [(1, 0), (4, 1)]
    log.close(clean=False)


def test_an_epoch_that_falls_is_damage(bench: Bench) -> None:
    """Within a segment and from one to the next."""
    bench.kafka.partition("t", 0, {0: [batch(0, epoch=5)], 1: [batch(1, epoch=4)], 2: [batch(2)]})
    with pytest.raises(StorageError, match="leader epoch 4 after 5"):
        bench.carry()


def test_producers_are_remembered(bench: Bench) -> None:
    """A retry of one of the last five batches is recognised after the import."""
    batches = [
        batch(n, producer_id=9, producer_epoch=2, base_sequence=n, epoch=4) for n in range(8)
    ]
    bench.kafka.partition("t", 0, {0: batches[:6], 6: batches[6:]})
    imported = bench.carry()
    assert imported.producer_id_max == 9
    log = bench.open(imported)
    assert log.producers.check(9, 2, 4, 4) == (0, 4)
    assert log.producers.check(9, 2, 8, 8) == (0, -1)
    assert log.leader_epoch == 4
    log.close(clean=False)
