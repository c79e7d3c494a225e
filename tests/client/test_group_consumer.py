"""A consumer in a group: what it reads, commits and says, with a coordinator that misbehaves."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from logserver.client import Admin, ClientError, ConsumerRecord, GroupConsumer, Producer
from logserver.client.consumer import Start
from logserver.client.failure import refusal
from logwire import errors
from tests.client.scripted_broker import Message, ScriptedBroker
from tests.client.scripted_group import COMMIT, FETCH, HEARTBEAT, LEFT, ScriptedGroup
from tests.server_process import ServerProcess

READ = 1
UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, STALE_MEMBER_EPOCH = 25, 110, 113
NOT_COORDINATOR = 16
GROUP_MAX_SIZE_REACHED, UNSTABLE_OFFSET_COMMIT, UNKNOWN_TOPIC = 81, 88, 3


@pytest.fixture
def group() -> Iterator[ScriptedGroup]:
    """Two partitions with three records each, and a heartbeat every 100 ms."""
    with ScriptedBroker(partitions=2) as broker:
        for partition in (0, 1):
            broker.append(b"a%d" % partition, b"b%d" % partition, partition=partition)
            broker.append(b"c%d" % partition, partition=partition)
        yield ScriptedGroup(broker)


def consumer(group: ScriptedGroup, **options: Any) -> GroupConsumer:
    options = {"start": "beginning", "commit_interval_ms": 3_600_000, **options}
    return GroupConsumer(group.broker.bootstrap, "g", "t", **options)


def read(reader: GroupConsumer, count: int) -> list[bytes]:
    """Poll until so many records have come; their values, sorted."""
    records: list[ConsumerRecord] = []
    while len(records) < count:
        records += reader.poll(200, count - len(records))
    return sorted(record.value or b"" for record in records)


def fail_at_the_fourth_record(reader: GroupConsumer) -> None:
    """Two records are dealt with, two more were handed out and are not."""
    read(reader, 2)
    reader.settle()
    read(reader, 2)
    raise ZeroDivisionError


def wait_heartbeats(reader: GroupConsumer, group: ScriptedGroup, count: int) -> None:
    """Poll until the coordinator has heard so many heartbeats."""
    while len(group.heartbeats) < count:
        assert reader.poll(100) == []


def test_everything_is_read_committed_and_the_group_left(group: ScriptedGroup) -> None:
    """From the beginning to the end, as the only member."""
    with consumer(group, stop_at_end=True) as reader:
        assert sorted(record.value or b"" for record in reader) == [
            *(b"a0", b"a1", b"b0", b"b1", b"c0", b"c1"),
        ]
        assert reader.is_finished
        assert group.owned == {0, 1}
    assert group.committed == {0: 3, 1: 3}
    assert group.epoch == LEFT


def test_what_came_behind_the_end_is_left_for_the_next_time(group: ScriptedGroup) -> None:
    """Nobody was given it, so nobody may commit it."""
    broker = group.broker

    def first_partition(request: Message) -> Message:
        answer = broker._answer_1(request)
        for row in answer["responses"][0]["partitions"]:
            if row["partition_index"]:
                row["records"] = b""
        return answer

    with consumer(group, stop_at_end=True) as reader:
        broker.answers[READ] = first_partition
        assert read(reader, 3) == [b"a0", b"b0", b"c0"]
        broker.append(b"d0", b"e0", partition=0)
        while reader._fetcher.assigned["t", 0].fetch_offset == 3:
            assert reader.poll(10) == []
        del broker.answers[READ]
        assert [record.value for record in reader] == [b"a1", b"b1", b"c1"]
    assert group.committed == {0: 3, 1: 3}


def test_a_commit_is_signed_by_the_member_and_its_epoch(group: ScriptedGroup) -> None:
    """As its heartbeats are."""
    with consumer(group, stop_at_end=True, instance_id="i") as reader:
        list(reader)
        reader.commit()
    (request,) = group.commits
    assert request["member_id"] == group.heartbeats[0]["member_id"]
    assert request["generation_id_or_member_epoch"] == 1
    assert request["group_instance_id"] == "i"
    assert group.heartbeats[-1]["member_epoch"] == -2


def test_reading_goes_on_where_the_group_has_stopped(group: ScriptedGroup) -> None:
    """In the one partition; where nothing is committed, at `start`."""
    group.committed = {0: 2}
    with consumer(group, start=1, stop_at_end=True) as reader:
        assert sorted(record.value or b"" for record in reader) == [b"b1", b"c0", b"c1"]


def test_where_a_group_begins_at_the_end_it_says_so(group: ScriptedGroup) -> None:
    """Nothing was read, and yet what comes while it is away shall not be passed over."""
    with consumer(group, start="end") as reader:
        assert reader.poll(0) == []
    assert group.committed == {0: 3, 1: 3}


def test_only_what_was_dealt_with_is_committed_after_an_exception(group: ScriptedGroup) -> None:
    """What the last call has returned counts when the next one is made, or `settle`."""
    with pytest.raises(ZeroDivisionError), consumer(group) as reader:
        fail_at_the_fourth_record(reader)
    assert sum(group.committed.values()) == 2
    assert group.epoch == LEFT


def test_offsets_are_committed_every_interval(group: ScriptedGroup) -> None:
    """Whether or not there is anything to read."""
    with consumer(group, commit_interval_ms=1) as reader:
        read(reader, 6)
        while group.committed != {0: 3, 1: 3}:
            reader.poll(10)
        count = len(group.commits)
        wait_heartbeats(reader, group, len(group.heartbeats) + 2)
        assert len(group.commits) == count, "nothing had moved"


def test_without_an_interval_only_commit_commits(group: ScriptedGroup) -> None:
    """Not even the end does."""
    with consumer(group, commit_interval_ms=0) as reader:
        read(reader, 6)
    assert group.commits == []
    assert group.epoch == LEFT


def test_a_partition_that_is_taken_away_is_committed_first(group: ScriptedGroup) -> None:
    """Then told as given up; its records no longer come."""
    with consumer(group) as reader:
        read(reader, 6)
        assert reader.assignment == [("t", 0), ("t", 1)]
        group.assigned = {1}
        while group.owned != {1}:
            assert reader.poll(50) == []
        assert group.committed == {0: 3}
        assert reader.assignment == [("t", 1)]
        group.broker.append(b"d0", partition=0)
        group.broker.append(b"d1", partition=1)
        assert read(reader, 1) == [b"d1"]
        assert reader.positions() == {("t", 1): 4}


def test_records_of_a_lost_partition_are_dropped_in_the_middle_of_a_batch(
    group: ScriptedGroup,
) -> None:
    """They are another's: the position of what was handed out is committed, and no more."""
    group.assigned = {0}
    with consumer(group) as reader:
        assert read(reader, 1) == [b"a0"]
        group.assigned = set()
        reader._heartbeat_at_s = 0.0  # it is time
        assert reader.poll(0) == []
        assert group.owned == set()
    assert group.committed == {0: 1}


