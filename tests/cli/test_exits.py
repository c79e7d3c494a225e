"""logserver.cli.exits: every code has a meaning, every message stays on its line."""

from pathlib import Path

import pytest

from logserver.cli.exits import EXIT_MEANINGS, Exit, printable, tell

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"


def test_every_exit_code_has_a_meaning_and_is_documented() -> None:
    """Scripts are written against this table."""
    assert set(EXIT_MEANINGS) == set(Exit)
    page = REFERENCE.read_text()
    for code, meaning in EXIT_MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer", "größer"),
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_as_escape(text: str, shown: str) -> None:
    """Newlines, escapes, C1 controls, direction marks, lone surrogates."""
    assert printable(text) == shown


def test_messages_begin_with_our_name(capsys: pytest.CaptureFixture[str]) -> None:
    """In a log of many programs one must see whose line it is."""
    tell("no\nway")
    assert capsys.readouterr().err == "logserver: no\\nway\n"
