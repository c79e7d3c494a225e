"""`logserver consume`: print records, from where and as one likes."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from logserver.cli.completion import complete_topic
from logserver.cli.connect import client_errors, open_admin
from logserver.cli.exits import CommandError, Exit
from logserver.cli.layout import (
    DEFAULT_FORMAT,
    Render,
    as_json_line,
    compile_format,
    for_terminal,
)
from logserver.cli.pages import Page, bootstrap_option, json_option
from logserver.cli.position import Position, PositionType, Timestamp

if TYPE_CHECKING:
    from logserver.client import Consumer, Start
    from logserver.client.offsets import FoundOffset

RECORDS_PER_POLL = 1000
POLL_MS = 1000
"""Waiting is interrupted so often to look whether the end is reached."""


@click.command(
    cls=Page,
    epilog="""Format placeholders:
  %v value   %k key   %h headers   %o offset   %p partition   %t topic   %T timestamp in ms
  %V and %K lengths of value and key, -1 for null   %% percent   \\n \\t \\r \\0 \\\\

Examples:
  logserver consume readings
  logserver consume readings --from end --follow
  logserver consume readings --from 2026-01-31T12:00:00Z --max-messages 10
  logserver consume readings --partition 2 --from 1000 --format '%o %k=%v\\n'
  logserver consume readings --group billing --follow
  logserver consume readings --json | jq .value""",
)
@click.argument("topic", shell_complete=complete_topic)
@click.option(
    "--from",
    "start",
    metavar="OFFSET|TIMESTAMP|beginning|end",
    type=PositionType(),
    default="beginning",
    show_default=True,
    help="Where to start: a bare integer is an offset; a timestamp is ISO 8601 (UTC unless it says "
    "otherwise) or @ and milliseconds.",
)
@click.option(
    "--group",
    "-g",
    metavar="GROUP",
    help="Read as a member of this group: go on where it has stopped, share the partitions with "
    "its other members, and commit what was printed. --from is for what it has never read.",
)
@click.option(
    "--partition",
    "-p",
    "partitions",
    metavar="N",
    type=click.IntRange(0),
    multiple=True,
    help="Only this partition; may be repeated. Default: all.",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for more instead of stopping at the end.")
@click.option(
    "--max-messages", "-n", metavar="N", type=click.IntRange(1), help="Stop after so many records."
)
@click.option(
    "--format",
    "layout",
    default=DEFAULT_FORMAT,
    show_default=True,
    metavar="TEXT|json",
    help="How to print a record.",
)
@bootstrap_option
@json_option
def consume(
    topic: str,
    start: Position,
    group: str | None,
    partitions: tuple[int, ...],
    follow: bool,
    max_messages: int | None,
    layout: str,
    bootstrap: str,
    as_json: bool,
) -> None:
    """Print the records of TOPIC.

    Stops at what was the end when it started, unless --follow. Records of one partition come in
    their order; partitions are interleaved as they arrive. With --group a record whose printing was
    cut off is printed again next time, and a member without a partition waits for one.
    """
    render = _render(layout, as_json)
    if group is not None:
        if partitions:
            raise click.UsageError("--partition does not go with --group, which shares them out")
        _consume_group(group, topic, start, follow, max_messages, render, bootstrap)
        return
    from logserver.client import Consumer, OffsetOutOfRange

    with (
        client_errors(),
        Consumer(
            bootstrap,
            topic,
            partitions=partitions or None,
            start=_start(start),
            stop_at_end=not follow,
            client_id="logserver-cli",
        ) as consumer,
    ):
        try:
            printed = _print(consumer, render, max_messages)
        except OffsetOutOfRange as error:
            raise _outside(
                f"{topic}-{error.partition}",
                error.offset,
                f"{error.log_start_offset} to {error.log_end_offset}",
            ) from None
        if not printed and isinstance(start, int):
            ends = [end.offset for end in _ends(bootstrap, topic, partitions).values()]
            if start > max(ends):
                raise _outside(topic, start, f"it ends at {max(ends)}")


def _consume_group(
    group: str,
    topic: str,
    start: Position,
    follow: bool,
    max_messages: int | None,
    render: Render,
    bootstrap: str,
) -> None:
    from logserver.client import GroupConsumer

    with (
        _leaving_before_the_end(),
        client_errors(),
        GroupConsumer(
            bootstrap,
            group,
            topic,
            start=_start(start),
            stop_at_end=not follow,
            on_out_of_range="end" if start == "end" else "beginning",
            client_id="logserver-cli",
        ) as consumer,
    ):
        _print(consumer, render, max_messages, consumer.settle)


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


@contextmanager
def _leaving_before_the_end() -> Iterator[None]:
    """SIGTERM unwinds the body, which commits and leaves its group, and then ends the process as it
    always does: a service manager's stop must not make the other members wait for a timeout."""

    def unwind(*_: object) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _start(start: Position) -> "Start":
    from logserver.client import Timestamp as ClientTimestamp

    return ClientTimestamp(start.ms) if isinstance(start, Timestamp) else start


def _ends(bootstrap: str, topic: str, partitions: tuple[int, ...]) -> "dict[int, FoundOffset]":
    with open_admin(bootstrap) as admin:
        return admin.offsets(topic, "end", partitions=partitions or None)


def _outside(what: str, offset: int, log: str) -> CommandError:
    return CommandError(
        Exit.FAILED,
        f"offset {offset} is outside the log of {what} ({log}). "
        "Choose --from beginning, --from end or an offset in it.",
    )


def _render(layout: str, as_json: bool) -> Render:
    if as_json or layout == "json":
        return as_json_line
    try:
        render = compile_format(layout)
    except ValueError as error:
        raise click.UsageError(f"--format: {error}") from None
    if not sys.stdout.isatty():
        return render
    return lambda record: for_terminal(render(record))


def _print(
    consumer: "Consumer",
    render: Render,
    max_messages: int | None,
    printed_all: Callable[[], None] = lambda: None,
) -> int:
    """Print what has arrived, and let it be seen before waiting for more; how many records.

    `printed_all` is called when everything that the consumer has handed out is printed.
    """
    printed = 0
    out = sys.stdout.buffer
    left = RECORDS_PER_POLL if max_messages is None else max_messages
    while left:
        records = consumer.poll(POLL_MS, min(left, RECORDS_PER_POLL))
        if records:
            out.write(b"".join(map(render, records)))
            out.flush()
            printed_all()
            printed += len(records)
        elif consumer.is_finished:
            break
        if max_messages is not None:
            left -= len(records)
    return printed
