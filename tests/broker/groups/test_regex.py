"""Matching in linear time and in slices, and against Google's RE2 as an oracle."""

from __future__ import annotations

from random import Random

import pytest
import re2

from logserver.broker.groups.regex import KEPT_COUNT_MAX, PatternError, Search, TopicPattern

NAME_LETTERS = "abAB-._1c"

# fmt: off
ATOMS = (
    "a", "b", "-", r"\.", ".", "[ab]", "[^a]", r"\d", r"\w", "[a-c]", "[[:alpha:]]", r"\W", "1",
    "_", r"\pL", r"\PN", r"[^\d]", "(?i)", "A", r"\x41", "[-a]", "[a-]", "[]a]", r"\Qa.b\E",
    r"\D", "{", "a{", "$", "^", r"\b", r"\B", r"\z", r"\A", r"[a\]b]", r"\p{Lu}", "é",
)
REPEATS = ("*", "+", "?", "{2}", "{1,3}", "{0,}", "*?", "+?", "{2,1}", "**", "*+")
BROKEN = ("(", ")", "[a-", r"\1", "(?=a)", "[[:foo:]]", "[z-a]", "a{1001}", "a{3,2}", "(?z)")
# fmt: on


def expression(random: Random, depth: int = 0) -> str:
    """Any expression, now and then a broken one."""
    kind = random.random()
    if depth > 3 or kind < 0.35:
        return random.choice(ATOMS)
    part = expression(random, depth + 1)
    if kind < 0.55:
        return part + expression(random, depth + 1)
    if kind < 0.7:
        return f"({part}|{expression(random, depth + 1)})"
    if kind < 0.8:
        return random.choice(("(?:", "(?i:", "(?P<n>", "(?<n>")) + part + ")"
    if kind < 0.97:
        return part + random.choice(REPEATS)
    return part + random.choice(BROKEN)


def oracle(text: str) -> re2._Regexp | None:
    """RE2's own reading of an expression."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error:
        return None


@pytest.mark.parametrize("seed", range(20))
def test_expressions_are_read_and_matched_as_re2_does(seed: int) -> None:
    """The same are refused, the same names are matched."""
    random = Random(seed)
    for _ in range(150):
        text = expression(random)
        theirs = oracle(text)
        if theirs is None:
            with pytest.raises(PatternError):
                TopicPattern(text)
            continue
        ours = TopicPattern(text)
        for _ in range(5):
            name = "".join(random.choice(NAME_LETTERS) for _ in range(random.randrange(7)))
            assert ours.matches(name) == bool(theirs.fullmatch(name)), (text, name)


FOLDED = (
    "k",
    "\u212a",
    "[\u212a]",
    "[^\u212a]",
    "\u017f",
    "[\u0100-\u2200]",
    "\u0131",
    "[Z-a]",
    "[^a-z]",
    "\\Qk\\E",
)


@pytest.mark.parametrize("text", FOLDED)
def test_case_is_folded_as_re2_does(text: str) -> None:
    """Two letters beyond ASCII have their other case within it."""
    ours, theirs = TopicPattern(f"(?i){text}"), oracle(f"(?i){text}")
    assert theirs is not None
    for code in range(33, 127):
        name = chr(code)
        assert ours.matches(name) == bool(theirs.fullmatch(name)), name


EXPLODING = ("(a|b)*a(a|b){18}", "(a*)*(a*)*(a*)*b", "(a?){60}a{60}", "((a|ab)*(b|ba)*)*c")


@pytest.mark.parametrize("text", EXPLODING)
def test_an_expression_that_explodes_elsewhere_takes_linear_work(text: str) -> None:
    """Work for a name is at most its length times the length of the program."""
    pattern = TopicPattern(text)
    program_count = pattern.work_count
    random = Random(1)
    for _ in range(20):
        before = pattern.work_count
        name = "".join(random.choice("ab") for _ in range(200))
        pattern.matches(name)
        assert pattern.work_count - before <= (len(name) + 2) * (program_count + 2)


def test_what_is_kept_is_bounded() -> None:
    """Sets that are never met again are forgotten, and matching stays right."""
    pattern = TopicPattern("(a|b)*a(a|b){15}")
    random = Random(2)
    for _ in range(600):
        name = "".join(random.choice("ab") for _ in range(60))
        assert pattern.matches(name) == (name[-16] == "a")
        assert pattern._kept_count <= KEPT_COUNT_MAX + 100


def test_a_search_finds_all_names_in_slices() -> None:
    """However small the slices are; and stops after each."""
    names = [f"orders-{number}" for number in range(50)] + ["other"]
    expected = {"orders-.*": set(names[:-1]), ".*1": {n for n in names if n.endswith("1")}}
    for work_count in (1, 10, 10**9):
        search = Search(["orders-.*", ".*1"], names)
        slices = 1
        while not search.advance(work_count):
            slices += 1
        assert search.found == expected
        assert (slices == 1) == (work_count == 10**9)
        assert search.advance(1)


def test_a_slice_may_end_in_the_middle_of_a_name() -> None:
    """One name can cost millions of steps: everybody else would wait for all of them."""
    search = Search(["(.?){1000}x|(.?){1000}b"], ["a" * 248 + "b", "a" * 249])
    slices = 1
    while not search.advance(10_000):
        slices += 1
    assert slices > 40
    assert list(search.found.values()) == [{"a" * 248 + "b"}]


def test_to_read_an_expression_is_work_as_well() -> None:
    """A group can have thousands of them, each thousands of characters long."""
    search = Search([f"{number:05000}" for number in range(50)], ["a"])
    slices = 1
    while not search.advance(10_000):
        slices += 1
    assert slices >= 25


def test_an_expression_of_the_log_that_cannot_be_read_matches_nothing() -> None:
    """Another server may have taken it; the others are still found."""
    search = Search(["(", "a"], ["a", "b"])
    assert search.advance(10**9)
    assert search.found == {"(": set(), "a": {"a"}}


def test_nothing_to_look_for_is_found_at_once() -> None:
    """No expressions, or no names."""
    assert Search([], ["a"]).advance(1)
    search = Search(["a"], [])
    assert search.advance(10**9)
    assert search.found == {"a": set()}
