"""Apache Kafka's own integration tests, unmodified, from its published test jars.

JUnit finds them, a class of ours takes the place of the one that would start Kafka
(`src/.../RaftClusterInvocationContext.java`), and each test gets a fresh server process. The same
tests run against Apache Kafka behind the same door (`python -m tests.conformance kafka_java
--kafka`): what fails there as well looks into broker objects, or needs several brokers, and may
stand in known.toml.

A test's id is `Class.method[n]`; n counts the configurations that the test asks for (group
protocol, KRaft flavour, ...).
"""

from __future__ import annotations

import itertools
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance.cache import installed
from tests.conformance.known import escaped
from tests.conformance.outcome import Outcome, Selection, Status
from tests.conformance.process import must, run
from tests.conformance.server import SERVER_ENVIRONMENT, server_words

TITLE = "Apache Kafka's own integration tests"
HERE = Path(__file__).parent
CLASS_TIMEOUT_S = 1500.0
TEST_TIMEOUT_S = 60  # a test that hangs costs this; Kafka's own waits are 15 to 30 s
INSTALL_TIMEOUT_S = 900.0
JVM = ("-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
CONFIGURATION = {
    "junit.jupiter.extensions.autodetection.enabled": "true",
    "junit.jupiter.execution.timeout.thread.mode.default": "SEPARATE_THREAD",
    "junit.jupiter.execution.timeout.testtemplate.method.default": f"{TEST_TIMEOUT_S}s",
}
STATES: dict[str, Status] = {"SUCCESSFUL": "passed", "FAILED": "failed", "ABORTED": "skipped"}
FEED = re.compile(
    r"JUnit Jupiter > (\w+) > (\w+)\(.*?\)(?: > .*?\[(\d+)\].*)? :: "
    r"(STARTED|SUCCESSFUL|FAILED|ABORTED)"
)


def versions() -> dict[str, str]:
    """What the pom asks for."""
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    kafka = ET.parse(HERE / "pom.xml").findtext("m:properties/m:kafka", "", namespace)
    return {"Apache Kafka": kafka}


def classes() -> dict[str, str]:
    """The classes to run: short name to full name."""
    table = tomllib.loads((HERE / "classes.toml").read_text())["run"]
    return {name: f"{package}.{name}" for package, names in table.items() for name in names}


def smoke() -> list[str]:
    """Globs of the quick tests that run on every push."""
    text = (HERE / "smoke.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def run_suite(selection: Selection, *, kafka: bool = False) -> Iterator[Outcome]:
    """Run the selected tests, one JVM a class; `kafka` runs them against Apache Kafka instead."""
    place = installation()
    if selection.smoke:
        yield from run_classes(place, smoke(), kafka=kafka)
        return
    class_glob, _, method_glob = selection.only.partition(".")
    for name in classes():
        if fnmatchcase(name, class_glob):
            glob = f"{name}.{method_glob or '*'}"
            yield from run_classes(place, [glob], kafka=kafka)


def run_classes(place: Path, globs: list[str], *, kafka: bool) -> Iterator[Outcome]:
    """One JVM for the tests that match these globs of ids."""
    names = dict.fromkeys(glob.partition(".")[0] for glob in globs)
    words = [*launcher(place), "--details=testfeed", "--disable-ansi-colors", "--disable-banner"]
    for key, value in CONFIGURATION.items():
        words += ["--config", f"{key}={value}"]
    for name in names:
        words += ["-c", classes()[name]]
    for glob in globs:
        words += ["--include-methodname", method_pattern(glob)]
    logs = place / "logs"
    logs.mkdir(exist_ok=True)
    environment = {
        "CONFORMANCE_SERVER": " ".join(reference(place) if kafka else server_words()),
        "CONFORMANCE_LOGS": str(logs),
        **SERVER_ENVIRONMENT,
    }
    log = logs / f"{'kafka-' if kafka else ''}{'-'.join(names)[:100]}.txt"
    done = run(words, timeout_s=CLASS_TIMEOUT_S, environment=environment, folder=place, log=log)
    outcomes = list(parse(done.output))
    if not outcomes or done.code is None:
        yield Outcome(f"{'+'.join(names)}.<run>", "failed", done.tail())
    yield from (one for one in outcomes if any(fnmatchcase(one.test, escaped(g)) for g in globs))


def method_pattern(glob: str) -> str:
    """The pattern of full method names (`package.Class#method`) behind a glob of ids."""
    name, _, method = glob.partition(".")
    method = method.partition("[")[0]
    return re.escape(f"{classes()[name]}#") + re.escape(method).replace(r"\*", ".*")


def parse(feed: str) -> Iterator[Outcome]:
    """The outcomes in the output of JUnit's test feed; a test that never ended has failed."""
    started: dict[str, None] = {}
    lines = feed.splitlines()
    for number, line in enumerate(lines):
        match = FEED.fullmatch(line)
        if match is None:
            continue
        name, method, index, state = match.groups()
        test = f"{name}.{method}" + (f"[{index}]" if index else "")
        started[test] = None
        if state != "STARTED":
            del started[test]
            why = reason(lines[number + 1 :]) if state != "SUCCESSFUL" else ""
            yield Outcome(test, STATES[state], why)
    for test in started:
        yield Outcome(test, "failed", "did not end")


def reason(lines: list[str]) -> str:
    """The first line of the exception behind a FAILED line."""
    said = itertools.takewhile(lambda line: not line.startswith("JUnit"), lines)
    return next((line.strip() for line in said if line.strip()), "")


def installation() -> Path:
    """The folder with the jars in `lib`, and our classes compiled into `out` beside them."""
    place = installed("kafka_java", (HERE / "pom.xml").read_text(), install)
    sources = sorted((HERE / "src").rglob("*.java"))
    recipe = "".join(path.read_text() for path in sources)

    def compile_into(folder: Path) -> None:
        # The compiler's module, because a headless runtime has it without the command `javac`.
        words = ["java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-nowarn", "-proc:none"]
        words += ["-cp", jars(place), "-d", str(folder), *(str(path) for path in sources)]
        must(words, timeout_s=INSTALL_TIMEOUT_S)

    installed("kafka_java/out", recipe, compile_into)
    return place


def install(place: Path) -> None:
    """Bring the jars."""
    words = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    more = ["-DincludeScope=test", f"-DoutputDirectory={place / 'lib'}"]
    must([*words, *more], timeout_s=INSTALL_TIMEOUT_S)


def jars(place: Path) -> str:
    """A class path of all jars; the launcher's, which holds all of JUnit once more, stands last."""
    found = sorted((place / "lib").glob("*.jar"), key=lambda jar: "standalone" in jar.name)
    return ":".join(str(jar) for jar in found)


def launcher(place: Path) -> list[str]:
    """JUnit's console launcher; our classes stand before Kafka's of the same name."""
    path = f"{place / 'out'}:{jars(place)}"
    return ["java", *JVM, "-cp", path, "org.junit.platform.console.ConsoleLauncher", "execute"]


def reference(place: Path) -> list[str]:
    """The command of Apache Kafka with one broker, as we are one: what we are compared with."""
    return ["java", *JVM, "-cp", f"{place / 'out'}:{place / 'lib'}/*", "ReferenceCluster"]
