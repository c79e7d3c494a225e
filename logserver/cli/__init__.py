"""The installed command `logserver`: the server and the tools around it.

Promises: one sentence and a documented exit code for everything that goes wrong, `--json` beside
every human output, and a server that starts without loading a single tool.
Must never know how bytes are laid out or sent: it calls the client, the storage and the server.
"""

import sys
from collections.abc import Sequence

from logserver.cli.exits import CommandError, Exit, run_to_end

__all__ = ["CommandError", "Exit", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; `sys.argv` when no arguments are given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_to_end(lambda: _run(words))


def _run(words: list[str]) -> int:
    if words[:1] == ["serve"]:
        # click and rich cost 60 ms: a server that should be ready in 200 never loads them
        from logserver.cli.serve import run_serve

        return run_serve(words[1:])
    if words in (["--version"], ["-V"]):
        from logserver import __version__

        print(f"logserver {__version__}")
        return Exit.OK
    from logserver.cli.app import run_app

    return run_app(words)
