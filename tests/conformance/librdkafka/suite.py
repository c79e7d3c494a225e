"""librdkafka's own test runner: the tests of it that talk to a broker.

Its sources with all tests travel inside the crate `rdkafka-sys`, from where they are taken and
compiled. Each test file runs by itself against one server; the tests that need no broker (`-L`) are
left out. The suite runs as its maintainers run it in CI: quick mode, without the socket emulator.

A few tests make topics with Kafka's own shell script: `topics.py` stands in for it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.cache import ROOT, installed
from tests.conformance.outcome import Outcome, Selection, Status
from tests.conformance.process import must, run
from tests.conformance.server import fresh_server

TITLE = "librdkafka's test suite"
CRATE = "4.10.0+2.12.1"
SPEAKS = "3.9.0"
# What its maintainers call the smoke, less the two files that need no broker.
SMOKE = ("0001", "0012", "0017", "0022", "0030", "0039", "0049", "0087", "0103")
PROTOCOLS = ("classic", "consumer")
# The files whose consumers are members of groups: they run once for each protocol. Not 0118, which
# takes for granted that the consumer made first joins first; with quick answers the second one does
# (librdkafka asks once more for the coordinator when it drops its bootstrap connection).
GROUP_FILES = (
    *("0018", "0022", "0026", "0029", "0030", "0033", "0045", "0050", "0056", "0084", "0089"),
    *("0091", "0102", "0106", "0113", "0116", "0120", "0122", "0130", "0137", "0153"),
)
# What its scenario "default" asks of a broker.
SETTINGS = {"num.partitions": "4", "auto.create.topics.enable": "true"}
FILE_TIMEOUT_S = 240.0
INSTALL_TIMEOUT_S = 1200.0
ROW = re.compile(r"\| (\w+) +\| +(PASSED|FAILED|SKIPPED) \| +([0-9.]+)s")
STATES: dict[str, Status] = {"PASSED": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
BROKEN = re.compile(r'### Test "(\d{4}_\w+)')
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def versions() -> dict[str, str]:
    """The crate's version says librdkafka's behind the plus sign."""
    return {"librdkafka": CRATE.partition("+")[2], "rdkafka-sys": CRATE}


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """Each selected file in turn, all of them against one server."""
    place = installed("librdkafka", CRATE, install)
    tests = place / "librdkafka/tests"
    numbers = sorted({path.name[:4] for path in tests.glob("0[0-9][0-9][0-9]-*.c*")})
    for number in SMOKE if selection.smoke else numbers:
        if not (selection.smoke or selection.only == "*" or selection.only.startswith(number)):
            continue
        for protocol in PROTOCOLS if number in GROUP_FILES else PROTOCOLS[:1]:
            outcomes = run_file(tests, number, protocol)
            yield from (one for one in outcomes if selection.smoke or selection.takes(one.test))


def run_file(tests: Path, number: str, protocol: str) -> Iterator[Outcome]:
    """One file against a fresh server: what one test leaves behind must not fail another.

    Tests of the consumer protocol (KIP-848) have `@consumer` behind their names.
    """
    suffix = "" if protocol == PROTOCOLS[0] else f"@{protocol}"
    with tempfile.TemporaryDirectory() as directory, fresh_server(SETTINGS) as server:
        configuration = Path(directory) / "test.conf"
        configuration.write_text(f"bootstrap.servers={server.bootstrap}\n")
        environment = {
            "TESTS": number,
            "TEST_CONSUMER_GROUP_PROTOCOL": protocol,
            "RDKAFKA_TEST_CONF": str(configuration),
            "TEST_KAFKA_VERSION": SPEAKS,
            "LD_LIBRARY_PATH": "../src:../src-cpp",
            "KAFKA_PATH": str(stand_in(Path(directory))),
            "BROKERS": server.bootstrap,
        }
        log = tests.parent.parent / f"{number}{suffix}.txt"
        words = ["./test-runner", "-p1", "-Q", "-E", "-L", "-K"]
        done = run(words, timeout_s=FILE_TIMEOUT_S, folder=tests, environment=environment, log=log)
    outcomes = list(parse(done.output))
    if done.code is None or (done.code != 0 and not outcomes):
        # It broke off without its summary, as it does when a test leaves threads behind.
        name = BROKEN.search(done.output)
        outcomes = [Outcome(name[1] if name else number, "failed", done.tail(300))]
    yield from (one._replace(test=one.test + suffix) for one in outcomes)


def parse(output: str) -> Iterator[Outcome]:
    """The rows of the runner's summary; its first complaint stands for the reason."""
    text = COLOUR.sub("", output)
    for name, state, seconds in ROW.findall(text):
        complaint = re.search(
            rf"\[{name} .*?\] (.*(?:fail|expected|assert).*)", text, re.IGNORECASE
        )
        message = complaint.group(1) if complaint and state == "FAILED" else ""
        yield Outcome(name, STATES[state], message, float(seconds))


def stand_in(directory: Path) -> Path:
    """A folder with the one script of Kafka's that a few tests call."""
    script = directory / "bin/kafka-topics.sh"
    script.parent.mkdir()
    command = f"{sys.executable} -m tests.conformance.librdkafka.topics"
    script.write_text(f'#!/bin/sh\ncd {ROOT} && PYTHONPATH=protocol exec {command} "$@"\n')
    script.chmod(0o755)
    return directory


def install(place: Path) -> None:
    """The crate's sources, compiled without optimization: the tests wait, they do not compute."""
    package = '[package]\nname = "carrier"\nversion = "0.0.0"\n'
    manifest = f'{package}\n[dependencies]\nrdkafka-sys = "={CRATE}"\n'
    (place / "src").mkdir()
    (place / "src/lib.rs").touch()
    (place / "Cargo.toml").write_text(manifest)
    must(["cargo", "vendor", "-q", "vendor"], timeout_s=INSTALL_TIMEOUT_S, folder=place)
    sources = place / "librdkafka"
    shutil.move(place / "vendor/rdkafka-sys/librdkafka", sources)
    shutil.rmtree(place / "vendor")
    configure = ["bash", "configure", "--disable-gssapi", "--disable-optimization"]
    for folder, words in (
        (sources, configure),
        (sources / "src", ["make", "-j2"]),
        (sources / "src-cpp", ["make", "-j2"]),
        (sources / "tests", ["make", "-j2", "build"]),
    ):
        must(words, timeout_s=INSTALL_TIMEOUT_S, folder=folder)
