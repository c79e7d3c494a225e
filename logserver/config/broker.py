"""Broker configuration: the table of broker keys, and the typed, checked `BrokerConfig`.

Keys are Kafka's; what Kafka has no name for begins with `logserver.`. Three kinds of keys exist:

1. the defaults of topic keys (`log.retention.ms`, ...), made from the topic table;
2. the server's own keys and limits, each with its unit and its reason, below;
3. Kafka's keys that mean nothing on one Python process (`foreign.py`): accepted with a warning, so
   that a server.properties can be tried unchanged. A name nobody knows is refused.

Precedence, as in Kafka: dynamic (IncrementalAlterConfigs) > given at start > default.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from logserver.config.cleaner import CLEANER_KEYS
from logserver.config.foreign import FOREIGN_KEYS, FOREIGN_PREFIXES
from logserver.config.group import GROUP_BROKER_KEYS, GROUP_RELATIONS
from logserver.config.key import (
    INT_MAX,
    LONG_MAX,
    Check,
    ConfigError,
    Key,
    Value,
    at_least,
    between,
    not_empty,
    one_of,
)
from logserver.config.listeners import Listener, parse_listeners
from logserver.config.topic import TOPIC_KEYS

MIB = 1024 * 1024


def _no_authorizer(value: Value) -> str | None:
    return "access control is not served; remove the key" if value else None


def _at_least_1_or_minus_1(meaning: str) -> Check:
    def check(value: Value) -> str | None:
        if value == -1 or (isinstance(value, int) and value >= 1):
            return None
        return f"Value must be at least 1, or -1 for {meaning}"

    return check


_replicas = _at_least_1_or_minus_1("the default")
_retention = _at_least_1_or_minus_1("no limit")


# fmt: off
_OWN: tuple[Key, ...] = (
    # Who and where
    Key("node.id", "int", 1, "", "The id of this broker in Metadata.", at_least(0)),
    Key("broker.id", "int", None, "", "The former name of node.id.", at_least(0)),
    Key("broker.rack", "string", None, "", "The rack told to clients in Metadata."),
    Key("log.dir", "string", "./data", "", "The data directory, where log.dirs is not set."),
    Key("log.dirs", "list", None, "", "The data directory; one is served."),
    Key("listeners", "list", ("PLAINTEXT://127.0.0.1:9092",), "",
        "Addresses to listen on, NAME://host:port. The default is loopback: a public listener "
        "without authentication is a choice somebody has to make.", not_empty),
    Key("advertised.listeners", "list", None, "",
        "Addresses told to clients, by listener name. Not set: the address each client's "
        "connection reached."),
    Key("listener.security.protocol.map", "list", None, "",
        "Listener name to security protocol, NAME:PLAINTEXT."),
    Key("authorizer.class.name", "string", "", "", "Access control; not served.", _no_authorizer),
    Key("logserver.http.listen", "string", "127.0.0.1:8080", "",
        "Address of /metrics, /healthz and /readyz; empty switches HTTP off."),
    Key("logserver.runtime.dir", "string", "", "",
        "Where memory files (statistics page) live; empty: /dev/shm."),

    # Topics
    Key("auto.create.topics.enable", "boolean", True, "",
        "Whether Metadata for an unknown topic creates it."),
    Key("delete.topic.enable", "boolean", True, "", "Whether DeleteTopics is allowed."),
    Key("num.partitions", "int", 1, "count",
        "Partitions of a topic whose creator does not say.", at_least(1)),
    Key("default.replication.factor", "int", 1, "count",
        "Replicas of a topic whose creator does not say; one server has one.", _replicas),
    Key("logserver.replication.factor.max", "short", 1, "count",
        "The largest replication factor that is accepted. A development setting, for programs and "
        "test suites that insist on more than one: every topic keeps one replica all the same, "
        "Metadata says so, and so does a warning.", at_least(1)),
    Key("logserver.partitions.max", "int", 10_000, "count",
        "Partitions in all. Each keeps three files and some 10 KB; 10,000 stay within 100 MB and "
        "the usual limit of open files.", at_least(1)),
    Key("inter.broker.protocol.version", "string", "4.3-IV0", "",
        "The Kafka version whose protocol is served; tools read it to choose their features."),

    # Limits of one request and of one connection
    Key("socket.request.max.bytes", "int", 100 * MIB, "bytes",
        "The largest frame. A longer one closes the connection before anything is allocated. "
        "Kafka's value, so that what a client may send there it may send here.", at_least(1)),
    Key("fetch.max.bytes", "int", 55 * MIB, "bytes",
        "The most one Fetch returns (the first batch excepted, which is always whole).",
        at_least(1024)),
    Key("max.incremental.fetch.session.cache.slots", "int", 1000, "count",
        "Fetch sessions kept (KIP-227); beyond it the oldest gives way and full fetches serve.",
        at_least(0)),
    Key("max.request.partition.size.limit", "int", 2000, "count",
        "Partitions in one DescribeTopicPartitions answer; the rest follows by cursor.",
        at_least(1)),
    Key("max.connections", "int", 10_000, "count",
        "Connections in all, each with a descriptor and a buffer of 64 KB at most when idle. "
        "Kafka has no limit, and dies of descriptors instead.", at_least(0), dynamic=True),
    Key("max.connections.per.ip", "int", INT_MAX, "count",
        "Connections from one address.", at_least(0), dynamic=True),
    Key("connections.max.idle.ms", "long", 600_000, "ms",
        "A connection without a request for so long is closed; negative never."),
    Key("socket.listen.backlog.size", "int", 1024, "count",
        "Connections the kernel holds before accept (Kafka: 50, too few for a fleet that "
        "reconnects).", at_least(1)),
    Key("socket.send.buffer.bytes", "int", -1, "bytes",
        "SO_SNDBUF of a connection; -1 lets the kernel grow it as large fetches go (Kafka: 102400, "
        "with which fetches of 1 MB are less than half as fast).", at_least(-1)),
    Key("socket.receive.buffer.bytes", "int", -1, "bytes",
        "SO_RCVBUF of a connection; -1 lets the kernel grow it as large batches come (Kafka: "
        "102400, with which 1 MB batches take half as long again).", at_least(-1)),
    Key("queued.max.requests", "int", 500, "count",
        "Requests of one connection that may wait for their answer; reading stops beyond it.",
        at_least(1)),
    Key("queued.max.request.bytes", "long", 128 * MIB, "bytes",
        "Bytes of frames being received, all connections together; reading of large frames stops "
        "beyond it. At least one frame of the largest size must fit. As many bytes of batches for "
        "compacted topics may wait to be looked into; more are refused for a while.", at_least(1)),
    Key("logserver.frame.deadline.ms", "long", 30_000, "ms",
        "A frame that has begun must be complete after this time; a peer that sends a byte a "
        "second would otherwise hold its buffer for ever.", at_least(1)),
    Key("logserver.drain.ms", "long", 5000, "ms",
        "How long a stop waits for answers under way. Together with the last sync it stays below "
        "the 10 s after which container runtimes kill.", between(0, 8000)),
    Key("request.timeout.ms", "int", 30_000, "ms",
        "The longest an answer is held back for a sync or a long poll.", at_least(1)),

    # Keeping
    Key("log.retention.hours", "int", 168, "hours",
        "The default of retention.ms in hours, where ms and minutes are not set.", _retention),
    Key("log.retention.minutes", "int", None, "minutes",
        "The default of retention.ms in minutes, where ms is not set.", _retention),
    Key("log.roll.hours", "int", 168, "hours",
        "The default of segment.ms in hours, where ms is not set.", at_least(1)),
    Key("log.roll.jitter.hours", "int", 0, "hours",
        "The default of segment.jitter.ms in hours, where ms is not set.", at_least(0)),
    Key("log.retention.check.interval.ms", "long", 300_000, "ms",
        "How often retention looks for segments to delete.", at_least(1)),
    Key("log.dir.failure.timeout.ms", "long", 30_000, "ms",
        "How long the process serves reads after its log directory failed, before it ends with "
        "exit code 74.", at_least(1)),
    Key("logserver.disk.reserve.bytes", "long", 64 * MIB, "bytes",
        "Free space below which produce is refused, so that commits, deletes and the metadata log "
        "still find room.", at_least(0)),
    Key("producer.id.expiration.ms", "int", 86_400_000, "ms",
        "How long a partition remembers an idle producer for idempotence.", at_least(1),
        dynamic=True),

    # Client telemetry
    Key("telemetry.max.bytes", "int", MIB, "bytes",
        "The largest push of client metrics, as it was compressed; four times as much unpacked.",
        at_least(1)),
    Key("logserver.client.metrics.series.max", "int", 10_000, "count",
        "Series of pushed client metrics on /metrics. A client of many topics pushes a hundred; "
        "what comes beyond is dropped and counted. Each costs some 1 KB.", at_least(0)),

    # Committed offsets
    Key("offsets.retention.minutes", "int", 10_080, "minutes",
        "How long the offsets of an empty group are kept.", at_least(1)),
    Key("offsets.retention.check.interval.ms", "long", 600_000, "ms",
        "How often offsets are looked at for their retention.", at_least(1)),
    Key("offset.metadata.max.bytes", "int", 4096, "bytes",
        "The longest text that a consumer may commit beside an offset; every text is kept in "
        "memory."),
    Key("logserver.offsets.memory.max.bytes", "long", 512 * MIB, "bytes",
        "Memory that committed offsets may take; each counts as 600 bytes and its texts. Beyond it "
        "commits for partitions that a group has not committed before are refused: clients choose "
        "the names of groups, and each is kept for offsets.retention.minutes.", at_least(0)),
    Key("offsets.topic.num.partitions", "int", 50, "count",
        "Partitions of __consumer_offsets, when it is made.", at_least(1)),
    Key("offsets.topic.segment.bytes", "int", 100 * MIB, "bytes",
        "segment.bytes of __consumer_offsets, when it is made. All of it is read at a start.",
        at_least(1)),
    Key("logserver.offsets.value.version", "int", 4, "",
        "The version in which committed offsets are written: 4 as Apache Kafka 4.3 writes them, or "
        "1 for programs that read __consumer_offsets and know nothing newer (Burrow). Version 1 "
        "has no room for the leader epoch, with which a consumer finds out that what it read was "
        "lost, and none for the topic id, with which offsets of a deleted topic are told from "
        "those of a new one of the same name; both are kept only until the next start.",
        lambda value: None if value in (1, 4) else "Value must be 1 or 4"),
    Key("logserver.group.lag.partitions.max", "int", 10_000, "count",
        "Pairs of group and partition whose lag is watched and told on /metrics and /lag; what "
        "comes beyond is counted in logserver_group_partitions_left_out. Each costs some 700 bytes "
        "and three series.", at_least(0)),
    Key("logserver.group.lag.window.ms", "int", 60_000, "ms",
        "Over how long at least a group's speed is measured. A group that has not committed "
        "anything for so long while there was something to read is stalled: consumers that commit "
        "less often need a longer window.", at_least(1000)),
    Key("offsets.topic.replication.factor", "short", 1, "count",
        "Replicas of __consumer_offsets. Every value is accepted, as files written for a cluster "
        "say 3; one is kept.", at_least(1)),
    Key("process.roles", "list", ("broker", "controller"), "",
        "What this process is; one server is both.", one_of("broker", "controller")),
)
# fmt: on


def _topic_defaults() -> dict[str, Key]:
    """Broker rows made from the topic table: one for each first synonym."""
    rows: dict[str, Key] = {}
    for key in TOPIC_KEYS.values():
        if not key.synonyms:
            continue
        name = key.synonyms[0][0]
        doc = key.doc if name == key.name else f"The default of {key.name}. {key.doc}"
        default = None if len(key.synonyms) > 1 else key.default
        rows[name] = key._replace(name=name, default=default, doc=doc, synonyms=())
    # Kafka takes 0 for a topic (delete as soon as it is rolled) but not for a whole broker.
    rows["log.retention.ms"] = rows["log.retention.ms"]._replace(check=_retention)
    return rows


def _nullable(key: Key) -> Key:
    """A row whose check is skipped while the key is not set."""
    check = key.check
    if key.default is not None or check is None:
        return key
    return key._replace(check=lambda value: None if value is None else check(value))


BROKER_KEYS: dict[str, Key] = {
    name: _nullable(key)
    for name, key in sorted(
        {
            **_topic_defaults(),
            **{key.name: key for key in (*_OWN, *CLEANER_KEYS, *GROUP_BROKER_KEYS)},
        }.items()
    )
}


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """The effective configuration of the server, typed; units are in the names.

    `values` has every key of BROKER_KEYS; the attributes are those the server reads. `given` holds
    what the file and the command line said, `dynamic` what was altered since (text, by key).
    Made by `load` and `with_dynamic` only.
    """

    values: Mapping[str, Value]
    given: Mapping[str, str]
    dynamic: Mapping[str, str]
    warnings: tuple[str, ...]

    data_dir: str
    node_id: int
    broker_rack: str | None
    listeners: tuple[Listener, ...]
    advertised_listeners: tuple[Listener, ...]
    http_listen: str
    runtime_dir: str
    auto_create_topics_enable: bool
    delete_topic_enable: bool
    num_partitions: int
    partitions_max: int
    replication_factor_max: int
    message_max_bytes: int
    socket_request_max_bytes: int
    fetch_max_bytes: int
    max_incremental_fetch_session_cache_slots: int
    max_request_partition_size_limit: int
    max_connections: int
    max_connections_per_ip: int
    connections_max_idle_ms: int
    socket_listen_backlog_size: int
    socket_send_buffer_bytes: int
    socket_receive_buffer_bytes: int
    queued_max_requests: int
    queued_max_request_bytes: int
    frame_deadline_ms: int
    drain_ms: int
    request_timeout_ms: int
    log_segment_bytes: int
    log_retention_check_interval_ms: int
    log_dir_failure_timeout_ms: int
    disk_reserve_bytes: int
    producer_id_expiration_ms: int
    log_cleaner_enable: bool
    log_cleaner_backoff_ms: int
    log_cleaner_dedupe_buffer_size: int
    log_cleaner_io_buffer_load_factor: float
    log_cleaner_io_max_bytes_per_second: float
    telemetry_max_bytes: int
    client_metrics_series_max: int
    offsets_retention_minutes: int
    offsets_retention_check_interval_ms: int
    offset_metadata_max_bytes: int
    offsets_memory_max_bytes: int
    offsets_topic_num_partitions: int
    offsets_topic_segment_bytes: int
    offsets_value_version: int
    group_lag_partitions_max: int
    group_lag_window_ms: int
    group_coordinator_rebalance_protocols: tuple[str, ...]
    group_initial_rebalance_delay_ms: int
    group_min_session_timeout_ms: int
    group_max_session_timeout_ms: int
    group_max_size: int
    group_metadata_max_bytes: int
    group_pending_members_max: int
    group_consumer_assignors: tuple[str, ...]
    group_consumer_max_size: int
    group_consumer_migration_policy: str
    group_consumer_regex_refresh_interval_ms: int

    def with_dynamic(self, dynamic: Mapping[str, str]) -> "BrokerConfig":
        """This configuration with exactly these dynamic values; raises ConfigError."""
        return _build(self.given, dynamic, self.warnings)

    def advertised(self, listener_name: str) -> tuple[str, int] | None:
        """The (host, port) to tell clients of this listener; None: what their socket reached."""
        for listener in self.advertised_listeners:
            if listener.name == listener_name:
                return listener.host, listener.port
        return None


def load(overrides: Mapping[str, str], file: Mapping[str, str] | None = None) -> BrokerConfig:
    """The configuration of a file and, above it, of the command line; raises ConfigError."""
    given: dict[str, str] = {}
    warnings: list[str] = []
    for name, text in {**(file or {}), **overrides}.items():
        if name in BROKER_KEYS:
            given[name] = text
        elif name in FOREIGN_KEYS or name.startswith(FOREIGN_PREFIXES):
            warnings.append(f"{name} is a Kafka setting that means nothing here; ignored")
        else:
            raise ConfigError(unknown_key(name))
    config = _build(given, {}, ())
    return replace(config, warnings=(*warnings, *_replica_warnings(config)))


def _replica_warnings(config: "BrokerConfig") -> list[str]:
    """What to say where a setting asks for more replicas than one server has."""
    warnings = []
    if config.replication_factor_max > 1:
        warnings.append(
            f"logserver.replication.factor.max is {config.replication_factor_max}: topics that ask "
            "for so many replicas are created, and keep one"
        )
    wanted = config.values["offsets.topic.replication.factor"]
    if wanted != 1:
        warnings.append(f"offsets.topic.replication.factor is {wanted}: one replica is kept")
    return warnings


def unknown_key(name: str) -> str:
    """The sentence that refuses an unknown broker key, with the nearest known name."""
    if name in TOPIC_KEYS and TOPIC_KEYS[name].synonyms:
        return f"{name} is a topic setting; its broker key is {TOPIC_KEYS[name].synonyms[0][0]}"
    close = difflib.get_close_matches(name, [*BROKER_KEYS, *sorted(FOREIGN_KEYS)], n=1, cutoff=0.75)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"Unknown configuration {name}{hint}"


def _build(
    given: Mapping[str, str], dynamic: Mapping[str, str], warnings: tuple[str, ...]
) -> BrokerConfig:
    values: dict[str, Value] = {}
    for name, key in BROKER_KEYS.items():
        text = dynamic.get(name, given.get(name))
        values[name] = key.default if text is None else key.parse(text)
    _check_relations(values)
    listeners, advertised = _addresses(values)
    attributes: dict[str, Any] = {
        "data_dir": _data_dir(values),
        "node_id": _node_id(values, given),
        "listeners": listeners,
        "advertised_listeners": advertised,
    }
    # Two names of one thing are shown alike, whichever was given.
    values["node.id"] = values["broker.id"] = attributes["node_id"]
    values["log.dirs"] = (attributes["data_dir"],)
    values["advertised.listeners"] = values["advertised.listeners"] or values["listeners"]
    for name, value in values.items():
        attribute = BROKER_KEYS[name].attribute
        if attribute in _ATTRIBUTES and attribute not in attributes:
            attributes[attribute] = value
    return BrokerConfig(
        values=values, given=dict(given), dynamic=dict(dynamic), warnings=warnings, **attributes
    )


def _data_dir(values: Mapping[str, Value]) -> str:
    directories = values["log.dirs"]
    if directories is None:
        return str(values["log.dir"])
    assert isinstance(directories, tuple)
    if len(directories) != 1:
        raise ConfigError(f"log.dirs must name one directory, not {len(directories)}")
    return directories[0]


def _node_id(values: Mapping[str, Value], given: Mapping[str, str]) -> int:
    node, former = values["node.id"], values["broker.id"]
    if former is not None and "node.id" in given and former != node:
        raise ConfigError(
            f"You must set `node.id` to the same value as `broker.id` ({node} is not {former})"
        )
    chosen = node if former is None else former
    assert isinstance(chosen, int)
    return chosen


def _addresses(
    values: Mapping[str, Value],
) -> tuple[tuple[Listener, ...], tuple[Listener, ...]]:
    """Listeners and advertised listeners, consistent with each other and with what is served."""
    entries, told = values["listeners"], values["advertised.listeners"]
    assert isinstance(entries, tuple)
    listeners = parse_listeners("listeners", entries)
    names = {listener.name for listener in listeners}
    advertised: tuple[Listener, ...] = ()
    if isinstance(told, tuple):
        advertised = parse_listeners("advertised.listeners", told)
    for listener in advertised:
        if listener.name not in names:
            raise ConfigError(
                f"advertised.listeners names {listener.name}, which is not one of the listeners: "
                f"{', '.join(sorted(names))}"
            )
        if listener.host in ("", "0.0.0.0", "::"):
            raise ConfigError(
                "advertised.listeners cannot use the nonroutable meta-address "
                f"{listener.host or '(empty)'}. Use a routable IP address or host name."
            )
    protocols = values["listener.security.protocol.map"]
    for entry in protocols if isinstance(protocols, tuple) else ():
        name, _, protocol = entry.partition(":")
        if name.upper() in names and protocol.upper() != "PLAINTEXT":
            raise ConfigError(
                f"{entry} of listener.security.protocol.map: only PLAINTEXT is served"
            )
    for name in names & {"SSL", "SASL_PLAINTEXT", "SASL_SSL"}:
        raise ConfigError(f"listeners names {name}: only PLAINTEXT listeners are served")
    return listeners, advertised


# A relation that must hold between two limits: smaller, larger, reason.
_RELATIONS = (
    ("message.max.bytes", "socket.request.max.bytes", "a batch must fit into one request"),
    (
        "socket.request.max.bytes",
        "queued.max.request.bytes",
        "one whole request must be receivable",
    ),
    (
        "default.replication.factor",
        "logserver.replication.factor.max",
        "one server holds one replica, so more are accepted only where they are asked for",
    ),
    *GROUP_RELATIONS,
)


def _check_relations(values: Mapping[str, Value]) -> None:
    for smaller, larger, reason in _RELATIONS:
        low, high = values[smaller], values[larger]
        assert isinstance(low, int)
        assert isinstance(high, int)
        if low > high:
            raise ConfigError(f"{smaller} ({low}) must not exceed {larger} ({high}): {reason}")


_ATTRIBUTES = frozenset(BrokerConfig.__dataclass_fields__)
assert all(0 <= int(str(BROKER_KEYS[low].default)) <= LONG_MAX for low, _, _ in _RELATIONS)
_check_relations({name: key.default for name, key in BROKER_KEYS.items()})