def test_a_program_that_takes_its_time_is_alive_between_two_records(group: ScriptedGroup) -> None:
    """One batch may take it longer than the group waits: it says so, commits, and gives up."""
    with consumer(group) as reader:
        records = iter(reader)
        first = next(records)
        heard = len(group.heartbeats)
        reader._heartbeat_at_s = reader._commit_at_s = 0.0  # it is time
        second = next(records)
        assert (second.partition, second.offset) == (first.partition, 1)
        assert len(group.heartbeats) == heard + 1
        assert group.committed[first.partition] == 1
        group.assigned = {1 - first.partition}
        reader._heartbeat_at_s = 0.0
        assert next(records).partition == 1 - first.partition
    assert group.committed == {first.partition: 2, 1 - first.partition: 1}


def test_a_partition_that_is_new_is_read(group: ScriptedGroup) -> None:
    """From where the group says."""
    group.assigned = {0}
    group.committed = {0: 3, 1: 1}
    with consumer(group) as reader:
        wait_heartbeats(reader, group, 2)
        group.assigned = {0, 1}
        assert read(reader, 2) == [b"b1", b"c1"]


@pytest.mark.parametrize("code", [UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH])
def test_a_fenced_member_joins_again_and_reads_on_from_the_last_commit(
    group: ScriptedGroup, code: int
) -> None:
    """What it had not committed comes again."""
    with consumer(group) as reader:
        read(reader, 4)
        reader.commit()
        done = sum(group.committed.values())
        assert done == 4
        read(reader, 2)
        group.script(HEARTBEAT, code)
        assert len(read(reader, 2)) == 2
    joins = [one for one in group.heartbeats if one["member_epoch"] == 0]
    assert [one["topic_partitions"] for one in joins] == [[], []]
    assert len({one["member_id"] for one in group.heartbeats}) == 1
    assert group.committed == {0: 3, 1: 3}


