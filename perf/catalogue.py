"""Every scenario there is: a name for `--scenario`, a sentence, a run."""

from perf.compaction import compaction
from perf.group_members import group_latency, group_throughput
from perf.group_requests import (
    CONSUMER_GROUP_HEARTBEAT,
    JOIN_GROUP,
    OFFSET_COMMIT,
    ClassicMember,
    ConsumerMember,
)
from perf.group_runs import commits, crowd, join
from perf.scenarios import (
    KIB,
    Scenario,
    fetch,
    fixed,
    half,
    produce,
    produce_wide,
    stream,
)
from perf.servers import DURABLE, RELAXED

SCENARIOS = [
    Scenario("produce-1k", "one 1 KB record a request, 4 in flight", produce(KIB, 4, RELAXED)),
    Scenario("produce-16k", "16 KB batches, 4 in flight", produce(16 * KIB, 4, RELAXED)),
    Scenario("produce-64k", "64 KB batches, 4 in flight", produce(64 * KIB, 4, RELAXED)),
    Scenario("produce-1m", "1 MB batches, 4 in flight", produce(1024 * KIB, 4, RELAXED)),
    Scenario("fetch-64k", "replay from page cache, 64 KB a fetch, 4 in flight", fetch(64 * KIB, 4)),
    Scenario("fetch-1m", "replay from page cache, 1 MB a fetch, 4 in flight", fetch(1024 * KIB, 4)),
    Scenario("wide-16", "16 connections, 1 in flight each, 1 KB", produce_wide(16)),
    Scenario("end-to-end-half", "produce to consumer, half of the peer's maximum, 1 KB",
             stream(half, KIB, 1, RELAXED)),
    Scenario("end-to-end-10k", "produce to consumer, 10,000 a second of 1 KB",
             stream(fixed(10_000), KIB, 1, RELAXED)),
    Scenario("end-to-end-durable", "produce to consumer, durable, 1,000 a second of 1 KB",
             stream(fixed(1000), KIB, 1, DURABLE)),
    Scenario("fan-out-8", "8 consumers tail 300 batches of 64 KB a second",
             stream(fixed(300), 64 * KIB, 8, RELAXED)),
    Scenario("durable-1", "1 KB, synced before the answer, 1 in flight", produce(KIB, 1, DURABLE)),
    Scenario("durable-8", "1 KB, synced before the answer, 8 in flight", produce(KIB, 8, DURABLE)),
    Scenario("durable-64", "1 KB, synced before the answer, 64 in flight",
             produce(KIB, 64, DURABLE)),
    Scenario("group-throughput", "16 partitions to a group of 4 Java consumers, 64 KB batches",
             group_throughput("consumer"), CONSUMER_GROUP_HEARTBEAT),
    Scenario("group-latency", "the same group, 4,000 records of 1 KB a second",
             group_latency("consumer"), CONSUMER_GROUP_HEARTBEAT),
    Scenario("join-classic", "100 members of a classic group join until they are stable",
             join(ClassicMember, 100), JOIN_GROUP),
    Scenario("join-consumer", "100 members of a KIP-848 group join until they are stable",
             join(ConsumerMember, 100), CONSUMER_GROUP_HEARTBEAT),
    Scenario("compaction", "compaction of 400 MB, and what others at 4,000 a second feel of it",
             compaction()),
    Scenario("groups-1000", "1,000 classic groups of 4 members each", crowd(1000, 4),
             JOIN_GROUP),
    Scenario("commits-10k", "10,000 offset commits a second over 50 groups, durable here",
             commits(10_000), OFFSET_COMMIT),
]  # fmt: skip
