"""Topic configuration: the table of topic keys, and the typed `TopicConfig` the storage reads.

A topic's effective value is its own override, else what the broker's synonym says (`retention.ms`
<- `log.retention.ms`, `.minutes`, `.hours`), else the default here. Bounds are those of Apache
Kafka 4.3.1, each probed against it. Defaults are Kafka's except three:

- `flush.messages` = 1 (Kafka: 2^63-1). One server has no replicas to lean on, so what acks=all
  acknowledged has to be on the disk. The group commit pays for it once per batch of requests.
- `flush.ms` = 1000 (Kafka: never). A relaxed topic loses at most this in a power cut.
- `segment.bytes` = 100 MB (Kafka: 1 GB). Recovery, retention and sealing work a segment at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from logserver.config.key import (
    INT_MAX,
    LONG_MAX,
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

DAY_MS = 24 * 3600 * 1000


def _compression(value: Value) -> str | None:
    names = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
    problem = one_of(*names)(value)
    if problem is None and value != "producer":
        return "this server never recompresses a batch; only producer is served"
    return problem


def _gzip_level(value: Value) -> str | None:
    if value == -1 or (isinstance(value, int) and 1 <= value <= 9):
        return None
    return "Value must be between 1 and 9 or equal to -1"


def _throttled_replicas(name: str) -> Check:
    def check(value: Value) -> str | None:
        assert isinstance(value, tuple)
        parts = [item.split(":") for item in value]
        if value == ("*",) or all(len(p) == 2 and all(x.isdigit() for x in p) for p in parts):
            return None
        return (
            f"{name} must be the literal '*' or a list of replicas in the following format: "
            "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
        )

    return check


def _no_tiers(value: Value) -> str | None:
    return "tiered storage is not served; leave it false" if value else None


_RETENTION = (
    ("log.retention.ms", 1),
    ("log.retention.minutes", 60_000),
    ("log.retention.hours", 3_600_000),
)
_ROLL = (("log.roll.ms", 1), ("log.roll.hours", 3_600_000))
_JITTER = (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3_600_000))
_LEADER_THROTTLE = "leader.replication.throttled.replicas"
_FOLLOWER_THROTTLE = "follower.replication.throttled.replicas"

# fmt: off
_ROWS: tuple[Key, ...] = (
    Key("cleanup.policy", "list", ("delete",), "",
        "What happens to old segments: delete removes them by retention.ms and retention.bytes. "
        "compact keeps the last record of each key and refuses records without one. Both may be "
        "given.",
        one_of("compact", "delete"), synonyms=synonym("log.cleanup.policy")),
    Key("compression.gzip.level", "int", -1, "",
        "Gzip level for recompression; kept for tools, as batches are never recompressed.",
        _gzip_level, synonyms=synonym("compression.gzip.level")),
    Key("compression.lz4.level", "int", 9, "",
        "LZ4 level for recompression; kept for tools, as batches are never recompressed.",
        between(1, 17), synonyms=synonym("compression.lz4.level")),
    Key("compression.type", "string", "producer", "",
        "producer: a batch keeps the codec the producer chose. No other value is served.",
        _compression, synonyms=synonym("compression.type")),
    Key("compression.zstd.level", "int", 3, "",
        "Zstandard level for recompression; kept for tools, as batches are never recompressed.",
        between(-131072, 22), synonyms=synonym("compression.zstd.level")),
    Key("delete.retention.ms", "long", DAY_MS, "ms",
        "How long compaction keeps a record without a value, so that who reads the log from its "
        "start learns that the key was deleted. Counted from the first compaction of the record.",
        at_least(0), synonyms=synonym("log.cleaner.delete.retention.ms")),
    Key("errors.deadletterqueue.group.enable", "boolean", False, "",
        "Whether share groups may write records they could not deliver to this topic. Kept for "
        "tools."),
    Key("file.delete.delay.ms", "long", 60_000, "ms",
        "How long the files of a deleted segment or topic stay on disk for readers that still "
        "hold them.",
        at_least(0), synonyms=synonym("log.segment.delete.delay.ms")),
    Key("flush.messages", "long", 1, "count",
        "1: acks=all is answered and consumers are served only after the batch is on the disk. "
        "More: answered from the page cache, synced after this many messages or flush.ms.",
        at_least(1), synonyms=synonym("log.flush.interval.messages")),
    Key("flush.ms", "long", 1000, "ms",
        "The longest time a relaxed topic (flush.messages above 1) leaves bytes unsynced.",
        at_least(0), synonyms=synonym("log.flush.interval.ms")),
    Key(_FOLLOWER_THROTTLE, "list", (), "",
        "Replicas whose fetching is throttled; kept for tools, as there are no followers.",
        _throttled_replicas(_FOLLOWER_THROTTLE)),
    Key("index.interval.bytes", "int", 4096, "bytes",
        "How many bytes of batches lie between two index entries.",
        at_least(0), synonyms=synonym("log.index.interval.bytes")),
    Key(_LEADER_THROTTLE, "list", (), "",
        "Replicas whose serving is throttled; kept for tools, as there are no followers.",
        _throttled_replicas(_LEADER_THROTTLE)),
    Key("local.retention.bytes", "long", -2, "bytes",
        "Local size of a tiered topic; -2 follows retention.bytes. Kept for tools.",
        at_least(-2), synonyms=synonym("log.local.retention.bytes")),
    Key("local.retention.ms", "long", -2, "ms",
        "Local age of a tiered topic; -2 follows retention.ms. Kept for tools.",
        at_least(-2), synonyms=synonym("log.local.retention.ms")),
    Key("max.compaction.lag.ms", "long", LONG_MAX, "ms",
        "The longest time a record may wait for compaction; its segment is rolled for it.",
        at_least(1), synonyms=synonym("log.cleaner.max.compaction.lag.ms")),
    Key("max.message.bytes", "int", 1_048_588, "bytes",
        "The largest record batch accepted, as the producer compressed it.",
        at_least(0), synonyms=synonym("message.max.bytes")),
    Key("message.timestamp.after.max.ms", "long", 3_600_000, "ms",
        "How far in the future of the server's clock a CreateTime timestamp may lie.",
        at_least(0), synonyms=synonym("log.message.timestamp.after.max.ms")),
    Key("message.timestamp.before.max.ms", "long", LONG_MAX, "ms",
        "How far in the past of the server's clock a CreateTime timestamp may lie.",
        at_least(0), synonyms=synonym("log.message.timestamp.before.max.ms")),
    Key("message.timestamp.type", "string", "CreateTime", "",
        "CreateTime keeps the producer's timestamps; LogAppendTime stamps the time of the append.",
        one_of("CreateTime", "LogAppendTime"), synonyms=synonym("log.message.timestamp.type")),
    Key("min.cleanable.dirty.ratio", "double", 0.5, "ratio",
        "The share of a log's closed segments that must be uncompacted before it is compacted "
        "again. Less makes for smaller logs and more work.",
        between(0, 1), synonyms=synonym("log.cleaner.min.cleanable.ratio")),
    Key("min.compaction.lag.ms", "long", 0, "ms",
        "The shortest time a record stays uncompacted.",
        at_least(0), synonyms=synonym("log.cleaner.min.compaction.lag.ms")),
    Key("min.insync.replicas", "int", 1, "count",
        "Replicas that must hold a batch before acks=all is answered; capped at the number of "
        "replicas a topic has, which is one.",
        at_least(1), synonyms=synonym("min.insync.replicas")),
    Key("preallocate", "boolean", False, "",
        "Kept for tools: segments are always preallocated in steps and trimmed when sealed.",
        synonyms=synonym("log.preallocate")),
    Key("remote.log.copy.disable", "boolean", False, "",
        "Stops copying of a tiered topic. Kept for tools."),
    Key("remote.log.delete.on.disable", "boolean", False, "",
        "Deletes tiered data when tiering is switched off. Kept for tools."),
    Key("remote.storage.enable", "boolean", False, "",
        "Tiered storage of this topic; not served.", _no_tiers),
    Key("retention.bytes", "long", -1, "bytes",
        "The size a partition may reach before its oldest segments are deleted; -1 has no limit.",
        synonyms=synonym("log.retention.bytes")),
    Key("retention.ms", "long", 7 * DAY_MS, "ms",
        "The age at which a segment's newest record makes it deletable; -1 has no limit.",
        at_least(-1), synonyms=_RETENTION),
    Key("segment.bytes", "int", 104_857_600, "bytes",
        "The size at which a segment is rolled; retention and recovery work a segment at a time.",
        at_least(1_048_576), synonyms=synonym("log.segment.bytes")),
    Key("segment.index.bytes", "int", 10_485_760, "bytes",
        "The largest size of an offset index; a segment rolls before it is reached.",
        at_least(4), synonyms=synonym("log.index.size.max.bytes")),
    Key("segment.jitter.ms", "long", 0, "ms",
        "Kept for tools: a segment rolls segment.ms after its own first record, which spreads "
        "the rolls of partitions by itself.",
        at_least(0), synonyms=_JITTER),
    Key("segment.ms", "long", 7 * DAY_MS, "ms",
        "The age at which a segment is rolled even if it is not full.",
        at_least(1), synonyms=_ROLL),
    Key("unclean.leader.election.enable", "boolean", False, "",
        "Whether a replica that is behind may become leader; kept for tools.",
        synonyms=synonym("unclean.leader.election.enable")),
)
# fmt: on

TOPIC_KEYS: dict[str, Key] = {key.name: key._replace(dynamic=True) for key in _ROWS}

# Overrides segment.bytes without its lower bound, as in Kafka (LogConfig): for tests that need many
# small segments. Never listed by DescribeConfigs. A batch header is 61 bytes; 256 holds a batch.
INTERNAL_SEGMENT_BYTES = Key(
    "internal.segment.bytes",
    "int",
    None,
    "bytes",
    "segment.bytes, for tests",
    between(256, INT_MAX),
)


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """The effective configuration of one topic, typed; units are in the names.

    Field defaults repeat the table's (a test compares them), so that storage can be driven with
    `TopicConfig(segment_bytes=...)` alone.
    """

    cleanup_policy: tuple[str, ...] = ("delete",)
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_type: str = "producer"
    compression_zstd_level: int = 3
    delete_retention_ms: int = DAY_MS
    errors_deadletterqueue_group_enable: bool = False
    file_delete_delay_ms: int = 60_000
    flush_messages: int = 1
    flush_ms: int = 1000
    follower_replication_throttled_replicas: tuple[str, ...] = ()
    index_interval_bytes: int = 4096
    leader_replication_throttled_replicas: tuple[str, ...] = ()
    local_retention_bytes: int = -2
    local_retention_ms: int = -2
    max_compaction_lag_ms: int = LONG_MAX
    max_message_bytes: int = 1_048_588
    message_timestamp_after_max_ms: int = 3_600_000
    message_timestamp_before_max_ms: int = LONG_MAX
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    preallocate: bool = False
    remote_log_copy_disable: bool = False
    remote_log_delete_on_disable: bool = False
    remote_storage_enable: bool = False
    retention_bytes: int = -1
    retention_ms: int = 7 * DAY_MS
    segment_bytes: int = 104_857_600
    segment_index_bytes: int = 10_485_760
    segment_jitter_ms: int = 0
    segment_ms: int = 7 * DAY_MS
    unclean_leader_election_enable: bool = False

    @property
    def durable(self) -> bool:
        """Whether acks=all waits for the disk (the durable row of the promise table)."""
        return self.flush_messages == 1

    @property
    def deletes(self) -> bool:
        """Whether retention may delete segments."""
        return "delete" in self.cleanup_policy

    @property
    def compacts(self) -> bool:
        """Whether records need keys because the topic is compacted."""
        return "compact" in self.cleanup_policy

    @property
    def roll_ms(self) -> int:
        """The age at which a segment rolls: compaction must come to its records in time."""
        return (
            min(self.segment_ms, self.max_compaction_lag_ms) if self.compacts else self.segment_ms
        )


def validate_topic_configs(overrides: Mapping[str, str | None]) -> dict[str, Value]:
    """Typed values of a topic's overrides; raises ConfigError for the first that cannot be used.

    The sentences are those of Apache Kafka 4.3.1 (LogConfig.validate, ConfigurationControlManager).
    """
    for name, text in overrides.items():
        if text is None:
            raise ConfigError(f"Null value not supported for topic configs: {name}")
    typed: dict[str, Value] = {}
    for name, text in overrides.items():
        key = (
            INTERNAL_SEGMENT_BYTES if name == INTERNAL_SEGMENT_BYTES.name else TOPIC_KEYS.get(name)
        )
        if key is None:
            raise ConfigError(f"Unknown topic config name: {name}")
        assert text is not None
        typed[name] = key.parse(text)
    return typed


def topic_config(broker: BrokerDefaults, overrides: Mapping[str, str | None]) -> TopicConfig:
    """The effective configuration of a topic with these overrides; raises ConfigError."""
    typed = validate_topic_configs(overrides)
    effective: dict[str, Any] = {}
    for name, key in TOPIC_KEYS.items():
        effective[key.attribute] = typed[name] if name in typed else key.default_on(broker)
    small = typed.get(INTERNAL_SEGMENT_BYTES.name)
    if small is not None:
        effective["segment_bytes"] = small
    _check_relations(effective)
    return TopicConfig(**effective)


def _check_relations(effective: dict[str, Any]) -> None:
    low, high = effective["min_compaction_lag_ms"], effective["max_compaction_lag_ms"]
    if low > high:
        raise ConfigError(
            f"conflict topic config setting min.compaction.lag.ms ({low}) > "
            f"max.compaction.lag.ms ({high})"
        )


_ATTRIBUTES = {key.attribute for key in TOPIC_KEYS.values()}
assert {field.name for field in fields(TopicConfig)} == _ATTRIBUTES
