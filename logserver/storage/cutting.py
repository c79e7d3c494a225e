"""Shortening a log without losing a byte: what is cut is copied first.

The rule of the file: copy, sync the copy, sync its name, then shorten the log and sync that. A
power cut between any two steps leaves the log uncut, and the next start cuts it again (into a
second copy). The last sync matters as much: a stale batch behind the end, if it came back after
shorter ones were appended, would look like a whole batch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .digest import file_name
from .files import Files
from .scan import all_zeros, last_nonzero

LOG_SUFFIX: Final = ".log"
CUT_SUFFIX: Final = ".cut"
COPY_CHUNK_BYTES: Final = 4 << 20
PAGE_BYTES: Final = 4096


class Cut(NamedTuple):
    """Bytes taken from the end of a log at `offset`, and where their copy is."""

    path: str
    size_bytes: int
    offset: int
    why: str


def copy_end(
    files: Files, directory: str, base_offset: int, position: int
) -> tuple[str, int] | None:
    """Copy a segment's bytes from `position` on: (path, size), None where there are only zeros.

    Preallocated pages are left out; the zeros of the last page stay, a batch may end with some.
    """
    source = files.open(f"{directory}/{file_name(base_offset, LOG_SUFFIX)}", write=False)
    try:
        size_bytes = source.size()
        end_position = last_nonzero(source, position, size_bytes)
        if end_position == position:
            return None
        end_position = min(-(-end_position // PAGE_BYTES) * PAGE_BYTES, size_bytes)
        path = free_path(files, directory, base_offset)
        target = files.open(path, create=True)
        try:
            for at in range(position, end_position, COPY_CHUNK_BYTES):
                chunk = source.pread(min(COPY_CHUNK_BYTES, end_position - at), at)
                target.pwrite(chunk, at - position)
            target.datasync()
        finally:
            target.close()
    finally:
        source.close()
    files.sync_directory(directory)
    return path, end_position - position


def take_segment(files: Files, directory: str, base_offset: int) -> tuple[str, int] | None:
    """Take a whole segment out of the log: (path, size) of what it is now, None if it was empty."""
    path = f"{directory}/{file_name(base_offset, LOG_SUFFIX)}"
    file = files.open(path, write=False)
    try:
        size_bytes = file.size()
        empty = all_zeros(file, 0, size_bytes)
    finally:
        file.close()
    if empty:
        files.unlink(path)
        files.sync_directory(directory)
        return None
    target = free_path(files, directory, base_offset)
    files.rename(path, target)
    files.sync_directory(directory)
    return target, size_bytes


def shorten(files: Files, directory: str, base_offset: int, size_bytes: int) -> None:
    """Set a segment's size, durably."""
    file = files.open(f"{directory}/{file_name(base_offset, LOG_SUFFIX)}")
    try:
        file.truncate(size_bytes)
        file.datasync()
    finally:
        file.close()


def free_path(files: Files, directory: str, base_offset: int) -> str:
    """`<base>.cut`, or `<base>.2.cut` and so on after earlier cuts of the same segment."""
    number = 1
    path = f"{directory}/{file_name(base_offset, CUT_SUFFIX)}"
    while files.exists(path):
        number += 1
        path = f"{directory}/{file_name(base_offset, f'.{number}{CUT_SUFFIX}')}"
    return path
