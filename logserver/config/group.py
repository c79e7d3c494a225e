"""Group configuration: what a group may set for itself (GROUP resources), and the broker's limits.

A group key has the prefix of the kind of group that reads it: `consumer.` (KIP-848), `share.`
(KIP-932), `streams.` (KIP-1071). Classic groups read none: their members bring their own timeouts,
within `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.

The effective value of a group key is the group's own, else what its broker synonym says, else the
default. What a group may set is bounded twice, as in Apache Kafka 4.3.1:

- when it is set, a value outside of the broker's `group.consumer.min.*` and `group.consumer.max.*`
  is refused (INVALID_CONFIG), and a session must outlast a heartbeat interval;
- when it is read, a value is moved into the bounds, as the broker may have been restarted with
  narrower ones.

Names, types, defaults, bounds and sentences are those of Kafka 4.3.1 (GroupConfig,
GroupCoordinatorConfig, ShareGroupConfig). Share and streams groups are not served yet: their keys
are kept for tools.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from logserver.config.key import (
    INT_MAX,
    BrokerDefaults,
    Check,
    ConfigError,
    Key,
    Value,
    at_least,
    between,
    one_of,
    synonym,
)

ASSIGNORS = ("uniform", "range")
_KINDS = ("consumer", "share", "streams")
MIGRATION_POLICIES = ("disabled", "downgrade", "upgrade", "bidirectional")

_DURATION = re.compile(
    r"P(?=[0-9T])([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+([.,][0-9]{0,9})?S)?)?", re.ASCII
)


def _one_of_any_case(*names: str) -> Check:
    def check(value: Value) -> str | None:
        return one_of(*names)(value.lower() if isinstance(value, str) else value)

    return check


def _offset_reset(value: Value) -> str | None:
    kind, _, duration = str(value).partition(":")
    if value in ("earliest", "latest"):
        return None
    if kind == "by_duration" and _DURATION.fullmatch(duration.upper()):
        return None
    return (
        f"Invalid value `{value}` for configuration share.auto.offset.reset. The value must be "
        "either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
    )


# fmt: off
_BROKER_ROWS: tuple[Key, ...] = (
    Key("group.coordinator.rebalance.protocols", "list", ("classic", "consumer", "streams"), "",
        "Kinds of groups that may exist. Without consumer there are no consumer groups (KIP-848); "
        "classic cannot be switched off, share and streams are not served.",
        one_of("classic", "consumer", "share", "streams")),

    # Classic groups
    Key("group.initial.rebalance.delay.ms", "int", 3000, "ms",
        "How long the first rebalance of an empty group waits for more members."),
    Key("group.min.session.timeout.ms", "int", 6000, "ms",
        "The shortest session timeout that a member of a classic group may ask for."),
    Key("group.max.session.timeout.ms", "int", 1_800_000, "ms",
        "The longest session timeout that a member of a classic group may ask for."),
    Key("group.max.size", "int", INT_MAX, "count",
        "Members that one classic group may have.", at_least(1)),
    Key("logserver.group.metadata.max.bytes", "int", 64 * 1024 * 1024, "bytes",
        "What all members of a group say of themselves together: metadata and subscriptions. Of a "
        "classic group it goes into one answer to the leader and, with the assignment, into one "
        "record. 10,000 members with 6 KB each have room. Kafka has no limit.",
        between(1024, 90 * 1024 * 1024)),
    Key("logserver.group.pending.members.max", "int", 50_000, "count",
        "Members of a classic group that were given an id and have not joined with it; each is "
        "forgotten after its session timeout. Kafka has no limit.", at_least(1)),

    # Consumer groups (KIP-848)
    Key("group.consumer.assignors", "list", ASSIGNORS, "",
        "Server-side assignors that members may choose; the first is the default.",
        one_of(*ASSIGNORS)),
    Key("group.consumer.max.size", "int", INT_MAX, "count",
        "Members that one consumer group may have.", at_least(1)),
    Key("group.consumer.migration.policy", "string", "bidirectional", "",
        "Whether a group with members may change its kind: upgrade makes a classic group a "
        "consumer group when the first such member joins, downgrade makes it classic again when "
        "the last one leaves, bidirectional does both, disabled neither.",
        _one_of_any_case(*MIGRATION_POLICIES)),
    Key("group.consumer.regex.refresh.interval.ms", "int", 600_000, "ms",
        "How often the topics that match a regular expression are looked up again without a "
        "reason; a topic that comes or goes is a reason.", at_least(10_000)),
)

def _timings(kind: str, more: str = "") -> tuple[Key, ...]:
    """What every kind of group has; `more` is said of each."""
    return (
        Key(f"{kind}.assignment.interval.ms", "int", 1000, "ms",
            f"The shortest time between two target assignments of a {kind} group.{more}",
            at_least(0)),
        Key(f"{kind}.heartbeat.interval.ms", "int", 5000, "ms",
            f"How often a member of a {kind} group sends a heartbeat.{more}", at_least(1)),
        Key(f"{kind}.session.timeout.ms", "int", 45_000, "ms",
            f"A member of a {kind} group without a heartbeat for so long is removed.{more}",
            at_least(1)),
    )


_FOR_TOOLS = " Kept for tools."

# Every number has its default from a broker key, `group.` and the name.
_GROUP_ROWS: tuple[Key, ...] = (
    *_timings("consumer"),
    *_timings("share", _FOR_TOOLS),
    Key("share.auto.offset.reset", "string", "latest", "",
        "Where a share group begins in a partition: earliest, latest or by_duration:PnDTnHnMn.nS. "
        "Kept for tools.", _offset_reset),
    Key("share.delivery.count.limit", "int", 5, "count",
        "How often a record is delivered to a share group. Kept for tools.", at_least(2)),
    Key("share.isolation.level", "string", "read_uncommitted", "",
        "Whether a share group sees records of aborted transactions. Kept for tools.",
        one_of("read_committed", "read_uncommitted")),
    Key("share.partition.max.record.locks", "int", 2000, "count",
        "Records of one partition that a share group may hold. Kept for tools.", at_least(100)),
    Key("share.record.lock.duration.ms", "int", 30_000, "ms",
        "How long a member of a share group may hold a record. Kept for tools.", at_least(1000)),
    Key("share.renew.acknowledge.enable", "boolean", True, "",
        "Whether a member of a share group may prolong its hold. Kept for tools."),
    *_timings("streams", _FOR_TOOLS),
    Key("streams.initial.rebalance.delay.ms", "int", 3000, "ms",
        "How long the first assignment of a streams group waits. Kept for tools.", at_least(0)),
    Key("streams.num.standby.replicas", "int", 0, "count",
        "Standby replicas of each task of a streams group. Kept for tools.", at_least(0)),
)

# fmt: on


class Bound(NamedTuple):
    """What a group may set as `key`: the two broker keys that say so, and their defaults."""

    key: str
    low_name: str
    high_name: str
    low: int
    high: int


def _bound(kind: str, name: str, low: int, high: int) -> Bound:
    short = name.removeprefix("num.")
    low_name, high_name = f"group.{kind}.min.{short}", f"group.{kind}.max.{short}"
    return Bound(f"{kind}.{name}", low_name, high_name, low, high)


# In the order in which Kafka checks them.
_BOUNDS = (
    _bound("consumer", "heartbeat.interval.ms", 5000, 15_000),
    _bound("consumer", "session.timeout.ms", 45_000, 60_000),
    _bound("consumer", "assignment.interval.ms", 0, 15_000),
    _bound("share", "heartbeat.interval.ms", 5000, 15_000),
    _bound("share", "session.timeout.ms", 45_000, 60_000),
    _bound("share", "record.lock.duration.ms", 15_000, 60_000),
    _bound("share", "delivery.count.limit", 2, 10),
    _bound("share", "partition.max.record.locks", 100, 4000),
    _bound("share", "assignment.interval.ms", 0, 15_000),
    _bound("streams", "heartbeat.interval.ms", 5000, 15_000),
    _bound("streams", "session.timeout.ms", 45_000, 60_000),
    _bound("streams", "num.standby.replicas", 0, 2),
    _bound("streams", "assignment.interval.ms", 0, 15_000),
)
# The one bound that is no key of Kafka's: a number of replicas is at least 0.
_FREE = "group.streams.min.standby.replicas"


def _default_rows() -> list[Key]:
    """The broker keys that are defaults and bounds of group keys, made from those."""
    rows = []
    for key in GROUP_KEYS.values():
        for broker_name, _ in key.synonyms:
            doc = f"The default of {key.name}. {key.doc}"
            dynamic = key.name.endswith("assignment.interval.ms")
            rows.append(key._replace(name=broker_name, doc=doc, synonyms=(), dynamic=dynamic))
    for bound in _BOUNDS:
        key = GROUP_KEYS[bound.key]._replace(synonyms=(), dynamic=False)
        kept = _FOR_TOOLS if key.doc.endswith(_FOR_TOOLS) else ""
        least, most = f"The least of {key.name}.{kept}", f"The most of {key.name}.{kept}"
        if bound.low_name != _FREE:
            rows.append(key._replace(name=bound.low_name, default=bound.low, doc=least))
        rows.append(key._replace(name=bound.high_name, default=bound.high, doc=most))
    return rows


GROUP_KEYS: dict[str, Key] = {
    key.name: key._replace(
        dynamic=True, synonyms=synonym(f"group.{key.name}") if key.type == "int" else ()
    )
    for key in sorted(_GROUP_ROWS, key=lambda row: row.name)
}
GROUP_BROKER_KEYS: tuple[Key, ...] = (*_BROKER_ROWS, *_default_rows())


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """The effective configuration of one consumer group, typed and within the broker's bounds."""

    consumer_session_timeout_ms: int = 45_000
    consumer_heartbeat_interval_ms: int = 5000
    consumer_assignment_interval_ms: int = 1000


