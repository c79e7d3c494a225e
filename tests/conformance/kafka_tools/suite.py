"""Apache Kafka's command line tools by main class, as the scripts in its bin folder start them.

A test here is one tool against a fresh server: it has to end by itself, and its output has to hold
what the tool prints when all went well. They stand on the jars of the suite kafka_java.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conformance.cache import folder
from tests.conformance.kafka_java import suite as kafka_java
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.process import Finished, run
from tests.conformance.server import fresh_server
from tests.server_process import ServerProcess

TITLE = "Apache Kafka's tools by main class"
TOOLS = "org.apache.kafka.tools"
TOOL_TIMEOUT_S = 120.0
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
RECORDS = 3000
# Compaction at once, of segments that a short test can fill: LogCompactionTester has not to wait.
SETTINGS = {
    "log.cleaner.backoff.ms": "500",
    "log.roll.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
}
SMOKE = ("TopicCommand", "ProducerPerformance", "ConsumerPerformance-classic")


def versions() -> dict[str, str]:
    """The same jars as kafka_java."""
    return kafka_java.versions()


class Bench:
    """A server with a topic of records, and Kafka's tools pointed at it."""

    def __init__(self, server: ServerProcess, folder: Path, jars: str) -> None:
        self.server = server
        self.folder = folder
        self.jars = jars
        self.topic = "readings"
        self.logging = folder / "log4j2.properties"
        self.logging.write_text("rootLogger.level=error\n")

    def tool(self, name: str, *words: str, bootstrap: bool = True) -> Finished:
        """Run one class; a name without a package stands in Kafka's package of tools."""
        main = name if "." in name else f"{TOOLS}.{name}"
        server = ("--bootstrap-server", self.server.bootstrap) if bootstrap else ()
        java = ["java", *JVM, f"-Dlog4j2.configurationFile={self.logging}", "-cp", self.jars]
        log = self.folder / f"{name}.txt"
        return run([*java, main, *server, *words], timeout_s=TOOL_TIMEOUT_S, log=log)

    def fill(self) -> None:
        """Make the topic and put records into it."""
        make = ("--create", "--topic", self.topic, "--partitions", "2")
        ended_well(self.tool("TopicCommand", *make, "--replication-factor", "1"), "Created topic")
        ended_well(self.produce(), rf"^{RECORDS} records sent")

    def produce(self, *more: str) -> Finished:
        """ProducerPerformance, which knows its own option for the server."""
        words = ["--topic", self.topic, "--num-records", str(RECORDS), "--record-size", "100"]
        words += ["--throughput", "-1", "--command-property", "acks=all", *more]
        return self.tool("ProducerPerformance", *words)

    def consume(self, group: str, protocol: str) -> Finished:
        """VerifiableConsumer: reads everything in a group, commits, and ends."""
        words = ["--topic", self.topic, "--group-id", group, "--group-protocol", protocol]
        words += ["--max-messages", str(RECORDS), "--reset-policy", "earliest"]
        return self.tool("VerifiableConsumer", *words)


def ended_well(done: Finished, *patterns: str) -> None:
    """Refuse an exit code, an exception, or output that lacks something: AssertionError."""
    assert done.ok, done.tail(600)
    for pattern in patterns:
        found = re.search(pattern, done.output, re.MULTILINE)
        assert found, f"{pattern!r} is not in\n{done.tail(600)}"
    assert "Exception" not in done.output, done.tail(600)


def producer_performance(bench: Bench) -> None:
    """With each codec."""
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        done = bench.produce(f"compression.type={codec}")
        ended_well(done, rf"^{RECORDS} records sent")


def consumer_performance(bench: Bench, protocol: str) -> None:
    """Reads the topic in a group of its own; the count is the fifth column."""
    bench.fill()
    words = ["--topic", bench.topic, "--num-records", str(RECORDS), "--hide-header"]
    more = ["--command-property", f"group.protocol={protocol}", "--timeout", "20000"]
    done = bench.tool("ConsumerPerformance", *words, *more)
    ended_well(done)
    row = done.output.strip().splitlines()[-1].split(", ")
    assert int(row[4]) >= RECORDS, done.tail(600)


