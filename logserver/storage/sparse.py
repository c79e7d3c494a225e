"""Up to which offset a log may have gaps: the file `sparse-below` of a partition directory.

Offsets follow each other without a gap, and a gap is corruption: a start and `verify` look for
them. Compaction makes gaps. So before it offers the first segment it writes down how far its
segments reach, durably, and up to there gaps are no fault. The number only grows.

Two lines, as in `log-start-offset`: the offset, and its CRC-32C. Every log without the file has
none of the gaps. One that cannot be read excuses all of them, for good: it was written, so the log
was compacted, and a later job may not reach as far as the one that wrote it.
"""

from __future__ import annotations

from typing import Final

from .files import Files
from .retention import NEVER, read_number, write_number

SPARSE_FILE: Final = "sparse-below"


def write(files: Files, directory: str, offset: int) -> None:
    """Make sure that the file says `offset` or more, durably. Raises OSError."""
    if offset > read(files, directory):
        write_number(files, _path(directory), offset)


def read(files: Files, directory: str) -> int:
    """Return the offset below which gaps are no fault. Raises OSError."""
    if not files.exists(_path(directory)):
        return 0
    offset = read_number(files, _path(directory))
    return NEVER if offset is None else offset


def _path(directory: str) -> str:
    return f"{directory}/{SPARSE_FILE}"
