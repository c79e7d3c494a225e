"""The group commit: who is covered by which sync, and what a failure means."""

from __future__ import annotations

import pytest

from logserver.broker.commit import CommitTask
from logserver.storage.simulated_files import MemoryFile
from logwire import errors
from tests.broker.data_bench import DataBench, batch


class Waiting:
    """A waiter that remembers how it was answered."""

    def __init__(self) -> None:
        self.heard = ""

    def synced(self) -> None:
        assert not self.heard
        self.heard = "synced"

    def failed(self) -> None:
        assert not self.heard
        self.heard = "failed"


@pytest.fixture
def bench() -> DataBench:
    """Durable topics `a` and `b`, a relaxed topic `r`."""
    bench = DataBench()
    bench.durable("a")
    bench.durable("b")
    bench.relaxed("r")
    return bench


def begin(bench: DataBench) -> CommitTask:
    """The next group, which must be there."""
    task = bench.broker.commit.begin()
    assert task is not None
    return task


def test_nothing_unsynced_is_nothing_to_begin(bench: DataBench) -> None:
    """An idle server does not touch the disk."""
    assert bench.broker.commit.begin() is None


def test_one_group_takes_every_dirty_partition(bench: DataBench) -> None:
    """Two topics, one task, both durable afterwards."""
    bench.send("a", batch(), acks=1)
    bench.send("b", batch(), acks=1)
    task = begin(bench)
    assert {partition.name for partition in task.partitions} == {"a", "b"}
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert bench.partition("a").high_watermark == bench.partition("b").high_watermark == 1


def test_only_one_group_is_in_flight(bench: DataBench) -> None:
    """The next collects behind it."""
    bench.send("a", batch(), acks=1)
    task = begin(bench)
    bench.send("b", batch(), acks=1)
    assert bench.broker.commit.begin() is None
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert [partition.name for partition in begin(bench).partitions] == ["b"]


def test_a_waiter_is_answered_even_if_nothing_is_dirty(bench: DataBench) -> None:
    """A duplicate may join after its original was synced."""
    waiter = Waiting()
    bench.broker.commit.waiting.append(waiter)
    bench.sync()
    assert waiter.heard == "synced"


def test_a_failure_answers_the_group_and_all_behind_it_and_is_final(bench: DataBench) -> None:
    """The kernel calls the next sync a success; so there is none."""
    first, second = Waiting(), Waiting()
    bench.send("a", batch(), acks=1)
    bench.broker.commit.waiting.append(first)
    task = begin(bench)
    bench.broker.commit.waiting.append(second)
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    assert (first.heard, second.heard) == ("failed", "failed")
    assert bench.broker.commit.begin() is None
    assert bench.directory.fenced
    assert bench.partition("a").log.fenced
    assert bench.partition("a").high_watermark == 0


def test_relaxed_partitions_are_no_part_of_a_durable_group(bench: DataBench) -> None:
    """Nobody who waits pays for their bytes."""
    bench.send("r", batch())
    assert bench.broker.commit.begin() is None


def test_a_relaxed_partition_is_due_after_flush_ms(bench: DataBench) -> None:
    """Our default is one second."""
    bench.send("r", batch())
    commit = bench.broker.commit
    assert commit.begin_relaxed(bench.now_ms + 999) is None
    task = commit.begin_relaxed(bench.now_ms + 1000)
    assert task is not None
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert bench.partition("r").log.durable_offset == 1


def test_a_relaxed_partition_is_due_after_flush_messages(bench: DataBench) -> None:
    """Whichever is first."""
    assert bench.create("n", flush_messages="10")["error_code"] == 0
    bench.sync()
    bench.send("n", batch(9))
    assert bench.broker.commit.begin_relaxed(bench.now_ms) is None
    bench.send("n", batch(1))
    assert bench.broker.commit.begin_relaxed(bench.now_ms) is not None


def test_a_relaxed_partition_is_due_after_a_roll(bench: DataBench) -> None:
    """A rolled segment is sealed once it is durable."""
    bench.relaxed("s", segment_bytes="1048576")
    while not bench.partition("s").log.unsealed:
        bench.send("s", batch(1, 300_000))
    commit, log = bench.broker.commit, bench.partition("s").log
    task = commit.begin_relaxed(bench.now_ms)
    assert task is not None
    assert task.tasks[0].segments == log.segments[:1], "who appends waits for no write-back"
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert log.durable_offset == log.active.base_offset
    assert commit.begin_relaxed(bench.now_ms + 999) is None
    task = commit.begin_relaxed(bench.now_ms + 1000)
    assert task is not None
    assert task.tasks[0].segments == [log.active], "the rest is still due after flush.ms"
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    assert log.durable_offset == log.end_offset
    assert commit.begin_relaxed(bench.now_ms + 5000) is None


