"""ConsumerGroupDescribe: what members have and are meant to have, in Kafka's fields."""

from __future__ import annotations

from logserver.broker.groups.consumer_describe import (
    CLASSIC_MEMBER,
    CONSUMER_MEMBER,
    NOT_ASKED,
    described,
)
from tests.broker.groups.consumer_bench import Client, ConsumerBench


def test_what_a_member_has_to_give_up_is_still_told_as_its_own() -> None:
    """It may read it until it confirms; the target is another thing."""
    bench = ConsumerBench()
    bench.cluster.create("a", 4)
    first = Client(bench, "m1", "a")
    first.beat()
    Client(bench, "m2", "a").beat()
    bench.beat("m1", first.epoch)
    members = {row["member_id"]: row for row in described(bench.group, authorized=False)["members"]}
    (has,) = members["m1"]["assignment"]["topic_partitions"]
    (shall_have,) = members["m1"]["target_assignment"]["topic_partitions"]
    assert (has["topic_name"], has["partitions"]) == ("a", [0, 1, 2, 3])
    assert len(shall_have["partitions"]) == 2
    assert members["m2"]["assignment"] == {"topic_partitions": []}


def test_topics_that_are_gone_are_left_out() -> None:
    """They have no name any more."""
    bench = ConsumerBench()
    bench.cluster.create("a", 4)
    Client(bench, "m", "a").beat()
    bench.cluster.delete("a")
    (member,) = described(bench.group, authorized=False)["members"]
    assert member["assignment"] == member["target_assignment"] == {"topic_partitions": []}


def test_a_group_tells_how_it_stands_and_what_its_members_said() -> None:
    """Epochs, assignor, names, expression, kind; operations only for who asks."""
    bench = ConsumerBench()
    bench.cluster.create("a", 4)
    bench.join(
        "m", "a", instance_id="i", rack_id="r", server_assignor="range",
        subscribed_topic_regex="a+",
    )  # fmt: skip
    bench.classic_join("", "a", instance="j")
    told = described(bench.group, authorized=False)
    assert (told["group_epoch"], told["assignment_epoch"]) == (3, 3)
    assert (told["assignor_name"], told["authorized_operations"]) == ("range", NOT_ASKED)
    classic, new = told["members"]
    assert (new["member_type"], classic["member_type"]) == (CONSUMER_MEMBER, CLASSIC_MEMBER)
    said = ("instance_id", "rack_id", "subscribed_topic_names", "subscribed_topic_regex")
    assert [new[field] for field in said] == ["i", "r", ["a"], "a+"]
    assert described(bench.group, authorized=True)["authorized_operations"] == 0b110101001000
