"""DescribeGroups, ListGroups and DeleteGroups: what tools see of groups of any kind."""

from __future__ import annotations

import pytest

from logserver.broker.groups.coordinator import LOADING
from logwire import errors
from logwire.messages import Message
from tests.broker.groups.groups_bench import GroupsBench
from tests.broker.groups.offsets_bench import GROUP


def describe(bench: GroupsBench, *names: str, version: int = 6) -> list[Message]:
    """The rows of DescribeGroups."""
    request = {"groups": list(names), "include_authorized_operations": version >= 3}
    rows: list[Message] = bench.send(15, version, request)["groups"]
    return rows


def listed(
    bench: GroupsBench, states: tuple[str, ...] = (), types: tuple[str, ...] = ()
) -> set[str]:
    """The ids that ListGroups names."""
    request = {"states_filter": list(states), "types_filter": list(types)}
    return {row["group_id"] for row in bench.send(16, 5, request)["groups"]}


def delete(bench: GroupsBench, *names: str) -> list[tuple[str, int]]:
    """The rows of DeleteGroups."""
    results = bench.send(42, 2, {"groups_names": list(names)})["results"]
    return [(row["group_id"], row["error_code"]) for row in results]


@pytest.mark.parametrize("version", range(7))
def test_a_stable_group_is_described_with_its_members(version: int) -> None:
    """Metadata of the protocol in use, and the part of each."""
    bench = GroupsBench()
    member_id = bench.stable()
    row = describe(bench, GROUP, version=version)[0]
    assert (row["error_code"], row["group_state"]) == (errors.NONE, "Stable")
    assert (row["protocol_type"], row["protocol_data"]) == ("consumer", "range")
    member = row["members"][0]
    assert (member["member_id"], member["client_id"]) == (member_id, "bench")
    assert member["client_host"] == "/127.0.0.1"
    assert (member["member_metadata"], member["member_assignment"]) == (b"m", b"part")
    if version >= 3:
        assert row["authorized_operations"] == sum(1 << bit for bit in (3, 6, 8, 10, 11))


def test_a_group_that_is_named_often_is_described_once() -> None:
    """A small request would else be answered with as many copies of a large group."""
    bench = GroupsBench()
    bench.stable()
    assert len(describe(bench, *[GROUP] * 1000)) == 1


def test_between_generations_no_protocol_and_no_metadata_are_told() -> None:
    """Nobody knows yet which protocol it will be."""
    bench = GroupsBench()
    member_id = bench.stable()
    bench.join(bench.join()["member_id"])
    row = describe(bench, GROUP)[0]
    assert (row["group_state"], row["protocol_data"]) == ("PreparingRebalance", "")
    assert row["members"][0]["member_id"] == member_id
    assert {member["member_metadata"] for member in row["members"]} == {b""}


def test_a_group_that_is_not_there_is_dead_and_from_version_six_on_not_found() -> None:
    """KIP-1043; older tools print the state."""
    bench = GroupsBench()
    old = describe(bench, "none", version=5)[0]
    assert (old["error_code"], old["group_state"]) == (errors.NONE, "Dead")
    new = describe(bench, "none", version=6)[0]
    assert (new["error_code"], new["group_state"]) == (errors.GROUP_ID_NOT_FOUND, "Dead")
    assert new["error_message"] == "Group none not found."


def test_a_group_that_only_stores_offsets_is_an_empty_classic_one() -> None:
    """Without a protocol type: nobody ever joined it."""
    bench = GroupsBench()
    bench.commit({0: 1})
    row = describe(bench, GROUP)[0]
    assert (row["error_code"], row["group_state"], row["protocol_type"]) == (0, "Empty", "")
    answer = bench.send(16, 5, {"states_filter": [], "types_filter": []})["groups"]
    assert answer == [
        {"group_id": GROUP, "protocol_type": "", "group_state": "Empty", "group_type": "classic"}
    ]


def test_groups_are_listed_by_state_and_type_in_any_case() -> None:
    """Two filters that both must hold; a state or type that nobody has lists nothing."""
    bench = GroupsBench()
    bench.stable()
    bench.join(group_id="empty")
    assert listed(bench) == {GROUP, "empty"}
    assert listed(bench, ("stable",)) == {GROUP}
    assert listed(bench, (" EMPTY ", "Stable")) == {GROUP, "empty"}
    assert listed(bench, ("Dead",)) == set()
    assert listed(bench, (), ("Classic",)) == {GROUP, "empty"}
    assert listed(bench, ("Stable",), ("consumer",)) == set()


def test_no_list_is_better_than_half_of_one() -> None:
    """As long as one coordinator is loaded its groups would be missing."""
    bench = GroupsBench()
    bench.stable()
    bench.coordinator.state = LOADING
    request: Message = {"states_filter": [], "types_filter": []}
    assert bench.send(16, 5, request).code == errors.COORDINATOR_LOAD_IN_PROGRESS
    assert describe(bench, GROUP)[0]["error_code"] == errors.COORDINATOR_LOAD_IN_PROGRESS
    assert delete(bench, GROUP) == [(GROUP, errors.COORDINATOR_LOAD_IN_PROGRESS)]


def test_only_empty_groups_are_deleted_with_their_offsets_and_for_good() -> None:
    """One that has members is kept; a name given twice has one row."""
    bench = GroupsBench()
    member_id = bench.stable()
    bench.commit({0: 5}, member_id=member_id, generation_id_or_member_epoch=1)
    assert delete(bench, GROUP, "none", GROUP) == [
        (GROUP, errors.NON_EMPTY_GROUP),
        ("none", errors.GROUP_ID_NOT_FOUND),
    ]
    bench.leave(member_id)
    assert delete(bench, GROUP) == [(GROUP, errors.NONE)]
    assert bench.coordinator.groups == {}
    assert bench.coordinator.offsets.listed(GROUP) == []
    bench.restart()
    assert listed(bench) == set()
    assert delete(bench, GROUP) == [(GROUP, errors.GROUP_ID_NOT_FOUND)]


def test_without_a_coordinator_there_is_nothing_to_tell() -> None:
    """A broker that nobody ever asked for a group has no `__consumer_offsets`."""
    bench = GroupsBench()
    bench.broker.coordinators.by_index.clear()
    assert listed(bench) == set()
    assert describe(bench, GROUP)[0]["error_code"] == errors.NOT_COORDINATOR
    assert delete(bench, GROUP) == [(GROUP, errors.NOT_COORDINATOR)]