@pytest.mark.parametrize("code", [UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, FENCED_MEMBER_EPOCH])
def test_a_member_that_learns_from_a_commit_that_it_is_fenced_joins_again(
    group: ScriptedGroup, code: int
) -> None:
    """The commit by interval is not worth an error: its records are read again."""
    group.script(COMMIT, code)
    with consumer(group, commit_interval_ms=1) as reader:
        while group.committed != {0: 3, 1: 3}:
            reader.poll(20)
    assert sum(one["member_epoch"] == 0 for one in group.heartbeats) == 2


def test_a_commit_that_was_asked_for_and_refused_is_an_error(group: ScriptedGroup) -> None:
    """The caller must know."""
    with consumer(group) as reader:
        read(reader, 6)
        group.script(COMMIT, UNKNOWN_MEMBER_ID)
        with pytest.raises(ClientError, match=r"commit offsets of group g .*UNKNOWN_MEMBER_ID"):
            reader.commit()


def test_a_topic_that_was_deleted_under_a_commit_does_not_matter(group: ScriptedGroup) -> None:
    """Nobody will read on there."""
    group.script(COMMIT, UNKNOWN_TOPIC)
    with consumer(group) as reader:
        read(reader, 6)
        reader.commit()


def test_a_coordinator_that_hangs_up_loses_no_member(group: ScriptedGroup) -> None:
    """The heartbeat after it says everything again."""
    with consumer(group) as reader:
        read(reader, 6)
        group.script(HEARTBEAT, None)
        count = len(group.heartbeats)
        wait_heartbeats(reader, group, count + 2)
        full = group.heartbeats[count + 1]  # a slow machine may have heard more by now
        assert full["subscribed_topic_names"] == ["t"]
        assert full["topic_partitions"][0]["partitions"] == [0, 1]
        assert full["member_epoch"] == 1


def test_reading_goes_on_while_the_coordinator_is_away(group: ScriptedGroup) -> None:
    """Neither heartbeats nor commits are lost: they are made up for."""
    with consumer(group, commit_interval_ms=1) as reader:
        read(reader, 6)
        group.script(HEARTBEAT, *[NOT_COORDINATOR] * 3)
        group.script(COMMIT, *[NOT_COORDINATOR] * 3)
        group.broker.append(b"d0", partition=0)
        assert read(reader, 1) == [b"d0"]
        count = len(group.heartbeats)
        wait_heartbeats(reader, group, count + 2)
        assert group.committed == {0: 4, 1: 3}


