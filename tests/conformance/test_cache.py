"""What registries bring is installed once for each recipe, and outcomes of parts are kept."""

from pathlib import Path

import pytest

from tests.conformance import cache, report
from tests.conformance.known import judge, parse
from tests.conformance.outcome import Outcome


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache and a report of this test's own."""
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(report, "REPORT", tmp_path / "report.json")


def test_a_recipe_is_installed_once() -> None:
    """Another recipe begins with an empty folder."""
    calls: list[list[str]] = []

    def install(place: Path) -> None:
        calls.append([path.name for path in place.iterdir()])
        (place / "made").touch()

    assert not cache.is_installed("suite")
    for recipe in ("one", "one", "two"):
        cache.installed("suite", recipe, install)
    assert calls == [[], []]
    assert cache.is_installed("suite")


def test_a_broken_installation_is_begun_again() -> None:
    """It leaves no stamp, so nobody takes it for whole."""

    def breaks(_place: Path) -> None:
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError):
        cache.installed("suite", "one", breaks)
    assert not cache.is_installed("suite")
    cache.installed("suite", "one", lambda place: (place / "made").touch())
    assert cache.is_installed("suite")


def test_parts_add_up_to_one_entry_of_the_report() -> None:
    """The last outcome of a test counts; other suites keep their entries."""
    report.write({"other": {"total": 1}})
    report.remember("suite", [Outcome("a", "failed", "no"), Outcome("b", "passed")])
    outcomes = report.remember("suite", [Outcome("a", "passed"), Outcome("c", "failed", "why")])
    verdict = judge(outcomes, parse('[shares]\nc = "later"'))
    report.write({"suite": report.entry(verdict, {"tool": "1"})})
    entries = report.read()
    assert entries["other"] == {"total": 1}
    assert entries["suite"]["known"] == {"shares": 1}
    assert (entries["suite"]["passed"], entries["suite"]["total"]) == (2, 3)
    report.forget("suite")
    assert report.remember("suite", []) == []
