"""`logserver doctor`: why does it not work, in plain words."""

from typing import TYPE_CHECKING

import click

from logserver.cli.client import HTTP_PORT, beside
from logserver.cli.exits import Exit, printable
from logserver.cli.output import count, print_json
from logserver.cli.pages import Page, bootstrap_option, json_option

if TYPE_CHECKING:
    from logserver.cli.diagnosis import Check

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(
    cls=Page,
    epilog="""What is looked at:
  kafka port           does it answer, and is it Kafka: TLS and HTTP are named
  advertised address   can the address that clients are told be reached from here
  figures              readiness, descriptors, disk, syncs, who knocked with another protocol
  data directory       file system, free space, how long a sync takes (with --data-dir)

Run it where a client runs: an address that leads to the server from its own machine may lead
nowhere from another.

Examples:
  logserver doctor
  logserver doctor --bootstrap kafka.example.org:9092 --http kafka.example.org:8080
  logserver doctor --data-dir /var/lib/logserver
  logserver doctor --json | jq '.checks[] | select(.level != "ok")'""",
)
@bootstrap_option
@click.option(
    "--http",
    metavar="HOST:PORT",
    envvar="LOGSERVER_HTTP",
    help="The server's HTTP address (or LOGSERVER_HTTP); without it port "
    f"{HTTP_PORT} beside --bootstrap.",
)
@click.option("--data-dir", metavar="DIR", help="Look at this directory, too; on this machine.")
@json_option
@click.pass_context
def doctor(
    context: click.Context, bootstrap: str, http: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Look at a server as a client does: what is wrong, what to do.

    Exit code 0 when nothing is wrong, 1 when something is; a warning alone is no failure.
    """
    from logserver.cli import diagnosis

    checks, cluster = diagnosis.kafka_port(bootstrap)
    if cluster is not None:
        checks += diagnosis.advertised(bootstrap, cluster)
    checks += diagnosis.server_figures(http or beside(bootstrap))
    if data_dir is not None:
        checks += diagnosis.data_directory(data_dir.rstrip("/") or "/")
    problems = sum(check.level == diagnosis.PROBLEM for check in checks)
    if as_json:
        print_json({"problems": problems, "checks": [check._asdict() for check in checks]})
    else:
        _print(checks)
    if problems:
        context.exit(Exit.FAILED)


def _print(checks: "list[Check]") -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        level = click.style(f"{check.level:<8}", fg=COLOURS[check.level])
        click.echo(f"{level} {check.name:<{width}}  {printable(check.sentence)}")
        if check.advice:
            click.echo(f"{'':<8} {'':<{width}}  {printable(check.advice)}")
    problems = sum(check.level == "problem" for check in checks)
    warnings = sum(check.level == "warning" for check in checks)
    told = f"{count(problems, 'problem')}, {count(warnings, 'warning')}"
    click.echo(told if problems or warnings else "nothing wrong", err=True)
