"""`logserver completion`: the shell completes commands, options, and names that the server knows.

The scripts are click's. Each asks `logserver` itself what may follow, by `_LOGSERVER_COMPLETE` in
the environment. Names of topics and groups come from the server that the words so far name; one
that does not answer at once completes nothing, and says nothing: there is a person in the middle
of a line.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from logserver.cli.pages import Page

if TYPE_CHECKING:
    from logserver.client import Admin

SHELLS = ("bash", "zsh", "fish")
ANSWER_MS = 1000
"""A person who pressed the tab key waits for no longer."""

Names = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command(
    cls=Page,
    epilog="""Put one of these where your shell starts:
  ~/.bashrc                                    eval "$(logserver completion bash)"
  ~/.zshrc                                     eval "$(logserver completion zsh)"
  ~/.config/fish/completions/logserver.fish    logserver completion fish | source""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete logserver's words.

    Commands and options, and names of topics and groups, asked from the server of --bootstrap or
    LOGSERVER_BOOTSTRAP.
    """
    found = get_completion_class(shell)
    assert found is not None
    app = context.find_root().command
    click.echo(found(app, {}, "logserver", "_LOGSERVER_COMPLETE").source())


def _names(ask: Callable[["Admin"], list[str]]) -> Names:
    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from logserver.client import Admin, ClientError

        bootstrap = context.params.get("bootstrap") or "127.0.0.1:9092"
        try:
            with Admin(bootstrap, request_timeout_ms=ANSWER_MS) as admin:
                names = ask(admin)
        except ClientError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


complete_topic = _names(lambda admin: [topic.name for topic in admin.list_topics()])
complete_group = _names(lambda admin: [group.group_id for group in admin.groups.all()])
