"""Help pages: click's text, with headings that stand out on a terminal and nothing else changed.

Also where an unknown command is answered with the nearest known one.
"""

from typing import Any

import click

from logserver.cli.options import suggestion


class _Formatter(click.HelpFormatter):
    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{click.style(heading + ':', bold=True)}\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or click.style("Usage:", bold=True) + " ")


class _Context(click.Context):
    formatter_class = _Formatter


class _Paged(click.Command):
    """The epilog of a page keeps its line breaks: examples and tables stand there."""

    context_class = _Context

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Heading in bold, the rest as written."""
        del ctx
        if self.epilog:
            heading, _, text = self.epilog.partition("\n")
            formatter.write(f"\n{click.style(heading, bold=True)}\n{text}\n")


class Page(_Paged):
    """A command."""


class PageGroup(_Paged, click.Group):
    """A group that suggests the command which was probably meant."""

    command_class = Page

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion in the refusal."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = suggestion(name, self.list_commands(ctx))
            message = f"no such command: {name}"
            raise click.UsageError(f"{message}. {hint}" if hint else message, ctx)
        return super().resolve_command(ctx, args)


def bootstrap_option(function: Any) -> Any:
    """--bootstrap, the same for every command that talks to a server."""
    return click.option(
        "--bootstrap",
        metavar="HOST:PORT",
        default="127.0.0.1:9092",
        show_default=True,
        envvar="LOGSERVER_BOOTSTRAP",
        help="The server (or LOGSERVER_BOOTSTRAP).",
    )(function)


def json_option(function: Any) -> Any:
    """--json, the same for every command."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs instead of text."
    )(function)
