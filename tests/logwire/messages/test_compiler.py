"""The compiler on schemas of its own: versions, defaults, nulls, tags and nesting."""

from typing import Any

import pytest

from logwire.errors import ProtocolError
from logwire.messages import compiler, notation
from logwire.primitives import BREACHES

SCHEMA = """
message
  first    int16
  second   int32               2+   = -1
  flags    []bool              1+   null 3+
  label    string                   null 2+
  inner    []Inner
    name   string
    wide   int64               2+   = 7
  point    Point?              2+   = null
    x      int32                    = 4
  place    Place               2+   tag 3
    epoch  int32                    = -1
    end    int64                    = -1
  extra    []int32?            2+   = null tag 1
  code     uint16              1-2
"""
FIELDS = notation.parse(SCHEMA)["message"]
FLEXIBLE_FROM = 2


def write(version: int, message: dict[str, Any]) -> bytes:
    out = bytearray()
    compiler.struct_writer(FIELDS, version, version >= FLEXIBLE_FROM)(out, message)
    return bytes(out)


def read(version: int, data: bytes) -> dict[str, Any]:
    compact = version >= FLEXIBLE_FROM
    reader = compiler.message_reader(FIELDS, version, compact, 1000)
    message, position = reader(memoryview(data), 0)
    assert position == len(data)
    assert isinstance(message, dict)
    return message


def test_version_0_is_classic_and_has_what_version_0_had() -> None:
    """Drawn by hand: int16, string, array of strings."""
    data = write(0, {"first": 5, "label": "ab", "inner": [{"name": "c"}], "second": 9})
    assert data == b"\0\5" + b"\0\2ab" + b"\0\0\0\1" + b"\0\1c"
    assert read(0, data)["second"] == -1


def test_version_2_is_compact_and_has_tagged_sections() -> None:
    """Drawn by hand, with a struct that is present and two tagged fields in order of tag."""
    message = {"first": 5, "label": None, "point": {}, "place": {"epoch": 2}, "extra": [1]}
    head = b"\0\5" + b"\xff\xff\xff\xff" + b"\1" + b"\0" + b"\1"  # flags and inner are empty
    point = b"\1" + b"\0\0\0\4" + b"\0"
    code = b"\0\0"
    extra = b"\1" + b"\5" + b"\2\0\0\0\1"
    place = b"\3" + b"\x0d" + b"\0\0\0\2" + b"\xff" * 8 + b"\0"
    assert write(2, message) == head + point + code + b"\2" + extra + place
    decoded = read(2, write(2, message))
    assert decoded["place"] == {"epoch": 2, "end": -1}
    assert decoded["point"] == {"x": 4}
    assert (decoded["extra"], decoded["label"]) == ([1], None)


@pytest.mark.parametrize("version", range(4))
def test_every_field_is_there_in_every_version(version: int) -> None:
    """Those that a version does not carry hold their default."""
    decoded = read(version, write(version, {}))
    assert decoded == {
        "first": 0,
        "second": -1,
        "flags": [],
        "label": "",
        "inner": [],
        "point": None,
        "place": {"epoch": -1, "end": -1},
        "extra": None,
        "code": 0,
    }


def test_a_tagged_field_that_holds_its_default_is_not_written() -> None:
    """As in Kafka; a struct is compared after its own defaults are filled in."""
    plain = write(3, {})
    assert write(3, {"extra": None}) == plain
    assert write(3, {"place": {"epoch": -1}}) == plain
    assert write(3, {"place": {"epoch": 0}}) != plain


def test_null_is_written_from_the_version_that_allows_it() -> None:
    """`null 3+` and `null 2+`."""
    assert read(3, write(3, {"flags": None}))["flags"] is None
    with pytest.raises(ValueError, match="null array"):
        write(2, {"flags": None})
    with pytest.raises(ValueError, match="null string"):
        write(1, {"label": None})


def test_a_struct_that_may_be_null_says_1_or_minus_1_and_nothing_else() -> None:
    """KIP-893."""
    data = bytearray(write(3, {}))
    position = data.index(0xFF, 6)
    assert read(3, bytes(data))["point"] is None
    data[position] = 2
    with pytest.raises(ProtocolError, match="where a struct says 1"):
        read(3, bytes(data))


def test_a_tagged_struct_that_may_be_null_says_so_in_a_uvarint() -> None:
    """As Kafka's generated classes do: 0 null, anything else present; left out: its default."""
    fields = notation.parse("m\n  member  Member?  tag 0\n    epoch  int32  = -1\n")["m"]
    put = compiler.struct_writer(fields, 0, compact=True)
    take = compiler.message_reader(fields, 0, True, 10)
    for value, expected in (
        (None, b"\1\0\1\0"),
        ({"epoch": 5}, b"\1\0\6\1\0\0\0\5\0"),
        ({"epoch": -1}, b"\0"),
    ):
        out = bytearray()
        put(out, {"member": value})
        assert bytes(out) == expected
        assert take(memoryview(out), 0) == ({"member": value}, len(out))
    assert take(memoryview(b"\1\0\7\x81\1\0\0\0\5\0"), 0)[0]["member"] == {"epoch": 5}


def test_a_message_cut_anywhere_does_not_decode() -> None:
    """In each version, with something in every field."""
    full = {"flags": [True], "inner": [{"name": "n"}], "point": {}, "extra": [1, 2]}
    for version in range(4):
        data = write(version, full)
        for end in range(len(data)):
            with pytest.raises((ProtocolError, *BREACHES)):
                read(version, data[:end])


def test_the_smallest_size_of_an_item_is_what_its_defaults_take() -> None:
    """Arrays are measured with it, so it must never be larger than an item can be."""
    inner = next(field for field in FIELDS if field.name == "inner")
    for version in range(4):
        compact = version >= FLEXIBLE_FROM
        out = bytearray()
        compiler.struct_writer(inner.fields, version, compact)(out, {})
        assert compiler.size_min(inner, version, compact) == len(out)


def test_neighbouring_fields_of_fixed_size_become_one_struct() -> None:
    """Eight numbers of a partition are one call."""
    text = "m\n  a int32\n  b int64\n  c bool\n  d string\n  e uuid\n  f int8"
    steps, _, _ = compiler.shape(notation.parse(text)["m"], 0)
    assert [type(step).__name__ for step in steps] == ["Run", "Field", "Run"]
    assert steps[0].layout.format == ">iq?"  # type: ignore[union-attr]
