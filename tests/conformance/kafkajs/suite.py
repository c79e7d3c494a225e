"""kafkajs, the pure JavaScript client, in a small program of ours: it knows old versions only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import check_lines
from tests.conformance.cache import installed
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.process import must
from tests.conformance.server import fresh_server

TITLE = "kafkajs"
HERE = Path(__file__).parent
TIMEOUT_S = 240.0
INSTALL_TIMEOUT_S = 300.0


def versions() -> dict[str, str]:
    """What package.json asks for."""
    dependencies = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {name: str(version) for name, version in dependencies.items()}


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """The program's checks against one server."""
    manifest, program = HERE / "package.json", HERE / "main.mjs"
    place = installed("kafkajs", manifest.read_text() + program.read_text(), install)
    with fresh_server() as server:
        words = ["node", str(place / "main.mjs"), server.bootstrap]
        outcomes = check_lines.run_program("kafkajs", words, TIMEOUT_S, place / "output.txt")
    yield from (one for one in outcomes if selection.smoke or selection.takes(one.test))


def install(place: Path) -> None:
    """The program beside its node_modules, as the module loader wants it."""
    for name in ("package.json", "main.mjs"):
        shutil.copy(HERE / name, place)
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    must(words, timeout_s=INSTALL_TIMEOUT_S, folder=place)
