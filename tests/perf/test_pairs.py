"""Interleaving, discarding and voiding, with runs that are made up and servers that only note."""

from array import array
from math import inf
from pathlib import Path

import pytest

from perf import pairs
from perf.figures import Figures
from perf.pairs import Side, cannot_run, run_scenario
from perf.scenarios import Bench, Measured, Plan, Scenario
from perf.servers import Server
from tests.server_process import ServerProcess

QUIET: Figures = {
    "steal_percent": 0.0, "foreign_cpu_percent": 0.0, "requests_per_s": 10.0, "mb_per_s": 1.0,
    "p50_us": 1.0, "max_us": 2.0, "server_cpu_percent": 3.0,
}  # fmt: skip
PLAN = Plan(quiet_wait_s=0)


class Still(Server):
    """A server that notes when it stands still."""

    def __init__(self, directory: Path, name: str, log: list[str]) -> None:
        super().__init__(directory)
        self.name = name
        self.log = log

    def freeze(self) -> None:
        """Note it."""
        self.log.append(f"{self.name} stands")

    def thaw(self) -> None:
        """Note it."""
        self.log.append(f"{self.name} goes on")


@pytest.fixture
def log() -> list[str]:
    """What happened, in order."""
    return []


@pytest.fixture
def sides(tmp_path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """Two sides on a machine that is always quiet."""
    monkeypatch.setattr(pairs, "busy_percent", lambda: 0.0)
    return [Side(name, Still(tmp_path / name, name, log)) for name in ("a", "b")]


def scenario(log: list[str], rows: dict[str, list[Figures]] | None = None) -> Scenario:
    """Runs that return the next row of their side, or a quiet one."""

    def run(bench: Bench) -> Measured:
        name = bench.server.name
        log.append(f"{name} runs")
        left = (rows or {}).get(name, [])
        return Measured(left.pop(0) if left else QUIET, {"latency": array("q", [1000, 2000])})

    return Scenario("made-up", "made up", run)


def test_pairs_alternate_after_one_discarded_run_a_side(sides: list[Side], log: list[str]) -> None:
    """a b (discarded), then A B, B A, A B."""
    result = run_scenario(scenario(log), sides, PLAN, 3, 0)
    assert [line[0] for line in log if "runs" in line] == list("ababbaab")
    assert len(result.pairs) == 3
    assert result.histograms["a", "latency"].total() == 6


def test_the_other_side_stands_still_during_a_run(sides: list[Side], log: list[str]) -> None:
    """And goes on afterwards."""
    run_scenario(scenario(log), sides, PLAN, 1, 0)
    assert log == ["b stands", "a runs", "b goes on", "a stands", "b runs", "a goes on"]


def test_a_void_pair_is_replaced_and_left_out(sides: list[Side], log: list[str]) -> None:
    """The first measured run of b lost CPU to the hypervisor."""
    stolen = QUIET | {"steal_percent": 9.0, "requests_per_s": 1.0}
    result = run_scenario(scenario(log, {"b": [QUIET, stolen]}), sides, PLAN, 2, 0)
    assert [bool(pair.void) for pair in result.pairs] == [True, False, False]
    assert result.series("b", "requests_per_s") == [10.0, 10.0]
    assert result.histograms["b", "latency"].total() == 4


def test_void_pairs_are_not_replaced_for_ever(sides: list[Side], log: list[str]) -> None:
    """Twice the wanted number at most, and the wanted number when the time is up."""
    noisy = QUIET | {"foreign_cpu_percent": 99.0}
    for retry_until_s, expected in ((inf, 4), (0.0, 2)):
        rows = {"a": [noisy] * 9}
        plan = PLAN._replace(retry_until_s=retry_until_s)
        result = run_scenario(scenario(log, rows), sides, plan, 2, 0)
        assert len(result.pairs) == expected
        assert result.valid() == result.pairs, "shown, and called unproven"


def test_a_scenario_that_a_side_has_no_api_for_is_left_out(
    sides: list[Side], log: list[str], server: ServerProcess
) -> None:
    """An old commit has no groups: its members would wait for a coordinator for ever."""
    for side in sides:
        side.server.address = server.kafka_address
    assert cannot_run(scenario(log), sides) == ""
    reason = cannot_run(scenario(log)._replace(api=9999), sides)
    assert reason == "made-up: a does not serve API 9999"
