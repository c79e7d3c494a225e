"""Write the reference pages from the code they describe: commands, metrics, configuration.

    python tools/write_reference.py            writes docs/{command-line,metrics,configuration}.md
    python tools/write_reference.py --check    exits 1 and names the pages that are out of date

A page that is generated cannot forget an option, a metric or a key. tests/tools checks that the
committed pages are what this program writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from logserver.cli.app import app
from logserver.cli.exits import EXIT_MEANINGS
from logserver.cli.serve import help_page
from logserver.config import (
    BROKER_KEYS,
    CLIENT_METRICS_KEYS,
    GROUP_KEYS,
    TOPIC_KEYS,
    Key,
    format_value,
)
from logserver.statistics.layout import (
    BUILD_INFO,
    GROUP_METRICS,
    METRICS,
    PARTITION_METRICS,
    Metric,
)

DOCS = Path(__file__).resolve().parent.parent / "docs"
COLUMNS = 100
INT_MAX, LONG_MAX = 2**31 - 1, 2**63 - 1

COMMANDS_INTRO = """\
# Command line

Every command, as `logserver COMMAND --help` prints it. This page is written by
`tools/write_reference.py`.

- Results go to standard output, everything about the work (progress, summaries, errors) to
  standard error, so a pipe gets results only. `--json` gives every command's result as JSON.
- `--bootstrap HOST:PORT` says where the server is; `LOGSERVER_BOOTSTRAP` in the environment does
  so for a whole session.
- Colour and progress appear on a terminal only; `NO_COLOR` switches colour off.
- An error is one sentence: what happened, to what, what to do.

## Exit codes

| code | meaning |
|---:|---|
"""

CLIENTS = """\
## What clients measure of themselves

Clients that know KIP-714 (Java from 3.7 on, librdkafka from 2.5 on) push their own figures once a
subscription asks for them; there is none at first. With Kafka's tools:

    kafka-client-metrics.sh --bootstrap-server localhost:9092 --alter --name latency \\
        --metrics org.apache.kafka.producer.request.latency. --interval 30000 \\
        --match client_id=payments-.*

