"""Listener addresses, as people write them."""

import pytest

from logserver.config import ConfigError, Listener, parse_listeners


def test_names_hosts_and_ports_are_taken_apart() -> None:
    """Names are upper case; an empty host is every interface; brackets hold IPv6."""
    entries = ("plaintext://127.0.0.1:9092", "B://:0", "C://[::1]:19092", "D_2://a-b.example:1")
    assert parse_listeners("listeners", entries) == (
        Listener("PLAINTEXT", "127.0.0.1", 9092),
        Listener("B", "", 0),
        Listener("C", "::1", 19092),
        Listener("D_2", "a-b.example", 1),
    )


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    """Anything that may be reached from elsewhere counts as public."""
    assert Listener("A", host, 1).is_loopback is loopback


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "9092",
        "localhost:9092",
        "A://h",
        "A://h:x",
        "A://h:70000",
        "A://h:-1",
        "A://h:1/",
        "A:/h:1",
    ],
)
def test_anything_else_is_refused_with_an_example(entry: str) -> None:
    """The sentence shows how it is written."""
    with pytest.raises(ConfigError, match="Unable to parse"):
        parse_listeners("listeners", (entry,))


def test_a_name_or_an_address_occurs_once() -> None:
    """Two listeners of one name could not be told apart in advertised.listeners."""
    with pytest.raises(ConfigError, match="different name"):
        parse_listeners("listeners", ("A://h:1", "a://h:2"))
    with pytest.raises(ConfigError, match="different port"):
        parse_listeners("listeners", ("A://h:1", "B://h:1"))
    assert len(parse_listeners("listeners", ("A://h:0", "B://h:0"))) == 2


def test_a_listener_prints_as_it_is_written() -> None:
    """For the line that says what is listened on."""
    for text in ("A://[::1]:1", "B://h:2", "C://:3"):
        assert str(parse_listeners("listeners", (text,))[0]) == text
