"""`logserver backup` and `logserver restore`: a data directory, copied beside whoever serves it."""

import time
from random import SystemRandom
from typing import TYPE_CHECKING

import click

from logserver.cli.exits import Exit, printable
from logserver.cli.output import Progress, count, print_json, size
from logserver.cli.pages import Page, json_option
from logserver.cli.trouble import storage_errors
from logserver.cli.verify import finding_line

if TYPE_CHECKING:
    from logserver.moving.backup import Copied
    from logserver.storage.verify import Finding

copy_option = click.option(
    "--copy", is_flag=True, help="Copy everything, also what could be linked: nothing is shared."
)
quick_option = click.option(
    "--quick",
    is_flag=True,
    help="Do not read sealed segments back; what is new is checked in any case.",
)


@click.command(
    cls=Page,
    epilog="""What is promised:
  complete     every record that was acknowledged before it began, every committed offset
  consistent   each partition up to some moment; no committed offset behind the end of its log
  checked      opened once as a start would, then read back like 'logserver verify' does

Sealed segments are hard links where TARGET is on the same file system: quick and without space of
their own, but on the same disk. Copy TARGET elsewhere in peace, or name a place on another disk.

Examples:
  logserver backup /var/lib/logserver /var/lib/logserver.monday
  logserver backup /var/lib/logserver /mnt/other-disk/monday --quick""",
)
@click.argument("source", metavar="DIR")
@click.argument("target", metavar="TARGET")
@copy_option
@quick_option
@json_option
@click.pass_context
def backup(
    context: click.Context, source: str, target: str, copy: bool, quick: bool, as_json: bool
) -> None:
    """Back up the data directory DIR into the new directory TARGET.

    The server may be running or not; it is not disturbed and need not know. TARGET must be empty or
    not there yet. Exit code 1 when the copy was made but damage was found in it.
    """
    if _copy("backup", source, target, links=not copy, quick=quick, as_json=as_json):
        context.exit(Exit.FAILED)


@click.command(
    cls=Page,
    epilog="""A backup is a data directory:
  'logserver serve --data-dir BACKUP' serves it as well, but then it changes. This makes a copy to
  serve, so that the backup stays what it is.

Examples:
  logserver restore /mnt/other-disk/monday --data-dir /var/lib/logserver
  logserver serve --data-dir /var/lib/logserver""",
)
@click.argument("source", metavar="BACKUP")
@click.option(
    "--data-dir",
    "target",
    required=True,
    metavar="NEW",
    help="The data directory to make; it must be empty or not there yet.",
)
@copy_option
@quick_option
@json_option
@click.pass_context
def restore(
    context: click.Context, source: str, target: str, copy: bool, quick: bool, as_json: bool
) -> None:
    """Make a data directory of a backup.

    BACKUP stays as it is. Exit code 1 when the directory was made but damage was found in it.
    """
    if _copy("restore", source, target, links=not copy, quick=quick, as_json=as_json):
        context.exit(Exit.FAILED)


def _copy(
    what: str, source: str, target: str, *, links: bool, quick: bool, as_json: bool
) -> "list[Finding]":
    """Copy, read back, tell; what was found wrong in the copy."""
    from logserver.moving.backup import copy_directory
    from logserver.storage.files import RealFiles
    from logserver.storage.verify import verify_directory

    files = RealFiles()
    source, target = (path.rstrip("/") or "/" for path in (source, target))
    started = time.monotonic()
    with storage_errors(target):
        with Progress(what, None, shown=not as_json) as progress:
            copied = copy_directory(
                files,
                source,
                target,
                links=links,
                now_ms=time.time_ns() // 1_000_000,
                random=SystemRandom(),
                progress=progress.advance,
            )
        with Progress(f"verify {target}", None, shown=not as_json) as progress:
            read = verify_directory(
                files, target, progress=lambda size_bytes: progress.advance(0, size_bytes)
            )
            findings = [] if quick else list(read)
    if as_json:
        print_json(_document(copied, findings, target, verified=not quick))
    else:
        _print(copied, findings, target, time.monotonic() - started, verified=not quick)
    return findings


def _print(
    copied: "Copied", findings: "list[Finding]", target: str, seconds: float, *, verified: bool
) -> None:
    for note in copied.notes:
        click.echo(printable(f"note: {note}"), err=True)
    for finding in findings:
        print(finding_line(finding))
    checked = count(len(findings), "finding") if findings else "nothing wrong"
    told = checked if verified else "not read back"
    print(
        printable(
            f"{target}: {count(copied.partition_count, 'partition')}, "
            f"{size(copied.linked_bytes)} linked, {size(copied.copied_bytes)} copied, {told} "
            f"({seconds:.1f} s)"
        )
    )


def _document(
    copied: "Copied", findings: "list[Finding]", target: str, *, verified: bool
) -> dict[str, object]:
    return {
        "directory": target,
        "cluster_id": copied.identity.cluster_id,
        "node_id": copied.identity.node_id,
        "partitions": copied.partition_count,
        "linked_bytes": copied.linked_bytes,
        "copied_bytes": copied.copied_bytes,
        "notes": copied.notes,
        "verified": verified,
        "findings": [finding._asdict() for finding in findings],
    }
