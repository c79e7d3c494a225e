"""logserver.cli.options: the small grammar of `serve`, and sentences for what is outside it."""

import pytest

from logserver.cli.exits import CommandError, Exit
from logserver.cli.options import Given, Option, help_text, parse_options, suggestion

OPTIONS = (
    Option("data-dir", "Where.", "DIR"),
    Option("set", "Which.", "KEY=VALUE", short="c", repeats=True),
    Option("insecure", "Whether."),
)


def parse(*words: str) -> Given:
    """The words as options of a command called `x`."""
    return parse_options("x", OPTIONS, words)


def test_values_may_follow_a_space_or_an_equals_sign() -> None:
    """Both spellings, and a value may begin with a dash or hold an equals sign."""
    assert parse("--data-dir", "a").values == {"data-dir": "a"}
    assert parse("--data-dir=a=b").values == {"data-dir": "a=b"}
    assert parse("--data-dir", "-").values == {"data-dir": "-"}


def test_repeated_options_are_collected_and_others_keep_their_last_value() -> None:
    """As every tool does."""
    given = parse("-c", "a=1", "--set=b=2", "--set", "c=3", "--data-dir=x", "--data-dir=y")
    assert given.lists == {"set": ["a=1", "b=2", "c=3"]}
    assert given.values == {"data-dir": "y"}


def test_flags_are_a_set() -> None:
    """Given or not, whatever the number."""
    assert parse("--insecure", "--insecure").flags == {"insecure"}
    assert parse().flags == frozenset()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data-dri", "x"], "no such option: --data-dri. Did you mean --data-dir?"),
        (["--nonsense"], "no such option: --nonsense. See logserver x --help."),
        (["-x"], "no such option: -x"),
        (["start"], "unexpected argument 'start'"),
        (["--data-dir"], "--data-dir needs a value: --data-dir DIR"),
        (["-c"], "-c needs a value: -c KEY=VALUE"),
        (["--insecure=yes"], "--insecure takes no value"),
    ],
)
def test_a_wrong_word_is_a_sentence(words: list[str], sentence: str) -> None:
    """What is wrong, and what was probably meant."""
    with pytest.raises(CommandError) as caught:
        parse(*words)
    assert caught.value.code == Exit.USAGE
    assert sentence in caught.value.message


def test_a_suggestion_is_near_or_absent() -> None:
    """Better none than a strange one."""
    assert suggestion("consmue", ["consume", "produce"]) == "Did you mean consume?"
    assert suggestion("xyz", ["consume", "produce"]) == ""


def test_the_help_page_has_every_option_within_a_hundred_columns() -> None:
    """Wrapped under the column where the text begins."""
    long = Option("long", "word " * 60, "X")
    page = help_text("x [OPTIONS]", "About.", (*OPTIONS, long), "After.")
    assert all(f"--{option.name}" in page for option in OPTIONS)
    assert max(map(len, page.splitlines())) <= 100
    assert page.startswith("Usage: x [OPTIONS]\n\nAbout.")
