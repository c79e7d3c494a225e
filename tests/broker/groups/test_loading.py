"""Loading: piece by piece, all of it, and nothing of a log that cannot be believed."""

from __future__ import annotations

import pytest

from logserver.broker.groups import loading
from logserver.broker.groups.coordinator import ACTIVE, FAILED, LOADING
from logserver.broker.groups.offset_records import encode_key
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import RecordingFiles
from logwire import errors
from logwire.batch import encode_batch
from logwire.errors import Refusal
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench
from tests.storage.compaction_bench import compact_log


class Slowly(OffsetsBench):
    """A bench whose coordinators are loaded only when the test says so."""

    slowly = False

    def start(self) -> None:
        """Open the directory; load nothing yet."""
        self.chores_held = self.slowly
        super().start()
        self.chores_held = False

    def run_chores(self) -> None:
        """Not while they are held."""
        if not self.chores_held:
            super().run_chores()

    def step(self) -> int:
        """Run what stands now; how many pieces that was."""
        chores = self.broker.take_upkeep()
        for run, finish in chores:
            finish(run())
        return len(chores)

    def write(self, *records: tuple[bytes, bytes | None], control: bool = False) -> None:
        """Write records of any kind into the coordinator's log."""
        batch = encode_batch([(k, v, (), 0) for k, v in records], control=control)
        self.coordinator.partition.log.append(memoryview(batch), len(records) - 1, 0, self.now_ms)

    def restart_slowly(self) -> None:
        """Kill and start, without loading."""
        self.slowly = True
        self.restart(clean=False)
        self.slowly = False


def test_a_large_log_is_loaded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two of them others are served; who asks for a group is told to come again."""
    monkeypatch.setattr(loading, "PIECE_BYTES", 1000)
    bench = Slowly()
    for offset in range(100):
        bench.commit({offset % 4: offset})
    bench.restart_slowly()
    assert bench.commit({0: 5}) == [errors.COORDINATOR_LOAD_IN_PROGRESS]
    pieces = 0
    while bench.step():
        pieces += 1
        with_state = bench.broker.coordinators.by_index.values()
        assert all(coordinator.state in (LOADING, ACTIVE) for coordinator in with_state)
    assert pieces > 10
    assert bench.fetch_all() == {TOPIC: {0: 96, 1: 97, 2: 98, 3: 99}}


def test_what_is_committed_twice_is_kept_once() -> None:
    """The last record of a key counts, a tombstone deletes."""
    bench = Slowly()
    bench.commit({0: 5, 1: 5})
    bench.commit({0: 4})
    bench.write((encode_key(GROUP, TOPIC, 1), None))
    bench.restart(clean=False)
    assert bench.fetch_all() == {TOPIC: {0: 4}}
    assert bench.coordinator.offsets.count == 1


def test_a_compacted_log_is_the_same_in_less() -> None:
    """Batches of it have holes, or are empty."""
    bench = Slowly()
    for offset in range(50):
        bench.commit({offset % 4: offset, (offset + 1) % 4: offset})
    bench.commit({1: 77})
    bench.call(
        47, 0, {"group_id": GROUP, "topics": [{"name": TOPIC, "partitions": [index(3), index(0)]}]}
    )
    expected = bench.fetch_all()
    log = bench.coordinator.partition.log
    log.roll(bench.now_ms)
    bench.sync()
    bench.run_chores()
    before = log.size_bytes
    compact_log(log, bench.now_ms)
    assert log.size_bytes < before / 4
    bench.restart(clean=False)
    assert bench.fetch_all() == expected == {TOPIC: {1: 77, 2: 49}}


def index(number: int) -> dict[str, int]:
    """A partition of an OffsetDelete request."""
    return {"partition_index": number}


def test_records_that_this_version_does_not_know_are_passed_over() -> None:
    """Share groups and transactions leave some; a record without a key is none of Kafka's."""
    bench = Slowly()
    bench.commit({0: 5})
    bench.write((b"\x00\x0a" + bytes(20), b"\x00\x00" + bytes(20)))
    bench.write((b"\x7f\xff", None))
    bench.write((b"\x00\x00\x00\x01", b"marker"), control=True)
    bench.commit({1: 6})
    bench.restart(clean=False)
    assert bench.fetch_all() == {TOPIC: {0: 5, 1: 6}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"\x00\x01", b"\x00\x04"),
        (encode_key(GROUP, TOPIC, 0), b"\x00\x09" + bytes(30)),
        (b"\x00\x02\x00\x05group", b"\x00\x7f" + bytes(30)),
    ],
)
def test_a_log_that_cannot_be_understood_serves_nobody(key: bytes, value: bytes) -> None:
    """Half of the offsets would send consumers back to the beginning."""
    bench = Slowly()
    bench.commit({0: 5})
    partition = bench.coordinator.partition
    bench.write((key, value))
    bench.restart(clean=False)
    coordinator = bench.broker.coordinators.by_index[partition.index]
    assert coordinator.state == FAILED
    assert bench.commit({0: 5}) == [errors.COORDINATOR_NOT_AVAILABLE]
    assert coordinator.offsets.count == 0
    others = [c.state for c in bench.broker.coordinators.by_index.values() if c is not coordinator]
    assert others == [ACTIVE] * 3


def test_a_flipped_bit_is_found_by_the_checksum() -> None:
    """Recovery looks at headers only below the durable mark."""
    bench = Slowly()
    bench.commit({0: 5})
    bench.sync()
    log = bench.coordinator.partition.log
    path = f"{log.directory}/00000000000000000000.log"
    bench.restart_slowly()
    data = bytearray(bench.files.open(path).pread(100, 0))
    data[80] ^= 1
    bench.files.open(path).pwrite(data, 0)
    bench.run_chores()
    with pytest.raises(Refusal) as caught:
        bench.broker.coordinators.of(GROUP)
    assert caught.value.code == errors.COORDINATOR_NOT_AVAILABLE


def test_a_read_error_fails_one_coordinator() -> None:
    """The others load."""
    files = FailingFiles(RecordingFiles(), error=5, kinds={"pread"})
    bench = Slowly(files=files)
    bench.create(TOPIC, 4)
    bench.find()
    bench.commit({0: 5})
    bench.restart_slowly()
    files.fail_at = files.matching_count + 1
    bench.run_chores()
    states = sorted(c.state for c in bench.broker.coordinators.by_index.values())
    assert states == [ACTIVE, ACTIVE, ACTIVE, FAILED]


def test_a_topic_deleted_while_it_is_loaded_leaves_no_coordinator() -> None:
    """The piece that is under way is thrown away."""
    bench = Slowly()
    bench.commit({0: 5})
    bench.restart_slowly()
    chores = bench.broker.take_upkeep()
    bench.delete("__consumer_offsets")
    for run, finish in chores:
        finish(run())
    assert bench.broker.coordinators.by_index == {}
    bench.find()
    assert bench.fetch_all() == {}
