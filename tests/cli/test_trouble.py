"""logserver.cli.trouble: each failure of a disk has its code."""

import errno
import os

import pytest

from logserver.cli.exits import CommandError, Exit
from logserver.cli.trouble import storage_errors
from logserver.storage.failure import Kind, StorageError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (StorageError(Kind.LOCKED, "locked by pid 4711."), Exit.LOCKED, "locked by pid 4711."),
        (StorageError(Kind.CORRUPT, "bad."), Exit.DATA, "bad."),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), Exit.NO_INPUT, "cannot read x"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), Exit.NO_INPUT, "permission"),
        (FileNotFoundError(errno.ENOENT, "No such file", "to"), Exit.CANNOT_CREATE, "write to:"),
        (PermissionError(errno.EACCES, "Denied", "to/t-0"), Exit.CANNOT_CREATE, "write to/t-0:"),
        (PermissionError(errno.EACCES, "Denied", "to.old"), Exit.NO_INPUT, "read to.old:"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Exit.CANNOT_CREATE, "cannot write to:"),
    ],
)
def test_a_failure_is_a_sentence_and_a_code(error: Exception, code: Exit, words: str) -> None:
    """What happened, to what; the target where the error has no path."""
    with pytest.raises(CommandError) as caught, storage_errors("to"):
        raise error
    assert caught.value.code == code
    assert words in caught.value.message
