"""The gate's reading of a test report: what counts as passed, failed, skipped, and allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bootstrap import group
from tools.check import is_closing_line, listed_skips, read_report

CASE = '<testcase classname="tests.compat.test_kcat" name="test_{0}">{1}</testcase>'
SKIPPED = '<skipped type="pytest.skip" message="kcat is not installed"/>'


def report(path: Path, *inner: str) -> Path:
    """A JUnit file with one case for each inner element."""
    cases = "".join(CASE.format(number, element) for number, element in enumerate(inner))
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def test_passed_failed_and_skipped_are_counted(tmp_path: Path) -> None:
    """An error in a fixture counts as a failure."""
    path = report(tmp_path / "r.xml", "", "<failure/>", "<error/>", SKIPPED)
    tests = read_report(path, 1, [("tests/compat/", "a reason")])
    assert (tests.passed, tests.failed, tests.skipped) == (1, 2, 1)
    assert not tests.ok


def test_a_listed_skip_is_allowed(tmp_path: Path) -> None:
    """The prefix of the test's name is enough."""
    path = report(tmp_path / "r.xml", "", SKIPPED)
    assert read_report(path, 0, [("tests/compat/test_kcat.py", "needs kcat")]).ok


def test_a_skip_that_nobody_listed_fails(tmp_path: Path) -> None:
    """It is named with its message."""
    path = report(tmp_path / "r.xml", "", SKIPPED)
    tests = read_report(path, 0, [("tests/compat/test_trace.py", "needs strace")])
    assert not tests.ok
    assert tests.unlisted == ["tests/compat/test_kcat.py::test_1: kcat is not installed"]


def test_no_tests_at_all_fail(tmp_path: Path) -> None:
    """An empty report, or none, is not a pass."""
    assert not read_report(report(tmp_path / "r.xml"), 0, []).ok
    assert not read_report(tmp_path / "missing.xml", 0, []).ok


def test_every_listed_skip_has_a_reason_and_a_file() -> None:
    """tests/skips.txt names files that exist."""
    root = Path(__file__).resolve().parent.parent.parent
    for prefix, reason in listed_skips():
        assert (root / prefix.split("::")[0]).exists(), prefix
        assert len(reason) > 5, prefix


def test_every_test_that_needs_a_program_is_listed(request: pytest.FixtureRequest) -> None:
    """Of the tests of this run: where the program is missing they are skipped, not failed."""
    allowed = tuple(prefix for prefix, _ in listed_skips())
    names = [
        item.nodeid
        for item in request.session.items
        if "require_tool" in getattr(item, "fixturenames", ())
    ]
    assert [name for name in names if not name.startswith(allowed)] == []


@pytest.mark.parametrize(
    ("line", "closing"),
    [
        ("3 passed in 0.12s", True),
        ("1 failed, 2 passed, 1 skipped in 74.11s (0:01:14)", True),
        ("=== 3 passed, 2 deselected in 1.00s ===", True),
        ("no tests ran in 0.01s", True),
        ("FAILED tests/test_x.py::test_y - it passed in 3 of 4 runs", False),
        ("1 error in 0.10s", True),
    ],
)
def test_the_closing_line_of_pytest_is_known(line: str, closing: bool) -> None:
    """It is repeated as the last line of the gate."""
    assert is_closing_line(line) is closing


def test_dependency_groups_include_each_other() -> None:
    """PEP 735, read without pip."""
    groups: dict[str, list[str | dict[str, str]]] = {
        "test": ["pytest"],
        "dev": [{"include-group": "test"}, "py-spy"],
    }
    assert group(groups, "dev") == ["pytest", "py-spy"]
