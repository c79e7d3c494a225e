"""What a broker is told about compaction: Kafka's `log.cleaner.*`, as far as they mean something.

Kafka's cleaner has threads with buffers; here one process of low priority compacts one log after
the other. So `log.cleaner.threads` and `log.cleaner.io.buffer.size` are accepted like other keys
that mean nothing here (`foreign`).
"""

from logserver.config.key import Key, Value, at_least, between

MIB = 1024 * 1024
UNLIMITED = 1.7976931348623157e308  # Kafka's default, Java's largest double


def _at_least_a_megabyte(value: Value) -> str | None:
    if isinstance(value, int) and value < MIB:
        return (
            "Value must be at least 1048576: fewer keys than that cannot be told apart in a round"
        )
    return None


# fmt: off
CLEANER_KEYS: tuple[Key, ...] = (
    Key("log.cleaner.enable", "boolean", True, "",
        "Whether compacted topics are compacted. Without it they keep every record."),
    Key("log.cleaner.backoff.ms", "long", 15_000, "ms",
        "How long to wait before looking again for a log that is worth compacting.", at_least(0),
        dynamic=True),
    Key("log.cleaner.dedupe.buffer.size", "long", 128 * MIB, "bytes",
        "Memory for the keys of one compaction, 24 bytes each; no more of it is taken than a log "
        "can need. A log with more new keys than fit is compacted in several rounds.",
        _at_least_a_megabyte, dynamic=True),
    Key("log.cleaner.io.buffer.load.factor", "double", 0.9, "ratio",
        "How full that memory may become; above 0.75 it counts as 0.75, as look-ups then cost "
        "more than a further round.", between(0.01, 1), dynamic=True),
    Key("log.cleaner.io.max.bytes.per.second", "double", UNLIMITED, "bytes/s",
        "The most that compaction reads and writes, together.", at_least(1), dynamic=True),
)
# fmt: on
