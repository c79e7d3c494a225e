"""The watch: rounds in slices, what they find, what they cost at most."""

from __future__ import annotations

from random import Random

import pytest

from logserver.broker.groups import lag_watch
from logserver.broker.groups.lag_watch import ERRANDS_MAX, PAUSE_MS, ROUND_MS
from logserver.broker.groups.progress import CURRENT, DRAINING, STALLED
from tests.broker.groups.lag_bench import LagBench
from tests.broker.groups.offsets_bench import GROUP, TOPIC

WINDOW_MS = 60_000
LIMIT = 12


def test_a_round_finds_lag_in_records_and_time() -> None:
    """Of every partition that was committed; the age is that of the next record."""
    bench = LagBench()
    bench.commit({0: 5, 1: 0})
    bench.round()
    assert set(bench.watch.groups[GROUP].partitions) == {(TOPIC, 0), (TOPIC, 1)}
    assert bench.progress().lag_count == 25
    assert bench.progress().lag_ms(bench.now_ms) == bench.age_ms(5)
    assert (bench.progress(1).lag_count, bench.progress(1).lag_ms(bench.now_ms)) == (0, 0)
    bench.commit({0: 29})
    bench.round()
    assert bench.progress().lag_count == 1
    assert bench.progress().lag_ms(bench.now_ms) == bench.age_ms(29)
    totals = bench.watch.groups[GROUP].totals
    assert (totals.lag_count, totals.lag_ms(bench.now_ms)) == (1, bench.age_ms(29))


def test_a_consumer_that_stops_is_stalled_and_then_draining() -> None:
    """As its commits come or do not."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.round()
    assert bench.progress().status(WINDOW_MS) is None
    bench.round(WINDOW_MS // ROUND_MS)
    assert bench.progress().status(WINDOW_MS) == STALLED
    bench.commit({0: 15})
    bench.round()
    assert bench.progress().status(WINDOW_MS) == DRAINING
    bench.commit({0: 30})
    bench.round()
    assert bench.progress().status(WINDOW_MS) == CURRENT


def test_a_record_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that stands still costs no read."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.round()
    sought: list[int] = []

    def recent_time_ms(_log: object, offset: int) -> int:
        sought.append(offset)
        return 1

    monkeypatch.setattr(lag_watch, "recent_time_ms", recent_time_ms)
    bench.round(10)
    assert sought == []
    bench.commit({0: 6})
    bench.round(10)
    assert sought == [6]


def test_what_is_cold_is_read_by_a_helper() -> None:
    """After a start everything is; the time is known once the helper has come back."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.sync()
    bench.restart()
    bench.broker.uptime_ms = bench.now_ms
    bench.pass_time(ROUND_MS)
    assert bench.progress().lag_ms(bench.now_ms) is None
    bench.run_chores()
    assert bench.progress().lag_ms(bench.now_ms) == bench.age_ms(5)


def test_only_so_many_errands_are_on_their_way() -> None:
    """The others are sent with later rounds; each is answered in the end."""
    bench = LagBench()
    names = [f"group-{number}" for number in range(ERRANDS_MAX + 3)]
    for name in names:
        bench.find(name)
        bench.commit({0: 5}, group_id=name)
    bench.sync()
    bench.restart()
    bench.broker.uptime_ms = bench.now_ms
    bench.pass_time(ROUND_MS)
    assert len(bench.broker.due) == ERRANDS_MAX
    bench.pass_time(ROUND_MS)
    assert len(bench.broker.due) == ERRANDS_MAX
    bench.run_chores()
    bench.round()
    assert all(bench.progress(0, name).lag_ms(bench.now_ms) for name in names)


