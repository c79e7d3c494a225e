"""Exit codes, and the one exception that carries them to the end of the process.

The numbers above 63 are those of sysexits.h, which scripts and service managers already know; 2 is
what every command-line library uses for usage; 128 + n is how a shell reports signal n.
"""

import sys
from enum import IntEnum


class Exit(IntEnum):
    """Every way a command can end. `EXIT_MEANINGS` has the reference text."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DATA = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_LISTEN = 71
    CANNOT_CREATE = 73
    FENCED = 74
    LOCKED = 75
    CONFIG = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_MEANINGS: dict[Exit, str] = {
    Exit.OK: "Done; `verify` found nothing wrong.",
    Exit.FAILED: "The server refused, a record was not delivered, or `verify` has findings.",
    Exit.USAGE: "Unknown command or option, or a value that makes no sense.",
    Exit.DATA: "The data directory cannot be used: a newer format, or damage that stops the start.",
    Exit.NO_INPUT: "A file or directory that was named cannot be read.",
    Exit.UNAVAILABLE: "The server cannot be reached, or did not answer in time.",
    Exit.INTERNAL: "A bug in logserver; please report what it printed.",
    Exit.CANNOT_LISTEN: "The address to listen on is in use or not ours.",
    Exit.CANNOT_CREATE: "The data or runtime directory cannot be created or written.",
    Exit.FENCED: "The data directory was given up after a failed sync. Do not restart blindly: "
    "look at the disk first (systemd: `RestartPreventExitStatus=74`).",
    Exit.LOCKED: "Another process owns the data directory.",
    Exit.CONFIG: "The configuration is refused, or needs a confirmation such as `--insecure`.",
    Exit.INTERRUPTED: "Stopped by Ctrl-C.",
    Exit.BROKEN_PIPE: "Whoever read the output went away, as `head` does after its ten lines.",
}


class CommandError(Exception):
    """Ends the command with a sentence on standard error and an exit code."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def tell(message: str) -> None:
    """One line on standard error that begins with our name, as every Unix tool does."""
    print(f"logserver: {printable(message)}", file=sys.stderr)


def printable(message: str) -> str:
    """The message on one line; what could steer a terminal is shown as its escape.

    Names of topics, files and hosts come from elsewhere.
    """
    if message.isprintable():
        return message
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message
    )
