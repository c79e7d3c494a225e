"""Between commands that work on data directories and the disk: what its failures mean here."""

from collections.abc import Iterator
from contextlib import contextmanager

from logserver.cli.exits import CommandError, Exit


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Turn the failures of a disk into a sentence and an exit code.

    `path` is named where an error does not say itself what it is about.
    """
    from logserver.cli.door import STORAGE_EXITS
    from logserver.storage.failure import StorageError

    try:
        yield
    except StorageError as error:
        raise CommandError(STORAGE_EXITS[error.kind], str(error)) from None
    except BrokenPipeError:
        raise
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        where = error.filename or path
        reason = (error.strerror or str(error)).lower()
        raise CommandError(Exit.NO_INPUT, f"cannot read {where}: {reason}.") from None
    except OSError as error:
        where = error.filename or path
        reason = (error.strerror or str(error)).lower()
        raise CommandError(Exit.CANNOT_CREATE, f"cannot use {where}: {reason}.") from None
