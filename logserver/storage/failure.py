"""The ways in which storage says no, each with one sentence for a person.

A sentence names what happened, to what, and what to do. `kind` is for programs: the command line
makes an exit code of it, the broker an error code.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What is wrong with a log directory or a log in it."""

    LOCKED = "locked"  # another process owns the directory
    IDENTITY = "identity"  # it belongs to another cluster or node
    FORMAT = "format"  # written by a newer server
    UNUSABLE = "unusable"  # absent, not a directory, read-only, no permission
    FENCED = "fenced"  # a sync failed; nothing is written until a restart
    FULL = "full"  # no space to open it
    CORRUPT = "corrupt"  # files contradict each other in a way that recovery must not mend


class StorageError(Exception):
    """Storage refuses; `str(error)` is the sentence."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
