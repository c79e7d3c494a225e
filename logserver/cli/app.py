"""The command tree and what happens when a command ends badly.

Commands are click commands whose modules import next to nothing; client, storage and rich are
loaded inside the functions that use them. click is run without its own error handling, so that
every failure leaves by the same door (`exits.run_to_end`): one sentence, one exit code.
"""

import os
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from logserver.cli.backup import backup, restore
from logserver.cli.client import client
from logserver.cli.completion import completion
from logserver.cli.consume import consume
from logserver.cli.doctor import doctor
from logserver.cli.dump import dump
from logserver.cli.exits import EXIT_MEANINGS, CommandError, Exit
from logserver.cli.group import group
from logserver.cli.importing import import_
from logserver.cli.options import suggestion
from logserver.cli.pages import Page, PageGroup
from logserver.cli.produce import produce
from logserver.cli.topic import topic
from logserver.cli.verify import verify

EPILOG = "Exit codes:\n" + "\n".join(
    f"  {code.value:>3}  {meaning.partition('.')[0].replace('`', chr(39))}."
    for code, meaning in EXIT_MEANINGS.items()
)


class Serve(Page):
    """`serve` in the list of commands; it is run, and its options are read, by `cli.serve`."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The options; click knows none of them."""
        del ctx
        from logserver.cli.serve import OPTIONS

        known = [CompletionItem(f"--{option.name}", help=option.help) for option in OPTIONS]
        return [item for item in known if item.value.startswith(incomplete or "--")]


@click.group(
    cls=PageGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    None, "--version", "-V", package_name="logserver", message="%(prog)s %(version)s"
)
def app() -> None:
    """A Kafka-compatible log server, and the tools around it.

    Start a server with 'logserver serve', then write and read:

    \b
      logserver topic create readings --partitions 4
      echo 'hello' | logserver produce readings
      logserver consume readings --from beginning

    Every command that talks to a server takes --bootstrap HOST:PORT (or LOGSERVER_BOOTSTRAP), and
    every command that prints a result takes --json.
    """


app.add_command(Serve("serve", help="Run the server."))
for command in (
    topic,
    produce,
    consume,
    group,
    dump,
    verify,
    import_,
    backup,
    restore,
    client,
    doctor,
    completion,
):
    app.add_command(command)


def run_app(words: Sequence[str]) -> int:
    """Run one command line; the exit code. What click complains of is raised as CommandError.

    It is what `app.main` does, less its own ways of ending: a broken pipe would be code 1.
    """
    if "_LOGSERVER_COMPLETE" in os.environ:
        app.main(words, prog_name="logserver")
    try:
        with app.make_context("logserver", list(words)) as context:
            code = app.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        raise CommandError(Exit.USAGE, _usage_sentence(error)) from None
    except click.ClickException as error:
        raise CommandError(Exit.FAILED, error.format_message()) from None
    except click.Abort:
        return Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.OK


def _usage_sentence(error: click.UsageError) -> str:
    """The complaint after the command's path; the nearest command or option, or where to look."""
    context = error.ctx
    path = context.command_path.removeprefix("logserver").strip() if context else ""
    message = error.format_message().rstrip(".")
    hint = ""
    if isinstance(error, click.NoSuchOption):
        message = f"no such option: {error.option_name}"
        hint = suggestion(error.option_name, _options_of(context))
    message = message[:1].lower() + message[1:]
    before = f"{path}: " if path else ""
    hint = hint or (
        f"See 'logserver {path}{' ' if path else ''}--help'." if "?" not in message else ""
    )
    sentence = f"{before}{message}. {hint}".rstrip(". ")
    return sentence if sentence.endswith("?") else f"{sentence}."


def _options_of(context: click.Context | None) -> list[str]:
    if context is None:
        return []
    params: list[Any] = context.command.get_params(context)
    return [name for param in params for name in param.opts if name.startswith("-")]
