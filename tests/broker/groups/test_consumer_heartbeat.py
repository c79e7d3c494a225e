"""ConsumerGroupHeartbeat: who may join, whose epoch is good, who is fenced, what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.broker.groups.consumer_member import LEAVE_STATIC_EPOCH, assignment_fields
from logwire import errors
from logwire.messages.group_records import encode_key, encode_value
from tests.broker.groups.consumer_bench import (
    GROUP,
    REBALANCE_MS,
    Client,
    ConsumerBench,
    settle,
)


@pytest.fixture
def bench() -> ConsumerBench:
    """A group that reads `a`, four partitions."""
    made = ConsumerBench()
    made.cluster.create("a", 4)
    return made


def test_an_unknown_member_is_told_so_unless_it_joins(bench: ConsumerBench) -> None:
    """It begins anew with epoch 0."""
    bench.join("m", "a")
    for epoch in (1, -1, 7):
        assert bench.beat("other", epoch).code == errors.UNKNOWN_MEMBER_ID


def test_only_its_own_epoch_lets_a_member_live(bench: ConsumerBench) -> None:
    """Greater or smaller is fenced; 0 begins anew."""
    bench.join("m1", "a")
    bench.join("m2", "a")
    assert bench.state.members["m2"].member_epoch == 3
    for epoch in (1, 4, 99):
        assert bench.beat("m2", epoch).code == errors.FENCED_MEMBER_EPOCH
    assert bench.beat("m2", 3).code == errors.NONE
    assert bench.join("m2", "a").code == errors.NONE


def test_the_previous_epoch_passes_if_nothing_is_owned_that_should_not_be(
    bench: ConsumerBench,
) -> None:
    """The answer with the new epoch was lost; but a member that owns more has missed more."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    first.beat()  # told to give up two
    first.beat()  # has given up, and is in epoch 3
    assert (first.epoch, bench.state.members["m1"].previous_epoch) == (3, 2)
    owned = [{"topic_id": t, "partitions": sorted(p)} for t, p in first.owned.items()]
    everything = [{"topic_id": row["topic_id"], "partitions": [0, 1, 2, 3]} for row in owned]
    assert bench.beat("m1", 2, topic_partitions=owned).code == errors.NONE
    assert bench.beat("m1", 2, topic_partitions=[]).code == errors.NONE
    assert bench.beat("m1", 2).code == errors.FENCED_MEMBER_EPOCH
    assert bench.beat("m1", 2, topic_partitions=everything).code == errors.FENCED_MEMBER_EPOCH


def test_the_assignment_is_told_when_it_changes_or_everything_was_said(
    bench: ConsumerBench,
) -> None:
    """Silence means: as before."""
    full: dict[str, Any] = {
        "rebalance_timeout_ms": 1000,
        "topic_partitions": [],
        "subscribed_topic_names": ["a"],
    }
    assert bench.join("m", "a").assignment is not None
    assert bench.beat("m", 2).assignment is None
    for missing in full:
        partial = {name: value for name, value in full.items() if name != missing}
        assert bench.beat("m", 2, **partial).assignment is None
    assert bench.beat("m", 2, **full).assignment is not None


def test_what_is_null_has_not_changed(bench: ConsumerBench) -> None:
    """Only what is said is written."""
    bench.join("m", "a", rack_id="r", server_assignor="range")
    before = len(bench.records)
    bench.beat("m", 2)
    member = bench.state.members["m"]
    assert (member.rack_id, member.assignor, member.rebalance_timeout_ms) == (
        "r",
        "range",
        REBALANCE_MS,
    )
    bench.beat("m", 2, rack_id="s")
    assert bench.names(before) == ["MemberMetadata"]
    assert bench.state.members["m"].rack_id == "s"


def test_a_member_without_an_id_is_given_one(bench: ConsumerBench) -> None:
    """Version 0 only; later ones bring their own."""
    asked = bench.join("", "a", version=0)
    assert asked["member_id"] in bench.state.members


def test_a_full_group_takes_members_only(bench: ConsumerBench) -> None:
    """Who is in it lives on."""
    bench.cluster.group_settings = bench.cluster.group_settings._replace(size_max=1)
    bench.join("m", "a")
    assert bench.join("other", "a").code == errors.GROUP_MAX_SIZE_REACHED
    assert bench.join("m", "a").code == errors.NONE


def test_what_members_say_is_bounded(bench: ConsumerBench) -> None:
    """All of it is kept in memory and goes into records; who is refused has changed nothing."""
    settings = bench.cluster.group_settings
    bench.cluster.group_settings = settings._replace(metadata_bytes_max=8_000)
    heavy = [f"{number:0100}" for number in range(40)]
    client = Client(bench, "m", "a")
    client.beat()
    before = bench.state.members["m"]
    assert bench.join("other", *heavy).code == errors.GROUP_MAX_SIZE_REACHED
    regex = {"subscribed_topic_names": None, "subscribed_topic_regex": "a" * 7_000}
    assert bench.join("other", **regex).code == errors.GROUP_MAX_SIZE_REACHED
    assert bench.join("n" * 7_000, "a").code == errors.GROUP_MAX_SIZE_REACHED
    refused = bench.beat("m", client.epoch, subscribed_topic_names=heavy)
    assert (refused.code, bench.state.members) == (errors.GROUP_MAX_SIZE_REACHED, {"m": before})
    assert client.beat() == errors.NONE
    client.leave()
    assert bench.state.size_bytes == 0


