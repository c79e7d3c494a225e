"""Programs that stand on Kafka's clients: Kafka Connect, MirrorMaker 2, Kafka Streams.

- connect: a distributed worker copies a file through a topic into another file, keeps doing so
  after a restart of the worker, and its offsets and configuration live in compacted topics of ours;
- mirror: MirrorMaker 2 copies a topic from a real Kafka to us and another one back;
- streams: a word count, at least once, stopped in the middle and started again.

Each uses our own client to write and read, on either side.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from logserver.client import Admin, ClientError, Consumer, Producer
from tests.conformance.cache import installed
from tests.conformance.kafka_java import suite as kafka_java
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.process import NICENESS, must
from tests.conformance.server import fresh_server

TITLE = "Kafka Connect, MirrorMaker 2, Kafka Streams"
HERE = Path(__file__).parent
LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", LOGGING)
INSTALL_TIMEOUT_S = 900.0
TIMEOUT_S = 120.0
LOOK_EVERY_S = 0.25
LINES = [f"line {number} of a file" for number in range(200)]
WORKER = """\
bootstrap.servers={bootstrap}
group.id=copying
listeners=http://127.0.0.1:{port}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
config.storage.topic=connect-configs
config.storage.replication.factor=1
status.storage.topic=connect-status
status.storage.replication.factor=1
offset.flush.interval.ms=500
"""
MIRROR = """\
clusters=kafka,ours
kafka.bootstrap.servers={kafka}
ours.bootstrap.servers={ours}
kafka->ours.enabled=true
kafka->ours.topics=readings
ours->kafka.enabled=true
ours->kafka.topics=orders
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
config.storage.replication.factor=1
status.storage.replication.factor=1
refresh.topics.interval.seconds=2
sync.topic.configs.interval.seconds=2
emit.checkpoints.interval.seconds=2
sync.group.offsets.enabled=true
"""


def versions() -> dict[str, str]:
    """The same release as Kafka's own tests."""
    return kafka_java.versions()