def test_a_round_over_many_offsets_is_cut_into_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served between two of them; the next round is due when the last has ended."""
    bench = LagBench()
    monkeypatch.setattr(lag_watch, "SLICE_COST", 12)
    monkeypatch.setattr(lag_watch, "SEEK_COST", 10)
    for number in range(20):
        bench.commit({0: 1, 1: 0}, group_id=f"group-{number}")
    rounds_count = bench.watch.rounds_count
    bench.pass_time(ROUND_MS)
    slices_count = 1
    while bench.watch.rounds_count == rounds_count:
        before = bench.watch.watched_count
        bench.pass_time(PAUSE_MS)
        assert bench.watch.watched_count - before <= 3
        slices_count += 1
    assert slices_count >= 20
    assert bench.watch.watched_count == 40
    assert bench.watch.round_ms == (slices_count - 1) * PAUSE_MS


def test_a_jump_of_the_clock_is_one_round() -> None:
    """Nobody catches up on rounds that were missed."""
    bench = LagBench()
    before = bench.watch.rounds_count
    bench.pass_time(86_400_000)
    assert bench.watch.rounds_count <= before + 1


def test_what_is_beyond_the_limit_is_counted() -> None:
    """Who is watched stays watched, and makes room when it goes."""
    bench = LagBench({"logserver.group.lag.partitions.max": "3"})
    bench.commit({0: 5, 1: 0})
    bench.round()
    bench.commit({0: 5, 1: 0}, group_id="another")
    bench.round()
    assert (bench.watch.watched_count, bench.watch.left_out_count) == (3, 1)
    assert len(bench.watch.groups[GROUP].partitions) == 2
    assert bench.watch.groups["another"].totals.left_out_count == 1
    bench.commit({0: 5, 1: 0}, group_id="third")
    bench.round()
    assert (bench.watch.watched_count, bench.watch.left_out_count) == (3, 3)
    assert set(bench.watch.groups) == {GROUP, "another"}
    for name in (GROUP, "third"):
        assert bench.call(42, 2, {"groups_names": [name]})["results"][0]["error_code"] == 0
    bench.round(2)
    assert (bench.watch.watched_count, bench.watch.left_out_count) == (2, 0)
    assert set(bench.watch.groups) == {"another"}


def test_a_topic_that_was_made_again_begins_anew() -> None:
    """Its offsets went with the old one; nothing of that is left."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.round(20)
    bench.delete(TOPIC)
    bench.sync()
    bench.create(TOPIC, 4)
    bench.append(TOPIC, [bench.now_ms] * 7)
    bench.sync()
    bench.commit({0: 5})
    bench.round()
    assert (bench.progress().lag_count, bench.progress().status(WINDOW_MS)) == (2, None)


def test_groups_and_topics_that_are_gone_are_not_watched() -> None:
    """After the next round."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.round()
    bench.delete(TOPIC)
    bench.round()
    assert (bench.watch.groups, bench.watch.watched_count) == ({}, 0)


def test_a_coordinator_that_loads_again_is_passed_over() -> None:
    """The round after that finds its groups again."""
    bench = LagBench()
    bench.commit({0: 5})
    bench.round()
    bench.coordinator.reload()
    bench.pass_time(ROUND_MS)
    assert bench.watch.watched_count == 0
    bench.run_chores()
    bench.round()
    assert bench.progress().lag_count == 25


class Life:
    """Groups commit, topics grow and shrink and go; after each round all lag is counted anew."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bench = LagBench({"logserver.group.lag.partitions.max": str(LIMIT)})
        self.topics = [TOPIC, "clicks"]
        self.bench.create("clicks", 2)
        self.bench.sync()

    def step(self) -> None:
        """One of the things that happen."""
        random, bench = self.random, self.bench
        topic = random.choice(self.topics)
        group = f"group-{random.randrange(5)}"
        partition = bench.broker.partitions_by_name.get((topic, random.randrange(2)))
        match random.choice(["append", "append", "commit", "commit", "trim", "delete", "topic"]):
            case "append" if partition is not None:
                bench.append(topic, [bench.now_ms] * random.randrange(1, 9), partition.index)
                bench.sync()
            case "commit" if partition is not None:
                offset = random.randrange(partition.high_watermark + 1)
                bench.commit({partition.index: offset}, topic, group_id=group)
            case "trim" if partition is not None:
                start = partition.log.log_start_offset
                partition.log.trim(random.randint(start, partition.high_watermark))
            case "delete":
                bench.call(42, 2, {"groups_names": [group]})
            case "topic" if random.random() < 0.2:
                if partition is None:
                    bench.create(topic, 2)
                else:
                    bench.delete(topic)
                bench.sync()

    def check(self) -> None:
        """What is watched is what there is, up to the limit."""
        bench, watch = self.bench, self.bench.watch
        expected = {}
        for coordinator in bench.broker.coordinators.by_index.values():
            for group, topics in coordinator.offsets.by_group.items():
                for topic, partitions in topics.items():
                    for index, committed in partitions.items():
                        partition = bench.broker.partitions_by_name[topic, index]
                        unread = max(committed.offset, partition.log.log_start_offset)
                        expected[group, topic, index] = partition.high_watermark - unread
        found = {
            (group_id, *key): progress.lag_count
            for group_id, watched in watch.groups.items()
            for key, progress in watched.partitions.items()
        }
        assert found.items() <= expected.items()
        assert len(found) == watch.watched_count <= LIMIT
        assert len(expected) == watch.watched_count + watch.left_out_count
        for watched in watch.groups.values():
            lags = [progress.lag_count for progress in watched.partitions.values()]
            totals = watched.totals
            assert (totals.lag_count, totals.partitions_count) == (sum(lags), len(lags))
            for progress in watched.partitions.values():
                assert progress.lag_ms(bench.now_ms) is not None


@pytest.mark.parametrize("seed", range(15))
def test_every_round_sees_what_a_count_of_everything_sees(seed: int) -> None:
    """Whatever happened between two rounds; with a limit that is often reached."""
    life = Life(seed)
    for _ in range(25):
        for _ in range(life.random.randrange(6)):
            life.step()
        life.bench.round(2)  # what made room in the first is taken in the second
        life.check()