def end_to_end_latency(bench: Bench) -> None:
    """One record at a time, there and back."""
    bench.fill()
    words = ["--topic", bench.topic, "--num-records", "200", "--producer-acks", "all"]
    done = bench.tool("EndToEndLatency", *words, "--record-size", "100")
    ended_well(done, "Avg latency", "Percentiles")


def verifiable_producer(bench: Bench) -> None:
    """Every record acknowledged."""
    words = ["--topic", bench.topic, "--max-messages", "1000", "--throughput", "-1"]
    ended_well(bench.tool("VerifiableProducer", *words, "--acks", "-1"), '"acked":1000')


def verifiable_consumer(bench: Bench, protocol: str) -> None:
    """Every record consumed, offsets committed, an orderly end."""
    bench.fill()
    done = bench.consume("verifying", protocol)
    ended_well(done, '"name":"partitions_assigned"', '"name":"shutdown_complete"')
    consumed = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    counts = [one["count"] for one in consumed if one["name"] == "records_consumed"]
    assert sum(counts) == RECORDS, done.tail(600)
    commits = [one["success"] for one in consumed if one["name"] == "offsets_committed"]
    assert commits, done.tail(600)
    assert all(commits), done.tail(600)


def topic_command(bench: Bench) -> None:
    """Create, describe, grow, list, delete."""
    bench.fill()
    about = ("--topic", bench.topic)
    ended_well(bench.tool("TopicCommand", "--alter", *about, "--partitions", "3"))
    ended_well(bench.tool("TopicCommand", "--describe", *about), r"PartitionCount: 3\s")
    ended_well(bench.tool("TopicCommand", "--list"), rf"^{bench.topic}$")
    ended_well(bench.tool("TopicCommand", "--delete", *about))


def config_command(bench: Bench) -> None:
    """Settings of topics, brokers and groups come, are shown and go."""
    bench.fill()
    main = "kafka.admin.ConfigCommand"
    for kind, name, setting in (
        ("topics", bench.topic, "retention.ms=86400000"),
        ("brokers", "0", "log.cleaner.threads=2"),
        ("groups", "readers", "consumer.session.timeout.ms=50000"),
    ):
        named = ("--entity-type", kind, "--entity-name", name)
        key = setting.partition("=")[0]
        ended_well(bench.tool(main, *named, "--alter", "--add-config", setting))
        ended_well(bench.tool(main, *named, "--describe"), re.escape(setting))
        ended_well(bench.tool(main, *named, "--alter", "--delete-config", key))


def consumer_group_command(bench: Bench) -> None:
    """List, describe, reset and delete a group that has read everything."""
    bench.fill()
    ended_well(bench.consume("readers", "classic"))
    main, group = f"{TOOLS}.consumer.group.ConsumerGroupCommand", ("--group", "readers")
    ended_well(bench.tool(main, "--list"), "^readers$")
    ended_well(bench.tool(main, "--describe", *group), rf"readers\s+{bench.topic}\s+\d\s+\d+")
    reset = ("--reset-offsets", "--topic", bench.topic, "--to-earliest", "--execute")
    ended_well(bench.tool(main, *group, *reset), rf"readers\s+{bench.topic}\s+0\s+0")
    offsets = ("--delete-offsets", "--topic", bench.topic)
    ended_well(bench.tool(main, *group, *offsets), "Successful")
    ended_well(bench.tool(main, "--delete", *group), "successful")


def groups_command(bench: Bench) -> None:
    """Groups of every type, with their protocol."""
    bench.fill()
    ended_well(bench.consume("readers", "classic"))
    ended_well(bench.tool("GroupsCommand", "--list"), r"^readers\s+Classic\s+consumer")


def delete_records_command(bench: Bench) -> None:
    """The log start offset moves."""
    bench.fill()
    plan = bench.folder / "plan.json"
    rows = [{"topic": bench.topic, "partition": 0, "offset": -1}]
    plan.write_text(json.dumps({"partitions": rows, "version": 1}))
    done = bench.tool("DeleteRecordsCommand", "--offset-json-file", str(plan))
    ended_well(done, r"low_watermark: \d{3,}")


def leader_election_command(bench: Bench) -> None:
    """The preferred leader already leads, and the tool says so."""
    bench.fill()
    words = ("--election-type", "PREFERRED", "--topic", bench.topic, "--partition", "0")
    ended_well(bench.tool("LeaderElectionCommand", *words), "Valid replica already elected")


