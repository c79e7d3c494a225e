"""Values from text: types, bounds and Kafka's sentences."""

import pytest

from logserver.config.key import (
    ConfigError,
    Key,
    at_least,
    between,
    format_value,
    not_empty,
    one_of,
    parse_value,
)


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("int", "2147483647", 2**31 - 1),
        ("int", " -7 ", -7),
        ("int", "+7", 7),
        ("long", "9223372036854775807", 2**63 - 1),
        ("short", "-32768", -32768),
        ("double", "0.5", 0.5),
        ("double", "1.7976931348623157E308", 1.7976931348623157e308),
        ("boolean", "TRUE", True),
        ("boolean", " false", False),
        ("string", " x y ", "x y"),
        ("list", "delete, compact", ("delete", "compact")),
        ("list", "", ()),
    ],
)
def test_text_becomes_a_typed_value(type_name: str, text: str, value: object) -> None:
    """Blanks around a value are dropped, as ConfigDef does."""
    assert parse_value("k", type_name, text) == value


@pytest.mark.parametrize(
    ("type_name", "text", "problem"),
    [
        ("int", "2147483648", "Not a number of type INT"),
        ("int", "1_000", "Not a number of type INT"),
        ("int", "", "Not a number of type INT"),
        ("int", "\u0661", "Not a number of type INT"),
        ("long", "9" * 5000, "Not a number of type LONG"),
        ("double", "nan", "Not a number of type DOUBLE"),
        ("boolean", "yes", "Expected value to be either true or false"),
    ],
)
def test_text_of_another_type_is_refused_in_kafkas_words(
    type_name: str, text: str, problem: str
) -> None:
    """Clients print these sentences and scripts match them."""
    with pytest.raises(ConfigError) as caught:
        parse_value("some.key", type_name, text)
    assert str(caught.value) == f"Invalid value {text} for configuration some.key: {problem}"


def test_a_check_completes_the_sentence() -> None:
    """The row says what is wrong, the sentence says with what."""
    key = Key("some.key", "list", (), "", "doc", one_of("a", "b"))
    with pytest.raises(ConfigError, match=r"Invalid value c for configuration some\.key: String"):
        key.parse("a,c")
    assert key.parse("a,b") == ("a", "b")


def test_bounds_are_inclusive() -> None:
    """As Kafka's Range."""
    assert at_least(1)(1) is None
    assert at_least(1)(0) == "Value must be at least 1"
    assert at_least(1)(None) is None
    assert between(0, 1)(1.1) == "Value must be no more than 1"
    assert between(0, 1)(-0.1) == "Value must be at least 0"
    assert not_empty(()) == "Value must not be empty"


def test_values_are_printed_as_kafka_prints_them() -> None:
    """DescribeConfigs shows them."""
    assert [format_value(v) for v in (True, ("a", "b"), 0.5, 7, None, "x")] == [
        "true",
        "a,b",
        "0.5",
        "7",
        None,
        "x",
    ]
