"""`logserver client`: who is connected to the server."""

import json
import urllib.error
import urllib.request
from itertools import groupby
from typing import Any

import click

from logserver.cli.exits import CommandError, Exit
from logserver.cli.output import Cell, count, duration, print_json, print_table
from logserver.cli.pages import PageGroup, json_option

HTTP_PORT = 8080
TIMEOUT_S = 10.0
TOPICS_MAX = 3
"""Topics told by name in one row; JSON has them all."""

Client = dict[str, Any]


@click.group(
    cls=PageGroup,
    epilog="""Examples:
  logserver client list
  logserver client list --json | jq -r '.[] | select(.group_id == "billing") | .host'""",
)
def client() -> None:
    """Show who is connected."""


@client.command("list")
@click.option("--all", "every", is_flag=True, help="A row for each connection.")
@click.option(
    "--http",
    metavar="HOST:PORT",
    default=f"127.0.0.1:{HTTP_PORT}",
    show_default=True,
    envvar="LOGSERVER_HTTP",
    help="The server's HTTP address (or LOGSERVER_HTTP).",
)
@json_option
def list_clients(every: bool, http: str, as_json: bool) -> None:
    """List connected clients, and what they do.

    A client has several connections; they are one row unless --all says otherwise. The software is
    what the library calls itself (ApiVersions v3, KIP-511). Read from the server's HTTP port.
    """
    found = ask(http, "/clients")
    if as_json:
        print_json(found)
    elif not found:
        click.echo("nobody is connected", err=True)
    else:
        rows = [[one] for one in found] if every else together(found)
        print_table(
            ("client", "software", "address", "connections", "idle", "group", "does"),
            [_row(connections, every=every) for connections in rows],
        )


def ask(address: str, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
    """A JSON page of the server's HTTP port. Raises CommandError."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise CommandError(
            Exit.FAILED, f"http://{address}{path} answered {error.code}. Is it a logserver?"
        ) from None
    except (OSError, ValueError) as error:
        raise CommandError(
            Exit.UNAVAILABLE,
            f"cannot ask http://{address}{path}: {reason_of(error)}. Is the server's HTTP port "
            "there (serve --http)? Name it with --http HOST:PORT.",
        ) from None


def beside(bootstrap: str) -> str:
    """The HTTP address to ask where none was given: the usual port, on the host of the Kafka port.

    The figures of a server on this machine would say nothing about one on another.
    """
    first = bootstrap.split(",")[0].strip()
    return f"{first.rpartition(':')[0] or first}:{HTTP_PORT}"


def reason_of(error: Exception) -> str:
    """Why a page could not be had, without the numbers of errors."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason).lower()


def together(found: list[Client]) -> list[list[Client]]:
    """Connections of one client side by side: same id, software and host."""

    def key(one: Client) -> tuple[str, str, str, str]:
        return one["client_id"], one["software"], one["software_version"], one["host"]

    return [list(connections) for _, connections in groupby(sorted(found, key=key), key)]


def _row(connections: list[Client], *, every: bool) -> list[Cell]:
    first = connections[0]
    groups = sorted({one["group_id"] for one in connections} - {""})
    return [
        first["client_id"] or "-",
        f"{first['software']} {first['software_version']}".strip() or "-",
        f"{first['host']}:{first['port']}" if every else first["host"],
        len(connections),
        duration(min(one["idle_ms"] for one in connections)),
        ", ".join(groups) or "-",
        _does(connections),
    ]


def _does(connections: list[Client]) -> str:
    """`writes orders-0; reads clicks, orders`, or the last thing that was asked for."""
    writes = sorted({one["produces_to"] for one in connections} - {""})
    reads = sorted({topic for one in connections for topic in one["fetches_from"]})
    told = [
        f"{verb} {_some(names)}" for verb, names in (("writes", writes), ("reads", reads)) if names
    ]
    if not told:
        asked = sorted({one["last_request"] for one in connections} - {""})
        told = [f"asked {_some(asked)}"] if asked else []
    unsent = sum(one["unsent_bytes"] for one in connections)
    if unsent > 1_000_000:
        told.append("does not read its answers")
    return "; ".join(told) or "-"


def _some(names: list[str]) -> str:
    more = len(names) - TOPICS_MAX
    return ", ".join(names[:TOPICS_MAX]) + (f" and {count(more, 'other')}" if more > 0 else "")
