"""`logserver verify`: read a data directory with suspicion and tell what contradicts what."""

import sys
import time
from typing import TYPE_CHECKING

import click

from logserver.cli.exits import CommandError, Exit, is_about_output, printable
from logserver.cli.output import Progress, count, print_json, size
from logserver.cli.pages import Page, json_option

if TYPE_CHECKING:
    from logserver.storage.verify import Finding


@click.command(
    cls=Page,
    epilog="""What is checked:
  batches          CRC-32C, order of offsets and leader epochs, no gaps
  sealed segments  XXH3 digest of the segment, its indexes and snapshots
  indexes          each entry against the batch it points to
  side files       their own checksums, and that they agree with the log
  the end          no log ends below its durable mark

Examples:
  logserver verify ./data
  logserver verify /var/lib/logserver --json | jq '.[].findings[].path'""",
)
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@json_option
@click.pass_context
def verify(context: click.Context, directories: tuple[str, ...], as_json: bool) -> None:
    """Check the data directories DIR for damage.

    Nothing is changed. The server may be stopped or running; beside a running server everything
    that is already durable is checked. Exit code 0 means that nothing was found, 1 that something
    was.
    """
    reports = [_verify_one(directory, quiet=as_json) for directory in directories]
    if as_json:
        print_json([_document(*report) for report in reports])
    if any(findings for _, findings, _ in reports):
        context.exit(Exit.FAILED)


def _verify_one(directory: str, *, quiet: bool) -> "tuple[str, list[Finding], int]":
    """Directory, findings, bytes read; findings are printed as they come unless `quiet`."""
    from logserver.storage.directory import is_partition_name
    from logserver.storage.files import RealFiles
    from logserver.storage.identity import IDENTITY_FILE
    from logserver.storage.verify import verify_directory

    files = RealFiles()
    started = time.monotonic()
    found: list[Finding] = []
    try:
        names = files.list_directory(directory)
        partitions = sum(map(is_partition_name, names))
        if not partitions and IDENTITY_FILE not in names:
            raise CommandError(
                Exit.NO_INPUT, f"{directory} is no data directory: it has no {IDENTITY_FILE}."
            )
        with Progress(f"verify {directory}", None) as progress:
            for finding in verify_directory(
                files, directory, progress=lambda size_bytes: progress.advance(0, size_bytes)
            ):
                found.append(finding)
                if not quiet:
                    print(finding_line(finding), flush=True)
    except OSError as error:
        if is_about_output(error):
            raise
        reason = (error.strerror or str(error)).lower()
        where = error.filename or directory
        raise CommandError(Exit.NO_INPUT, f"cannot read {where}: {reason}.") from None
    if not quiet:
        seconds = time.monotonic() - started
        told = count(len(found), "finding") if found else "nothing wrong"
        read = f"{count(partitions, 'partition')}, {size(progress.size_bytes)} read"
        summary = f"{directory}: {told} ({read} in {seconds:.1f} s)"
        click.echo(printable(summary), file=sys.stderr if found else sys.stdout)
    return directory, found, progress.size_bytes


def finding_line(finding: "Finding") -> str:
    """`path:byte: kind: sentence`, as compilers write it."""
    where = f":{finding.position}" if finding.position >= 0 else ""
    return printable(f"{finding.path}{where}: {finding.kind}: {finding.sentence}")


def _document(directory: str, findings: "list[Finding]", read_bytes: int) -> dict[str, object]:
    return {
        "directory": directory,
        "read_bytes": read_bytes,
        "findings": [finding._asdict() for finding in findings],
    }