def log_dirs_command(bench: Bench) -> None:
    """What the log directory holds."""
    bench.fill()
    ended_well(bench.tool("LogDirsCommand", "--describe"), rf'"partition":"{bench.topic}-1"')


def feature_command(bench: Bench) -> None:
    """Feature levels that are finalized."""
    done = bench.tool("FeatureCommand", "describe")
    ended_well(done, r"Feature: metadata.version\s", r"Feature: group.version\s")


def broker_api_versions_command(bench: Bench) -> None:
    """The ranges; what is not served is not offered."""
    done = bench.tool("BrokerApiVersionsCommand")
    ended_well(done, r"Produce\(0\): 0 to 13", r"ConsumerGroupHeartbeat\(68\): 0 to 1")


def log_compaction_tester(bench: Bench) -> None:
    """What the cleaner leaves is what a compacted topic must hold."""
    words = ("--messages", "20000", "--topics", "1", "--percent-deletes", "20", "--sleep", "15")
    done = bench.tool("LogCompactionTester", *words)
    ended_well(done, "Data verification is completed")


def dump_log_segments(bench: Bench) -> None:
    """Kafka's own tool reads the files of a stopped server: records, and committed offsets."""
    bench.fill()
    ended_well(bench.consume("readers", "classic"))
    data = bench.server.data_dir
    bench.server.stop()
    files = ",".join(str(path) for path in data.glob(f"{bench.topic}-*/*.log"))
    dump = ("--deep-iteration", "--print-data-log", "--files")
    done = bench.tool("DumpLogSegments", *dump, files, bootstrap=False)
    ended_well(done, r"baseOffset: 0 ", rf"lastOffset: {RECORDS // 4}|payload")
    offsets = ",".join(
        str(path) for path in data.glob("__consumer_offsets-*/*.log") if path.stat().st_size
    )
    done = bench.tool("DumpLogSegments", "--offsets-decoder", *dump, offsets, bootstrap=False)
    ended_well(done, '"group":"readers"', f'"topic":"{bench.topic}"')


class Tool(NamedTuple):
    """A test: its id and what it does."""

    name: str
    test: Callable[[Bench], None]


ALL = (
    Tool("ProducerPerformance", producer_performance),
    Tool("ConsumerPerformance-classic", lambda bench: consumer_performance(bench, "classic")),
    Tool("ConsumerPerformance-consumer", lambda bench: consumer_performance(bench, "consumer")),
    Tool("EndToEndLatency", end_to_end_latency),
    Tool("VerifiableProducer", verifiable_producer),
    Tool("VerifiableConsumer-classic", lambda bench: verifiable_consumer(bench, "classic")),
    Tool("VerifiableConsumer-consumer", lambda bench: verifiable_consumer(bench, "consumer")),
    Tool("TopicCommand", topic_command),
    Tool("ConfigCommand", config_command),
    Tool("ConsumerGroupCommand", consumer_group_command),
    Tool("GroupsCommand", groups_command),
    Tool("DeleteRecordsCommand", delete_records_command),
    Tool("LeaderElectionCommand", leader_election_command),
    Tool("LogDirsCommand", log_dirs_command),
    Tool("FeatureCommand", feature_command),
    Tool("BrokerApiVersionsCommand", broker_api_versions_command),
    Tool("LogCompactionTester", log_compaction_tester),
    Tool("DumpLogSegments", dump_log_segments),
)


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """Each tool against a fresh server."""
    jars = f"{kafka_java.installation() / 'lib'}/*"
    logs = folder("kafka_tools")
    for tool in ALL:
        if selection.smoke and tool.name not in SMOKE:
            continue
        if selection.smoke or selection.takes(tool.name):
            with (
                tempfile.TemporaryDirectory(prefix="tools") as scratch,
                fresh_server(SETTINGS) as server,
            ):
                yield attempt(tool, Bench(server, Path(scratch), jars), logs)


def attempt(tool: Tool, bench: Bench, logs: Path) -> Outcome:
    """One test's outcome; the whole complaint is kept in the cache."""
    try:
        tool.test(bench)
    except AssertionError as complaint:
        (logs / f"{tool.name}.txt").write_text(f"{complaint}\n\n{bench.server.log_tail()}")
        return Outcome(tool.name, "failed", " ".join(str(complaint).split())[-300:])
    return Outcome(tool.name, "passed")