def test_a_coordinator_that_is_silent_is_away(group: ScriptedGroup) -> None:
    """As one that hangs up: reading goes on, and the heartbeat after it says everything again."""
    with consumer(group, request_timeout_ms=100) as reader:
        read(reader, 6)
        answer = group.broker.answers[HEARTBEAT]
        turns = [True]
        group.broker.answers[HEARTBEAT] = lambda request: (
            {} if turns and turns.pop() else answer(request)
        )
        count = len(group.heartbeats)
        wait_heartbeats(reader, group, count + 1)
        assert turns == []
        assert group.heartbeats[count]["subscribed_topic_names"] == ["t"]


def test_a_coordinator_that_stays_away_is_an_error_in_the_end(group: ScriptedGroup) -> None:
    """With the reason that was given last."""
    with consumer(group, retry_timeout_ms=300) as reader:
        read(reader, 6)
        group.script(HEARTBEAT, *[NOT_COORDINATOR] * 100)
        with pytest.raises(ClientError, match="be a member of group g: NOT_COORDINATOR"):
            wait_heartbeats(reader, group, 1_000_000)


def test_offsets_that_are_not_stable_yet_are_asked_for_again(group: ScriptedGroup) -> None:
    """A transaction that is about to end holds them back."""
    group.committed = {0: 1, 1: 1}
    group.script(FETCH, UNSTABLE_OFFSET_COMMIT, UNSTABLE_OFFSET_COMMIT)
    with consumer(group) as reader:
        assert read(reader, 4) == [b"b0", b"b1", b"c0", b"c1"]


def test_a_refusal_to_join_is_told_with_the_servers_sentence(group: ScriptedGroup) -> None:
    """Nothing is left behind."""
    group.script(HEARTBEAT, GROUP_MAX_SIZE_REACHED)
    with (
        pytest.raises(ClientError, match=r"be a member of group g: GROUP_MAX_SIZE.*as scripted"),
        consumer(group) as reader,
    ):
        reader.poll(1000)


def test_a_topic_that_is_not_there_is_told_before_the_group_is_joined(
    group: ScriptedGroup,
) -> None:
    """As without a group."""
    with pytest.raises(ClientError, match="nothere"):
        GroupConsumer(group.broker.bootstrap, "g", "nothere")
    assert group.heartbeats == []


def test_a_member_without_partitions_waits_for_some(group: ScriptedGroup) -> None:
    """Even one that stops at the end: its share is still to come."""
    group.assigned = set()
    with consumer(group, stop_at_end=True) as reader:
        wait_heartbeats(reader, group, 2)
        assert not reader.is_finished
        group.assigned = {0}
        assert [record.value for record in reader] == [b"a0", b"b0", b"c0"]


