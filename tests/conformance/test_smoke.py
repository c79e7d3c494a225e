"""The smoke: the quick part of each suite, on every push, in a few minutes.

What takes minutes to compile (librdkafka, the Go clients) runs here only where `make conformance`
has put it into the cache. Whatever a program is missing for is skipped, but not in CI
(`REQUIRE_ALL=1`), where Java and maven are a must.
"""

from __future__ import annotations

import faulthandler
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import cache
from tests.conformance.__main__ import outcomes_of
from tests.conformance.known import judge, load
from tests.conformance.outcome import Selection
from tests.conformance.suites import SUITES

HERE = Path(__file__).parent
NEEDS = {"kafka_java": ("java", "mvn"), "kafka_tools": ("java", "mvn")}
NEEDS_IF_THERE = {"kafkajs": ("node", "npm")}
CACHED_ONLY = ("librdkafka", "go_clients")


@pytest.mark.compat
@pytest.mark.parametrize("name", [name for name in SUITES if name != "connect"])
def test_the_quick_part_of_a_suite_is_green(name: str, require_tool: Callable[[str], str]) -> None:
    """Nothing outside known.toml fails, nothing in it passes."""
    for tool in NEEDS.get(name, ()):
        require_tool(tool)
    if any(shutil.which(tool) is None for tool in NEEDS_IF_THERE.get(name, ())):
        pytest.skip(f"needs {' and '.join(NEEDS_IF_THERE[name])}")
    if name in CACHED_ONLY and not cache.is_installed(name):
        pytest.skip("takes minutes to compile: make conformance does")
    faulthandler.cancel_dump_traceback_later()  # pytest's, after a minute: a suite takes longer
    outcomes = outcomes_of(SUITES[name], Selection(smoke=True), kafka=False, again=True)
    verdict = judge(outcomes, load(HERE / name))
    assert verdict.green, (verdict.failed, verdict.unexpected)
