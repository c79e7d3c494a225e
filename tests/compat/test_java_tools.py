"""Apache Kafka's own Java tools, 4.3.1, as its users run them from a shell."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.records import Records
from tests.compat.test_confluent_kafka import produce

Java = Callable[..., str]
TOOLS = "org.apache.kafka.tools"


def consume(java: Java, bootstrap: str, topic: str, count: int, *more: str) -> list[str]:
    """The console consumer on partition 0; it counts what it read on standard error."""
    where = ("--bootstrap-server", bootstrap, "--topic", topic, "--partition", "0")
    limits = ("--max-messages", str(count), "--timeout-ms", "20000")
    text = java(f"{TOOLS}.consumer.ConsoleConsumer", *where, *limits, *more)
    lines = text.splitlines()
    assert f"Processed a total of {count} messages" in lines, text[-2000:]
    return [line for line in lines if not line.startswith("Processed a total")]


def test_producer_performance_sends_everything(
    java: Java, kafka_bootstrap: str, topic: str, codec: str
) -> None:
    """ProducerPerformance with each codec, idempotent as it is by default, acks=all."""
    text = java(
        f"{TOOLS}.ProducerPerformance",
        *("--topic", topic, "--num-records", "5000", "--record-size", "200"),
        *("--throughput", "-1", "--command-property", f"bootstrap.servers={kafka_bootstrap}"),
        *("acks=all", f"compression.type={codec}"),
    )
    assert re.search(r"^5000 records sent,", text, re.MULTILINE), text
    assert "Exception" not in text, text
    received = consume(java, kafka_bootstrap, topic, 5000, "--offset", "earliest")
    assert {len(line) for line in received} == {200}


def test_the_console_consumer_starts_at_an_offset(
    java: Java, kafka_bootstrap: str, topic: str, records: Records
) -> None:
    """`--partition 0 --offset 40` shows keys, values, headers and timestamps as they were sent."""
    produce(kafka_bootstrap, topic, records)
    show = ("key", "value", "headers", "timestamp", "offset")
    shown = [word for name in show for word in ("--formatter-property", f"print.{name}=true")]
    shown += ["--formatter-property", "key.separator=|"]
    (line,) = consume(java, kafka_bootstrap, topic, 1, "--offset", "43", *shown)
    sent = records[43]
    assert f"CreateTime:{sent.timestamp_ms}|Offset:43|trace:43,empty:" in line
    assert sent.key is not None
    assert sent.value is not None
    assert line.endswith(f"|{sent.key.decode()}|{sent.value.decode()}")


def test_the_console_producer_and_the_topic_command_agree(
    java: Java, kafka_bootstrap: str, topic: str
) -> None:
    """TopicCommand creates, describes, grows and deletes; GetOffsetShell counts."""
    server = ("--bootstrap-server", kafka_bootstrap)
    create = ("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1")
    command = f"{TOOLS}.TopicCommand"
    assert f"Created topic {topic}." in java(command, *server, *create)
    java(command, *server, "--alter", "--topic", topic, "--partitions", "3")
    described = java(command, *server, "--describe", "--topic", topic)
    assert re.search(r"PartitionCount: 3\s+ReplicationFactor: 1", described), described
    offsets = java(f"{TOOLS}.GetOffsetShell", *server, "--topic", topic)
    assert {f"{topic}:{number}:0" for number in range(3)} <= set(offsets.splitlines())
    java(command, *server, "--delete", "--topic", topic)
    assert topic not in java(command, *server, "--list").splitlines()


def test_configurations_are_described_and_altered(
    java: Java, kafka_bootstrap: str, topic: str, records: Records
) -> None:
    """ConfigCommand: a dynamic topic configuration comes, is shown and goes."""
    produce(kafka_bootstrap, topic, records)
    about = ("--bootstrap-server", kafka_bootstrap, "--entity-type", "topics")
    named = (*about, "--entity-name", topic)
    java("kafka.admin.ConfigCommand", *named, "--alter", "--add-config", "retention.ms=86400000")
    shown = java("kafka.admin.ConfigCommand", *named, "--describe")
    assert "retention.ms=86400000" in shown
    java("kafka.admin.ConfigCommand", *named, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms=" not in java("kafka.admin.ConfigCommand", *named, "--describe")


def test_records_are_deleted_up_to_an_offset(
    java: Java, kafka_bootstrap: str, topic: str, records: Records, tmp_path: Path
) -> None:
    """DeleteRecordsCommand moves the log start offset."""
    produce(kafka_bootstrap, topic, records)
    plan = tmp_path / "plan.json"
    rows = f'{{"topic": "{topic}", "partition": 0, "offset": 60}}'
    plan.write_text(f'{{"partitions": [{rows}], "version": 1}}')
    server = ("--bootstrap-server", kafka_bootstrap)
    text = java(f"{TOOLS}.DeleteRecordsCommand", *server, "--offset-json-file", str(plan))
    assert "low_watermark: 60" in text
    earliest = java(f"{TOOLS}.GetOffsetShell", *server, "--topic", topic, "--time", "-2")
    assert f"{topic}:0:60" in earliest.splitlines()


@pytest.mark.parametrize("command", ["BrokerApiVersionsCommand", "LogDirsCommand"])
def test_the_broker_is_described(java: Java, kafka_bootstrap: str, command: str) -> None:
    """What a broker serves and what its log directories hold, through the Java admin client."""
    more = ("--describe",) if command == "LogDirsCommand" else ()
    text = java(f"{TOOLS}.{command}", "--bootstrap-server", kafka_bootstrap, *more)
    assert "Produce(0)" in text or '"logDirs"' in text, text
    assert "ERROR" not in text, text
