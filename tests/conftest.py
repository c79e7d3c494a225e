"""Fixtures every test may use: a real server, the tools of other projects, the length of a run.

server          a fresh `logserver serve` on an empty directory, ended after the test
start_server    a factory of such servers: settings, directories, restarts
kafka_bootstrap `host:port` of one server shared by a whole module of client tests
full            True when the long form was asked for (`make crash`): all loops, all cuts
require_tool    the path of a program, or a skip (a failure when REQUIRE_ALL=1)
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.server_process import ServerProcess

# A deadline per example measures the machine, and CI machines stall. Seeds are printed on failure.
settings.register_profile("logserver", deadline=None, print_blob=True)
settings.load_profile("logserver")


# `nohup make test &` ignores Ctrl-C, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

HEAVY = ("simulation", "crash", "compat")
"""The markers of what is not a plain test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: the long form of simulation and crash tests."""
    parser.addoption("--full", action="store_true", help="all kill loops, power cuts, bytes, bits")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Plain tests share the cores; where a heavy kind is among them, one test has the machine."""
    plain = all(f"not {kind}" in config.option.markexpr for kind in HEAVY)
    return len(os.sched_getaffinity(0)) if plain else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Benchmarks or tests, never both: deselected, not skipped. `make bench` runs the former."""
    timed = {item for item in items if "benchmark" in getattr(item, "fixturenames", ())}
    if config.getoption("benchmark_skip"):
        unwanted = timed
    elif config.getoption("benchmark_only"):
        unwanted = set(items) - timed
    else:
        return
    config.hook.pytest_deselected(items=[item for item in items if item in unwanted])
    items[:] = [item for item in items if item not in unwanted]


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to run the long form of a test; the short form is part of every `make test`."""
    return bool(request.config.getoption("--full"))


def missing(what: str) -> None:
    """Skip because a program is not there, or fail when CI promised that it is."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1 but {what} is missing", pytrace=False)
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """A function from a program's name to its path; skips the test where it is not installed."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            missing(name)
        assert path is not None
        return path

    return require


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start a server with `settings` (a dict of Kafka's keys) on `tmp_path/name`; many may run."""
    running: list[ServerProcess] = []

    def start(
        settings: dict[str, str] | None = None, *, name: str = "data", **options: object
    ) -> ServerProcess:
        process = ServerProcess(tmp_path / name, settings, **options)  # type: ignore[arg-type]
        running.append(process)
        return process.start()

    yield start
    for process in running:
        process.close()


@pytest.fixture
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """A fresh server with default settings."""
    return start_server()


@pytest.fixture(scope="module")
def kafka_bootstrap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a server shared by a module's tests; each test uses a topic of its own.

    The module's SERVER_SETTINGS, if it has any, are the server's.
    """
    given = os.environ.get("LOGSERVER_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    settings = getattr(request.module, "SERVER_SETTINGS", None)
    with ServerProcess(tmp_path_factory.mktemp("shared") / "data", settings) as process:
        yield process.bootstrap
