"""What Dockerfile and compose.yaml say to the server, said to a server here.

No container runtime is needed: the words of CMD and of the compose file are taken from the files,
only paths and ports are replaced. How an image was built and run, and what it used, is recorded in
docs/container.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent


class Words(ServerProcess):
    """A server whose command line comes from somewhere else."""

    words: list[str]

    def command(self) -> list[str]:
        """The interpreter of the tests, then the words."""
        return [*super().command()[:3], *self.words]


def replaced(words: list[str], data_dir: Path) -> list[str]:
    """The same words for a directory of the test, free ports and the loopback."""
    text = json.dumps(words).replace("/data", str(data_dir))
    text = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", text)
    return [str(word) for word in json.loads(text)]


def dockerfile_command() -> list[str]:
    """The CMD of the server's stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    found = re.search(r'^CMD (\["serve".*\])$', text, re.MULTILINE)
    assert found
    words: list[str] = json.loads(found[1])
    return words


def compose_text() -> str:
    """The compose file."""
    return (ROOT / "compose.yaml").read_text()


def compose_command() -> list[str]:
    """The command of the service `logserver`, a list of plain lines."""
    found = re.search(r"    command:\n((?:      - .*\n)+)", compose_text())
    assert found
    return [line.strip().removeprefix("- ") for line in found[1].splitlines()]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Words]:
    """Not started yet: the test gives it words."""
    with_words = Words(tmp_path / "data")
    yield with_words
    with_words.close()


def told_address(address: tuple[str, int]) -> str:
    """The address of the one broker in the Metadata of this listener."""
    admin = AdminClient({"bootstrap.servers": f"{address[0]}:{address[1]}"})
    (broker,) = admin.list_topics(timeout=10).brokers.values()
    return f"{broker.host}:{broker.port}"


def test_the_image_runs_what_the_readme_promises(process: Words) -> None:
    """Listens everywhere, tells clients localhost:9092, stops cleanly on SIGTERM."""
    words = dockerfile_command()
    assert words[words.index("--listen") + 1] == "0.0.0.0:9092"
    assert words[words.index("--http") + 1] == "0.0.0.0:8080"
    process.words = replaced(words, process.data_dir)
    process.start()
    assert told_address(process.kafka_address) == "localhost:9092"
    assert process.stop() == 0


def test_compose_tells_each_side_its_own_address(process: Words) -> None:
    """The listener for the host says localhost, the one for containers says logserver."""
    process.words = replaced(compose_command(), process.data_dir)
    process.start()
    told = [told_address(address) for address in process.kafka_addresses]
    assert told == ["localhost:9092", "logserver:29092"]
    assert process.stop() == 0


def test_both_files_name_the_same_ports() -> None:
    """What is exposed is what is published, and published on the loopback only."""
    exposed = re.search(r"^EXPOSE (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert exposed
    published = re.findall(r"^      - (\S+):(\d+):(\d+)$", compose_text(), re.MULTILINE)
    assert {address for address, _, _ in published} == {"127.0.0.1"}
    assert set(exposed[1].split()) <= {inside for _, _, inside in published}
