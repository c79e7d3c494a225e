"""The servers under load: ours at any checkout, and Apache Kafka installed from Maven artifacts.

Both live for the whole run, so that a JVM is warm, and stand still (SIGSTOP) while the other side
is measured: an idle broker still wakes a hundred times a second, and that would be in the other's
P99. Both get a data directory on the same file system and listen on loopback.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from perf.control import BROKER, Control, control
from perf.machine import tree

HERE = Path(__file__).parent
KAFKA_VERSION = "4.3.1"
KAFKA_HEAP = ["-Xmx1G", "-Xms1G"]
JVM_OPTIONS = [  # as bin/kafka-run-class.sh of the release
    "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true",
]  # fmt: skip
READY_TIMEOUT_S = 120
PR_SET_PDEATHSIG = 1
STANDS_STILL = {"broker.session.timeout.ms": "3600000"}
"""For a Kafka that is frozen between runs. Never for one that is killed: it could not register
again before its old session ends."""
UNLIMITED = str(2**63 - 1)
RELAXED = {"flush.messages": UNLIMITED, "flush.ms": UNLIMITED}
DURABLE = {"flush.messages": "1", "flush.ms": UNLIMITED}
OURS = {  # Kafka's are in server.properties
    "log.segment.delete.delay.ms": "100",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.assignment.interval.ms": "0",
    "log.cleaner.backoff.ms": "100",
}
SETTINGS_TOLD = {
    "flush.messages", "flush.ms", "segment.bytes", "message.timestamp.type", "compression.type",
    "index.interval.bytes", "min.insync.replicas", "max.message.bytes", "num.io.threads",
    "num.network.threads", "socket.send.buffer.bytes", "socket.receive.buffer.bytes",
    "log.segment.bytes", "log.flush.interval.messages", "log.flush.interval.ms",
    "log.flush.scheduler.interval.ms", "log.segment.delete.delay.ms", "message.max.bytes",
    "num.recovery.threads.per.data.dir", "broker.session.timeout.ms", "node.id",
}  # fmt: skip


class SetupError(Exception):
    """Something this machine lacks, or a server that does not start; says how to mend it."""


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process with its data directory."""

    name = "server"

    def __init__(self, directory: Path) -> None:
        """`directory` holds the data and the logs of this server and is made here."""
        self.directory = directory
        self.address = ("127.0.0.1", free_port())
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment."""
        raise NotImplementedError

    def version(self) -> str:
        """Version for the report."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Whatever a fresh data directory needs before its first start."""

    def start(self, topic: str | None = None) -> float:
        """Start; returns the seconds from spawn to the first answer (about `topic`, if named)."""
        self.prepare()
        command, environment = self.command()
        began = time.monotonic()
        with open(self.directory / "output.log", "ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.directory, env=os.environ | environment, start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread runs here
            )  # fmt: skip
        while True:
            try:
                with control(self.address) as link:
                    link.api_versions()
                    if topic:
                        link.wait_for(topic, 0, READY_TIMEOUT_S)
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.002)
            if self.process.poll() is not None or time.monotonic() - began > READY_TIMEOUT_S:
                raise SetupError(f"{self.name} did not start:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        text = (self.directory / "output.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def pids(self) -> list[int]:
        """The server's processes."""
        assert self.process is not None, "not started"
        return tree(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        for pid in self.pids():
            os.kill(pid, number)

    def freeze(self) -> None:
        """Stand still: no CPU for the other side's runs."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on, and wait until timers that ran out meanwhile are worked off."""
        self.signal(signal.SIGCONT)
        with control(self.address) as link:
            link.api_versions()
        time.sleep(0.3)

    def stop(self) -> float:
        """Clean stop; returns the seconds it took."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9 of every process."""
        assert self.process is not None, "not started"
        self.signal(signal.SIGKILL)
        self.process.wait()

    def settings(self) -> dict[str, str | None]:
        """Effective broker settings that matter here."""
        with control(self.address) as link:
            return told(link, BROKER, str(link.node_id()))


def told(link: Control, kind: int, name: str) -> dict[str, str | None]:
    """The settings of a topic or broker that the report shows; never a path."""
    found = link.configs(kind, name)
    return {key: found[key] for key in sorted(found) if key in SETTINGS_TOLD}


class Logserver(Server):
    """Ours, from a checkout: the one this file lies in, or a work tree of another commit."""

    name = "logserver"

    def __init__(self, directory: Path, checkout: Path, settings: dict[str, str]) -> None:
        """`settings` become --set options."""
        super().__init__(directory)
        self.checkout = checkout
        self.extra = settings

    def command(self) -> tuple[list[str], dict[str, str]]:
        """`python -m logserver.cli serve`, the checkout in front of whatever is installed."""
        host, port = self.address
        settings = OURS | self.extra
        options = [f"--set={key}={value}" for key, value in settings.items()]
        command = [
            sys.executable, "-m", "logserver.cli", "serve", "--data-dir", str(self.data),
            "--listen", f"{host}:{port}", "--http", f"{host}:0", *options,
        ]  # fmt: skip
        roots = [str(self.checkout), str(self.checkout / "protocol")]
        # An installed server has its bytecode beside it: so has this one from its second start on,
        # also where the caller's environment forbids to write it.
        return command, {"PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": ""}

    def version(self) -> str:
        """What `logserver --version` says."""
        _, environment = self.command()
        found = subprocess.run(
            [sys.executable, "-m", "logserver.cli", "--version"], env=os.environ | environment,
            cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return found.stdout.strip() or "unknown"


class Kafka(Server):
    """Apache Kafka, one KRaft broker, the release's own defaults."""

    name = "kafka"

    def __init__(self, directory: Path, libraries: Path, settings: dict[str, str]) -> None:
        """`libraries` is what `install_kafka` returned; `settings` are appended to the file."""
        super().__init__(directory)
        self.libraries = libraries
        self.extra = settings
        self.controller_port = free_port()

    def java(self, *arguments: str) -> list[str]:
        """A JVM with Kafka's class path and the release's options."""
        logging = [
            f"-Dlog4j2.configurationFile={HERE / 'kafka' / 'log4j2.yaml'}",
            f"-Dkafka.logs.dir={self.directory}",
        ]
        return [java(), *JVM_OPTIONS, *logging, "-cp", f"{self.libraries}/*", *arguments]

    def prepare(self) -> None:
        """Write the settings; format the storage of a fresh directory."""
        host, port = self.address
        controller = self.controller_port
        settings = {
            "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{host}:{port}",
            "controller.quorum.bootstrap.servers": f"{host}:{controller}",
            "log.dirs": str(self.data),
        } | self.extra
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        text = (HERE / "kafka" / "server.properties").read_text()
        (self.directory / "server.properties").write_text(text + "".join(lines))
        if (self.data / "meta.properties").exists():
            return
        command = self.java(
            "-Xmx256M", "kafka.tools.StorageTool", "format", "--standalone",
            "-t", "cGVyZi1sb2dzZXJ2ZXItMA", "-c", "server.properties",
        )  # fmt: skip
        done = subprocess.run(command, cwd=self.directory, capture_output=True, check=False)
        if done.returncode:
            raise SetupError(f"kafka format failed:\n{done.stdout.decode()}{done.stderr.decode()}")

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The broker with the heap of the release's start script."""
        return self.java(*KAFKA_HEAP, "kafka.Kafka", "server.properties"), {}

    def version(self) -> str:
        """Kafka's and the JVM's version."""
        found = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
        return f"Apache Kafka {KAFKA_VERSION}, {found.stderr.splitlines()[0]}"


def end_with_parent() -> None:
    """In the child: die with the process that measures, standing still or not."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def java() -> str:
    """The JVM; raises SetupError."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if not found:
        raise SetupError("Apache Kafka needs Java 17 or newer: install a JRE or set JAVA_HOME")
    return found


def install_kafka() -> Path:
    """Fetch the broker's jars with Maven, once, where the tests have them too; the folder."""
    peer = HERE.parent / "tools" / "peers" / "kafka"
    libraries = peer / "libs"
    if not (libraries / ".complete").exists():
        if not shutil.which("mvn"):
            raise SetupError(
                "--against kafka installs Apache Kafka with Maven: install maven (mvn)"
            )
        print(f"installing Apache Kafka {KAFKA_VERSION} with Maven ...", flush=True)
    done = subprocess.run([str(peer / "install.sh")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"maven failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return libraries