def test_an_interrupted_member_leaves_over_another_connection(
    group: ScriptedGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a heartbeat: its answer is still under way."""
    with consumer(group) as reader:
        read(reader, 6)
        connection = reader._coordinator.connection()
        monkeypatch.setattr(connection, "_wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            wait_heartbeats(reader, group, 1_000_000)
        assert not connection.is_open
    assert group.epoch == LEFT
    assert group.committed == {0: 3, 1: 3}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# against a real coordinator


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that asks for ten heartbeats a second, where Kafka asks for one in five
    seconds, and computes an assignment at once."""
    given = os.environ.get("LOGSERVER_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    settings = {
        "group.consumer.min.heartbeat.interval.ms": "100",
        "group.consumer.heartbeat.interval.ms": "100",
        "group.consumer.assignment.interval.ms": "0",
    }
    with ServerProcess(tmp_path_factory.mktemp("groups") / "data", settings) as process:
        yield process.bootstrap


@pytest.fixture
def names(coordinator: str) -> tuple[str, str]:
    """A topic of four partitions with 100 records, and a group without members."""
    topic = f"group-consumer-{uuid.uuid4().hex[:8]}"
    with Admin(coordinator) as admin, Producer(coordinator) as producer:
        admin.create_topic(topic, partitions=4)
        for index in range(100):
            producer.send(topic, b"%d" % index, partition=index % 4)
    return topic, f"g-{topic}"


def member(bootstrap: str, names: tuple[str, str], **options: Any) -> GroupConsumer:
    topic, group = names
    return GroupConsumer(bootstrap, group, topic, **{"start": "beginning", **options})


def numbers(records: list[ConsumerRecord]) -> list[int]:
    return sorted(int(record.value or b"-1") for record in records)


def test_members_read_everything_once_however_the_partitions_move(
    coordinator: str, names: tuple[str, str]
) -> None:
    """A second member joins in the middle, the first leaves: nothing is lost, nothing twice."""
    records: list[ConsumerRecord] = []
    with member(coordinator, names) as second:
        with member(coordinator, names) as first:
            while len(records) < 30:
                records += first.poll(200, 10)
            while not (len(first.assignment) == len(second.assignment) == 2):
                records += first.poll(100, 1) + second.poll(100, 1)
            assert set(first.assignment).isdisjoint(second.assignment)
        while len(second.assignment) < 4 or len(records) < 100:
            records += second.poll(200)
    assert numbers(records) == list(range(100))


def test_a_member_by_name_gets_its_partitions_back(
    coordinator: str, names: tuple[str, str]
) -> None:
    """It left for a moment only: the group keeps its place (KIP-345)."""
    with member(coordinator, names, instance_id="i", stop_at_end=True) as reader:
        assert len(list(reader)) == 100
        place = reader.assignment
    with Admin(coordinator) as admin:
        (kept,) = admin.groups.describe(names[1]).members
        assert (kept.instance_id, kept.partitions) == ("i", place)
        admin.groups.all()
    with member(coordinator, names, instance_id="i", stop_at_end=True) as reader:
        assert list(reader) == []
        assert reader.assignment == place


def test_a_second_member_of_that_name_is_refused(coordinator: str, names: tuple[str, str]) -> None:
    """While the first is there."""
    with member(coordinator, names, instance_id="i") as first:
        first.poll(1000, 1)
        with (
            pytest.raises(ClientError, match="UNRELEASED_INSTANCE_ID"),
            member(coordinator, names, instance_id="i") as second,
        ):
            second.poll(1000)


class Interrupted(GroupConsumer):
    """Of the topics that it is given, the place in the second cannot be told at first."""

    asked_count = 0

    def _offsets(self, topic: str, starts: Mapping[int, Start]) -> dict[int, int]:
        self.asked_count += 1
        if self.asked_count == 2:
            raise refusal(f"list offsets of {topic}", errors.LEADER_NOT_AVAILABLE)
        return super()._offsets(topic, starts)


def test_what_could_not_be_taken_whole_is_not_read_in_part(
    coordinator: str, names: tuple[str, str]
) -> None:
    """The group would not know who reads there, and might give it to another."""
    topic, group = names
    other = f"{topic}-other"
    with Admin(coordinator) as admin:
        admin.create_topic(other)
    with Interrupted(coordinator, group, [topic, other], start="beginning") as reader:
        records: list[ConsumerRecord] = []
        while len(records) < 100:
            records += reader.poll(50, 10)
            assert sorted(reader.positions()) == reader.assignment
    assert numbers(records) == list(range(100))


def test_offsets_that_were_set_by_an_operator_are_where_reading_goes_on(
    coordinator: str, names: tuple[str, str]
) -> None:
    """Refused while there is a member, taken when there is none."""
    topic, group = names
    with Admin(coordinator) as admin:
        with member(coordinator, names, stop_at_end=True) as reader:
            assert len(list(reader)) == 100
            with pytest.raises(ClientError, match="set offsets of group"):
                admin.groups.commit(group, {(topic, 0): 20})
        admin.groups.commit(group, {(topic, 0): 20, (topic, 3): 24})
    with member(coordinator, names, stop_at_end=True) as reader:
        assert numbers(list(reader)) == [80, 84, 88, 92, 96, 99]
