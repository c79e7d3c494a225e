"""Apache Kafka's own administration tools, 4.3.1: what a single node answers them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Java = Callable[..., str]
TOOLS = "org.apache.kafka.tools"
SESSION = "consumer.session.timeout.ms"


@pytest.fixture
def tool(java: Java, kafka_bootstrap: str) -> Java:
    """Run a tool against the server; its output."""

    def run(name: str, *arguments: str, check: bool = True) -> str:
        return java(name, "--bootstrap-server", kafka_bootstrap, *arguments, check=check)

    return run


def create(tool: Java, topic: str) -> None:
    """A topic of two partitions."""
    tool(f"{TOOLS}.TopicCommand", "--create", "--topic", topic, "--partitions", "2")


def test_groups_are_configured_before_they_exist(tool: Java, topic: str) -> None:
    """ConfigCommand sets and lists with synonyms; a value out of bounds is refused."""
    config = "kafka.admin.ConfigCommand"
    group = ("--entity-type", "groups", "--entity-name", topic)
    tool(config, "--alter", *group, "--add-config", f"{SESSION}=46000")
    shown = tool(config, "--describe", "--entity-type", "groups")
    assert f"Dynamic configs for group {topic} are:" in shown
    chain = f"DYNAMIC_GROUP_CONFIG:{SESSION}=46000, DEFAULT_CONFIG:group.{SESSION}=45000"
    assert f"{SESSION}=46000 sensitive=false synonyms={{{chain}}}" in shown
    refused = tool(config, "--alter", *group, "--add-config", f"{SESSION}=1", check=False)
    assert f"InvalidConfigurationException: {SESSION} must be greater than or equal to" in refused


def test_brokers_and_loggers_are_configured(tool: Java, only_ours: None) -> None:
    """Dynamic keys, all keys with their documentation's source, and levels of loggers."""
    config = "kafka.admin.ConfigCommand"
    broker = ("--entity-type", "brokers", "--entity-name", "1")
    tool(config, "--alter", *broker, "--add-config", "log.retention.ms=86400000,num.io.threads=9")
    shown = tool(config, "--describe", *broker, "--all")
    assert "log.retention.ms=86400000 sensitive=false" in shown
    assert "num.io.threads=9 sensitive=false" in shown
    assert "flush.interval.messages=1 " in shown
    loggers = ("--entity-type", "broker-loggers", "--entity-name", "1")
    name = "logserver.broker.telemetry.subscriptions"
    tool(config, "--alter", *loggers, "--add-config", f"{name}=DEBUG")
    assert f"{name}=DEBUG" in tool(config, "--describe", *loggers)


def test_nothing_needs_an_election_or_a_move(tool: Java, topic: str, tmp_path: Path) -> None:
    """LeaderElectionCommand and ReassignPartitionsCommand find everything in its place."""
    create(tool, topic)
    election = (f"{TOOLS}.LeaderElectionCommand", "--election-type", "preferred")
    text = tool(*election, "--topic", topic, "--partition", "0")
    assert f"Valid replica already elected for partitions {topic}-0" in text
    described = tool(f"{TOOLS}.TopicCommand", "--describe", "--topic", topic)
    broker = re.search(r"Leader: (\d+)", described)
    assert broker is not None, described
    plan = tmp_path / "plan.json"
    rows = [{"topic": topic, "partition": 0, "replicas": [int(broker[1])]}]
    plan.write_text(json.dumps({"version": 1, "partitions": rows}))
    command = f"{TOOLS}.reassign.ReassignPartitionsCommand"
    done = tool(command, "--reassignment-json-file", str(plan), "--execute", "--throttle", "1000")
    assert f"Successfully started partition reassignment for {topic}-0" in done
    done = tool(command, "--reassignment-json-file", str(plan), "--verify")
    assert f"Reassignment of partition {topic}-0 is completed." in done
    assert "Clearing broker-level throttles" in done


def test_quorum_and_features_are_told(tool: Java, only_ours: None) -> None:
    """MetadataQuorumCommand and FeatureCommand."""
    quorum = f"{TOOLS}.MetadataQuorumCommand"
    status = tool(quorum, "describe", "--status")
    assert re.search(r"LeaderId:\s+1\n(.*\n)*MaxFollowerLag:\s+0\n", status), status
    features = tool(f"{TOOLS}.FeatureCommand", "describe")
    assert re.search(r"Feature: metadata.version\s.*FinalizedVersionLevel: 4.3-IV0", features)
    refused = tool(
        f"{TOOLS}.FeatureCommand", "downgrade", "--feature", "metadata.version=7", check=False
    )
    assert "Could not downgrade metadata.version" in refused


def test_access_control_and_transactions_are_off(tool: Java) -> None:
    """AclCommand says so in the words that scripts look for; no transaction is listed."""
    listed = tool(f"{TOOLS}.TransactionsCommand", "list")
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["TransactionalId"]
    refused = tool(f"{TOOLS}.AclCommand", "--list", check=False)
    assert "SecurityDisabledException: No Authorizer is configured on the broker" in refused


def test_log_directories_tell_what_they_hold(tool: Java, topic: str) -> None:
    """LogDirsCommand for one topic."""
    create(tool, topic)
    text = tool(f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", topic)
    (line,) = [line for line in text.splitlines() if line.startswith("{")]
    (broker,) = json.loads(line)["brokers"]
    (directory,) = broker["logDirs"]
    assert {one["partition"] for one in directory["partitions"]} == {f"{topic}-0", f"{topic}-1"}
