"""What commands print: tables and facts for people, JSON for programs, progress on the side.

On a terminal tables are drawn by rich, quietly: bold headings, no boxes. Into a pipe the same
table is aligned text without any colour (and `NO_COLOR` is obeyed by rich itself). Results go to
standard output, everything about the work to standard error, so a pipe gets results only.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from logserver.cli.exits import printable

Cell = str | int | None
QUANTITY = re.compile(r"-?[0-9][0-9,]*(\.[0-9]+)?( ([kMGT]?B|ms|s|min|h|d))?|-")
"""What stands to the right in its column: numbers, sizes, durations, and the dash for none."""
PROGRESS_SECONDS = 0.1


def print_json(document: object) -> None:
    """One document, indented for a terminal, on one line for a pipe."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Columns named in capitals; quantities to the right, integers with thousands separated."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    numeric = [all(map(_is_quantity, column)) for column in zip(*cells, strict=True)]
    numeric = numeric or [False] * len(columns)
    if sys.stdout.isatty():
        _rich_table(columns, cells, numeric)
    else:
        _plain_table(columns, cells, numeric)


def print_facts(facts: Mapping[str, Cell]) -> None:
    """A name and a value per line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        print(f"{name:<{width}}  {_cell(value)}")


def count(number: int, noun: str) -> str:
    """`1 record`, `1,234 records`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: float) -> str:
    """`512 B`, `1.5 MB`: decimal units, as disks and networks are sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("unreachable")


def duration(ms: float) -> str:
    """`312 ms`, `3.2 s`, `5.0 min`, `2.1 h`, `3.4 d`."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    value = ms / 1000
    for unit, units_in_next in (("s", 60), ("min", 60), ("h", 24)):
        if round(value, 1) < units_in_next:
            return f"{value:.1f} {unit}"
        value /= units_in_next
    return f"{value:.1f} d"


def moment(timestamp_ms: int) -> str:
    """A timestamp in UTC with milliseconds, `-` for none."""
    from datetime import UTC, datetime

    if timestamp_ms < 0:
        return "-"
    try:
        at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError):
        return str(timestamp_ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{timestamp_ms % 1000:03d}Z"


def _is_quantity(cell: str) -> bool:
    return QUANTITY.fullmatch(cell) is not None


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else printable(cell)


def _plain_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    for line in _aligned([[name.upper() for name in columns], *cells], numeric):
        print(line)


def _aligned(rows: Sequence[Sequence[str]], to_right: Sequence[bool]) -> Iterator[str]:
    """The rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        )
        yield "  ".join(padded).rstrip()


def print_wide_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table of text that is never folded, however wide; its heading is dim on a terminal."""
    rows = [[name.replace("_", " ") for name in columns], *cells]
    right = [all(row[at].lstrip("-").isdigit() for row in cells) for at in range(len(columns))]
    dim, plain = ("\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    for number, line in enumerate(_aligned(rows, right)):
        print(f"  {line}" if number else f"{dim}  {line}{plain}")


def _rich_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name.upper(), justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


class Progress:
    """A line on standard error that tells how long work goes; silent without a terminal.

    Use as a context manager; `advance(records, bytes)` as work is done, as often as one likes: it
    is drawn ten times a second.
    """

    def __init__(self, title: str, total_bytes: int | None, *, shown: bool = True) -> None:
        self.records = 0
        self.size_bytes = 0
        self._title = title
        self._total_bytes = total_bytes
        self._live: Any = None
        self._task: Any = None
        self._started = self._due = time.monotonic()
        self._shown = shown and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._shown:
            from rich import progress
            from rich.console import Console

            columns: list[Any] = [progress.TextColumn("{task.description}")]
            if self._total_bytes:
                columns.append(
                    progress.BarColumn(30, complete_style="default", finished_style="default")
                )
            columns.append(progress.TextColumn("{task.fields[told]}"))
            console = Console(stderr=True, highlight=False)
            self._live = progress.Progress(
                *columns, console=console, transient=True, auto_refresh=False
            )
            self._task = self._live.add_task(
                printable(self._title), total=self._total_bytes, told=""
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def advance(self, records: int, size_bytes: int) -> None:
        """Count work that is done."""
        self.records += records
        self.size_bytes += size_bytes
        if self._live is not None and time.monotonic() >= self._due:
            self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        self._due = now + PROGRESS_SECONDS
        seconds = max(now - self._started, 0.001)
        told = f"{size(self.size_bytes)}  {size(self.size_bytes / seconds)}/s  {seconds:.0f} s"
        if self.records:
            told = f"{self.records:,} records  {told}"
        self._live.update(self._task, completed=self.size_bytes, told=told, refresh=True)
