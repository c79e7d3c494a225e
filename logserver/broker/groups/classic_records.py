"""A classic group as a record of `__consumer_offsets`, and what can be read out of its metadata.

One GroupMetadata record holds the whole group, in the version that Kafka 4.3 writes. Of what a
member offered only the metadata of the chosen protocol is kept; the members say the rest again when
they join the next generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from logserver.broker.groups.classic_roster import Member, Roster
from logwire.errors import ProtocolError
from logwire.messages.consumer_protocol import decode_subscription
from logwire.messages.group_records import encode_key, encode_value

if TYPE_CHECKING:
    from logserver.broker.groups.classic_state import ClassicState
    from logserver.broker.groups.effects import Record
    from logwire.messages import Message

NAME = "GroupMetadata"
VALUE_VERSION = 3


def record_of(group: ClassicState) -> Record:
    """The record that says what the group is now: a generation everybody knows, or empty."""
    protocol = group.protocol_name
    members = [
        {
            "member_id": member.member_id,
            "group_instance_id": member.instance_id,
            "client_id": member.client_id,
            "client_host": member.client_host,
            "rebalance_timeout": member.rebalance_timeout_ms,
            "session_timeout": member.session_timeout_ms,
            "subscription": member.protocols[protocol or ""],
            "assignment": member.assignment,
        }
        for member in group.roster
    ]
    value = {
        "protocol_type": group.protocol_type or "",
        "generation": group.generation,
        "protocol": protocol,
        "leader": group.roster.leader_id,
        "current_state_timestamp": group.state_since_ms,
        "members": members,
    }
    return encode_key(NAME, {"group": group.group_id}), encode_value(NAME, VALUE_VERSION, value)


def new_group(group_id: str, wall_ms: int) -> Record:
    """The record of a group that somebody has just begun to join: there is one, and no more."""
    value = {
        "protocol_type": "",
        "generation": 0,
        "protocol": None,
        "leader": None,
        "current_state_timestamp": wall_ms,
        "members": [],
    }
    return encode_key(NAME, {"group": group_id}), encode_value(NAME, VALUE_VERSION, value)


def tombstone(group_id: str) -> Record:
    """The record that says there is no such group any more."""
    return encode_key(NAME, {"group": group_id}), None


def roster_of(value: Message) -> Roster:
    """The members that a record names. Version 0 knows no rebalance timeout: -1."""
    roster = Roster()
    for fields in value["members"]:
        session_timeout_ms = fields["session_timeout"]
        rebalance_timeout_ms = fields["rebalance_timeout"]
        if rebalance_timeout_ms == -1:
            rebalance_timeout_ms = session_timeout_ms
        member = Member(
            fields["member_id"],
            fields["group_instance_id"],
            fields["client_id"],
            fields["client_host"],
            session_timeout_ms,
            rebalance_timeout_ms,
            {value["protocol"] or "": fields["subscription"]},
            fields["assignment"],
        )
        roster.add(member)
    if value["leader"] in roster:
        roster.leader_id = value["leader"]
    return roster


def subscribed_topics(
    protocol_name: str | None, members: Iterable[Member]
) -> frozenset[str] | None:
    """The topics that consumers read; None: their metadata is not that of Kafka's consumers."""
    topics: set[str] = set()
    try:
        for member in members:
            subscription = decode_subscription(member.protocols[protocol_name or ""])[1]
            topics.update(subscription["topics"])
    except (ProtocolError, KeyError):
        return None
    return frozenset(topics)
