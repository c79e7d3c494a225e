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
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Exit.CANNOT_CREATE, "cannot use data"),
    ],
)
def test_a_failure_is_a_sentence_and_a_code(error: Exception, code: Exit, words: str) -> None:
    """What happened, to what; the path that was given where the error has none."""
    with pytest.raises(CommandError) as caught, storage_errors("data"):
        raise error
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_broken_pipe_is_nobodys_disk() -> None:
    """Whoever read the output went away: the last door knows that."""
    with pytest.raises(BrokenPipeError), storage_errors("data"):
        raise BrokenPipeError
