"""Regular expressions, read: what is one, what is none and why, and how large one may be."""

from __future__ import annotations

import pytest

from logserver.broker.groups.regex import TopicPattern
from logserver.broker.groups.regex_syntax import (
    INSTRUCTIONS_COUNT_MAX,
    PatternError,
    compile_program,
)

MATCHES = {
    "orders": (["orders"], ["order", "orders1", "Orders"]),
    "a.c": (["abc", "a-c"], ["ac", "abbc"]),
    "a|bc|": (["a", "bc", ""], ["abc", "b"]),
    "(ab)*c+d?": (["c", "ababccd"], ["abc_", "d", "aba"]),
    "a{2}b{1,3}c{2,}": (["aabcc", "aabbbccccc"], ["abcc", "aabbbbcc", "aabc"]),
    "a{,2}{": (["a{,2}{"], ["aa"]),
    "[a-c_][^a-c][]x-]": (["ad]", "_0x", "cz-"], ["aax", "dd]"]),
    r"\d\D\w\W\s": (["1a_. "], ["aa_. ", "1a.. "]),
    r"[\d.-]+": (["10.2-3"], ["10a", ""]),
    "[[:alpha:]][[:^digit:]][[:punct:]]": (["ab.", "a-_"], ["1b.", "a1.", "abc"]),
    r"\pL\p{Lu}\PN\p{^Nd}\p{Latin}": (["aB-_z"], ["ab-_z", "aB1_z"]),
    "(?i)ab(?-i)c": (["ABc", "abc"], ["abC"]),
    "(?i:a[b-c])d": (["ACd", "abd"], ["abD"]),
    "(?i)[^a]b": (["cB"], ["Ab"]),
    "(?s)(?m)(?U)a+": (["aa"], [""]),
    "(?P<name>a)(?<other>b)(?:c)": (["abc"], ["ab"]),
    r"\Qa.b|\E+\Q": (["a.b|", "a.b||"], ["axb|"]),
    r"\x41\x{42}\101\n\.": (["ABA\n."], ["ABAn."]),
    r"^a$|\Ab\z": (["a", "b"], ["ab"]),
    r"a\b-\Bx?": (["a-"], ["a-x"]),
    "é|a": (["a"], ["e"]),
    "(a*)*": (["", "aaa"], ["b"]),
    "a*?b+?c??": (["b", "aabbc"], ["c"]),
}

REFUSED = {
    "(a": "missing closing )",
    "a)": "unexpected )",
    "[a": "missing closing ]",
    "[]": "missing closing ]",
    "*a": "missing argument to repetition operator",
    "a|+": "missing argument to repetition operator",
    "a**": "invalid nested repetition operator",
    "a*+": "invalid nested repetition operator",
    "a{3,2}": "invalid repeat count",
    "a{1001}": "invalid repeat count",
    "[z-a]": "invalid character class range",
    "[[:foo:]]": "invalid character class range",
    r"\p{Foo}": "invalid character class range",
    "(?=a)": "invalid or unsupported Perl syntax",
    "(?!a)": "invalid or unsupported Perl syntax",
    "(?<=a)b": "invalid or unsupported Perl syntax",
    "(?z)": "invalid or unsupported Perl syntax",
    r"(a)\1": "invalid escape sequence",
    r"\y": "invalid escape sequence",
    r"\x{110000}": "invalid escape sequence",
    "a\\": "trailing backslash at end of expression",
}


@pytest.mark.parametrize("text", MATCHES)
def test_an_expression_matches_what_it_says(text: str) -> None:
    """The whole name, never a part of it."""
    pattern = TopicPattern(text)
    matched, missed = MATCHES[text]
    assert [name for name in matched if not pattern.matches(name)] == []
    assert [name for name in missed if pattern.matches(name)] == []


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_expression_is_refused_in_the_words_of_re2(text: str) -> None:
    """Among them what cannot be matched in bounded time: backreferences and looking around."""
    with pytest.raises(PatternError, match="^" + REFUSED[text].replace(")", r"\)") + "$"):
        compile_program(text)


@pytest.mark.parametrize(
    "text",
    [
        "(((a{100}){100}){100}){100}",
        "((((|){1000}){1000}){1000}){1000}",
        "(" * 5000 + ")" * 5000,
        "[a-z]{1000}" * 1000,
        "(?:" * 200 + "a" + ")*" * 200,
        "a|" * 50_000,
    ],
)
def test_an_expression_made_to_explode_is_refused(text: str) -> None:
    """Repeats are copied out and groups are nested only so far; also those that hold nothing."""
    with pytest.raises(PatternError):
        compile_program(text)


def test_a_long_list_of_topics_fits() -> None:
    """What people write who cannot say it shorter."""
    names = [f"team-{number}.service-{number}.events" for number in range(300)]
    program = compile_program("|".join(name.replace(".", r"\.") for name in names))
    assert len(program.instructions) < INSTRUCTIONS_COUNT_MAX