def validate_group_configs(broker: BrokerDefaults, overrides: Mapping[str, str]) -> None:
    """Refuse what a group may not set on this broker: raises ConfigError in Kafka's words."""
    typed = _typed(broker, overrides)
    for bound in _BOUNDS:
        low, high = _range(broker, bound)
        if typed[bound.key] < low:
            raise ConfigError(f"{bound.key} must be greater than or equal to {bound.low_name}")
        if typed[bound.key] > high:
            raise ConfigError(f"{bound.key} must be less than or equal to {bound.high_name}")
    for kind in _KINDS:
        session, heartbeat = f"{kind}.session.timeout.ms", f"{kind}.heartbeat.interval.ms"
        if typed[session] <= typed[heartbeat]:
            raise ConfigError(f"{session} must be greater than {heartbeat}")


def group_config(broker: BrokerDefaults, overrides: Mapping[str, str]) -> GroupConfig:
    """The effective configuration of a group with these overrides, moved into the bounds."""
    typed = _typed(broker, overrides)
    for bound in _BOUNDS:
        if bound.key in overrides:
            low, high = _range(broker, bound)
            typed[bound.key] = min(max(typed[bound.key], low), high)
    return GroupConfig(
        typed["consumer.session.timeout.ms"],
        typed["consumer.heartbeat.interval.ms"],
        typed["consumer.assignment.interval.ms"],
    )