`org.apache.kafka.producer.request.latency.avg` is then
`kafka_client_producer_request_latency_avg` here, with the labels `client_id`, `group`, `software`
and `version`. Clients that share these share a series: sums add up, of a gauge the last push
counts, and of its values for several nodes or partitions the largest. A series is gone three
intervals after its last push. Keys: [configuration](configuration.md#client-metrics).
"""

METRICS_INTRO = """\
# Metrics

What `/metrics` on the HTTP port shows, in Prometheus' text format. This page is written by
`tools/write_reference.py` from the table in `logserver/statistics/layout.py`.

The server counts in plain integers and copies them every 250 ms to a page in memory
(`--runtime-dir`, by default below /dev/shm); `/metrics` reads that page. A scrape therefore never
touches a partition or a connection, and values are up to 250 ms old. Figures of partitions are
copied 256 at a time: with 1,000 partitions they are up to one second old.

Counters start at zero with the process. Durations are in seconds, sizes in bytes.

Beside it the HTTP port serves `/healthz` (200 while the process answers at all: restart it when it
does not) and `/readyz` (200 while requests are served; else 503 and why not, a line each: it is
stopping, or the log directory is fenced; a full disk still serves readers, see
`logserver_disk_full`). Neither touches the disk. `/clients` lists who is connected and what they
do, as JSON; `logserver client list` shows it. `/groups` and `/lag` tell how far behind consumer
groups are, as JSON ([what the words mean](groups.md#ask-for-it-by-http)).

The lag of groups is looked at every five seconds, in slices beside the work, and copied 500 series
at a time: with few groups it is up to 6 seconds old, with 10,000 partitions of groups some 25.
"""

CONFIGURATION_INTRO = """\
# Configuration

Every key the server knows. This page is written by `tools/write_reference.py` from the tables in
`logserver/config`.

Names, types, bounds and meanings are Kafka's; what Kafka has no name for begins with `logserver.`.
Keys are given on the command line (`--set KEY=VALUE`, or `-c`), or in a file (`--config FILE`) as
Java properties (Kafka's `server.properties`) or TOML (`*.toml`). The command line wins over the
file. Topic keys are given when a topic is created or altered (`logserver topic create --config`,
or any Kafka client); a topic that does not set one takes the broker key named beside it.

A key that Kafka knows but that means nothing here is accepted with a warning in the log; one that
nobody knows is refused, with the nearest known name.

"Dynamic" keys can be altered while the server runs (`kafka-configs.sh`, or any Kafka admin client).
"""


def command_line_page() -> str:
    """docs/command-line.md."""
    codes = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in EXIT_MEANINGS.items())
    parts = [COMMANDS_INTRO + codes, _section("logserver", _help(app, "logserver"))]
    for path, command in _commands(app, "logserver"):
        text = help_page() if path == "logserver serve" else _help(command, path)
        parts.append(_section(path, text))
    return "\n".join(parts)


def _commands(group: click.Group, path: str) -> Iterable[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    # With the settings of the outermost command, which a real call hands down to every other.
    context = command.context_class(
        command, info_name=path, terminal_width=COLUMNS, **app.context_settings
    )
    return click.unstyle(command.get_help(context))


def _section(path: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"## {path}\n\n```text\n{lines}\n```\n"


def metrics_page() -> str:
    """docs/metrics.md."""
    rows = [_metric_row(metric) for metric in (*METRICS, BUILD_INFO)]
    partitions = [
        (f"`{metric.name}`", "gauge", "`topic`, `partition`", metric.help)
        for metric in PARTITION_METRICS
    ]
    columns = ("name", "kind", "labels", "meaning")
    parts = [METRICS_INTRO, "## The server\n", _table(columns, rows)]
    parts += ["## Each partition\n", _table(columns, partitions)]
    groups = [
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in GROUP_METRICS
    ]
    parts += ["## Each group\n", _table(columns, groups)]
    parts.append(CLIENTS)
    bounds = next(metric for metric in METRICS if metric.bounds)
    seconds = ", ".join(f"{bound / bounds.divisor:g}" for bound in bounds.bounds)
    parts.append(f"## Buckets\n\nHistograms of durations have bounds at (seconds):\n{seconds}.\n")
    return "\n".join(parts)


def _metric_row(metric: Metric) -> tuple[str, str, str, str]:
    return f"`{metric.name}`", metric.kind, f"`{metric.label}`" if metric.label else "", metric.help


def configuration_page() -> str:
    """docs/configuration.md."""
    broker = [
        (f"`{key.name}`", _type(key), _default(key), "yes" if key.dynamic else "", _prose(key.doc))
        for key in BROKER_KEYS.values()
    ]
    below = ("key", "type", "default", "broker key", "meaning")
    return "\n".join(
        [
            CONFIGURATION_INTRO,
            "## The server\n",
            _table(("key", "type", "default", "dynamic", "meaning"), broker),
            "## Topics\n",
            _table(below, _rows_below(TOPIC_KEYS)),
            "## Groups\n",
            _table(below, _rows_below(GROUP_KEYS)),
            "## Client metrics\n",
            _table(
                ("key", "type", "default", "meaning"),
                [
                    (f"`{key.name}`", _type(key), _default(key), _prose(key.doc))
                    for key in CLIENT_METRICS_KEYS.values()
                ],
            ),
        ]
    )


def _rows_below(keys: Mapping[str, Key]) -> list[tuple[str, ...]]:
    """The rows of keys whose defaults come from broker keys."""
    return [
        (f"`{key.name}`", _type(key), _default(key), _broker_keys(key), _prose(key.doc))
        for key in sorted(keys.values(), key=lambda key: key.name)
    ]


def _type(key: Key) -> str:
    return f"{key.type}, {key.unit}" if key.unit else key.type


def _default(key: Key) -> str:
    if key.default is None:
        return "not set"
    text = format_value(key.default)
    if key.default in (INT_MAX, LONG_MAX):
        return f"{text} (no limit)"
    return f"`{text}`" if text else "empty"


def _broker_keys(key: Key) -> str:
    return ", ".join(f"`{name}`" for name, _ in key.synonyms)


def _prose(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (columns, *rows)]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(lines) + "\n"


PAGES = {
    "command-line.md": command_line_page,
    "metrics.md": metrics_page,
    "configuration.md": configuration_page,
}


def stale_pages() -> list[str]:
    """Names of the pages that do not say what the code says."""
    return [
        name
        for name, write in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text() != write()
    ]


def main(words: Sequence[str]) -> int:
    """Write or check; the exit code."""
    stale = stale_pages()
    if "--check" in words:
        for name in stale:
            print(f"docs/{name} is out of date: run python tools/write_reference.py")
        return 1 if stale else 0
    DOCS.mkdir(exist_ok=True)
    for name in stale:
        (DOCS / name).write_text(PAGES[name]())
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
