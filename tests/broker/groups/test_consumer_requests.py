"""Heartbeats and descriptions through a real broker: what is refused, what a restart finds."""

from __future__ import annotations

from typing import Any

import pytest

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.consumer_group import ConsumerGroup
from logserver.broker.groups.consumer_requests import check_request
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message
from logwire.messages.consumer_protocol import encode_assignment, encode_subscription
from tests.broker.groups.groups_bench import Asked, GroupsBench
from tests.broker.groups.offsets_bench import GROUP, TOPIC

JOIN: Message = {
    "group_id": GROUP,
    "member_id": "m",
    "member_epoch": 0,
    "instance_id": None,
    "rack_id": None,
    "rebalance_timeout_ms": 60_000,
    "subscribed_topic_names": [TOPIC],
    "subscribed_topic_regex": None,
    "server_assignor": None,
    "topic_partitions": [],
}


def beat(bench: GroupsBench, epoch: int = 0, *, version: int = 1, **fields: Any) -> Asked:
    """ConsumerGroupHeartbeat of the member `m`."""
    request = {**JOIN, "member_epoch": epoch, **fields}
    if version == 0:
        del request["subscribed_topic_regex"]
    return bench.send(68, version, request)


def describe(bench: GroupsBench, *group_ids: str, version: int = 1) -> list[Message]:
    """ConsumerGroupDescribe."""
    request = {"group_ids": list(group_ids), "include_authorized_operations": True}
    asked = bench.send(69, version, request)
    groups: list[Message] = asked["groups"]
    return groups


def group_of(bench: GroupsBench) -> ConsumerGroup:
    """The group, which must be a consumer group."""
    group = bench.coordinator.groups[GROUP]
    assert isinstance(group, ConsumerGroup)
    return group


INVALID: dict[str, Message] = {
    "MemberId can't be empty.": {"member_id": " "},
    "GroupId can't be empty.": {"group_id": ""},
    "InstanceId can't be empty.": {"instance_id": ""},
    "RackId can't be empty.": {"rack_id": " "},
    "RebalanceTimeoutMs must be provided in first request.": {"rebalance_timeout_ms": -1},
    "TopicPartitions must be empty when (re-)joining.": {"topic_partitions": None},
    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.": {
        "subscribed_topic_names": None
    },
    "InstanceId can't be null.": {"member_epoch": -2},
    "MemberEpoch is invalid.": {"member_epoch": -3},
}


@pytest.mark.parametrize("sentence", INVALID)
def test_a_request_that_makes_no_sense_is_refused_before_any_group_is_asked(sentence: str) -> None:
    """In Kafka's words."""
    with pytest.raises(Refusal) as refused:
        check_request({**JOIN, **INVALID[sentence]}, 1, ("uniform",))
    assert (refused.value.code, refused.value.message) == (errors.INVALID_REQUEST, sentence)


def test_an_unknown_assignor_is_refused_with_those_there_are() -> None:
    """UNSUPPORTED_ASSIGNOR."""
    with pytest.raises(Refusal, match="Supported assignors: uniform, range") as refused:
        check_request({**JOIN, "server_assignor": "best"}, 1, ("uniform", "range"))
    assert refused.value.code == errors.UNSUPPORTED_ASSIGNOR


def test_an_empty_member_id_is_good_for_a_join_in_version_0_only() -> None:
    """Later clients make their ids themselves (KIP-1082)."""
    check_request({**JOIN, "member_id": ""}, 0, ("uniform",))
    for epoch in (1, -1):
        with pytest.raises(Refusal, match="MemberId"):
            check_request({**JOIN, "member_id": "", "member_epoch": epoch}, 0, ("uniform",))


def test_a_member_joins_lives_and_is_described() -> None:
    """The answer leaves when the records are durable."""
    bench = GroupsBench()
    request = {**JOIN, "member_epoch": 0}
    asked = bench.send(68, 1, request, sync=False)
    assert asked.waits
    bench.sync()
    assert (asked.code, asked["member_epoch"], asked["heartbeat_interval_ms"]) == (0, 2, 5000)
    (row,) = asked["assignment"]["topic_partitions"]
    assert row["partitions"] == [0, 1, 2, 3]
    assert beat(bench, 2).code == errors.NONE
    (group,) = describe(bench, GROUP)
    assert (group["group_state"], group["group_epoch"], group["assignor_name"]) == (
        "Stable",
        2,
        "uniform",
    )
    (member,) = group["members"]
    assert member["client_host"].startswith("/")
    assert member["assignment"] == member["target_assignment"]
    assert member["assignment"]["topic_partitions"][0]["topic_name"] == TOPIC
    assert group["authorized_operations"] > 0


def test_a_restart_finds_the_group_as_it_was() -> None:
    """Members, epochs, what they own; the member lives on without joining."""
    bench = GroupsBench()
    beat(bench)
    before = group_of(bench).state.members
    bench.restart(clean=False)
    assert group_of(bench).state.members == before
    assert beat(bench, 2, topic_partitions=None).code == errors.NONE
    bench.pass_time(45_000)
    assert group_of(bench).empty


