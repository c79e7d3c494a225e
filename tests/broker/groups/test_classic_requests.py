"""JoinGroup, Heartbeat, LeaveGroup and SyncGroup through a broker: codec, log, disk, restarts."""

from __future__ import annotations

from random import Random

import pytest

from logserver.broker.groups.coordinator import LOADING
from logserver.broker.groups.effects import Now
from logwire import errors
from tests.broker.groups.groups_bench import GroupsBench
from tests.broker.groups.offsets_bench import GROUP

SEED = 20_260_403


@pytest.mark.parametrize("version", range(10))
def test_a_member_joins_syncs_lives_and_leaves_in_every_version(version: int) -> None:
    """The four requests, each in the newest version that goes with this one of JoinGroup."""
    bench = GroupsBench()
    other = min(version, 4)
    joined = bench.join(version=version)
    if version >= 4:
        assert joined.code == errors.MEMBER_ID_REQUIRED
        joined = bench.join(joined["member_id"], version=version)
    assert joined.waits
    bench.pass_time(3_000)
    member_id = joined["member_id"]
    assert (joined["generation_id"], joined["leader"]) == (1, member_id)
    assert joined["members"][0]["metadata"] == b"m"
    assert bench.assign(member_id, b"part", version=min(version, 5))["assignment"] == b"part"
    assert bench.beat(member_id, version=other) == errors.NONE
    assert bench.leave(member_id, version=min(version, 5)).code == errors.NONE
    assert (bench.group.state, bench.group.generation) == ("Empty", 2)


def test_a_member_id_begins_with_the_name_that_the_client_gave() -> None:
    """Its client id, or its instance id: what people look for in logs."""
    bench = GroupsBench()
    assert str(bench.join()["member_id"]).startswith("bench-")
    static = bench.join(group_instance_id="pod-3")
    bench.pass_time(3_000)
    bench.pass_time(3_000)
    bench.pass_time(10_000)
    assert str(static["member_id"]).startswith("pod-3-")


def test_a_client_with_the_longest_name_there_is_gets_an_id_all_the_same() -> None:
    """Name and number together would not fit into a string."""
    bench = GroupsBench()
    bench.client_id = "\u20ac" * 10_922
    pending = bench.join()
    assert pending.code == errors.MEMBER_ID_REQUIRED
    assert str(pending["member_id"]).startswith("\u20ac" * 255 + "-")
    instance = "i" * 32_767
    static = bench.join(group_instance_id=instance)
    bench.pass_time(13_000)
    assert static.code == errors.NONE
    assert bench.group.roster.static_member_id(instance) == static["member_id"]


def test_a_name_that_is_no_text_is_kept_as_far_as_a_record_can_hold_it() -> None:
    """Each of its bytes is a character of three: all of it would not fit into a string."""
    bench = GroupsBench()
    bench.client_id = "\ufffd" * 32_767
    member_id = bench.stable()
    bench.restart(clean=False)
    assert bench.group.roster[member_id].client_id == "\ufffd" * 255


def test_the_assignment_is_told_when_the_disk_has_it() -> None:
    """Not before: a broker that comes back would not know of it."""
    bench = GroupsBench()
    joined = bench.join(version=3)
    bench.pass_time(3_000)
    member_id = joined["member_id"]
    request = {
        "group_id": GROUP,
        "generation_id": 1,
        "member_id": member_id,
        "assignments": [{"member_id": member_id, "assignment": b"part"}],
    }
    asked = bench.send(14, 3, request, sync=False)
    assert asked.waits
    bench.sync()
    assert asked["assignment"] == b"part"


def test_what_a_member_was_told_survives_a_kill_and_a_power_cut() -> None:
    """Same generation, same part, and the members go on with heartbeats."""
    bench = GroupsBench()
    member_id = bench.stable()
    revived = bench.power_cut(Random(SEED))
    bench.restart(clean=False)
    for again in (bench, revived):
        assert again.group.generation == 1
        assert again.beat(member_id) == errors.NONE
        assert again.assign(member_id, b"other")["assignment"] == b"part"


def test_sessions_of_a_loaded_group_run_out_by_the_broker_s_timer() -> None:
    """Nobody comes back: the group is empty after a session."""
    bench = GroupsBench()
    bench.stable()
    bench.restart()
    bench.pass_time(9_999)
    assert bench.group.state == "Stable"
    bench.pass_time(1)
    assert bench.group.state == "Empty"


