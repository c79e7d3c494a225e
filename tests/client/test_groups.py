"""Groups through the admin client: scripted members of both kinds, and a real server's offsets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from logserver.client import Admin, ClientError, Producer
from logserver.client.groups import Committed, Group, ListedGroup, Member
from logwire.messages import APIS, Message
from logwire.messages.consumer_protocol import encode_assignment
from tests.client.scripted_broker import TOPIC_ID, ScriptedBroker
from tests.client.scripted_group import ScriptedGroup

GROUP_ID_NOT_FOUND = 69
LIST_GROUPS, DESCRIBE_GROUPS, CONSUMER_GROUP_DESCRIBE = 16, 15, 69


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    """One that coordinates."""
    with ScriptedBroker(partitions=2) as broker:
        ScriptedGroup(broker)
        yield broker


@pytest.fixture
def names(kafka_bootstrap: str) -> tuple[str, str]:
    """A topic with two partitions, and a group that has committed in both."""
    topic, group = f"groups-{uuid.uuid4().hex[:8]}", f"g-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(topic, partitions=2)
        with Producer(kafka_bootstrap) as producer:
            for index in range(4):
                producer.send(topic, b"%d" % index, partition=0)
        admin.groups.commit(group, {(topic, 0): 1, (topic, 1): 0})
    return topic, group


def assignment_of(*partitions: int) -> Message:
    row = {"topic_id": TOPIC_ID, "topic_name": "t", "partitions": list(partitions)}
    return {"topic_partitions": [row]}


def test_a_consumer_group_is_described_by_its_own_api(broker: ScriptedBroker) -> None:
    """KIP-848: epochs, and who reads what."""
    member = {
        "member_id": "m",
        "instance_id": "i",
        "member_epoch": 4,
        "client_id": "c",
        "client_host": "/10.0.0.1",
        "assignment": assignment_of(0, 1),
        "target_assignment": assignment_of(0),
    }
    row = {
        "group_id": "g",
        "group_state": "Reconciling",
        "group_epoch": 5,
        "assignment_epoch": 5,
        "assignor_name": "uniform",
        "members": [member],
    }
    broker.answers[CONSUMER_GROUP_DESCRIBE] = lambda _: {"groups": [row]}
    with Admin(broker.bootstrap) as admin:
        found = admin.groups.describe("g")
    members = [Member("m", "i", "c", "/10.0.0.1", 4, [("t", 0), ("t", 1)])]
    assert found == Group("g", "consumer", "consumer", "Reconciling", 5, "uniform", members)


def classic(broker: ScriptedBroker, **fields: object) -> Group:
    """What is made of a group that only DescribeGroups knows."""
    row = {"group_id": "g", "group_state": "Stable", "protocol_type": "consumer", **fields}
    missing = {"group_id": "g", "error_code": GROUP_ID_NOT_FOUND}
    broker.answers[CONSUMER_GROUP_DESCRIBE] = lambda _: {"groups": [missing]}
    broker.answers[DESCRIBE_GROUPS] = lambda _: {"groups": [row]}
    with Admin(broker.bootstrap) as admin:
        return admin.groups.describe("g")


@pytest.mark.parametrize(
    ("protocol_type", "assignment", "partitions"),
    [
        (
            "consumer",
            encode_assignment({"assigned_partitions": [{"topic": "t", "partitions": [1]}]}),
            [("t", 1)],
        ),
        ("consumer", b"", []),
        ("consumer", b"\0\0\xff", []),
        ("connect", b"\0\1\0\0", []),
    ],
    ids=["consumer", "nothing", "another language", "connect"],
)
def test_a_classic_group_is_described_with_what_its_members_read(
    broker: ScriptedBroker,
    protocol_type: str,
    assignment: bytes,
    partitions: list[tuple[str, int]],
) -> None:
    """As far as it can be read: only consumers say it in a language that we know."""
    member = {"member_id": "m", "client_id": "c", "client_host": "/h"}
    member["member_assignment"] = assignment  # type: ignore[assignment]
    found = classic(broker, protocol_type=protocol_type, protocol_data="range", members=[member])
    members = [Member("m", None, "c", "/h", -1, partitions)]
    assert found == Group("g", "classic", protocol_type, "Stable", -1, "range", members)


def test_a_group_that_is_dead_is_not_there(broker: ScriptedBroker) -> None:
    """Versions before 6 of DescribeGroups have no error for it."""
    with pytest.raises(ClientError, match="describe group g: GROUP_ID_NOT_FOUND") as caught:
        classic(broker, group_state="Dead")
    assert caught.value.code == GROUP_ID_NOT_FOUND


def test_a_server_without_consumer_groups_is_asked_for_classic_ones(
    broker: ScriptedBroker,
) -> None:
    """Kafka before 3.7."""
    rows = [
        {"api_key": api.key, "min_version": api.min_version, "max_version": api.max_version}
        for api in APIS.values()
        if api.key != CONSUMER_GROUP_DESCRIBE
    ]
    broker.answers[18] = lambda _: {"error_code": 0, "api_keys": rows}
    assert classic(broker).state == "Stable"


def test_the_list_asks_every_broker_with_the_filters(broker: ScriptedBroker) -> None:
    """Sorted by name."""
    rows = [
        {"group_id": name, "protocol_type": "", "group_state": "Empty", "group_type": "classic"}
        for name in ("b", "a")
    ]
    broker.answers[LIST_GROUPS] = lambda _: {"groups": rows}
    with Admin(broker.bootstrap) as admin:
        found = admin.groups.all(states=["Empty"], types=["classic"])
    assert found == [ListedGroup(name, "classic", "", "Empty") for name in ("a", "b")]
    request = next(said for key, said in broker.requests if key == LIST_GROUPS)
    assert request == {"states_filter": ["Empty"], "types_filter": ["classic"]}


def test_a_broker_that_cannot_list_is_an_error(broker: ScriptedBroker) -> None:
    """A list with holes would look whole."""
    broker.answers[LIST_GROUPS] = lambda _: {"error_code": 14, "groups": []}
    with (
        Admin(broker.bootstrap) as admin,
        pytest.raises(ClientError, match="list the groups of broker 7: COORDINATOR_LOAD"),
    ):
        admin.groups.all()


def test_offsets_are_set_read_and_set_again(kafka_bootstrap: str, names: tuple[str, str]) -> None:
    """From outside of a group that nobody is in."""
    topic, group = names
    with Admin(kafka_bootstrap) as admin:
        expected = {(topic, 0): Committed(1, -1, ""), (topic, 1): Committed(0, -1, "")}
        assert admin.groups.committed(group) == expected
        admin.groups.commit(group, {(topic, 0): 3})
        assert admin.groups.committed(group)[topic, 0].offset == 3


def test_offsets_alone_make_a_classic_group_without_members(
    kafka_bootstrap: str, names: tuple[str, str]
) -> None:
    """That is listed, described, measured and deleted like any other."""
    _, group = names
    with Admin(kafka_bootstrap) as admin:
        assert ListedGroup(group, "classic", "", "Empty") in admin.groups.all(types=["classic"])
        assert ListedGroup(group, "classic", "", "Empty") not in admin.groups.all(states=["Stable"])
        found = admin.groups.describe(group)
        assert found == Group(group, "classic", "", "Empty", -1, "", [])
        counts = {lag.partition: lag.lag_count for lag in admin.groups.lag(found)}
        assert counts == {0: 3, 1: 0}
        admin.groups.delete(group)
        assert admin.groups.committed(group) == {}
        assert group not in [one.group_id for one in admin.groups.all()]


def test_a_group_that_is_not_there_is_told(kafka_bootstrap: str) -> None:
    """Describing and deleting it are refused; its offsets are simply none."""
    with Admin(kafka_bootstrap) as admin:
        for ask in (admin.groups.describe, admin.groups.delete):
            with pytest.raises(ClientError, match="group nobody: GROUP_ID_NOT_FOUND"):
                ask("nobody")
        assert admin.groups.committed("nobody") == {}


def test_an_offset_that_is_refused_says_for_which_partition(
    kafka_bootstrap: str, names: tuple[str, str]
) -> None:
    """There is no such partition."""
    topic, group = names
    with (
        Admin(kafka_bootstrap) as admin,
        pytest.raises(ClientError, match=f"for {topic}-9: UNKNOWN_TOPIC_OR_PARTITION"),
    ):
        admin.groups.commit(group, {(topic, 9): 0})
