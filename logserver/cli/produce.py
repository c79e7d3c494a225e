"""`logserver produce`: every line of standard input or of files becomes a record."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, cast

import click

from logserver.cli.completion import complete_topic
from logserver.cli.connect import client_errors, parse_pairs
from logserver.cli.exits import CommandError, Exit
from logserver.cli.output import Progress, count, print_json, size
from logserver.cli.pages import Page, bootstrap_option, json_option

if TYPE_CHECKING:
    from logserver.client import Delivery, Producer

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A longer line is no text: somebody pointed us at a disk image."""
PACE_SECONDS = 0.005
"""With --rate: waiting less than this is not worth a system call."""

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@click.command(
    cls=Page,
    epilog="""Examples:
  echo 'hello' | logserver produce readings
  logserver produce readings day1.csv day2.csv --compression zstd
  tail -f app.log | logserver produce logs --key-separator ' '
  seq 100000 | logserver produce readings --rate 1000""",
)
@click.argument("topic", shell_complete=complete_topic)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(allow_dash=True))
@click.option(
    "--key-separator",
    "-K",
    metavar="TEXT",
    help="Split each line at the first TEXT: what is before is the key.",
)
@click.option(
    "--partition", "-p", metavar="N", type=click.IntRange(0), help="Write to this partition only."
)
@click.option(
    "--header", "-H", "headers", metavar="NAME=VALUE", multiple=True, help="Add a header."
)
@click.option(
    "--compression",
    "-z",
    type=click.Choice(CODECS),
    default="none",
    show_default=True,
    help="Compress the batches.",
)
@click.option(
    "--acks",
    type=click.Choice(("0", "1", "all")),
    default="all",
    show_default=True,
    help="When a record counts as written: sent, in the server's memory, or on its disk.",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    help="Records per second at most.",
)
@bootstrap_option
@json_option
def produce(
    topic: str,
    files: tuple[str, ...],
    key_separator: str | None,
    partition: int | None,
    headers: tuple[str, ...],
    compression: str,
    acks: str,
    rate: float | None,
    bootstrap: str,
    as_json: bool,
) -> None:
    """Write the lines of FILEs, or of standard input, to TOPIC.

    '-' is standard input, too. Ends when the input ends and every record is acknowledged; with
    Ctrl-C what was read is still delivered. The exit code is 1 when a record was not.
    """
    from logserver.client import Producer

    if key_separator == "":
        raise click.UsageError("--key-separator: write at least one character")
    pairs = [(name, value.encode()) for name, value in parse_pairs(headers, "--header").items()]
    started = time.monotonic()
    with client_errors(), ExitStack() as stack:
        inputs = [stack.enter_context(open_input(name)) for name in files or ("-",)]
        producer = stack.enter_context(
            Producer(
                bootstrap,
                acks=cast("Any", acks),
                compression=cast("Any", compression),
                client_id="logserver-cli",
            )
        )
        shown = not (sys.stdin.isatty() and "-" in (files or ("-",)))
        progress = stack.enter_context(Progress(topic, input_bytes(inputs), shown=shown))
        job = _Job(producer, topic, partition, pairs, key_separator)
        try:
            for line in paced(lines(inputs), rate):
                job.send(line)
                progress.advance(1, len(line) + 1)
        finally:
            producer.flush()
    _report(job, topic, time.monotonic() - started, as_json)


class _Job:
    """Sends lines and counts what became of them."""

    def __init__(
        self,
        producer: "Producer",
        topic: str,
        partition: int | None,
        headers: list[tuple[str, bytes]],
        key_separator: str | None,
    ) -> None:
        self.sent = 0
        self.size_bytes = 0
        self.failed = 0
        self.first_error: Exception | None = None
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._headers = headers
        self._separator = key_separator.encode() if key_separator else None

    def send(self, line: bytes) -> None:
        """Give one line to the producer."""
        key: bytes | None = None
        value = line
        if self._separator is not None:
            before, found, after = line.partition(self._separator)
            if found:
                key, value = before, after
        self.sent += 1
        self.size_bytes += len(line)
        self._producer.send(
            self._topic,
            value,
            key=key,
            partition=self._partition,
            headers=self._headers,
            on_delivery=self.delivered,
        )

    def delivered(self, delivery: "Delivery") -> None:
        """In the producer's thread."""
        error = delivery.error
        if error is not None:
            self.failed += 1
            self.first_error = self.first_error or error


def open_input(name: str) -> IO[bytes]:
    """A file or standard input, as bytes; raises CommandError for what cannot be read."""
    if name == "-":
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return open(name, "rb")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(Exit.NO_INPUT, f"cannot read {name}: {reason}.") from None


def input_bytes(inputs: Sequence[IO[bytes]]) -> int | None:
    """The size of all inputs, when every one is a plain file."""
    import os
    import stat

    found = [os.fstat(one.fileno()) for one in inputs]
    if not all(stat.S_ISREG(one.st_mode) for one in found):
        return None
    return sum(one.st_size for one in found)


def lines(inputs: Sequence[IO[bytes]]) -> Iterator[bytes]:
    """Every line without its newline; the last one may lack it."""
    for one in inputs:
        while line := one.readline(LINE_BYTES_MAX + 1):
            if len(line) > LINE_BYTES_MAX:
                raise CommandError(
                    Exit.NO_INPUT, f"{one.name}: a line is longer than {size(LINE_BYTES_MAX)}."
                )
            yield line[:-1] if line.endswith(b"\n") else line


def paced(items: Iterator[bytes], rate: float | None) -> Iterator[bytes]:
    """The items, at most `rate` per second, evenly; late ones are not made up for in bursts."""
    if rate is None:
        yield from items
        return
    pause = threading.Event()
    due = time.monotonic()
    for item in items:
        now = time.monotonic()
        due = max(due, now - PACE_SECONDS)
        if due - now > PACE_SECONDS:
            pause.wait(due - now)
        yield item
        due += 1 / rate


def _report(job: _Job, topic: str, seconds: float, as_json: bool) -> None:
    delivered = job.sent - job.failed
    if as_json:
        print_json(
            {
                "topic": topic,
                "records": delivered,
                "failed": job.failed,
                "bytes": job.size_bytes,
                "seconds": round(seconds, 3),
            }
        )
    elif sys.stderr.isatty():
        rate = f" ({delivered / seconds:,.0f} records/s)" if seconds > 0.5 else ""
        done = f"{count(delivered, 'record')}, {size(job.size_bytes)} to {topic}"
        click.echo(f"{done} in {seconds:.2f} s{rate}", err=True)
    if job.failed:
        raise CommandError(
            Exit.FAILED,
            f"{count(job.failed, 'record')} not delivered to {topic}: {job.first_error}",
        )
