"""Exit codes, the one exception that carries them, and the one door that every command leaves by.

The numbers above 63 are those of sysexits.h, which scripts and service managers already know; 2 is
what every command-line library uses for usage; 128 + n is how a shell reports signal n.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
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


def run_to_end(command: Callable[[], int]) -> int:
    """Run a command; its exit code. Nothing but exit codes leaves this function."""
    keep_standard_files()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except CommandError as error:
        tell(error.message)
        return error.code
    except BrokenPipeError:
        let_go_of_stdout()
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last door: whatever comes here is told
        if isinstance(error, OSError) and is_about_output(error):
            let_go_of_stdout()
            tell("cannot write to standard output: no space left on device.")
            return Exit.FAILED
        import traceback

        traceback.print_exc()
        tell("this is a bug in logserver. Please report it with the lines above.")
        return Exit.INTERNAL


def keep_standard_files() -> None:
    """Open /dev/null where standard input, output or error was closed.

    The next file opened would get that number, and a log line would be written into a segment.
    """
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == fd, "the lowest free number is given out first"
            os.set_inheritable(fd, True)
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))


def is_about_output(error: OSError) -> bool:
    """Whether a write to standard output failed; errors about files have their names."""
    return error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT)


def let_go_of_stdout() -> None:
    """Keep the interpreter from flushing into the broken pipe or full disk at its exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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