class Program:
    """A Java program that runs beside a test; what it says goes to a file in the cache."""

    def __init__(self, place: Path, main: str, *words: str) -> None:
        self.log = place / f"{main.rpartition('.')[2]}.txt"
        jars = f"{place / 'out'}:{place / 'lib'}/*"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["nice", "-n", str(NICENESS), "java", *JVM, "-cp", jars, main, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if main == "ReferenceCluster" else log,
                stderr=log,
                text=True,
            )

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for a condition while the program runs; AssertionError when it never holds."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not holds():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}, see {self.log}"
            try:
                code = self.process.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"ended with {code} before {what}, see {self.log}")

    def stop(self) -> None:
        """SIGTERM, as an operator would; killed when that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def running(place: Path, main: str, *words: str) -> Iterator[Program]:
    """A program for the length of a block."""
    program = Program(place, main, *words)
    try:
        yield program
    finally:
        program.stop()


def values(bootstrap: str, topic: str) -> list[str]:
    """Every value of a topic from its beginning; none while there is no such topic."""
    try:
        with Consumer(bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
            return [(record.value or b"").decode() for record in consumer]
    except ClientError:
        return []


def send(bootstrap: str, topic: str, texts: list[str]) -> None:
    """Make a topic with two partitions, unless it is there, and write to it."""
    with Admin(bootstrap) as admin:
        if topic not in {one.name for one in admin.list_topics()}:
            admin.create_topic(topic, partitions=2, replication_factor=1)
    with Producer(bootstrap) as producer:
        for text in texts:
            producer.send(topic, text.encode(), key=text.encode())


def connect(place: Path, bootstrap: str, folder: Path) -> None:
    """File to topic to file, the worker restarted in between."""
    port = free_port()
    settings = folder / "worker.properties"
    settings.write_text(WORKER.format(bootstrap=bootstrap, port=port))
    source, sink = folder / "in.txt", folder / "out.txt"
    source.write_text("".join(f"{line}\n" for line in LINES))
    sink.touch()
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    file = "org.apache.kafka.connect.file.FileStream"
    connectors = {
        "read": {
            "connector.class": f"{file}SourceConnector",
            "file": str(source),
            "topic": "lines",
        },
        "write": {"connector.class": f"{file}SinkConnector", "file": str(sink), "topics": "lines"},
    }
    with running(place, main, str(settings)) as worker:
        worker.until("the REST port", lambda: answers(port))
        for name, configuration in connectors.items():
            post(port, {"name": name, "config": {"tasks.max": "1", **configuration}})
        worker.until("every line", lambda: sink.read_text().splitlines() == LINES)
    with source.open("a") as more:
        more.write("after the restart\n")
    with running(place, main, str(settings)) as worker:
        copied = [*LINES, "after the restart"]
        worker.until("the line after it", lambda: sink.read_text().splitlines() == copied)


def free_port() -> int:
    """A port that was free a moment ago: the worker cannot tell which one it took."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Whether the worker has joined its group and lists its connectors."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/connectors", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def post(port: int, connector: dict[str, object]) -> None:
    """Give the worker a connector."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/connectors",
        data=json.dumps(connector).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201, answer.status


def mirror(place: Path, bootstrap: str, folder: Path) -> None:
    """From a real Kafka to us, and from us back."""
    java = kafka_java.installation()
    main = "org.apache.kafka.connect.mirror.MirrorMaker"
    with ExitStack() as stack:
        reference = stack.enter_context(running(java, "ReferenceCluster"))
        kafka = ready_address(reference)
        send(kafka, "readings", LINES)
        send(bootstrap, "orders", LINES)
        settings = folder / "mirror.properties"
        settings.write_text(MIRROR.format(kafka=kafka, ours=bootstrap))
        maker = stack.enter_context(running(place, main, str(settings)))
        wanted = sorted(LINES)
        maker.until("readings here", lambda: sorted(values(bootstrap, "kafka.readings")) == wanted)
        maker.until("orders there", lambda: sorted(values(kafka, "ours.orders")) == wanted)


def ready_address(reference: Program) -> str:
    """What the reference cluster says when it serves."""
    assert reference.process.stdout is not None
    for line in reference.process.stdout:
        if line.startswith("ready kafka="):
            return line.strip().partition("=")[2].partition(",")[0]
    raise AssertionError(f"the reference cluster did not start, see {reference.log}")


def streams(place: Path, bootstrap: str, folder: Path) -> None:
    """The last count of each word is right, before and after a restart without its state."""
    for name in ("lines", "counts"):
        send(bootstrap, name, [])
    for part in (1, 2):
        send(bootstrap, "lines", ["to be or not to be"] * 50)
        state = folder / f"state-{part}"
        with running(place, "WordCount", bootstrap, str(state)) as application:
            wanted = {"to": 100 * part, "be": 100 * part, "or": 50 * part, "not": 50 * part}
            application.until(f"count {part}", lambda: counts(bootstrap) == wanted)  # noqa: B023


def counts(bootstrap: str) -> dict[str, int]:
    """The last value of each key."""
    with Consumer(bootstrap, "counts", start="beginning", stop_at_end=True) as consumer:
        return {(one.key or b"").decode(): int(one.value or b"0") for one in consumer}


TESTS = {"connect": connect, "mirror": mirror, "streams": streams}


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """Each against a server of its own; none of them is quick."""
    place = installed("connect", recipe(), install)
    for name, test in TESTS.items():
        if selection.smoke or not selection.takes(name):
            continue
        with tempfile.TemporaryDirectory() as folder, fresh_server() as server:
            try:
                test(place, server.bootstrap, Path(folder))
            except (AssertionError, OSError, ClientError) as complaint:
                yield Outcome(name, "failed", str(complaint))
            else:
                yield Outcome(name, "passed")


def recipe() -> str:
    """What the installation depends on."""
    return (HERE / "pom.xml").read_text() + (HERE / "src/WordCount.java").read_text()


def install(place: Path) -> None:
    """The jars, and the word count compiled."""
    words = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    more = ["-DincludeScope=runtime", f"-DoutputDirectory={place / 'lib'}"]
    must([*words, *more], timeout_s=INSTALL_TIMEOUT_S)
    compiler = ["java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-nowarn", "-proc:none"]
    source = str(HERE / "src/WordCount.java")
    must(
        [*compiler, "-cp", kafka_java.jars(place), "-d", str(place / "out"), source],
        timeout_s=INSTALL_TIMEOUT_S,
    )
