"""`logserver group`: list, describe, lag, reset-offsets, delete."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from logserver.cli.completion import complete_group
from logserver.cli.connect import open_admin
from logserver.cli.group_reset import reset_offsets
from logserver.cli.group_status import Told, ask_server, http_option
from logserver.cli.output import Cell, count, duration, moment, print_facts, print_json, print_table
from logserver.cli.pages import PageGroup, bootstrap_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logserver.client import Admin
    from logserver.client.groups import Group
    from logserver.client.lag import PartitionLag


TYPES = ("classic", "consumer")
"""Of groups that commit offsets."""
STATES = (
    "Empty",
    "Stable",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "Dead",
)
REBALANCES_MAX = 10
"""Shown to people; JSON has all that the server keeps."""


@click.group(
    cls=PageGroup,
    epilog="""Examples:
  logserver group list --state Stable
  logserver group describe billing
  logserver group lag
  logserver group reset-offsets billing --topic orders --to 2026-01-31T12:00:00Z
  logserver group lag billing --json | jq '.[0].lag_count'""",
)
def group() -> None:
    """Show groups and their lag, and set their offsets anew.

    A group's lag is told in records, and in time: how old the next record is that it has not read.
    STATUS is current, draining, slow or stalled; docs/groups.md says what that means.
    """


@group.command("list")
@click.option(
    "--state",
    "states",
    metavar="STATE",
    type=click.Choice(STATES, case_sensitive=False),
    multiple=True,
    help="Only groups in this state, for example Stable or Empty; may be repeated.",
)
@click.option(
    "--type",
    "types",
    metavar="TYPE",
    type=click.Choice(TYPES, case_sensitive=False),
    multiple=True,
    help="Only groups of this type, classic or consumer; may be repeated.",
)
@bootstrap_option
@json_option
def list_groups(
    states: tuple[str, ...], types: tuple[str, ...], bootstrap: str, as_json: bool
) -> None:
    """List groups with their type and state."""
    with open_admin(bootstrap) as admin:
        groups = admin.groups.all(states=states, types=types)
    if as_json:
        print_json(
            [
                {
                    "group": one.group_id,
                    "type": one.group_type,
                    "protocol_type": one.protocol_type,
                    "state": one.state,
                }
                for one in groups
            ]
        )
    elif groups:
        rows = [
            (one.group_id, one.group_type, one.state, one.protocol_type or None) for one in groups
        ]
        print_table(("group", "type", "state", "protocol"), rows)
    else:
        click.echo("no groups", err=True)


@group.command()
@click.argument("name", metavar="GROUP", shell_complete=complete_group)
@bootstrap_option
@http_option
@json_option
def describe(name: str, bootstrap: str, http: str | None, as_json: bool) -> None:
    """Show the members of GROUP, its lag, and why it rebalanced."""
    with open_admin(bootstrap) as admin:
        found = admin.groups.describe(name)
        lags = admin.groups.lag(found)
        told = ask_server(admin, bootstrap, http, [name])
    readers = {key: one for one in found.members for key in one.partitions}
    rows = [
        _lag_document(name, lag, told)
        | {"member_id": getattr(readers.get((lag.topic, lag.partition)), "member_id", None)}
        for lag in lags
    ]
    if as_json:
        print_json(_document(found, rows, told))
        return
    _print_group(found, rows, told)


def _print_group(found: "Group", rows: list[dict[str, Any]], told: Told) -> None:
    facts: dict[str, Cell] = {"group": found.group_id, "type": found.group_type}
    facts["state"] = found.state
    if found.epoch >= 0:
        facts["epoch"] = found.epoch
    facts |= {
        "assignor": found.assignor or None,
        "members": len(found.members),
        "lag": _behind(rows),
    }
    if found.group_id in told.groups:
        of_group = told.of_group(found.group_id)
        facts |= {"status": of_group["status"], "drain": _duration(of_group["drain_ms"] or None)}
    print_facts(facts)
    if found.members:
        print()
        print_table(
            ("member", "client", "host", "instance", "epoch", "reads"),
            [
                (
                    one.member_id,
                    one.client_id,
                    one.client_host.removeprefix("/"),
                    one.instance_id,
                    None if one.epoch < 0 else one.epoch,
                    spans(one.partitions) or None,
                )
                for one in found.members
            ],
        )
    if rows:
        print()
        _print_lags(rows, with_status=found.group_id in told.groups)
    rebalances = told.rebalances(found.group_id)
    if rebalances:
        print()
        _print_rebalances(rebalances[-REBALANCES_MAX:])


def _print_rebalances(rebalances: list[dict[str, Any]]) -> None:
    print_table(
        ("rebalanced", "epoch", "reason", "client", "host", "member"),
        [
            (
                moment(one["time_ms"]),
                one["generation"],
                one["reason"],
                one["client_id"] or None,
                one["client_host"].removeprefix("/") or None,
                one["member_id"],
            )
            for one in rebalances
        ],
    )


@group.command()
@click.argument("names", nargs=-1, metavar="[GROUP]...", shell_complete=complete_group)
@bootstrap_option
@http_option
@json_option
def lag(names: tuple[str, ...], bootstrap: str, http: str | None, as_json: bool) -> None:
    """Show how far groups are behind, in records and in time.

    With a GROUP for each of its partitions, without one a line for each group there is.
    """
    with open_admin(bootstrap) as admin:
        told = ask_server(admin, bootstrap, http, names)
        documents = []
        for found in _named(admin, names) if names else _all(admin):
            name = found.group_id
            rows = [_lag_document(name, one, told) for one in admin.groups.lag(found)]
            documents.append({"group": name, "state": found.state, **_totals(rows)})
            documents[-1] |= {**told.of_group(name), "partitions": rows}
    if as_json:
        print_json(documents)
    elif names:
        for at, one in enumerate(documents):
            if len(documents) > 1:
                print(("\n" if at else "") + one["group"])
            _print_lags(one["partitions"], with_status=one["group"] in told.groups)
    elif documents:
        columns = ("group", "state", "partitions", "lag", "behind")
        print_table(
            columns + _STATUS if told.groups else columns,
            [
                (
                    one["group"],
                    one["state"],
                    len(one["partitions"]),
                    one["lag_count"],
                    _duration(one["lag_ms"] or None),
                    *(_status(one) if told.groups else ()),
                )
                for one in documents
            ],
        )
    else:
        click.echo("no groups", err=True)


@group.command()
@click.argument("names", nargs=-1, required=True, metavar="GROUP...", shell_complete=complete_group)
@bootstrap_option
@json_option
def delete(names: tuple[str, ...], bootstrap: str, as_json: bool) -> None:
    """Delete groups that have no members, offsets and all."""
    with open_admin(bootstrap) as admin:
        for name in names:
            admin.groups.delete(name)
            if not as_json:
                print(f"deleted {name}")
    if as_json:
        print_json({"deleted": list(names)})


group.add_command(reset_offsets)


def spans(partitions: Iterable[tuple[str, int]]) -> str:
    """`orders 0-3 5, refunds 1`: topics with runs of partitions."""
    words = []
    for topic, keys in groupby(sorted(partitions), key=itemgetter(0)):
        runs: list[list[int]] = []
        for _, index in keys:
            if runs and runs[-1][1] == index - 1:
                runs[-1][1] = index
            else:
                runs.append([index, index])
        told = (str(low) if low == high else f"{low}-{high}" for low, high in runs)
        words.append(f"{topic} {' '.join(told)}")
    return ", ".join(words)


def _named(admin: "Admin", names: Iterable[str]) -> "Iterator[Group]":
    return (admin.groups.describe(name) for name in names)


def _all(admin: "Admin") -> "Iterator[Group]":
    """Every group that commits offsets, less those that end while we ask."""
    from logserver.client import ClientError
    from logwire.errors import GROUP_ID_NOT_FOUND

    for one in admin.groups.all():
        if one.group_type.lower() not in ("", *TYPES):  # empty: the server does not know types
            continue
        try:
            yield admin.groups.describe(one.group_id)
        except ClientError as error:
            if error.code != GROUP_ID_NOT_FOUND:
                raise


def _document(found: "Group", rows: list[dict[str, Any]], told: Told) -> dict[str, Any]:
    return {
        "group": found.group_id,
        "type": found.group_type,
        "protocol_type": found.protocol_type,
        "state": found.state,
        "epoch": found.epoch,
        "assignor": found.assignor,
        "members": [
            {
                "member_id": one.member_id,
                "instance_id": one.instance_id,
                "client_id": one.client_id,
                "client_host": one.client_host,
                "epoch": one.epoch,
                "partitions": [
                    {"topic": topic, "partition": partition} for topic, partition in one.partitions
                ],
            }
            for one in found.members
        ],
        **_totals(rows),
        **told.of_group(found.group_id),
        "partitions": rows,
        "rebalances": told.rebalances(found.group_id),
    }


def _lag_document(group_id: str, one: "PartitionLag", told: Told) -> dict[str, Any]:
    return one._asdict() | told.of_partition(group_id, one.topic, one.partition)


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Records that are behind in all partitions, and the time of the one that is most behind."""
    return {
        "lag_count": sum(row["lag_count"] or 0 for row in rows),
        "lag_ms": max((row["lag_ms"] or 0 for row in rows), default=0),
    }


def _behind(rows: list[dict[str, Any]]) -> str:
    totals = _totals(rows)
    told = count(totals["lag_count"], "record")
    return f"{told}, {duration(totals['lag_ms'])}" if totals["lag_count"] else told


def _duration(ms: int | None) -> str | None:
    return None if ms is None else duration(ms)


_STATUS = ("status", "drain")


def _status(document: dict[str, Any]) -> tuple[Cell, Cell]:
    return document["status"], _duration(document["drain_ms"] or None)


def _print_lags(rows: list[dict[str, Any]], *, with_status: bool) -> None:
    columns = ("topic", "partition", "committed", "end", "lag", "behind")
    print_table(
        columns + _STATUS if with_status else columns,
        [
            (
                row["topic"],
                row["partition"],
                row["committed_offset"],
                row["log_end_offset"],
                row["lag_count"],
                _duration(row["lag_ms"] or None),
                *(_status(row) if with_status else ()),
            )
            for row in rows
        ],
    )
