"""`logserver topic`: create, list, describe, alter, delete."""

import uuid
from typing import TYPE_CHECKING, Any

import click

from logserver.cli.completion import complete_topic
from logserver.cli.connect import open_admin, parse_pairs
from logserver.cli.output import count, print_facts, print_json, print_table, size
from logserver.cli.pages import PageGroup, bootstrap_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logserver.client import Admin
    from logserver.client.admin import ConfigEntry, Topic

config_option = click.option(
    "--config",
    "-c",
    "configs",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set a topic setting, for example retention.ms=86400000; may be repeated.",
)


@click.group(
    cls=PageGroup,
    epilog="""Examples:
  logserver topic create readings --partitions 4 --config retention.ms=86400000
  logserver topic describe readings
  logserver topic alter readings --partitions 8 --config flush.messages=1000000
  logserver topic list --json | jq -r '.[].name'""",
)
def topic() -> None:
    """Create, list, describe, alter and delete topics.

    Settings are Kafka's; docs/configuration.md lists them all with their defaults.
    """


@topic.command()
@click.argument("name")
@click.option(
    "--partitions", "-p", metavar="N", type=click.IntRange(1), help="Default: the server's."
)
@config_option
@click.option("--if-not-exists", is_flag=True, help="Succeed when the topic is already there.")
@bootstrap_option
@json_option
def create(
    name: str,
    partitions: int | None,
    configs: tuple[str, ...],
    if_not_exists: bool,
    bootstrap: str,
    as_json: bool,
) -> None:
    """Create the topic NAME."""
    from logserver.client import ClientError
    from logwire.errors import TOPIC_ALREADY_EXISTS

    settings = parse_pairs(configs, "--config")
    created = True
    with open_admin(bootstrap) as admin:
        try:
            total = admin.create_topic(name, partitions=partitions or -1, configs=settings)
        except ClientError as error:
            if not (if_not_exists and error.code == TOPIC_ALREADY_EXISTS):
                raise
            created = False
            total = len(admin.describe_topic(name).partitions)
    if as_json:
        print_json({"name": name, "partitions": total, "created": created})
    elif created:
        print(f"created {name} with {count(total, 'partition')}")
    else:
        print(f"{name} exists with {count(total, 'partition')}")


@topic.command("list")
@click.option("--internal", is_flag=True, help="Also topics that the server keeps for itself.")
@bootstrap_option
@json_option
def list_topics(internal: bool, bootstrap: str, as_json: bool) -> None:
    """List topics with their partitions and size."""
    with open_admin(bootstrap) as admin:
        topics = admin.list_topics(internal=internal)
        sizes: dict[str, int] = {}
        for one in admin.log_sizes():
            sizes[one.topic] = sizes.get(one.topic, 0) + one.size_bytes
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "topic_id": _id(one),
                    "partitions": len(one.partitions),
                    "size_bytes": sizes.get(one.name),
                    "internal": one.is_internal,
                }
                for one in topics
            ]
        )
    elif topics:
        rows = [(one.name, len(one.partitions), _size(sizes.get(one.name))) for one in topics]
        print_table(("topic", "partitions", "size"), rows)
    else:
        click.echo("no topics; create one with 'logserver topic create NAME'", err=True)


@topic.command()
@click.argument("name", shell_complete=complete_topic)
@click.option("--all", "all_settings", is_flag=True, help="Also settings that have their default.")
@bootstrap_option
@json_option
def describe(name: str, all_settings: bool, bootstrap: str, as_json: bool) -> None:
    """Show the partitions, offsets, sizes and settings of NAME."""
    with open_admin(bootstrap) as admin:
        found = admin.describe_topic(name)
        rows = _partition_rows(admin, found)
        settings = [
            entry
            for entry in admin.describe_configs(name)
            if all_settings or entry.source != "default"
        ]
    if as_json:
        print_json(_document(found, rows, settings))
        return
    records = sum(row["end_offset"] - row["start_offset"] for row in rows)
    print_facts(
        {
            "topic": found.name,
            "id": _id(found),
            "partitions": len(rows),
            "offsets kept": records,
            "size": _size(_sum(row["size_bytes"] for row in rows)),
        }
    )
    print()
    columns = ("partition", "leader", "epoch", "start offset", "end offset", "size")
    print_table(
        columns,
        [
            (
                row["partition"],
                row["leader"],
                row["leader_epoch"],
                row["start_offset"],
                row["end_offset"],
                _size(row["size_bytes"]),
            )
            for row in rows
        ],
    )
    if settings:
        print()
        print_table(
            ("setting", "value", "from"),
            [(entry.name, entry.value, entry.source) for entry in settings],
        )