def _typed(broker: BrokerDefaults, overrides: Mapping[str, str]) -> dict[str, int]:
    """The number of every group key that is one; raises ConfigError for any that is wrong."""
    for name in overrides:
        if name not in GROUP_KEYS:
            raise ConfigError(f"Unknown group config name: {name}")
    typed: dict[str, int] = {}
    for name, key in GROUP_KEYS.items():
        value = key.parse(overrides[name]) if name in overrides else key.default_on(broker)
        if isinstance(value, int):
            typed[name] = value
    return typed


def _range(broker: BrokerDefaults, bound: Bound) -> tuple[int, int]:
    low, high = broker.values.get(bound.low_name, bound.low), broker.values[bound.high_name]
    assert isinstance(low, int)
    assert isinstance(high, int)
    return low, high


# Relations between the broker's own values: smaller, larger, why.
_EMPTY = "the range must not be empty"
_OUTSIDE = "the default must be within the bounds"
_OUTLAST = "a session must outlast a heartbeat interval"
GROUP_RELATIONS: tuple[tuple[str, str, str], ...] = (
    ("group.min.session.timeout.ms", "group.max.session.timeout.ms", _EMPTY),
    *(
        (f"group.{kind}.heartbeat.interval.ms", f"group.{kind}.session.timeout.ms", _OUTLAST)
        for kind in _KINDS
    ),
)
for _one in _BOUNDS:
    if _one.low_name != _FREE:
        GROUP_RELATIONS += ((_one.low_name, f"group.{_one.key}", _OUTSIDE),)
    GROUP_RELATIONS += ((f"group.{_one.key}", _one.high_name, _OUTSIDE),)
