"""`logserver import`: take over what Apache Kafka has written."""

import time
import uuid
from random import SystemRandom
from typing import TYPE_CHECKING

import click

from logserver.cli.exits import printable
from logserver.cli.output import Progress, count, print_json, print_table, size
from logserver.cli.pages import Page, json_option
from logserver.cli.trouble import storage_errors

if TYPE_CHECKING:
    from logserver.moving.importing import Report


@click.command(
    "import",
    cls=Page,
    epilog="""What comes along:
  records          every batch as it is, checked; sealed segments as hard links where possible
  topics           names, ids, partitions, log start offsets, and the configuration of each topic
  offsets          __consumer_offsets, so every consumer group goes on where it was
  producers        what idempotent producers wrote last, so their retries are recognised

What does not: transactions and records from before Kafka 0.11 (refused, see --exclude), access
control, quotas, the broker's own configuration (serve with the same server.properties).

Examples:
  logserver import /var/lib/kafka/data --data-dir /var/lib/logserver
  logserver import /disk1/kafka /disk2/kafka --data-dir /disk1/logserver --exclude orders-tx""",
)
@click.argument("sources", nargs=-1, required=True, metavar="KAFKA_DIR...")
@click.option(
    "--data-dir",
    "target",
    required=True,
    metavar="NEW",
    help="The data directory to make; it must be empty or not there yet.",
)
@click.option(
    "--exclude", metavar="TOPIC", multiple=True, help="Leave this topic out; may be repeated."
)
@click.option(
    "--copy", is_flag=True, help="Copy everything; nothing is shared with Kafka's directory."
)
@json_option
def import_(
    sources: tuple[str, ...], target: str, exclude: tuple[str, ...], copy: bool, as_json: bool
) -> None:
    """Make a data directory of a stopped Kafka broker's.

    KAFKA_DIR are the broker's log directories (log.dirs). They are only read and stay as they are:
    Kafka can be started on them again. A broker of a larger cluster must hold every partition of
    its topics.
    """
    from logserver.moving.importing import import_kafka
    from logserver.storage.files import RealFiles

    started = time.monotonic()
    target = target.rstrip("/") or "/"
    with storage_errors(target), Progress("import", None, shown=not as_json) as progress:
        report = import_kafka(
            RealFiles(),
            [source.rstrip("/") or "/" for source in sources],
            target,
            exclude=exclude,
            links=not copy,
            now_ms=time.time_ns() // 1_000_000,
            random=SystemRandom(),
            progress=progress.advance,
        )
    if as_json:
        print_json(_document(report, target))
        return
    _print(report, target, time.monotonic() - started)


def _print(report: "Report", target: str, seconds: float) -> None:
    print_table(
        ("topic", "partitions", "records", "size"),
        [
            (topic.name, topic.partition_count, topic.record_count, size(topic.size_bytes))
            for topic in report.topics
        ],
    )
    for note in report.notes:
        click.echo(printable(f"note: {note}"), err=True)
    node = f" --set node.id={report.node_id}" if report.node_id != 1 else ""
    linked, copied = size(report.linked_bytes), size(report.copied_bytes)
    click.echo(
        printable(
            f"imported {count(len(report.topics), 'topic')} ({linked} linked, {copied} copied) in "
            f"{seconds:.1f} s; serve it with: logserver serve --data-dir {target}{node}"
        ),
        err=True,
    )


def _document(report: "Report", target: str) -> dict[str, object]:
    return {
        "data_dir": target,
        "cluster_id": report.cluster_id,
        "node_id": report.node_id,
        "linked_bytes": report.linked_bytes,
        "copied_bytes": report.copied_bytes,
        "topics": [
            {
                "name": topic.name,
                "topic_id": str(uuid.UUID(bytes=topic.topic_id)),
                "partitions": topic.partition_count,
                "records": topic.record_count,
                "size_bytes": topic.size_bytes,
                "configs": dict(topic.configs),
            }
            for topic in report.topics
        ],
        "notes": report.notes,
    }
