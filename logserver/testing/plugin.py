"""The pytest fixtures: `broker`, `start_broker`, `broker_settings`.

Found by pytest itself once logserver is installed (entry point `pytest11`); where plugins are not
loaded automatically, `pytest_plugins = ["logserver.testing.plugin"]` in a `conftest.py` does it.
A test that fails shows the log of its brokers beside its own output.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from logserver.testing import Broker

    StartBroker = Callable[..., Broker]

BROKERS = pytest.StashKey[list["Broker"]]()


@pytest.fixture
def broker_settings() -> Mapping[str, object]:
    """Configuration of the brokers of a test, by Kafka's names; to be overridden."""
    return {}


@pytest.fixture
def start_broker(
    tmp_path: Path, request: pytest.FixtureRequest, broker_settings: Mapping[str, object]
) -> Iterator[StartBroker]:
    """Start one more broker: `start_broker(settings, name="second")`; all end with the test."""
    from logserver.testing import Broker  # not before a test wants it: every session loads this

    started = request.node.stash.setdefault(BROKERS, [])

    def start(settings: Mapping[str, object] | None = None, *, name: str = "") -> Broker:
        name = name or f"broker-{len(started) + 1}"
        one = Broker(tmp_path / name, {**broker_settings, **(settings or {})})
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.close()


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    """A fresh server for this test: `broker.bootstrap` is its address."""
    return start_broker()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the brokers of a failed test had to say."""
    report = yield
    if report.failed:
        for one in item.stash.get(BROKERS, []):
            report.sections.append((f"Log of {one.data_dir.name}", one.log()))
    return report
