"""logserver.cli.connect: what the client's failures become on the command line."""

import socket

import click
import pytest

from logserver.cli import main
from logserver.cli.connect import client_errors, parse_pairs
from logserver.cli.exits import CommandError, Exit
from logserver.client import ClientError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("connect", Exit.UNAVAILABLE),
        ("closed", Exit.UNAVAILABLE),
        ("timeout", Exit.UNAVAILABLE),
        ("refused", Exit.FAILED),
        ("too_large", Exit.FAILED),
    ],
)
def test_an_unreachable_server_and_a_refusal_have_different_codes(kind: str, code: Exit) -> None:
    """A script retries the one and not the other."""
    with pytest.raises(CommandError) as caught, client_errors():
        raise ClientError(kind, "no luck")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.message) == (code, "no luck.")


def test_a_refused_connection_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
    assert main(["topic", "list", "--bootstrap", address]) == Exit.UNAVAILABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert address in told.err


def test_pairs_are_taken_apart_at_the_first_equals_sign() -> None:
    """A value may hold more of them."""
    assert parse_pairs(["a=1", "b=x=y", "c="], "-c") == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("word", ["a", "=b", " =b"])
def test_what_is_no_pair_is_a_usage_error(word: str) -> None:
    """With the option's name."""
    with pytest.raises(click.UsageError, match="write KEY=VALUE"):
        parse_pairs([word], "-c")
