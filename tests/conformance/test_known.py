"""known.toml and its verdicts: what may fail, what must not pass, and that reasons are kept."""

import re
from pathlib import Path

import pytest

from tests.conformance.known import Verdict, judge, load, parse
from tests.conformance.outcome import Outcome, Selection
from tests.conformance.suites import SUITES

HERE = Path(__file__).parent
DECISIONS = HERE.parent.parent / "docs/decisions.md"


def verdict(known: str, **statuses: str) -> Verdict:
    """The verdict on outcomes `test=status`."""
    outcomes = [Outcome(*pair) for pair in statuses.items()]  # type: ignore[arg-type]
    return judge(outcomes, parse(known))


def test_a_suite_is_green_when_only_known_tests_fail() -> None:
    """Skipped tests are nobody's fault."""
    said = verdict('[security]\nlogin = "needs SASL"', login="failed", read="passed", tls="skipped")
    assert said.green
    assert said.known["login"].kind == "security"
    assert said.skipped == ["tls"]


def test_a_failure_that_nobody_knows_is_red() -> None:
    """Even beside many that pass."""
    said = verdict("", read="passed", write="failed")
    assert not said.green
    assert list(said.failed) == ["write"]


def test_a_known_test_that_passes_is_red() -> None:
    """Else the file would hide the next failure."""
    said = verdict('[shares]\nread = "not yet"', read="passed", write="passed")
    assert not said.green
    assert said.unexpected == ["read"]


def test_a_glob_covers_failures_only() -> None:
    """One test that passes under it is as unexpected as an entry that does."""
    known = '[transactions]\n"Tx.*" = "needs them"'
    assert verdict(known, **{"Tx.begin": "failed", "read": "passed"}).green
    some = verdict(known, **{"Tx.begin": "failed", "Tx.close": "passed"})
    assert some.unexpected == ["Tx.close"]


def test_nothing_that_ran_is_not_green() -> None:
    """A runner that finds no tests must not look like success."""
    assert not verdict("").green


def test_brackets_in_a_glob_mean_themselves() -> None:
    """JUnit's ids are full of them."""
    known = parse('[shares]\n"A.*[2]" = "why"')
    assert known.reason("A.one[2]") is not None
    assert known.reason("A.one2") is None


@pytest.mark.parametrize(
    "text", ['[bugs]\na = "ours"', '[shares]\na = " "', '[shares]\na="x"\n[security]\na="y"']
)
def test_an_entry_without_a_proper_reason_is_refused(text: str) -> None:
    """There is no kind for bugs, a reason says something, and a test has one."""
    with pytest.raises(ValueError, match=r"choose from|needs a reason|stands twice"):
        parse(text)


@pytest.mark.parametrize("name", SUITES)
def test_deliberate_differences_name_a_decision(name: str) -> None:
    """`decision title: what it means for the test`; the title is a heading of decisions.md."""
    known = load(HERE / name)
    headings = set(re.findall(r"^#+ (.+)$", DECISIONS.read_text(), re.MULTILINE))
    reasons = {**known.exact, **known.globs}
    unexplained = {
        test: one.why
        for test, one in reasons.items()
        if one.kind == "deliberate" and one.why.partition(":")[0] not in headings
    }
    assert not unexplained


def test_a_selection_takes_a_file_and_its_tests() -> None:
    """`--only 0045` means every test of that file."""
    assert Selection("TopicCommandTest.*").takes("TopicCommandTest.testList[1]")
    assert Selection("TopicCommandTest").takes("TopicCommandTest.testList[1]")
    assert not Selection("TopicCommandTest").takes("TopicCommandTests.testList[1]")
