"""Between commands and the client: addresses, pairs, and what a client's failure means here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from logserver.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from logserver.client import Admin

UNREACHABLE = frozenset({"connect", "closed", "timeout"})


@contextmanager
def client_errors() -> Iterator[None]:
    """Turn the client's failures into a sentence and an exit code."""
    from logserver.client import ClientError

    try:
        yield
    except ClientError as error:
        code = Exit.UNAVAILABLE if error.kind in UNREACHABLE else Exit.FAILED
        raise CommandError(code, f"{str(error).rstrip('.')}.") from None


@contextmanager
def open_admin(bootstrap: str) -> Iterator["Admin"]:
    """An Admin on `bootstrap`, closed at the end."""
    from logserver.client import Admin

    with client_errors(), Admin(bootstrap, client_id="logserver-cli") as admin:
        yield admin


def parse_pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` words to a dict; a usage error names the option."""
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"{option} {word}: write KEY=VALUE")
        pairs[key.strip()] = value
    return pairs
