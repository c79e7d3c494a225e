"""The short notation in which messages are written down, and its parser.

A schema is text, one line a field, nested by two spaces:

    request
      topics          []Topic             null 1+
        topic_id      uuid        10+
        name          string              null 10+
      allow_creation  bool        4+      = true
      cursor          Cursor?             = null
        index         int32
      epoch           int64       3+      = -1 tag 1

    name   Kafka's field name in snake case
    type   bool int8 int16 uint16 int32 int64 uuid string bytes records, a capitalised name for a
           struct whose fields follow one step deeper, and `[]` before either for an array;
           a closing `?` says that null is allowed in every version of the field
    then, in any order:
    4+  8-10  7   the versions that carry the field (default: all)
    null 10+      null is allowed from that version on
    = value       the default, where it is not zero, empty or false: a number, true, null
    tag 1         a tagged field with that tag

On the wire `bytes` and `records` are the same. Read, `bytes` are a copy that lives as long as it is
wanted (a member's metadata, a token), records a view into the frame.

Struct names are for the reader; nothing refers to them. What differs from Kafka's JSON: names are
in snake case, and what the compiler does not need is left out (entity types, map keys).
"""

from typing import Any, NamedTuple

LATEST = 0x7FFF
Span = tuple[int, int]
ALWAYS: Span = (0, LATEST)
NEVER: Span = (1, 0)


class Field(NamedTuple):
    """One field over all versions: `kind` is a primitive's name, or "struct" with `fields`."""

    name: str
    kind: str
    is_array: bool
    versions: Span
    null_versions: Span
    default: Any
    tag: int | None
    fields: tuple["Field", ...]

    def present(self, version: int) -> bool:
        return self.versions[0] <= version <= self.versions[1]

    def nullable(self, version: int) -> bool:
        return self.null_versions[0] <= version <= self.null_versions[1]


ZEROES: dict[str, Any] = {
    "bool": False,
    "string": "",
    "uuid": bytes(16),
    "bytes": b"",
    "records": b"",
}
WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def parse(text: str) -> dict[str, tuple[Field, ...]]:
    """Parses a schema: the lines without indentation ("request") name blocks of fields.

    ValueError names the line that does not parse; schemas are ours, so that is a bug.
    """
    blocks: dict[str, tuple[Field, ...]] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    position = 0
    while position < len(lines):
        name = lines[position]
        if name.startswith(" "):
            raise ValueError(f"a block must start at the margin: {name!r}")
        blocks[name.strip()], position = parse_fields(lines, position + 1, 2)
    return blocks


def parse_fields(lines: list[str], position: int, depth: int) -> tuple[tuple[Field, ...], int]:
    """Parses the fields indented by `depth`; returns them and the line behind the last."""
    fields: list[Field] = []
    while position < len(lines) and indentation(lines[position]) >= depth:
        line = lines[position]
        if indentation(line) != depth:
            raise ValueError(f"unexpected indentation: {line!r}")
        below, position = parse_fields(lines, position + 1, depth + 2)
        fields.append(parse_field(line, below))
    return tuple(fields), position


def indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def parse_field(line: str, fields: tuple[Field, ...]) -> Field:
    name, word, *marks = line.split()
    kind = word.removeprefix("[]").removesuffix("?")
    is_array, is_nullable = word.startswith("[]"), word.endswith("?")
    is_struct = kind[0].isupper()
    if is_struct != bool(fields):
        raise ValueError(f"fields belong below a struct and only there: {line!r}")
    versions, null_versions = ALWAYS, ALWAYS if is_nullable else NEVER
    default: Any = [] if is_array else {} if is_struct else ZEROES.get(kind, 0)
    tag = None
    rest = iter(marks)
    for mark in rest:
        if mark == "null":
            null_versions = parse_span(next(rest))
        elif mark == "=":
            value = next(rest)
            default = WORDS[value] if value in WORDS else int(value)
        elif mark == "tag":
            tag = int(next(rest))
        else:
            versions = parse_span(mark)
    kind = "struct" if is_struct else kind
    return Field(name, kind, is_array, versions, null_versions, default, tag, fields)


def parse_span(text: str) -> Span:
    """`4+`, `8-10` or `7` as (first, last)."""
    if text.endswith("+"):
        return int(text[:-1]), LATEST
    first, _, last = text.partition("-")
    return int(first), int(last or first)
