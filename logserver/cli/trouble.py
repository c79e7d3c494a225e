"""Between commands that copy data directories and the disk: what its failures mean here."""

from collections.abc import Iterator
from contextlib import contextmanager

from logserver.cli.exits import CommandError, Exit


@contextmanager
def storage_errors(target: str) -> Iterator[None]:
    """Turn the failures of a disk into a sentence and an exit code.

    `target` is what is written, everything else is only read. It is named where an error does not
    say itself what it is about.
    """
    from logserver.cli.door import STORAGE_EXITS
    from logserver.storage.failure import StorageError

    try:
        yield
    except StorageError as error:
        raise CommandError(STORAGE_EXITS[error.kind], str(error)) from None
    except OSError as error:
        where = str(error.filename or target)
        writing = f"{where}/".startswith(f"{target}/")
        code, verb = (Exit.CANNOT_CREATE, "write") if writing else (Exit.NO_INPUT, "read")
        reason = (error.strerror or str(error)).lower()
        raise CommandError(code, f"cannot {verb} {where}: {reason}.") from None