@topic.command()
@click.argument("name", shell_complete=complete_topic)
@click.option(
    "--partitions", "-p", metavar="N", type=click.IntRange(1), help="Grow to this many partitions."
)
@config_option
@click.option(
    "--delete-config",
    "-d",
    "deleted",
    metavar="KEY",
    multiple=True,
    help="Take a setting back to its default; may be repeated.",
)
@bootstrap_option
@json_option
def alter(
    name: str,
    partitions: int | None,
    configs: tuple[str, ...],
    deleted: tuple[str, ...],
    bootstrap: str,
    as_json: bool,
) -> None:
    """Change settings of NAME or give it more partitions.

    All settings of one call are changed, or none. Partitions can only grow, and records with a key
    that are written from then on may go to another partition than those before.
    """
    changes: dict[str, str | None] = {**parse_pairs(configs, "--config")}
    changes.update(dict.fromkeys(deleted))
    if not changes and partitions is None:
        raise click.UsageError("nothing to change: give --partitions, --config or --delete-config")
    with open_admin(bootstrap) as admin:
        if changes:
            admin.alter_configs(name, changes)
        if partitions is not None:
            admin.add_partitions(name, partitions)
    if as_json:
        print_json({"name": name, "configs": changes, "partitions": partitions})
        return
    done = [
        f"{key}={value}" if value is not None else f"{key} reset" for key, value in changes.items()
    ]
    if partitions is not None:
        done.append(count(partitions, "partition"))
    print(f"altered {name}: {', '.join(done)}")


@topic.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_topic)
@bootstrap_option
@json_option
def delete(names: tuple[str, ...], bootstrap: str, as_json: bool) -> None:
    """Delete topics and all their records. This cannot be undone.

    The space is free after file.delete.delay.ms (one minute), and once the last connection that
    still receives from the topic has let go.
    """
    with open_admin(bootstrap) as admin:
        for name in names:
            admin.delete_topic(name)
            if not as_json:
                print(f"deleted {name}")
    if as_json:
        print_json({"deleted": list(names)})


def _id(found: "Topic") -> str:
    return str(uuid.UUID(bytes=found.topic_id))


def _size(size_bytes: int | None) -> str:
    """A size for people; a directory that has failed does not tell."""
    return "-" if size_bytes is None else size(size_bytes)


def _sum(sizes: "Iterable[int | None]") -> int | None:
    known = list(sizes)
    return None if None in known else sum(one or 0 for one in known)


def _partition_rows(admin: "Admin", found: "Topic") -> list[dict[str, Any]]:
    starts = admin.offsets(found.name, "beginning")
    ends = admin.offsets(found.name, "end")
    sizes = {one.partition: one.size_bytes for one in admin.log_sizes() if one.topic == found.name}
    return [
        {
            "partition": part.partition,
            "leader": part.leader_id,
            "leader_epoch": part.leader_epoch,
            "start_offset": starts[part.partition].offset,
            "end_offset": ends[part.partition].offset,
            "size_bytes": sizes.get(part.partition),
        }
        for part in found.partitions
    ]


def _document(
    found: "Topic", rows: list[dict[str, Any]], settings: "list[ConfigEntry]"
) -> dict[str, Any]:
    return {
        "name": found.name,
        "topic_id": _id(found),
        "internal": found.is_internal,
        "partitions": rows,
        "configs": [
            {"name": entry.name, "value": entry.value, "source": entry.source} for entry in settings
        ],
    }
