"""Configuration files: Java properties and TOML become the same flat text."""

import pytest

from logserver.config import ConfigError, parse_properties, parse_text, parse_toml


def test_properties_are_read_as_java_reads_them() -> None:
    """Separators, comments, continued lines and escapes of java.util.Properties."""
    text = (
        "# a comment\n! another\n\n"
        "a=1\nb : 2\nc 3\n  d=  4\n"
        "long.list=x,\\\n    y,\\\n    z\n"
        "esc=tab\\there \\u0041 \\\\ end\n"
        "key\\ with\\=signs = v\n"
        "empty=\nalone\n"
        "a=5\n"
    )
    assert parse_properties(text) == {
        "a": "5",
        "b": "2",
        "c": "3",
        "d": "4",
        "long.list": "x,y,z",
        "esc": "tab\there A \\ end",
        "key with=signs": "v",
        "empty": "",
        "alone": "",
    }


def test_toml_tables_and_dotted_keys_are_joined() -> None:
    """Both ways of writing a key mean the same."""
    text = (
        'num.partitions = 3\n[log]\ndirs = ["/srv/a"]\nretention.hours = 2\n"segment.bytes" = 9\n'
    )
    assert parse_toml(text, "x.toml") == {
        "num.partitions": "3",
        "log.dirs": "/srv/a",
        "log.retention.hours": "2",
        "log.segment.bytes": "9",
    }
    assert parse_toml("auto.create.topics.enable = false", "x.toml") == {
        "auto.create.topics.enable": "false"
    }


def test_the_name_decides_the_format() -> None:
    """.toml is TOML, everything else is properties."""
    assert parse_text("a = '1'", "server.TOML") == {"a": "1"}
    assert parse_text("a = '1'", "server.properties") == {"a": "'1'"}


@pytest.mark.parametrize("text", ["a = ", "a = 1979-05-27", "a = [{b = 1}]"])
def test_what_cannot_be_read_names_the_file(text: str) -> None:
    """One sentence, with the file in it."""
    with pytest.raises(ConfigError, match=r"cannot read my\.toml: "):
        parse_toml(text, "my.toml")
