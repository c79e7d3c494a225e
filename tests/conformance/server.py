"""The server under test: the installed command on a free port, with the settings suites need.

`SETTINGS`: the suites were written for three brokers, ask for that many copies, and some want the
first broker to be number 0.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.cache import ROOT
from tests.server_process import ServerProcess

SETTINGS = {"logserver.replication.factor.max": "3", "node.id": "0"}
SERVER_ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}",
    "PYTHONDONTWRITEBYTECODE": "",  # as an installation has it: a start is twice as fast
}


def server_words() -> list[str]:
    """The command of a fresh server; `{dir}` stands for its directory, settings may follow."""
    words = [sys.executable, "-m", "logserver.cli", "serve", "--http", "off"]
    words += ["--data-dir", "{dir}/data", "--runtime-dir", "{dir}/run", "--listen", "localhost:0"]
    for key, value in SETTINGS.items():
        words += ["-c", f"{key}={value}"]
    return words


@contextmanager
def fresh_server(settings: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """A server on an empty directory, for one suite or one test."""
    with tempfile.TemporaryDirectory(prefix="conformance") as directory:
        path = Path(directory)
        arguments = ["--runtime-dir", str(path / "run")]
        with ServerProcess(
            path / "data", {**SETTINGS, **(settings or {})}, arguments=arguments
        ) as server:
            yield server
