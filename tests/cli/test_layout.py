"""logserver.cli.layout: a record as text, by placeholders or as JSON."""

import json
from typing import NamedTuple

import pytest

from logserver.cli.layout import as_json_line, compile_format, for_terminal


class FakeRecord(NamedTuple):
    """What the client hands over."""

    topic: str = "readings"
    partition: int = 2
    offset: int = 41
    timestamp_ms: int = 1_700_000_000_007
    key: bytes | None = b"pump"
    value: bytes | None = b"431"
    headers: tuple[tuple[str, bytes | None], ...] = (("a", b"1"), ("b", None))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("%v\\n", b"431\n"),
        ("%s", b"431"),
        ("%t-%p@%o %T %k=%v", b"readings-2@41 1700000000007 pump=431"),
        ("%K %V %S|%h", b"4 3 3|a=1,b="),
        ("100%% \\t\\\\\\0", b"100% \t\\\0"),
        ("größe %v", "größe 431".encode()),
        ("", b""),
    ],
)
def test_placeholders_are_replaced(layout: str, text: bytes) -> None:
    """Everything else stands as it is."""
    assert compile_format(layout)(FakeRecord()) == text


def test_nulls_are_nothing_and_their_length_is_minus_one() -> None:
    """As kcat prints them."""
    record = FakeRecord(key=None, value=None, headers=())
    assert compile_format("[%k|%v|%K|%V|%h]")(record) == b"[||-1|-1|]"


@pytest.mark.parametrize("layout", ["%x", "%", "%é", "\\q", "abc\\"])
def test_an_unknown_placeholder_or_escape_is_refused(layout: str) -> None:
    """With the list of those that exist."""
    with pytest.raises(ValueError, match="known are"):
        compile_format(layout)


def test_json_has_text_where_it_is_text_and_base64_elsewhere() -> None:
    """The field's name tells which."""
    document = json.loads(as_json_line(FakeRecord(value=b"\xff\x00")))
    assert document == {
        "topic": "readings",
        "partition": 2,
        "offset": 41,
        "timestamp_ms": 1_700_000_000_007,
        "key": "pump",
        "value_base64": "/wA=",
        "headers": [{"name": "a", "value": "1"}, {"name": "b", "value": None}],
    }
    tombstone = json.loads(as_json_line(FakeRecord(value=None, headers=())))
    assert tombstone["value"] is None
    assert "headers" not in tombstone


def test_json_is_one_line_whatever_the_value() -> None:
    """A newline inside a value must not split the line."""
    line = as_json_line(FakeRecord(value=b"a\nb\r\x1b[2J"))
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line


def test_a_record_cannot_steer_the_terminal() -> None:
    """Escapes, C1 controls in UTF-8 and carriage returns are shown; tabs and newlines work."""
    assert for_terminal(b"a\tb\n") == b"a\tb\n"
    assert for_terminal(b"\x1b[2J\r\x07\x7f") == b"\\x1b[2J\\x0d\\x07\\x7f"
    assert for_terminal("\x9b2J größer".encode()) == b"\\xc2\\x9b2J " + "größer".encode()
