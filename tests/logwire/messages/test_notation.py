"""The notation: what a line says, what is refused, and that every schema is written in it."""

import pytest

from logwire.messages import (
    APIS,
    consumer_protocol,
    group_records,
    notation,
    records,
    schema,
)
from logwire.messages.notation import ALWAYS, LATEST, NEVER, Field, parse

EXAMPLE = """
request
  topics          []Topic             null 1+
    topic_id      uuid        10+
    name          string              null 10+
  allow_creation  bool        4+      = true
  operations      bool        8-10
  cursor          Cursor?             = null
    index         int32       7
  epoch           int64       3+      = -1 tag 1
response
"""


def test_the_example_of_the_docstring_says_what_the_docstring_says() -> None:
    """Every mark once."""
    blocks = parse(EXAMPLE)
    assert blocks["response"] == ()
    topics, allow, operations, cursor, epoch = blocks["request"]
    assert (topics.is_array, topics.kind, topics.null_versions) == (True, "struct", (1, LATEST))
    assert [field.name for field in topics.fields] == ["topic_id", "name"]
    assert topics.fields[0].versions == (10, LATEST)
    assert topics.fields[1].null_versions == (10, LATEST)
    assert (allow.default, allow.versions) == (True, (4, LATEST))
    assert operations.versions == (8, 10)
    assert (cursor.default, cursor.null_versions, cursor.is_array) == (None, ALWAYS, False)
    assert cursor.fields[0].versions == (7, 7)
    assert (epoch.default, epoch.tag, epoch.null_versions) == (-1, 1, NEVER)


def test_defaults_are_zero_empty_or_false_unless_said() -> None:
    """By type; a struct's is built from its fields, so it is {} here."""
    text = "\n".join(
        (
            "b",
            "  a bool",
            "  c int64",
            "  d string",
            "  e uuid",
            "  f []int32",
            "  g G",
            "    h int8",
        )
    )
    defaults = [field.default for field in parse(text)["b"]]
    assert defaults == [False, 0, "", bytes(16), [], {}]


@pytest.mark.parametrize(
    "text",
    [
        "  a int32",
        "b\n    a int32",
        "b\n  a int32\n      c int32",
        "b\n  a Struct",
        "b\n  a int32\n    c int32",
        "b\n  a int32 sometimes",
    ],
    ids=["no block", "too deep", "deeper still", "no fields", "fields of a number", "no version"],
)
def test_a_line_that_does_not_parse_is_a_value_error(text: str) -> None:
    """Schemas are ours: a mistake shows when the first message of the API passes."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def every_field(fields: tuple[Field, ...]) -> list[Field]:
    return [each for field in fields for each in (field, *every_field(field.fields))]


def test_every_schema_parses_and_keeps_its_tags_apart() -> None:
    """All APIs and records; tags are unique in a struct, and in flexible versions only."""
    blocks = [fields for key in APIS for fields in schema(key).values()]
    for module in (records, group_records, consumer_protocol):
        blocks += module.schema().values()
    for fields in blocks:
        for field in every_field(fields):
            tags = [below.tag for below in field.fields if below.tag is not None]
            assert len(tags) == len(set(tags)), field.name
    for key, api in APIS.items():
        assert set(schema(key)) == {"request", "response"}
        for field in every_field(schema(key)["request"] + schema(key)["response"]):
            assert field.tag is None or field.versions[0] >= api.flexible_from, field.name


def test_spans_are_written_in_three_ways() -> None:
    """Open, closed, single."""
    assert notation.parse_span("4+") == (4, LATEST)
    assert notation.parse_span("8-10") == (8, 10)
    assert notation.parse_span("7") == (7, 7)