def test_requests_that_do_not_depend_on_the_group_are_refused_first() -> None:
    """An empty group id, a session out of bounds, no protocol where one must be named."""
    bench = GroupsBench()
    assert bench.join(group_id="").code == errors.INVALID_GROUP_ID
    for timeout_ms in (5_999, 1_800_001):
        refused = bench.join("m", session_timeout_ms=timeout_ms)
        assert (refused.code, refused["member_id"]) == (errors.INVALID_SESSION_TIMEOUT, "m")
    member_id = bench.stable()
    request = {"group_id": GROUP, "generation_id": 1, "member_id": member_id, "assignments": []}
    assert bench.send(14, 5, request).code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.send(14, 4, request).code == errors.NONE


def test_a_group_that_does_not_exist_has_no_members() -> None:
    """And asking for it does not make it."""
    bench = GroupsBench()
    assert bench.join("m").code == errors.UNKNOWN_MEMBER_ID
    assert bench.beat("m") == errors.UNKNOWN_MEMBER_ID
    request = {"group_id": GROUP, "generation_id": 1, "member_id": "m", "assignments": []}
    assert bench.send(14, 3, request).code == errors.UNKNOWN_MEMBER_ID
    assert bench.leave("m")["members"][0]["error_code"] == errors.UNKNOWN_MEMBER_ID
    assert bench.leave("m", version=1).code == errors.UNKNOWN_MEMBER_ID
    assert bench.join(protocol_type="").code == errors.INCONSISTENT_GROUP_PROTOCOL
    assert bench.coordinator.groups == {}


def test_a_group_that_only_stores_offsets_has_no_members_either() -> None:
    """The first join makes it a classic group, and its offsets stay."""
    bench = GroupsBench()
    bench.commit({0: 42})
    assert bench.beat("m") == errors.UNKNOWN_MEMBER_ID
    assert bench.leave("m")["members"][0]["error_code"] == errors.UNKNOWN_MEMBER_ID
    bench.stable()
    assert bench.group.state == "Stable"
    assert bench.coordinator.offsets.of_group(GROUP)["orders"][0].offset == 42


def test_while_a_coordinator_is_loaded_heartbeats_are_answered_and_others_wait() -> None:
    """Sessions begin after loading, so nothing is lost by saying that all is well."""
    bench = GroupsBench()
    member_id = bench.stable()
    bench.coordinator.state = LOADING
    assert bench.beat(member_id) == errors.NONE
    assert bench.join(member_id).code == errors.COORDINATOR_LOAD_IN_PROGRESS
    assert bench.leave(member_id).code == errors.COORDINATOR_LOAD_IN_PROGRESS


def test_who_waits_is_sent_away_when_the_coordinator_is_unloaded() -> None:
    """A connection must not wait for a group that nobody looks after."""
    bench = GroupsBench()
    member_id = bench.stable()
    newcomer = bench.join(bench.join()["member_id"])
    bench.join()  # pending: the rebalance waits for it
    waiting = bench.join(member_id)
    assert newcomer.waits
    assert waiting.waits
    bench.coordinator.unload()
    assert {waiting.code, newcomer.code} == {errors.NOT_COORDINATOR}


def test_protocols_named_twice_count_once() -> None:
    """The first one: a count that drifts would never find a common protocol again."""
    bench = GroupsBench()
    twice = [{"name": "range", "metadata": b"1"}, {"name": "range", "metadata": b"2"}]
    member_id = bench.stable(protocols=twice)
    assert bench.group.roster[member_id].protocols == {"range": b"1"}


def test_reasons_of_clients_are_cut() -> None:
    """A history line is short, whatever a client sends."""
    bench = GroupsBench()
    bench.join(bench.join()["member_id"], reason="x" * 30_000)
    line = bench.coordinator.history[GROUP].lines[-1]
    assert line.reason == "a member joins: " + "x" * 255


def test_a_new_group_takes_the_place_of_another_kind_that_is_empty() -> None:
    """What the other kind has in the log is deleted in the same batch."""
    bench = GroupsBench()

    class Other:
        group_id, kind, state_name, protocol_type = GROUP, "consumer", "Empty", "consumer"
        empty = True

        def tombstones(self) -> list[tuple[bytes, None]]:
            return [(b"\0\3key", None)]

        def step(self, _event: object, _now: Now) -> list[object]:
            return []

    bench.coordinator.groups[GROUP] = Other()  # type: ignore[assignment]
    end_offset = bench.coordinator.partition.log.end_offset
    assert bench.join().code == errors.MEMBER_ID_REQUIRED
    assert bench.group.kind == "classic"
    assert bench.coordinator.partition.log.end_offset == end_offset + 2
