"""Classic groups as records: round trips, old versions, what consumers subscribe to."""

from __future__ import annotations

import pytest

from logserver.broker.groups.classic_group import ClassicGroup
from logserver.broker.groups.classic_records import new_group, record_of, tombstone
from logwire.messages.consumer_protocol import encode_subscription
from logwire.messages.group_records import decode_key, decode_value, encode_value
from tests.broker.groups.classic_bench import GROUP, GroupBench


def test_a_stable_group_comes_back_from_its_record() -> None:
    """Generation, protocol, leader, and of each member what a new coordinator needs."""
    bench = GroupBench()
    ids = bench.stable(3, protocols={"range": b"meta", "other": b"x"}, host="/10.0.0.1")
    group = bench.reloaded().group
    assert (group.state, group.generation, group.protocol_type) == ("Stable", 1, "consumer")
    assert (group.protocol_name, group.roster.leader_id) == ("range", ids[0])
    assert [one.assignment for one in group.roster] == [name.encode() for name in ids]
    first = group.roster[ids[0]]
    assert (first.client_id, first.client_host) == ("client", "/10.0.0.1")
    assert first.protocols == {"range": b"meta"}
    assert record_of(group) == record_of(bench.group)


def test_an_empty_group_comes_back_empty_in_its_generation() -> None:
    """With the protocol type, and the time since when it is empty."""
    bench = GroupBench()
    bench.leave(*bench.stable(2))
    group = bench.reloaded().group
    assert (group.state, group.generation, group.protocol_type) == ("Empty", 2, "consumer")
    assert group.state_since_ms == bench.group.state_since_ms
    assert group.roster.leader_id is None


def test_a_new_group_is_written_down_with_nothing_in_it() -> None:
    """Generation 0 and no protocol type: what Kafka writes at the first join."""
    key, value = new_group(GROUP, 5)
    assert value is not None
    assert decode_key(key) == ("GroupMetadata", {"group": GROUP})
    version, fields = decode_value("GroupMetadata", value)
    assert (version, fields["generation"], fields["current_state_timestamp"]) == (3, 0, 5)
    group = ClassicGroup(GROUP)
    group.apply("GroupMetadata", {}, fields)
    assert (group.state, group.protocol_type) == ("Empty", None)


def test_a_tombstone_ends_the_group() -> None:
    """The coordinator drops it when it reads that."""
    key, value = tombstone(GROUP)
    assert (decode_key(key)[1], value) == ({"group": GROUP}, None)
    group = ClassicGroup(GROUP)
    group.apply("GroupMetadata", {}, None)
    assert group.gone


@pytest.mark.parametrize("version", range(4))
def test_records_of_older_versions_are_read(version: int) -> None:
    """Version 0 knows no rebalance timeout: it is the session's, as it was then."""
    member = {
        "member_id": "m",
        "group_instance_id": "i",
        "client_id": "c",
        "client_host": "/h",
        "rebalance_timeout": 50,
        "session_timeout": 40,
        "subscription": b"s",
        "assignment": b"a",
    }
    value = {
        "protocol_type": "connect",
        "generation": 7,
        "protocol": "p",
        "leader": "m",
        "current_state_timestamp": 9,
        "members": [member],
    }
    fields = decode_value("GroupMetadata", encode_value("GroupMetadata", version, value))[1]
    group = ClassicGroup(GROUP)
    group.apply("GroupMetadata", {}, fields)
    one = group.roster["m"]
    assert (group.state, group.generation, one.session_timeout_ms) == ("Stable", 7, 40)
    assert one.rebalance_timeout_ms == (50 if version >= 1 else 40)
    assert group.state_since_ms == (9 if version >= 2 else -1)
    assert group.roster.static_member_id("i") == ("m" if version >= 3 else None)


def test_a_record_whose_leader_is_not_among_its_members_is_taken() -> None:
    """Somebody leads; the next rebalance would have to find one anyway."""
    bench = GroupBench()
    ids = bench.stable(2)
    value = bench.log[-1]
    assert value is not None
    group = ClassicGroup(GROUP)
    group.apply("GroupMetadata", {}, {**value, "leader": None})
    assert group.roster.leader_id == ids[0]


def test_subscriptions_are_read_out_of_the_members_metadata() -> None:
    """Of consumers; what is not a consumer's metadata counts as subscribed to everything."""
    bench = GroupBench()
    for topics in (["a", "b"], ["b", "c"]):
        bench.come(protocols={"range": encode_subscription({"topics": topics})})
    bench.settle()
    assert [bench.group.subscribed(topic) for topic in "abcd"] == [True, True, True, False]
    strange = GroupBench()
    strange.stable(1)
    assert strange.group.subscribed("anything")
    connect = GroupBench()
    connect.stable(1, type="connect")
    assert not connect.group.subscribed("anything")