def test_only_what_nobody_waits_for_is_written_back_in_pieces(
    bench: DataBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relaxed sync gives way to others; a durable one is one call."""
    pieces: list[str] = []
    monkeypatch.setattr(
        MemoryFile, "write_back", lambda file, position, _: pieces.append(f"{file.path} {position}")
    )
    for name in ("a", "r"):
        for _ in range(3):
            bench.send(name, batch(1, 700_000), acks=1)
    bench.sync()
    assert not pieces
    task = bench.broker.commit.begin_relaxed(bench.now_ms + 1000)
    assert task is not None
    assert task.run() is None
    assert [piece.rpartition(" ")[2] for piece in pieces] == [str(at << 19) for at in range(4)]


def test_a_deleted_partition_is_forgotten(bench: DataBench) -> None:
    """Its bytes need no sync any more."""
    bench.send("a", batch(), acks=1)
    bench.delete("a")
    assert [partition.name for partition in begin(bench).partitions] == ["__cluster_metadata"]


def test_a_topic_that_becomes_relaxed_while_dirty_changes_lists(bench: DataBench) -> None:
    """The high watermark follows at once, the sync in the background."""
    bench.send("a", batch(), acks=1)
    alter(bench, "a", "1000")
    assert bench.partition("a").high_watermark == 1
    assert bench.partition("a") in bench.broker.commit.relaxed
    assert bench.partition("a") not in bench.broker.commit.dirty


def test_two_syncs_of_one_log_are_never_in_flight(bench: DataBench) -> None:
    """A topic that becomes durable during its relaxed sync waits for the end of that one."""
    bench.send("r", batch())
    relaxed = bench.broker.commit.begin_relaxed(bench.now_ms + 1000)
    assert relaxed is not None
    config = [{"name": "flush.messages", "config_operation": 0, "value": "1"}]
    resource = {"resource_type": 2, "resource_name": "r", "configs": config}
    bench.call(44, 1, {"resources": [resource], "validate_only": False})
    reply = bench.send("r", batch())
    assert bench.broker.commit.begin() is None
    bench.broker.finish_commit(relaxed, relaxed.run(), bench.now_ms)
    bench.sync()
    assert bench.sent(reply) == (0, 1)


def test_a_log_that_fell_ill_on_its_own_fails_its_group(bench: DataBench) -> None:
    """A failed seal or trim took the one error that the kernel tells: no answer says success."""
    reply = bench.send("a", batch())
    bench.partition("a").log.fence("a segment could not be sealed")
    bench.sync()
    assert bench.sent(reply)[0] == errors.KAFKA_STORAGE_ERROR
    assert bench.directory.fenced
    assert bench.partition("a").high_watermark == 0


def test_a_log_that_falls_ill_during_a_sync_fails_the_group(bench: DataBench) -> None:
    """The sync in flight may have been called a success because the other one heard the error."""
    reply = bench.send("a", batch())
    task = begin(bench)
    error = task.run()
    bench.partition("a").log.fence("a trim failed")
    bench.broker.finish_commit(task, error, bench.now_ms)
    assert bench.sent(reply)[0] == errors.KAFKA_STORAGE_ERROR
    assert bench.broker.counters.sync_failures == 1


def test_who_waits_when_the_directory_is_fenced_is_told(bench: DataBench) -> None:
    """Fenced by a write, not by a sync: no group is in flight that could tell them."""
    reply = bench.send("a", batch())
    bench.broker.fence(OSError(5, "Input/output error"))
    assert bench.broker.commit.begin() is None
    assert bench.sent(reply)[0] == errors.KAFKA_STORAGE_ERROR
    late = Waiting()
    bench.broker.commit.waiting.append(late)
    assert bench.broker.commit.begin() is None
    assert late.heard == "failed"


def alter(bench: DataBench, name: str, flush_messages: str) -> None:
    """Change a topic's promise."""
    config = [{"name": "flush.messages", "config_operation": 0, "value": flush_messages}]
    resource = {"resource_type": 2, "resource_name": name, "configs": config}
    response = bench.call(44, 1, {"resources": [resource], "validate_only": False})
    assert response["responses"][0]["error_code"] == 0


def test_a_topic_that_becomes_durable_waits_for_the_relaxed_sync_of_it(bench: DataBench) -> None:
    """Two syncs of one file: the error of the device would be told to one of them only."""
    bench.send("r", batch(producer_id=1, producer_epoch=0, base_sequence=0))
    commit = bench.broker.commit
    relaxed = commit.begin_relaxed(bench.now_ms + 1000)
    assert relaxed is not None
    alter(bench, "r", "1")
    bench.sync()
    again = bench.send("r", batch(producer_id=1, producer_epoch=0, base_sequence=0))
    assert commit.begin() is None
    assert again.answer is None
    bench.broker.finish_commit(relaxed, relaxed.run(), bench.now_ms)
    bench.sync()
    assert bench.sent(again) == (0, 0)
    assert bench.partition("r").log.durable_offset == 1


def test_a_deleted_log_leaves_no_durable_mark(bench: DataBench) -> None:
    """Its sync may end after its deletion; the mark of a topic of that name is not its own."""
    bench.send("a", batch())
    task = begin(bench)
    bench.delete("a")
    bench.broker.finish_commit(task, task.run(), bench.now_ms)
    bench.directory.begin_mark(bench.now_ms, force=True)
    assert "a-0" not in bench.directory.mark.entries