def test_another_subscription_begins_an_epoch(bench: ConsumerBench) -> None:
    """What is dropped is given up, what is new comes."""
    other = bench.cluster.create("b", 2)
    client = Client(bench, "m", "a")
    client.beat()
    client.topics = ["b"]
    client.beat()
    assert bench.state.epoch == 3
    settle(bench, [client])
    assert client.owned == {other: {0, 1}}


def test_partitions_are_given_only_when_nobody_reads_them_any_more(bench: ConsumerBench) -> None:
    """The second member waits until the first has said so."""
    first, second = Client(bench, "m1", "a"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    assert (second.count, second.epoch) == (0, 3)
    first.obeys = False
    first.beat()
    second.beat()
    assert second.count == 0
    assert bench.group.state_name == "Reconciling"
    first.obeys = True
    first.beat()
    first.beat()
    second.beat()
    assert (first.count, second.count) == (2, 2)


def test_an_instance_id_that_is_in_use_is_refused(bench: ConsumerBench) -> None:
    """Two processes with one name; the first one stays."""
    bench.join("m1", "a", instance_id="i")
    assert bench.join("m2", "a", instance_id="i").code == errors.UNRELEASED_INSTANCE_ID
    assert bench.beat("m1", 2, instance_id="i").code == errors.NONE


def test_a_static_member_comes_back_to_what_it_had(bench: ConsumerBench) -> None:
    """Nothing moves meanwhile, and no epoch begins."""
    first, second = Client(bench, "m1", "a", instance="i"), Client(bench, "m2", "a")
    first.beat()
    second.beat()
    settle(bench, [first, second])
    had, epoch = dict(first.owned), bench.state.epoch
    first.leave(LEAVE_STATIC_EPOCH)
    second.beat()
    assert bench.state.members["m1"].member_epoch == LEAVE_STATIC_EPOCH
    again = Client(bench, "m3", "a", instance="i")
    again.beat()
    assert (again.owned, bench.state.epoch) == (had, epoch)
    assert set(bench.state.members) == {"m2", "m3"}
    assert bench.beat("m1", epoch, instance_id="i").code == errors.FENCED_INSTANCE_ID


def test_a_static_member_may_come_back_under_the_same_id(bench: ConsumerBench) -> None:
    """Clients that make their ids themselves keep them (KIP-1082)."""
    bench.join("m", "a", instance_id="i")
    bench.beat("m", LEAVE_STATIC_EPOCH, instance_id="i")
    asked = bench.join("m", "a", instance_id="i")
    assert (asked.code, asked["member_epoch"]) == (errors.NONE, 2)
    assert asked.assignment is not None


def test_an_unknown_instance_id_is_an_unknown_member(bench: ConsumerBench) -> None:
    """For whoever does not join."""
    bench.join("m", "a")
    assert bench.beat("m", 2, instance_id="i").code == errors.UNKNOWN_MEMBER_ID
    assert bench.beat("m", -1, instance_id="i").code == errors.UNKNOWN_MEMBER_ID


def test_a_refusal_says_why_in_words(bench: ConsumerBench) -> None:
    """Clients log the sentence."""
    bench.join("m", "a")
    message = bench.beat("m", 9)["error_message"]
    assert "greater member epoch (9)" in message
    assert "(2)" in message


def test_a_classic_member_may_go_on_with_the_new_protocol(bench: ConsumerBench) -> None:
    """Under its id; it does not owe a sync any more."""
    bench.join("m1", "a")
    joined = bench.classic_join("m2", "a", rebalance_ms=1000)
    assert joined.code == errors.NONE
    client = Client(bench, "m2", "a")
    client.beat()
    bench.pass_time(2000)
    assert bench.state.members["m2"].classic is None


def test_a_member_that_a_newer_server_wrote_begins_anew(bench: ConsumerBench) -> None:
    """Its state is not known here: refused before anything is written, until it owns nothing."""
    client = Client(bench, "m", "a")
    client.beat()
    key = {"group_id": GROUP, "member_id": "m"}
    value = {**assignment_fields(bench.state.members["m"]), "state": 9}
    name = "ConsumerGroupCurrentMemberAssignment"
    bench.state.apply(name, key, value)
    bench.records.append((encode_key(name, key), encode_value(name, 0, value)))
    assert bench.beat("m", 2, rack_id="new").code == errors.FENCED_MEMBER_EPOCH
    client.owned, client.epoch = {}, 0
    assert client.beat() == errors.NONE
    assert (client.count, bench.group.state_name) == (4, "Stable")