def test_a_name_that_is_no_text_is_kept_as_far_as_a_record_can_hold_it() -> None:
    """Each of its bytes is a character of three: all of it would not fit into a string."""
    bench = GroupsBench()
    bench.client_id = "\ufffd" * 32_767
    assert beat(bench).code == errors.NONE
    bench.restart(clean=False)
    assert group_of(bench).state.members["m"].client_id == "\ufffd" * 255


def test_groups_of_the_other_kind_and_none_are_not_found() -> None:
    """For whoever does not join, and for descriptions."""
    bench = GroupsBench()
    assert beat(bench, 1)["error_message"] == f"Consumer group {GROUP} not found."
    bench.stable()
    for epoch in (1, -1):
        asked = beat(bench, epoch)
        assert asked.code == errors.GROUP_ID_NOT_FOUND
        assert asked["error_message"] == f"Group {GROUP} is not a consumer group."
    codes = [group["error_code"] for group in describe(bench, GROUP, "none", "")]
    assert codes == [errors.GROUP_ID_NOT_FOUND, errors.GROUP_ID_NOT_FOUND, errors.INVALID_GROUP_ID]


def test_an_empty_group_of_another_kind_gives_way_both_ways() -> None:
    """One that only stores offsets, a classic one without members, a consumer group without."""
    bench = GroupsBench()
    bench.commit({0: 5})
    assert beat(bench).code == errors.NONE
    assert bench.fetch(0) == [5]
    assert beat(bench, -1).code == errors.NONE
    member_id = bench.stable()
    assert isinstance(bench.coordinator.groups[GROUP], ClassicGroup)
    bench.leave(member_id)
    assert beat(bench).code == errors.NONE
    bench.restart()
    assert list(group_of(bench).state.members) == ["m"]
    assert bench.fetch(0) == [5]


def classic(bench: GroupsBench) -> str:
    """A classic consumer that reads all of the topic; its id."""
    protocols = [{"name": "range", "metadata": encode_subscription({"topics": [TOPIC]})}]
    member_id = str(bench.join(protocols=protocols)["member_id"])
    bench.join(member_id, protocols=protocols)
    bench.pass_time(3_000)
    rows = [{"topic": TOPIC, "partitions": [0, 1, 2, 3]}]
    bench.assign(member_id, encode_assignment({"assigned_partitions": rows}))
    return member_id


def test_a_classic_group_becomes_a_consumer_group_and_back_and_survives_a_kill() -> None:
    """Each change is one batch: a restart finds one kind or the other."""
    bench = GroupsBench()
    member_id = classic(bench)
    assert beat(bench).code == errors.NONE
    bench.restart(clean=False)
    assert set(group_of(bench).state.members) == {member_id, "m"}
    types = {m["member_id"]: m["member_type"] for m in describe(bench, GROUP)[0]["members"]}
    assert types == {member_id: 0, "m": 1}
    assert bench.beat(member_id) == errors.REBALANCE_IN_PROGRESS
    assert beat(bench, -1).code == errors.NONE
    assert isinstance(bench.coordinator.groups[GROUP], ClassicGroup)
    bench.restart(clean=False)
    assert list(bench.group.roster.members) == [member_id]


def test_a_refused_join_leaves_a_classic_group_as_it_is() -> None:
    """An expression that is none, from a member that would have turned the group over."""
    bench = GroupsBench()
    member_id = classic(bench)
    asked = beat(bench, subscribed_topic_names=None, subscribed_topic_regex="(")
    assert asked.code == errors.INVALID_REGULAR_EXPRESSION
    assert bench.beat(member_id) == errors.NONE


def test_without_group_version_there_are_no_consumer_groups() -> None:
    """The feature may be lowered; classic groups go on."""
    bench = GroupsBench()
    level = {"name": "group.version", "feature_level": 0}
    bench.broker.metadata_log.append([("FeatureLevelRecord", 0, level)], 0)
    assert_not_served(bench)


def assert_not_served(bench: GroupsBench) -> None:
    """No heartbeat, not even a wrong one, and no description; without a sentence, as Kafka."""
    for asked in (beat(bench), beat(bench, -3)):
        assert (asked.code, asked["error_message"]) == (errors.UNSUPPORTED_VERSION, None)
    assert [g["error_code"] for g in describe(bench, GROUP)] == [errors.UNSUPPORTED_VERSION]


def test_the_configuration_may_switch_consumer_groups_off() -> None:
    """`group.coordinator.rebalance.protocols` without `consumer`."""
    assert_not_served(GroupsBench({"group.coordinator.rebalance.protocols": "classic"}))


def test_version_0_describes_members_without_their_type() -> None:
    """And makes ids for members that bring none."""
    bench = GroupsBench()
    asked = beat(bench, version=0, member_id="")
    (group,) = describe(bench, GROUP, version=0)
    assert [member["member_id"] for member in group["members"]] == [asked["member_id"]]


def test_a_group_that_is_named_often_is_described_once() -> None:
    """A small request would else be answered with as many copies of a large group."""
    bench = GroupsBench()
    beat(bench)
    assert len(describe(bench, *[GROUP] * 1000)) == 1
