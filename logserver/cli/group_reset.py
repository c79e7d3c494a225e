"""`logserver group reset-offsets`: show what would change, then change it.

A plan is a row for each partition: where the group stands, and where it would go on. Nothing is
changed without --execute. A place outside of the log is moved to its nearest end, as Kafka's tool
does: an offset that is not there would be found out of range by the first fetch.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from logserver.cli.completion import complete_group
from logserver.cli.connect import open_admin
from logserver.cli.exits import CommandError, Exit
from logserver.cli.output import count, print_json, print_table
from logserver.cli.pages import bootstrap_option, json_option
from logserver.cli.position import Position, PositionType, Timestamp

if TYPE_CHECKING:
    from collections.abc import Collection

    from logserver.client import Admin
    from logserver.client.groups import TopicPartition

IDLE_STATES = frozenset({"Empty", "Dead"})


class Planned(NamedTuple):
    """One partition; `committed_offset` is None where the group has not committed anything."""

    topic: str
    partition: int
    committed_offset: int | None
    log_start_offset: int
    log_end_offset: int
    new_offset: int


@click.command("reset-offsets")
@click.argument("name", metavar="GROUP", shell_complete=complete_group)
@click.option(
    "--topic",
    "topics",
    metavar="TOPIC",
    multiple=True,
    help="Only this topic; may be repeated. Default: those that the group has read.",
)
@click.option(
    "--partition",
    "-p",
    "partitions",
    metavar="N",
    type=click.IntRange(0),
    multiple=True,
    help="Only this partition of the one topic given; may be repeated. Default: all.",
)
@click.option(
    "--to",
    "to",
    metavar="OFFSET|TIMESTAMP|beginning|end",
    type=PositionType(),
    help="Where to go on: a bare integer is an offset; a timestamp is ISO 8601 (UTC unless it says "
    "otherwise) or @ and milliseconds.",
)
@click.option(
    "--shift-by", metavar="N", type=int, help="Go forward by N records, back when N is negative."
)
@click.option("--execute", is_flag=True, help="Do it. Without this only the plan is printed.")
@bootstrap_option
@json_option
def reset_offsets(
    name: str,
    topics: tuple[str, ...],
    partitions: tuple[int, ...],
    to: Position | None,
    shift_by: int | None,
    execute: bool,
    bootstrap: str,
    as_json: bool,
) -> None:
    """Set the offsets of GROUP, which must have no members.

    Prints the plan and changes nothing, unless --execute is given.
    """
    if (to is None) == (shift_by is None):
        raise click.UsageError("say where to: either --to or --shift-by")
    if partitions and len(topics) != 1:
        raise click.UsageError("--partition belongs to one --topic")
    with open_admin(bootstrap) as admin:
        members_count = _members_count(admin, name, topics)
        if members_count and execute:
            raise CommandError(
                Exit.FAILED,
                f"group {name} has {count(members_count, 'member')}. Stop its consumers first: "
                "they would go on where they are and overwrite what is set.",
            )
        plan = plan_reset(admin, name, topics, partitions, to, shift_by)
        changes = [row for row in plan if row.new_offset != row.committed_offset]
        if execute and changes:
            admin.groups.commit(
                name, {(row.topic, row.partition): row.new_offset for row in changes}
            )
    if as_json:
        print_json(
            {"group": name, "executed": execute, "partitions": [row._asdict() for row in plan]}
        )
        return
    _print_plan(plan)
    told = count(len(changes), "partition")
    if execute:
        print(f"\nset {told} of {name}")
    elif members_count:
        hint = f"stop the {count(members_count, 'member')} of {name} first"
        click.echo(f"\nplan only, nothing was changed; {hint}, then add --execute", err=True)
    else:
        click.echo("\nplan only, nothing was changed; add --execute to do it", err=True)


def _members_count(admin: "Admin", name: str, topics: "Collection[str]") -> int:
    """How many members a group has; a group that is not there can be given offsets by topic."""
    from logserver.client import ClientError
    from logwire.errors import GROUP_ID_NOT_FOUND

    try:
        found = admin.groups.describe(name)
    except ClientError as error:
        if error.code != GROUP_ID_NOT_FOUND or not topics:
            raise
        return 0
    return 0 if found.state in IDLE_STATES else max(1, len(found.members))


def plan_reset(
    admin: "Admin",
    name: str,
    topics: "Collection[str]",
    partitions: "Collection[int]",
    to: Position | None,
    shift_by: int | None,
) -> list[Planned]:
    """What would be set; CommandError when the group has nothing that could be."""
    committed = {key: one.offset for key, one in admin.groups.committed(name).items()}
    if topics:
        keys = [
            (topic, index)
            for topic in sorted(set(topics))
            for index in (sorted(set(partitions)) or admin.partitions(topic))
        ]
    else:
        keys = sorted(committed)
    if not keys:
        raise CommandError(
            Exit.FAILED, f"group {name} has committed no offset. Name the topics with --topic."
        )
    plan = []
    for topic in dict.fromkeys(topic for topic, _ in keys):
        indexes = [index for one, index in keys if one == topic]
        plan += _plan_topic(admin, topic, indexes, committed, to, shift_by)
    return plan


def _plan_topic(
    admin: "Admin",
    topic: str,
    indexes: list[int],
    committed: "dict[TopicPartition, int]",
    to: Position | None,
    shift_by: int | None,
) -> list[Planned]:
    starts = admin.offsets(topic, "beginning", partitions=indexes)
    ends = admin.offsets(topic, "end", partitions=indexes)
    times = admin.offsets(topic, to.ms, partitions=indexes) if isinstance(to, Timestamp) else {}
    plan = []
    for index in indexes:
        start, end = starts[index].offset, ends[index].offset
        current = committed.get((topic, index))
        if shift_by is not None:
            place = (start if current is None else current) + shift_by
        elif isinstance(to, int):
            place = to
        elif isinstance(to, Timestamp):
            place = times[index].offset if times[index].offset >= 0 else end
        else:
            place = start if to == "beginning" else end
        plan.append(Planned(topic, index, current, start, end, min(max(place, start), end)))
    return plan


def _print_plan(plan: list[Planned]) -> None:
    rows: list[tuple[Any, ...]] = [
        (
            row.topic,
            row.partition,
            row.committed_offset,
            row.new_offset,
            None if row.committed_offset is None else row.new_offset - row.committed_offset,
            row.log_start_offset,
            row.log_end_offset,
        )
        for row in plan
    ]
    print_table(("topic", "partition", "committed", "new", "change", "log start", "log end"), rows)
