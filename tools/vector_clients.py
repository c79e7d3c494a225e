"""The clients that `record_vectors` drives, each through one session of everything it can do.

A session makes a topic of its own, produces with each codec, reads from the beginning, from the end
and by timestamp, asks for descriptions, changes configurations, deletes. Each function takes the
bootstrap address and a folder that only the Java clients need, and returns the client's name and
version for the record. Calls that a client
makes beyond the APIs that are served (groups, telemetry) are not recorded, but the server behind
the proxy must answer them: use Apache Kafka.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Session = Callable[[str, str | None], str]
RECORDS = 5


def topic_name(client: str) -> str:
    return f"vectors-{client}-{time.time_ns() // 1_000_000}"


def run(*command: str, stdin: str = "") -> str:
    """Runs a command to its end, or for 20 s: console consumers do not stop by themselves."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        print(f"  exit {done.returncode}: {' '.join(command)}\n{done.stderr[-500:]}")
    return done.stdout + done.stderr


def kcat(bootstrap: str, _: str | None) -> str:
    topic = topic_name("kcat")
    lines = "".join(f"key{i}:value {i}\n" for i in range(RECORDS))
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        run("kcat", "-b", bootstrap, "-t", topic, "-P", "-K:", "-z", codec, stdin=lines)
    run("kcat", "-b", bootstrap, "-t", topic, "-P", "-X", "enable.idempotence=true", stdin=lines)
    run("kcat", "-b", bootstrap, "-L")
    for start in ("beginning", "-3", f"s@{time.time_ns() // 1_000_000 - 600_000}"):
        run("kcat", "-b", bootstrap, "-t", topic, "-C", "-p", "0", "-o", start, "-e")
    run("kcat", "-b", bootstrap, "-Q", "-t", f"{topic}:0:-1")
    words = run("kcat", "-V").split()
    version, library = words[words.index("Version") + 1], words[words.index("librdkafka") + 1]
    return f"kcat {version} (librdkafka {library})"


def confluent_kafka(bootstrap: str, _: str | None) -> str:
    import confluent_kafka as ck

    topic = topic_name("confluent")
    config = {"bootstrap.servers": bootstrap, "client.id": "vectors"}
    confluent_admin(bootstrap, topic)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = ck.Producer(config | {"compression.type": codec, "linger.ms": 50})
        for i in range(RECORDS):
            producer.produce(topic, f"value {i}", f"key{i}", partition=i % 2, headers={"a": b"b"})
        producer.flush(20)
    producer = ck.Producer(config | {"enable.idempotence": True})
    producer.produce(topic, b"once", partition=0)
    producer.flush(20)
    consumer = ck.Consumer(config | {"group.id": topic, "enable.auto.commit": False})
    consumer.assign([ck.TopicPartition(topic, 0, ck.OFFSET_BEGINNING)])
    consumer.consume(RECORDS * 2, timeout=5)
    consumer.offsets_for_times([ck.TopicPartition(topic, 0, 1)], timeout=10)
    consumer.get_watermark_offsets(ck.TopicPartition(topic, 0), timeout=10)
    consumer.close()
    confluent_admin_end(bootstrap, topic)
    return f"confluent-kafka {ck.__version__} (librdkafka {ck.libversion()[0]})"


def confluent_admin(bootstrap: str, topic: str) -> None:
    admin: Any = import_module("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": bootstrap})
    wait_all(client.create_topics([admin.NewTopic(topic, 2, 1, config={"segment.ms": "600000"})]))
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)
    wait_all(client.describe_configs([resource]))
    entry = admin.ConfigEntry(
        "retention.ms", "86400000", incremental_operation=admin.AlterConfigOpType.SET
    )
    changed = admin.ConfigResource(
        admin.ConfigResource.Type.TOPIC, topic, incremental_configs=[entry]
    )
    wait_all(client.incremental_alter_configs([changed]))
    older = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic, {"retention.ms": "1000"})
    wait_all(client.alter_configs([older]))
    wait_all(client.create_partitions([admin.NewPartitions(topic, 3)]))
    client.describe_cluster(include_authorized_operations=True).result()
    client.list_topics(timeout=10)


def confluent_admin_end(bootstrap: str, topic: str) -> None:
    from confluent_kafka import TopicCollection, TopicPartition

    admin: Any = import_module("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": bootstrap})
    latest = admin.OffsetSpec.latest()
    wait_all(client.list_offsets({TopicPartition(topic, 0): latest}))
    wait_all(client.list_offsets({TopicPartition(topic, 0): admin.OffsetSpec.max_timestamp()}))
    wait_all(client.describe_topics(TopicCollection([topic])))
    wait_all(client.delete_records([TopicPartition(topic, 0, 2)]))
    wait_all(client.delete_topics([topic]))


def wait_all(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(20)


def kafka_python(bootstrap: str, _: str | None) -> str:
    import kafka
    from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

    topic = topic_name("kafka-python")
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 2, 1)])
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    admin.describe_configs([resource])
    admin.describe_topics([topic])
    admin.describe_cluster()
    admin.describe_log_dirs()
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec)
        for i in range(RECORDS):
            producer.send(topic, f"value {i}".encode(), key=b"key", partition=i % 2)
        producer.flush()
        producer.close()
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=2000
    )
    partition = kafka.TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.beginning_offsets([partition])
    consumer.end_offsets([partition])
    consumer.offsets_for_times({partition: 1})
    list(consumer)
    consumer.close()
    admin.delete_topics([topic])
    admin.close()
    return f"kafka-python {kafka.__version__}"


