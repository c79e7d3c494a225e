"""Real clients and tools, installed by the tests themselves, and records that they carry around.

Everything here also runs against Apache Kafka: set `LOGSERVER_TEST_BOOTSTRAP` to its address.
"""

from __future__ import annotations

import fcntl
import gc
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compat.records import Records

ROOT = Path(__file__).resolve().parent.parent.parent
PEER = ROOT / "tools/peers/kafka"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOOL_TIMEOUT_S = 120.0  # a JVM on a busy machine of two cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a compat test; a warning inside a client is not ours to mend."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.compat)
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what a client left open here, where its warnings are ignored, not in a later test."""
    yield
    gc.collect()


@pytest.fixture
def topic() -> str:
    """A topic name that nobody used before; it comes into being by auto-creation."""
    return f"compat-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def records() -> Records:
    """Keys, values, headers and timestamps with their awkward members."""
    return Records()


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> str:
    """Each of Kafka's codecs in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def kafka_jars(require_tool: Callable[[str], str]) -> str:
    """Class path of Apache Kafka's Java tools, installed from Maven on the first use."""
    require_tool("java")
    PEER.mkdir(parents=True, exist_ok=True)
    with (PEER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (PEER / "libs/.complete").exists():
            require_tool("mvn")
        subprocess.run([str(PEER / "install.sh")], check=True, timeout=600)
    return str(PEER / "libs/*")


@pytest.fixture(scope="session")
def java(kafka_jars: str) -> Callable[..., str]:
    """Run a class of Kafka's and return its standard output; a failure shows both outputs."""

    def run(name: str, *arguments: str, check: bool = True) -> str:
        config = PEER / "config/tools-log4j2.yaml"
        words = ["java", "-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        words += [f"-Dlog4j2.configurationFile={config}", "-cp", kafka_jars, name, *arguments]
        result = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=TOOL_TIMEOUT_S,
            check=False,
        )
        if check and result.returncode != 0:
            pytest.fail(f"{name} gave {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result.stdout + result.stderr

    return run


@pytest.fixture
def only_ours() -> None:
    """Skip what looks into the server's own files when another server is under test."""
    if os.environ.get("LOGSERVER_TEST_BOOTSTRAP"):
        pytest.skip("LOGSERVER_TEST_BOOTSTRAP names another server")
