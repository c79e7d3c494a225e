"""The load itself against a real server: it counts everything, and it finds what is wrong."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from perf.batches import LoadError, ring
from perf.closed_loop import NO_DEADLINE, Fetcher, Producer, produce_many, replay
from perf.control import Control, connect, control
from perf.open_loop import Consumer, Load, Schedule
from perf.servers import RELAXED
from perf.wire import Frames, produce_frames
from tests.server_process import ServerProcess

TOPIC = "perf-000000000001"
SOURCE = ring(3, 8, int(time.time() * 1000))


@pytest.fixture
def link(server: ServerProcess) -> Iterator[Control]:
    """A control connection to a server with the load's topic of two partitions."""
    with control(server.kafka_address) as found:
        found.create_topic(TOPIC, 2, RELAXED)
        yield found


@pytest.fixture
def frames() -> Frames:
    """Eight Produce requests of three records."""
    return produce_frames(SOURCE, TOPIC)


def test_a_closed_loop_counts_every_answer_and_a_replay_finds_every_record(
    link: Control, frames: Frames
) -> None:
    """Two runs on one connection, then fetches of one batch each, round and round."""
    with connect(link.address) as wire:
        load = Producer(wire, frames, TOPIC, 4)
        assert len(load.run(21, NO_DEADLINE)) == 21
        assert len(load.run(10, NO_DEADLINE)) == 10
        assert load.acknowledged == 31
        assert link.end_offset(TOPIC) == replay(wire, TOPIC, frames, 0) == 93
        reader = Fetcher(wire, TOPIC, frames, 93, 4)
        assert len(reader.run(70, NO_DEADLINE)) == reader.received == 70


def test_a_closed_loop_ends_at_its_deadline_with_everything_answered(
    link: Control, frames: Frames
) -> None:
    """Many connections, one request each, one partition each."""
    with contextlib.ExitStack() as own:
        loads = [
            Producer(own.enter_context(connect(link.address)),
                     produce_frames(SOURCE, TOPIC, partition), TOPIC, 1)
            for partition in range(2)
        ]  # fmt: skip
        latencies = produce_many(loads, time.perf_counter_ns() + 50_000_000)
        assert len(latencies) == sum(load.acknowledged for load in loads) > 0
        for partition, load in enumerate(loads):
            assert link.end_offset(TOPIC, partition) == load.acknowledged * 3
    assert frames.frame_count == 8


def test_an_open_loop_delivers_every_batch_to_every_consumer(link: Control, frames: Frames) -> None:
    """A hundred a second, the first ten unmeasured; two consumers make two samples a batch."""
    at_warm = []
    with contextlib.ExitStack() as own:
        wires = [own.enter_context(connect(link.address)) for _ in range(3)]
        tails = [Consumer(wire, TOPIC, frames) for wire in wires[1:]]
        load = Load(wires[0], frames, TOPIC, tails)
        outcome = load.run(Schedule.of(200, 0.2, 0.05), lambda: at_warm.append(load.sent))
    assert len(outcome.produce) == len(outcome.delay) == 40
    assert len(outcome.deliver) == 80
    assert len(at_warm) == 1
    assert min(outcome.delay) >= 0
    assert min(outcome.produce) > 0


def test_a_load_on_records_that_are_there_goes_on_behind_them(
    link: Control, frames: Frames
) -> None:
    """As after a restart of the server: the ring goes on where the log ends."""
    with connect(link.address) as wire:
        Producer(wire, frames, TOPIC, 4).run(11, NO_DEADLINE)
        load = Load(wire, frames, TOPIC, [], 11)
        load.run(Schedule.of(500, 0.02, 0), lambda: None)
        assert replay(wire, TOPIC, frames, 0) == 63


def test_records_of_somebody_else_make_the_run_worthless(link: Control, frames: Frames) -> None:
    """A foreign batch moves the base offsets, and a replay finds it."""
    foreign = produce_frames(ring(3, 8, 1, seed=2), TOPIC)
    with connect(link.address) as other, connect(link.address) as wire:
        Producer(other, foreign, TOPIC, 1).run(1, NO_DEADLINE)
        with pytest.raises(LoadError, match="another batch"):
            replay(wire, TOPIC, frames, 0)
        with pytest.raises(LoadError, match="base offset 3, 0 expected"):
            Producer(wire, frames, TOPIC, 1).run(1, NO_DEADLINE)


def test_an_error_code_of_the_server_is_told(link: Control) -> None:
    """Partition 7 does not exist: UNKNOWN_TOPIC_OR_PARTITION."""
    with connect(link.address) as wire:
        load = Producer(wire, produce_frames(SOURCE, TOPIC, 7), TOPIC, 1)
        with pytest.raises(LoadError, match="error code 3"):
            load.run(1, NO_DEADLINE)


def test_settings_of_broker_and_topic_can_be_read_and_changed(link: Control) -> None:
    """What the report shows, and what makes a topic durable."""
    assert link.configs(2, TOPIC)["flush.messages"] == RELAXED["flush.messages"]
    link.alter_topic(TOPIC, "flush.messages", "1")
    assert link.configs(2, TOPIC)["flush.messages"] == "1"
    assert "log.segment.bytes" in link.configs(4, str(link.node_id()))
    link.delete_topic(TOPIC)
    with pytest.raises(LoadError, match="error 3"):
        link.delete_topic(TOPIC)
