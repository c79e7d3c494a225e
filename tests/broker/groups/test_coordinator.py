"""A coordinator performs steps: one batch, answers after it, timers, and no undo."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from logserver.broker.groups.coordinator import LOADING, RELOAD_PAUSE_MS
from logserver.broker.groups.effects import Persist
from logserver.broker.groups.history import HISTORY_LINES_MAX
from logserver.broker.groups.offset_records import encode_key, encode_value
from logserver.broker.groups.offset_store import NO_EXPIRY, CommittedOffset
from logserver.broker.groups.replay import KINDS
from logserver.broker.peer import Context, Deferred
from logserver.storage.failing_files import FailingFiles
from logserver.storage.simulated_files import RecordingFiles
from logwire import errors
from logwire.batch import decode_batch, iterate_batches
from logwire.errors import Refusal
from logwire.messages import decode_response
from tests.broker.groups.group_machine import WAKE_MS, Count, CountingGroup, Wait
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench

HEARTBEAT = 12


@pytest.fixture(autouse=True)
def counting_groups() -> Iterator[None]:
    """GroupMetadata records make counting groups, as long as a test runs."""
    before = dict(KINDS)
    KINDS["GroupMetadata"] = CountingGroup
    yield
    KINDS.clear()
    KINDS.update(before)


class Steps(OffsetsBench):
    """The bench with a counting group in its coordinator."""

    def group(self) -> CountingGroup:
        """The group, made on first use."""
        group = self.coordinator.groups.setdefault(GROUP, CountingGroup(GROUP))
        assert isinstance(group, CountingGroup)
        return group

    def defer(self) -> Deferred:
        """A Heartbeat that is answered later."""
        return Context(self.broker, self.peer, HEARTBEAT, 4, 0, "bench", self.now_ms).defer()

    def count(self, *, answer: bool = False) -> int:
        """One step; returns what `perform` returned."""
        now = self.broker.coordinators.now(self.now_ms)
        group = self.group()
        event = Count(self.defer() if answer else None)
        return self.coordinator.perform(group, group.step(event, now), now)

    def codes(self) -> list[int]:
        """The error codes of the heartbeats that were answered so far."""
        return [
            decode_response(HEARTBEAT, 4, reply.answer[9:])["error_code"]
            for reply in self.peer.answers
            if reply.answer is not None
        ]


def test_an_answer_leaves_after_the_batch_of_its_step_is_durable() -> None:
    """Not before, not at all without a sync."""
    bench = Steps()
    bench.sync()
    assert bench.count(answer=True) == errors.NONE
    assert bench.codes() == []
    bench.sync()
    assert bench.codes() == [0]


def test_a_step_is_found_again_after_a_kill() -> None:
    """The persistent part is what the live machine had."""
    bench = Steps()
    for _ in range(5):
        bench.count()
    bench.commit({0: 5})
    bench.restart(clean=False)
    assert (bench.group().count, bench.group().resumed) == (5, 1)
    assert bench.fetch(0) == [5]


def test_all_records_of_a_step_are_one_batch() -> None:
    """So a crash leaves all of them or none."""
    bench = Steps()
    records = [bench.group().record()] * 3
    bench.sync()
    assert bench.coordinator.append(records, bench.now_ms) == errors.NONE
    log = bench.coordinator.partition.log
    piece = log.read(0, 1 << 20, log.end_offset)
    assert piece is not None
    data = memoryview(piece.read())
    piece.release()
    (batch,) = iterate_batches(data)
    assert batch[1].record_count == 3
    assert [record.key for record in decode_batch(data)] == [records[0][0]] * 3


def test_the_newest_wake_counts() -> None:
    """An earlier one is called off; after a tick nothing is set."""
    bench = Steps()
    bench.count()
    bench.pass_time(WAKE_MS - 1)
    bench.count()
    bench.pass_time(WAKE_MS - 1)
    assert bench.group().ticks == []
    bench.pass_time(1)
    assert [tick.uptime_ms for tick in bench.group().ticks] == [bench.broker.uptime_ms]
    assert [tick.wall_ms for tick in bench.group().ticks] == [bench.now_ms]
    bench.pass_time(10 * WAKE_MS)
    assert len(bench.group().ticks) == 1


def test_the_history_of_a_group_is_bounded() -> None:
    """The newest lines are kept."""
    bench = Steps()
    for _ in range(HISTORY_LINES_MAX + 5):
        bench.count()
    history = bench.coordinator.history[GROUP]
    assert (len(history.lines), history.count) == (HISTORY_LINES_MAX, HISTORY_LINES_MAX + 5)
    assert history.lines[-1].generation == HISTORY_LINES_MAX + 5


def test_a_deleted_group_is_gone_with_its_offsets_and_timer() -> None:
    """In memory and after a start."""
    bench = Steps()
    bench.count()
    bench.commit({0: 5, 1: 6})
    assert bench.coordinator.delete(bench.group(), bench.now_ms) == errors.NONE
    assert GROUP not in bench.coordinator.groups
    assert bench.fetch_all() == {}
    bench.pass_time(2 * WAKE_MS)
    bench.restart(clean=False)
    assert GROUP not in bench.coordinator.groups
    assert bench.fetch_all() == {}


def failing_bench() -> tuple[Steps, FailingFiles]:
    """A group with a count of one and an offset, on files that can be told to fail."""
    files = FailingFiles(RecordingFiles(), error=errno.ENOSPC, kinds={"pwrite"})
    bench = Steps(files=files)
    bench.create(TOPIC, 4)
    bench.find()
    bench.count()
    bench.commit({0: 5})
    bench.sync()
    return bench, files


def test_a_failed_append_makes_the_coordinator_load_again() -> None:
    """Who waits is told to look for it again; memory is what the log has."""
    bench, files = failing_bench()
    group = bench.group()
    now = bench.broker.coordinators.now()
    bench.coordinator.perform(group, group.step(Wait(bench.defer()), now), now)
    files.fail_at = files.matching_count + 1
    assert bench.count(answer=True) == errors.COORDINATOR_NOT_AVAILABLE
    assert bench.codes() == [errors.NOT_COORDINATOR, errors.COORDINATOR_NOT_AVAILABLE]
    with pytest.raises(Refusal) as caught:
        bench.broker.coordinators.of(GROUP)
    assert caught.value.code == errors.COORDINATOR_LOAD_IN_PROGRESS
    assert bench.commit({0: 6}) == [errors.COORDINATOR_LOAD_IN_PROGRESS]
    bench.pass_time(RELOAD_PAUSE_MS)
    bench.run_chores()
    assert bench.group().count == 1
    assert bench.fetch(0) == [5]
    assert bench.commit({0: 6}) == [0]


def test_a_load_that_ends_in_a_failed_write_waits_before_the_next() -> None:
    """Here the tombstone of an offset whose topic a power cut has taken; it would never rest."""
    bench, files = failing_bench()
    committed = CommittedOffset(5, -1, "", 0, NO_EXPIRY, b"x" * 16)
    record = (encode_key(GROUP, TOPIC, 1), encode_value(committed, 4))
    assert bench.coordinator.append([record], bench.now_ms) == errors.NONE
    coordinator = bench.coordinator
    files.fail_at, files.for_good = files.matching_count + 1, True
    coordinator.reload()
    for _ in range(3):
        bench.pass_time(RELOAD_PAUSE_MS)
        bench.run_chores()
        assert coordinator.state == LOADING
    files.fail_at = 0
    bench.pass_time(RELOAD_PAUSE_MS)
    bench.run_chores()
    assert bench.fetch(0, 1) == [5, -1]


def test_a_failed_commit_is_not_kept() -> None:
    """The next fetch tells what is in the log."""
    bench, files = failing_bench()
    files.fail_at = files.matching_count + 1
    assert bench.commit({0: 9}) == [errors.COORDINATOR_NOT_AVAILABLE]
    bench.pass_time(RELOAD_PAUSE_MS)
    bench.run_chores()
    assert bench.fetch(0) == [5]


def test_commits_go_on_while_records_are_refused() -> None:
    """The reserve of a full disk is there for them."""
    bench = Steps()
    bench.broker.disk_filled()
    assert bench.commit({0: 5}) == [0]


def test_a_fenced_directory_has_no_coordinators() -> None:
    """What is in memory may not be on the disk, and never will be."""
    bench, files = failing_bench()
    files.kinds, files.error = {"datasync"}, errno.EIO
    files.fail_at = 1 + files.matching_count
    assert bench.commit({0: 6}) == [0]
    bench.sync()
    assert bench.broker.commit.fenced
    assert bench.commit({0: 7}) == [errors.COORDINATOR_NOT_AVAILABLE]
    wanted = {"group_id": GROUP, "topics": None}
    answer = bench.call(9, 8, {"groups": [wanted]})["groups"][0]
    assert (answer["error_code"], answer["topics"]) == (errors.COORDINATOR_NOT_AVAILABLE, [])


def test_who_waits_hears_that_the_server_stops() -> None:
    """Else a stop would wait for members that never come."""
    bench = Steps()
    bench.count()
    group = bench.group()
    now = bench.broker.coordinators.now()
    bench.coordinator.perform(group, group.step(Wait(bench.defer()), now), now)
    bench.broker.coordinators.stop()
    assert bench.codes() == [errors.NOT_COORDINATOR]
    assert bench.commit({0: 5}) == [errors.NOT_COORDINATOR]
    assert len(bench.broker.timers) == 2  # expiry and lag; the group's is called off


def test_more_than_a_segment_holds_is_refused() -> None:
    """A commit by itself; a step makes the coordinator load again, as it has changed its group."""
    bench = Steps({"offsets.topic.segment.bytes": "1048576", "offset.metadata.max.bytes": "40000"})
    bench.create("wide", 40)
    bench.count()
    bench.sync()
    text, offsets = "x" * 30_000, dict.fromkeys(range(40), 5)
    codes = bench.commit(offsets, topic="wide", metadata=text)
    assert codes == [errors.INVALID_COMMIT_OFFSET_SIZE] * 40
    assert bench.fetch_all() == {}
    group, now = bench.group(), bench.broker.coordinators.now()
    too_much = Persist([(b"key", text.encode())] * 40)
    code = bench.coordinator.perform(group, [too_much], now)
    assert code == errors.UNKNOWN_SERVER_ERROR
    bench.pass_time(RELOAD_PAUSE_MS)
    bench.run_chores()
    assert bench.group() is not group
    assert bench.group().count == 1
