"""Go clients, each in a small program of ours: franz-go, sarama, kafka-go.

A program does what its users do (produce with every codec, read in a group, administer) against a
fresh server and prints a line for each check. `go` brings the modules that go.mod names.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import check_lines
from tests.conformance.cache import installed
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.process import must
from tests.conformance.server import fresh_server

TITLE = "Go clients: franz-go, sarama, kafka-go"
HERE = Path(__file__).parent
PROGRAMS = ("franz-go", "sarama", "kafka-go")
TIMEOUT_S = 240.0
INSTALL_TIMEOUT_S = 900.0


def versions() -> dict[str, str]:
    """What go.mod asks for."""
    found = re.findall(r"github.com/\w+/([\w-]+) v(\S+)", (HERE / "go.mod").read_text())
    return dict(found)


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """Each program against a server of its own."""
    place = installed("go_clients", recipe(), install)
    for program in PROGRAMS:
        if selection.smoke or selection.only == "*" or selection.only.startswith(program):
            with fresh_server() as server:
                words = [str(place / "bin" / program), server.bootstrap]
                log = place / f"{program}.txt"
                outcomes = check_lines.run_program(program, words, TIMEOUT_S, log)
            yield from (one for one in outcomes if selection.smoke or selection.takes(one.test))


def recipe() -> str:
    """What the programs are built from."""
    sources = [HERE / "go.mod", *sorted(HERE.rglob("*.go"))]
    return "".join(path.read_text() for path in sources)


def install(place: Path) -> None:
    """Build in a copy, because the build writes go.sum; modules and objects stay in the cache."""
    sources = place / "sources"
    shutil.copytree(HERE, sources, ignore=shutil.ignore_patterns("*.py", "*.toml", "__pycache__"))
    environment = {
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOPATH": str(place / "modules"),
        "GOCACHE": str(place / "objects"),
        "GOTOOLCHAIN": "local",
    }
    (place / "bin").mkdir()
    words = ["go", "build", "-o", f"{place / 'bin'}/", "./..."]
    must(words, timeout_s=INSTALL_TIMEOUT_S, folder=sources, environment=environment)
