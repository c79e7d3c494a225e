"""kafka-python's integration tests, which its source distribution on PyPI carries.

They take a broker that already runs by KAFKA_URI. TLS and SASL tests decline then.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import junit_xml
from tests.conformance.cache import installed
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.process import must, run
from tests.conformance.server import fresh_server

TITLE = "kafka-python's integration tests"
VERSION = "3.0.12"
STAND_IN = Path(__file__).with_name("service.py")
SPEAKS = "4.3.1"
# What its own fixture starts Kafka with.
SETTINGS = {
    "num.partitions": "4",
    "offsets.topic.num.partitions": "2",
    "group.min.session.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
}
SMOKE = "test_producer_integration.*"
TIMEOUT_S = 1500.0
TEST_TIMEOUT_S = 120
INSTALL_TIMEOUT_S = 600.0


def versions() -> dict[str, str]:
    """The source distribution."""
    return {"kafka-python": VERSION}


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """All of it against one server."""
    place = installed("kafka_python", VERSION + STAND_IN.read_text(), install)
    sources = place / f"kafka_python-{VERSION}"
    glob = SMOKE if selection.smoke else selection.only
    file, _, name = glob.partition(".")
    where = "test/integration" + ("" if "*" in file else f"/{file}.py")
    where += f"::{name}" if name and "*" not in name else ""
    words = [str(place / "venv/bin/python"), "-m", "pytest", "-q", where, "-p", "no:cacheprovider"]
    words += [f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={place / 'report.xml'}"]
    with fresh_server(SETTINGS) as server:
        # Its fixture gives this setting too, and a test looks for it; the port had to be known.
        server.stop()
        server.settings["advertised.listeners"] = f"PLAINTEXT://{server.bootstrap}"
        server.start()
        environment = {
            "KAFKA_URI": f"kafka://{server.bootstrap}",
            "KAFKA_VERSION": SPEAKS,
            "KAFKA_ROOT": str(place),  # only has to exist
            "PYTHONPATH": "",
        }
        log = place / "output.txt"
        done = run(words, timeout_s=TIMEOUT_S, folder=sources, environment=environment, log=log)
    if done.code is None:
        yield Outcome("<run>", "failed", done.tail())
        return
    yield from (one for one in junit_xml.read(place / "report.xml") if selection.takes(one.test))


def install(place: Path) -> None:
    """The source distribution, unpacked, and an environment with what its tests import."""
    fetch = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", "kafka-python"]
    must(
        [sys.executable, *fetch, f"kafka-python=={VERSION}", "-d", str(place)],
        timeout_s=INSTALL_TIMEOUT_S,
    )
    with tarfile.open(place / f"kafka_python-{VERSION}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    # The archive left both out; without the first Python's own package `test` is found.
    tests = place / f"kafka_python-{VERSION}" / "test"
    (tests / "__init__.py").touch()
    shutil.copy(STAND_IN, tests / "service.py")
    must([sys.executable, "-m", "venv", str(place / "venv")], timeout_s=INSTALL_TIMEOUT_S)
    packages = ["pytest", "pytest-timeout", "pytest-mock", "lz4", "zstandard", "python-snappy"]
    must([str(place / "venv/bin/pip"), "install", "-q", *packages], timeout_s=INSTALL_TIMEOUT_S)
