"""Epochs and target assignments: when the next ones begin, and what is written for them."""

from __future__ import annotations

from logserver.broker.groups.consumer_member import NONE_OWNED, Member
from tests.broker.groups.consumer_bench import GROUP, Client, ConsumerBench, settle


def test_a_first_member_brings_an_epoch_an_assignment_and_what_it_owns() -> None:
    """In one batch, in this order; Kafka's first epoch with a member is 2."""
    bench = ConsumerBench()
    topic_id = bench.cluster.create("a", 3)
    asked = bench.join("m", "a")
    assert bench.names() == [
        "MemberMetadata",
        "Metadata",
        "TargetAssignmentMember",
        "TargetAssignmentMetadata",
        "CurrentMemberAssignment",
    ]
    assert (bench.state.epoch, bench.state.assignment_epoch, asked["member_epoch"]) == (2, 2, 2)
    assert asked.assignment == {topic_id: [0, 1, 2]}


def test_a_heartbeat_of_a_settled_member_writes_nothing() -> None:
    """A thousand groups at rest cost the log nothing."""
    bench = ConsumerBench()
    bench.cluster.create("a")
    bench.join("m", "a")
    before = len(bench.records)
    assert bench.beat("m", 2).assignment is None
    assert len(bench.records) == before


def test_topics_that_change_begin_an_epoch_at_the_next_heartbeat() -> None:
    """Created, with more partitions, deleted; another topic's changes do not matter."""
    bench = ConsumerBench()
    client = Client(bench, "m", "a", "b")
    client.beat()
    epochs = [bench.state.epoch]
    for change in (
        lambda: bench.cluster.create("other"),
        lambda: bench.cluster.create("a", 2),
        lambda: bench.cluster.grow("a", 5),
        lambda: bench.cluster.create("b", 1),
        lambda: bench.cluster.delete("a"),
    ):
        change()
        client.beat()
        settle(bench, [client])
        epochs.append(bench.state.epoch)
    assert epochs == [2, 2, 3, 4, 5, 6]
    assert client.count == 1
    assert {note.reason for note in bench.notes[1:]} == {"topics changed"}


def test_a_topic_that_was_deleted_and_created_again_is_another_one() -> None:
    """Its partitions are new ones: nobody keeps an old number."""
    bench = ConsumerBench()
    old = bench.cluster.create("a", 2)
    client = Client(bench, "m", "a")
    client.beat()
    bench.cluster.delete("a")
    new = bench.cluster.create("a", 2)
    client.beat()
    settle(bench, [client])
    assert client.owned == {new: {0, 1}}
    assert old not in bench.state.owners


def test_assignments_are_made_at_most_once_an_interval() -> None:
    """A fleet that starts together is assigned together; until then newcomers own nothing."""
    bench = ConsumerBench(assignment_interval_ms=1000)
    bench.cluster.create("a", 6)
    clients = [Client(bench, f"m{number}", "a") for number in range(3)]
    for client in clients:
        client.beat()
    assert [client.count for client in clients] == [6, 0, 0]
    assert (bench.state.epoch, bench.state.assignment_epoch) == (4, 2)
    assert bench.group.state_name == "Assigning"
    bench.pass_time(999)
    clients[1].beat()
    assert bench.state.assignment_epoch == 2
    bench.pass_time(1)
    clients[1].beat()
    assert bench.state.assignment_epoch == 4
    settle(bench, clients)
    assert [client.count for client in clients] == [2, 2, 2]


def test_members_may_choose_the_assignor_and_most_of_them_win() -> None:
    """Two for range, one for uniform; the choice is part of what a member says."""
    bench = ConsumerBench()
    for name in ("a", "b"):
        bench.cluster.create(name, 2)
    bench.join("m1", "a", "b", server_assignor="range")
    bench.join("m2", "a", "b", server_assignor="range")
    bench.join("m3", "a", "b", server_assignor="uniform")
    targets = bench.state.targets
    assert set(map(len, (targets["m1"], targets["m2"]))) == {2}
    assert targets["m3"] == {}


def test_a_target_of_an_old_log_is_cut_to_what_exists() -> None:
    """A topic of the log may have had more partitions than there are here."""
    bench = ConsumerBench()
    topic_id = bench.cluster.create("a", 4)
    bench.join("m1", "a")
    bench.cluster.grow("a", 2)
    bench.cluster.create("b", 1)
    bench.join("m2", "a", "b")
    both = {**bench.state.targets["m1"], **bench.state.targets["m2"]}
    assert all(max(numbers) < 2 for topic, numbers in both.items() if topic == topic_id)


def test_the_record_of_an_older_kafka_is_deleted_in_passing() -> None:
    """ConsumerGroupPartitionMetadata gave way to a hash."""
    bench = ConsumerBench()
    bench.cluster.create("a")
    bench.state.apply("ConsumerGroupPartitionMetadata", {"group_id": GROUP}, {"topics": []})
    bench.join("m", "a")
    assert "-PartitionMetadata" in bench.names()
    assert not bench.state.has_partition_metadata


def test_a_member_without_topics_is_a_member_without_an_epoch_of_its_own() -> None:
    """Nothing is to be assigned, so nothing begins; as in Kafka."""
    bench = ConsumerBench()
    asked = bench.join("m")
    assert (asked.code, asked["member_epoch"], bench.state.epoch) == (0, 1, 1)
    assert bench.state.members["m"] == Member(
        "m",
        1,
        0,
        0,
        NONE_OWNED,
        NONE_OWNED,
        client_id="c",
        client_host="/h",
        rebalance_timeout_ms=60_000,
    )
