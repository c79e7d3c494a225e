"""Answers to members, in the versions in which their fields differ."""

from __future__ import annotations

import pytest

from logserver.broker.groups.classic_answers import join_refused, left
from logserver.broker.groups.classic_events import Leaver
from logwire import errors
from logwire.messages import decode_response, encode_response
from tests.broker.groups.classic_bench import GroupBench


@pytest.mark.parametrize("version", range(10))
def test_a_refused_join_says_no_more_than_it_must(version: int) -> None:
    """Generation -1, no leader, and no protocol: null where that can be told, else empty."""
    refusal = join_refused(version, "m", errors.UNKNOWN_MEMBER_ID)
    answer = decode_response(11, version, encode_response(11, version, refusal))
    assert (answer["error_code"], answer["member_id"]) == (errors.UNKNOWN_MEMBER_ID, "m")
    assert (answer["generation_id"], answer["leader"], answer["members"]) == (-1, "", [])
    assert answer["protocol_name"] == (None if version >= 7 else "")


def test_only_the_leader_hears_who_is_in_the_group() -> None:
    """With the metadata of the protocol that was chosen, and of no other."""
    bench = GroupBench()
    comers = [bench.come(protocols={"a": b"1", "b": b"2"}), bench.come(protocols={"b": b"3"})]
    bench.settle()
    leader, follower = (request for _, request in comers)
    assert [(row["member_id"], row["metadata"]) for row in leader["members"]] == [
        (comers[0][0], b"2"),
        (comers[1][0], b"3"),
    ]
    assert follower["members"] == []
    assert leader["leader"] == follower["leader"] == comers[0][0]
    assert (leader["protocol_type"], leader["protocol_name"]) == ("consumer", "b")


def test_before_version_three_a_leaver_s_error_is_that_of_the_whole() -> None:
    """One member leaves in those versions, and there is one place for an error."""
    leaver = [Leaver("m", None, "")]
    assert left(2, leaver, [errors.UNKNOWN_MEMBER_ID]) == {"error_code": errors.UNKNOWN_MEMBER_ID}
    assert left(2, leaver, [errors.NONE]) == {"error_code": errors.NONE}
    answer = left(3, leaver, [errors.UNKNOWN_MEMBER_ID])
    assert answer["error_code"] == errors.NONE
    assert answer["members"][0]["error_code"] == errors.UNKNOWN_MEMBER_ID
