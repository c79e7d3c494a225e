"""The options of `logserver serve`: a parser small enough to load in no time.

The other commands use click; `serve` must be ready within 200 ms and argparse alone costs 7, click
and rich 60. The grammar is the usual one: `--name VALUE`, `--name=VALUE`, `-n VALUE`, flags without
value, no positional arguments. An unknown option is refused with the nearest known one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from logserver.cli.exits import CommandError, Exit


class Option(NamedTuple):
    """One option. Without `metavar` it is a flag; `repeats` collects every value given."""

    name: str
    help: str
    metavar: str = ""
    short: str = ""
    repeats: bool = False


class Given(NamedTuple):
    """What the command line said: the last value per option, all values, the flags."""

    values: dict[str, str]
    lists: dict[str, list[str]]
    flags: frozenset[str]


def parse_options(command: str, options: Sequence[Option], words: Sequence[str]) -> Given:
    """Read the words; raises CommandError(USAGE) with a sentence and a suggestion."""
    by_word = {f"--{option.name}": option for option in options}
    by_word.update({f"-{option.short}": option for option in options if option.short})
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {option.name: [] for option in options if option.repeats}
    flags: set[str] = set()
    rest = iter(words)
    for word in rest:
        spelled, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = by_word.get(spelled)
        if option is None:
            raise CommandError(Exit.USAGE, _unknown(command, spelled, list(by_word)))
        if not option.metavar:
            if equals:
                raise CommandError(Exit.USAGE, f"{command}: {spelled} takes no value")
            flags.add(option.name)
            continue
        if not equals:
            value = next(rest, "")
            if not value:
                raise CommandError(
                    Exit.USAGE, f"{command}: {spelled} needs a value: {spelled} {option.metavar}"
                )
        if option.repeats:
            lists[option.name].append(value)
        else:
            values[option.name] = value
    return Given(values, lists, frozenset(flags))


def _unknown(command: str, word: str, known: list[str]) -> str:
    if not word.startswith("-"):
        return f"{command}: unexpected argument {word!r}; try 'logserver {command} --help'"
    hint = suggestion(word, known)
    return f"{command}: no such option: {word}. {hint or f'See logserver {command} --help.'}"


def suggestion(word: str, known: Sequence[str]) -> str:
    """ "Did you mean ...?" with the nearest known word, or nothing when none is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"Did you mean {near[0]}?" if near else ""


def help_text(usage: str, about: str, options: Sequence[Option], after: str) -> str:
    """The help page: usage, what it does, one line per option, what else to know."""
    import textwrap

    left = [
        f"{f'-{o.short}, ' if o.short else '    '}--{o.name}{f' {o.metavar}' if o.metavar else ''}"
        for o in options
    ]
    width = max(map(len, left)) + 4
    rows = [
        textwrap.fill(
            option.help,
            100,
            initial_indent=f"  {words:<{width - 2}}",
            subsequent_indent=" " * width,
        )
        for words, option in zip(left, options, strict=True)
    ]
    return "\n".join([f"Usage: {usage}", "", about, "", "Options:", *rows, "", after])