def aiokafka(bootstrap: str, _: str | None) -> str:
    import aiokafka as package

    asyncio.run(aiokafka_session(bootstrap))
    return f"aiokafka {package.__version__}"


async def aiokafka_session(bootstrap: str) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    topic = topic_name("aiokafka")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.create_partitions({topic: NewPartitions(2)})
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1000000"})
    await admin.describe_configs([resource])
    await admin.alter_configs([resource])
    every_setting: tuple[dict[str, Any], ...] = (
        *({"compression_type": codec} for codec in (None, "gzip", "snappy", "lz4", "zstd")),
        {"enable_idempotence": True},
        {"acks": 1},
    )
    for settings in every_setting:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
        await producer.start()
        for i in range(RECORDS):
            await producer.send(topic, f"value {i}".encode(), key=b"key", partition=i % 2)
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    await consumer.end_offsets([partition])
    await consumer.offsets_for_times({partition: 1})
    await consumer.getmany(timeout_ms=1500)
    await consumer.getmany(timeout_ms=1500)
    await consumer.stop()
    await admin.delete_topics([topic])
    await admin.close()


def java(bootstrap: str, kafka: str | None) -> str:
    """The console tools; `kafka` is the folder of run-class.sh, whose classpath decides."""
    if kafka is None:
        raise SystemExit("java needs --kafka DIR, the folder of Kafka's run-class.sh")
    script = str(Path(kafka) / "run-class.sh")
    topic = topic_name("java")

    def tool(name: str, *options: str, stdin: str = "") -> str:
        return run(script, name, *options, stdin=stdin)

    server = ("--bootstrap-server", bootstrap)
    topics = ("org.apache.kafka.tools.TopicCommand", *server)
    tool(*topics, "--create", "--topic", topic, "--partitions", "2", "--config", "segment.ms=6000")
    tool(*topics, "--alter", "--topic", topic, "--partitions", "3")
    tool(*topics, "--describe", "--topic", topic)
    tool(*topics, "--list")
    performance = ("org.apache.kafka.tools.ProducerPerformance", "--topic", topic)
    for acks, codec, idempotence in (("all", "zstd", "true"), ("1", "none", "false")):
        settings = [f"acks={acks}", f"compression.type={codec}", "linger.ms=50"]
        settings += [f"enable.idempotence={idempotence}", f"bootstrap.servers={bootstrap}"]
        load = ("--num-records", "20", "--record-size", "100", "--throughput", "-1")
        tool(*performance, *load, "--command-property", *settings)
    console = ("org.apache.kafka.tools.consumer.ConsoleConsumer", *server, "--topic", topic)
    end = ("--max-messages", "3", "--timeout-ms", "8000")
    tool(*console, "--partition", "0", "--offset", "earliest", *end)
    java_admin(tool, server, topic)
    tool(*topics, "--delete", "--topic", topic)
    version = tool("org.apache.kafka.tools.TopicCommand", "--version").split()[0]
    return f"Apache Kafka {version} (Java)"


def java_admin(tool: Callable[..., str], server: tuple[str, str], topic: str) -> None:
    configs = ("kafka.admin.ConfigCommand", *server, "--entity-type", "topics")
    tool(*configs, "--entity-name", topic, "--describe", "--all")
    tool(*configs, "--entity-name", topic, "--alter", "--add-config", "retention.ms=100000")
    tool("org.apache.kafka.tools.ClusterTool", "cluster-id", *server)
    tool("org.apache.kafka.tools.ClusterTool", "list-endpoints", *server)
    tool("org.apache.kafka.tools.LogDirsCommand", *server, "--describe", "--topic-list", topic)
    tool("org.apache.kafka.tools.BrokerApiVersionsCommand", *server)
    producers = ("describe-producers", "--topic", topic, "--partition", "0")
    tool("org.apache.kafka.tools.TransactionsCommand", *server, *producers)
    for moment in ("-1", "-2", "-3"):
        tool("org.apache.kafka.tools.GetOffsetShell", *server, "--topic", topic, "--time", moment)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        partition = {"topic": topic, "partition": 0, "offset": 1}
        json.dump({"version": 1, "partitions": [partition]}, file)
        file.flush()
        delete = ("--offset-json-file", file.name)
        tool("org.apache.kafka.tools.DeleteRecordsCommand", *server, *delete)


def java_clients(bootstrap: str, jars: str | None) -> str:
    """The Java producer, consumer and admin client of the kafka-clients jar in the folder `jars`.

    A client newer than the server shows how versions are settled that the server does not know.
    """
    if jars is None:
        raise SystemExit("java-clients needs --kafka DIR, a folder with kafka-clients and its jars")
    source = str(Path(__file__).with_name("VectorClient.java"))
    topic = topic_name("java-clients")
    said = run("java", "-cp", f"{jars}/*", source, bootstrap, topic)
    return f"kafka-clients {said.split()[0] if said else 'unknown'}"


CLIENTS: dict[str, Session] = {
    "kcat": kcat,
    "confluent-kafka": confluent_kafka,
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
    "java": java,
    "java-clients": java_clients,
}
