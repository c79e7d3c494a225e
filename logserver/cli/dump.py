"""`logserver dump`: any file of a data directory in words."""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import click

from logserver.cli.exits import CommandError, Exit, is_about_output, printable
from logserver.cli.output import moment, print_wide_table
from logserver.cli.pages import Page, json_option

if TYPE_CHECKING:
    from logserver.storage.files import Files

Row = Mapping[str, Any]
ROWS_PER_TABLE = 500
"""A table's widths are known when its rows are: long files come as several tables."""

BATCH_COLUMNS = (
    "position",
    "size_bytes",
    "base_offset",
    "last_offset",
    "leader_epoch",
    "codec",
    "max_timestamp_ms",
)


@click.command(
    cls=Page,
    epilog="""Files known:
  *.log *.cut                                   record batches; --records shows what is in them
  *.index *.timeindex                           offset to position, time to offset
  *.snapshot *.window                           idempotent producers
  *.digest                                      XXH3 of a sealed segment and its side files
  leader-epoch-checkpoint partition.metadata    and the other side files of partition and directory

Examples:
  logserver dump ./data/readings-0
  logserver dump ./data/readings-0/00000000000000000000.log --records
  logserver dump ./data/readings-0/*.log --json | jq .base_offset""",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--records", is_flag=True, help="Of segments: also every record.")
@json_option
@click.pass_context
def dump(context: click.Context, paths: tuple[str, ...], records: bool, as_json: bool) -> None:
    """Show what is in the files of a data directory.

    PATH is a file, or a directory, of which all files are shown. Reads only, and works beside a
    running server. With --json every row is an object on a line of its own, with the file's path
    in "path" and everything that is known in full. Exit code 1 means that a file is damaged; what
    could be read is shown.
    """
    from logserver.storage.dump import UnknownFileError, describe
    from logserver.storage.files import RealFiles

    files = RealFiles()
    damaged = False
    for path in paths:
        for file, asked_for in _files(files, path):
            try:
                rows = describe(files, file, records=records)
                damaged |= _print_json(file, rows) if as_json else _print_text(file, rows)
            except UnknownFileError as error:
                if asked_for:
                    raise CommandError(Exit.NO_INPUT, f"{error}.") from None
            except OSError as error:
                if is_about_output(error):
                    raise
                raise _cannot_read(file, error) from None
    if damaged:
        context.exit(Exit.FAILED)


def _files(files: "Files", path: str) -> Iterator[tuple[str, bool]]:
    """The files that a path names, and whether it named them itself."""
    try:
        if not files.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        names = files.list_directory(path) if files.is_directory(path) else None
    except OSError as error:
        raise _cannot_read(path, error) from None
    if names is None:
        yield path, True
        return
    for name in sorted(names):
        if not files.is_directory(os.path.join(path, name)):
            yield os.path.join(path, name), False


def _cannot_read(path: str, error: OSError) -> CommandError:
    reason = (error.strerror or str(error)).lower()
    return CommandError(Exit.NO_INPUT, f"cannot read {error.filename or path}: {reason}.")


def _print_json(path: str, rows: Iterator[Row]) -> bool:
    """Print rows as JSON lines; whether the file is damaged."""
    damaged = False
    for row in rows:
        damaged |= is_damage(row)
        print(json.dumps({"path": path, **row}, ensure_ascii=True))
    return damaged


def _print_text(path: str, rows: Iterator[Row]) -> bool:
    """Print rows as tables, one for each run of rows of one kind; whether the file is damaged."""
    damaged = False
    first = next(rows, None)
    print(click.style(printable(path), bold=True) if sys.stdout.isatty() else printable(path))
    if first is None:
        print("  (empty)")
    for columns, run in groupby(_again(first, rows), key=tuple):
        while some := list(islice(run, ROWS_PER_TABLE)):
            damaged |= any(map(is_damage, some))
            _print_run(columns, some)
    print()
    return damaged


def _again(first: Row | None, rows: Iterator[Row]) -> Iterator[Row]:
    if first is not None:
        yield first
        yield from rows


def is_damage(row: Row) -> bool:
    """Whether a row tells of something that cannot be read or does not fit."""
    return "error" in row or row.get("fault") is not None


def _print_run(columns: Sequence[str], rows: Sequence[Row]) -> None:
    if "records_count" in columns:
        _print_batches(rows)
    elif len(columns) <= 2 and len(rows) == 1:
        for name, value in rows[0].items():
            print(f"  {printable(name)}: {shown(name, value)}")
    else:
        titles = [name.removesuffix("_ms") for name in columns]
        print_wide_table(titles, [[shown(name, row[name]) for name in columns] for row in rows])


def _print_batches(rows: Sequence[Row]) -> None:
    """The columns that matter to a person; --json has all of them."""
    lines = []
    for row in rows:
        cells = [shown(name, row[name]) for name in BATCH_COLUMNS]
        cells.insert(4, str(row["records_count"]))
        cells.append(_producer(row))
        cells.append(_marks(row))
        lines.append(cells)
    columns = [name.removesuffix("_ms").replace("_", " ") for name in BATCH_COLUMNS]
    columns.insert(4, "records")
    print_wide_table([*columns, "producer", ""], lines)


def _producer(row: Row) -> str:
    """`id/epoch sequence` of an idempotent batch."""
    if row["producer_id"] < 0:
        return "-"
    return f"{row['producer_id']}/{row['producer_epoch']} {row['base_sequence']}"


def _marks(row: Row) -> str:
    """What is unusual about a batch."""
    marks = [name for name in ("transactional", "control") if row[name]]
    if row["timestamp_type"] != "CreateTime":
        marks.append(row["timestamp_type"])
    if row["fault"] is not None:
        marks.append(f"FAULT: {row['fault']}")
    return printable(", ".join(marks))


def shown(name: str, value: object) -> str:
    """A cell: times as UTC, nothing as `-`, structures as compact JSON."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("timestamp_ms"):
        return moment(value)
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return printable(str(value))
