"""logserver.cli.journal: one JSON object per line, whatever the text."""

import json
import logging
from typing import Any

import pytest

from logserver.cli.journal import TEXT_MAX, as_line


def line(message: str, *arguments: object, **fields: Any) -> str:
    """The line of one log call."""
    record = logging.LogRecord("logserver.test", logging.WARNING, "f", 1, message, arguments, None)
    record.__dict__.update(fields)
    record.created, record.msecs = 1_700_000_000.007, 7.0
    return as_line(record)


def test_a_record_is_one_object_with_its_fields() -> None:
    """Time in UTC with milliseconds, level, logger, message, then what was passed as extra."""
    entry = json.loads(line("closed %s", "it", peer="127.0.0.1:1", frame_bytes=7, ok=True))
    assert entry == {
        "time": "2023-11-14T22:13:20.007Z",
        "level": "warning",
        "logger": "logserver.test",
        "message": "closed it",
        "peer": "127.0.0.1:1",
        "frame_bytes": 7,
        "ok": True,
    }


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"])
def test_no_byte_of_a_peer_reaches_the_terminal(text: str) -> None:
    """A client id can hold anything; the line holds printable ASCII only."""
    told = line("client %s", text, client_id=text)
    assert told.isascii()
    assert told.isprintable()
    assert json.loads(told)["client_id"] == text


def test_long_text_is_shortened() -> None:
    """A peer must not fill the disk with its name."""
    entry = json.loads(line("x", client_id="a" * 100_000))
    assert len(entry["client_id"]) < TEXT_MAX + 40
    assert entry["client_id"].endswith("(100000 characters)")


def test_an_exception_comes_with_its_trace() -> None:
    """On the same line."""
    try:
        raise ValueError("planted")
    except ValueError as error:
        told = line("failed", exc_info=(type(error), error, error.__traceback__))
    entry = json.loads(told)
    assert "ValueError: planted" in entry["exception"]
    assert "\n" not in told


def test_fields_of_any_type_are_shown() -> None:
    """Containers keep their shape, anything else becomes text."""
    entry = json.loads(line("x", pair=(1, "a"), table={"k": [None, 1.5]}, error=OSError(5, "io")))
    assert entry["pair"] == [1, "a"]
    assert entry["table"] == {"k": [None, 1.5]}
    assert "io" in entry["error"]


def test_extra_fields_cannot_replace_our_own() -> None:
    """`time`, `level`, `logger` and `message` are ours."""
    entry = json.loads(line("real", level="forged", time="forged"))
    assert (entry["message"], entry["level"]) == ("real", "warning")
