"""Putting compacted files in the place of the old ones, so that a crash at any step loses nothing.

    <base>.*.cleaned    being written, or finished and not wanted yet: worth nothing
    <base>.*.swap       finished; with <base>.digest.swap beside them the swap is decided
    <base>.log.deleted  the old batches, for those who still read them

    commit    .log .index .timeindex : .cleaned -> .swap      sync the directory
              .digest                : .cleaned -> .swap      sync the directory: decided
    complete  old .log -> .log.deleted, other old files unlinked, .swap -> final names
                                                              sync the directory
              .digest                : .swap -> final name    sync the directory

Names reach the device in any order until the directory is synced. `<base>.digest.swap` gets its
name after everything it describes and loses it after everything else has its own, so while it is
there each part is found under one of two names, whatever else of `complete` has happened. It says
which offsets the new segment covers, hence which segments are old, and by size and XXH3 whether a
part is the new one. What a start does (`recover`):

    .digest.swap   parts              the old segment      action
    ------------   ----------------   ------------------   -----------------------------------------
    absent         any                any                  remove .cleaned, .swap, .deleted
    sound          all are the new    any                  complete, then as above
    otherwise                         whole                remove .cleaned, .swap, .deleted
    otherwise                         not whole            touch nothing: the bytes are somewhere
                                                           among them, a person must look

The names are Kafka's (LogFileUtils); a Kafka that is started on the directory does the same by its
own rules, which look at the .log.swap alone.
"""

from __future__ import annotations

from typing import Final

from . import digest
from .compaction_output import CLEANED_SUFFIX
from .digest import DIGEST_SUFFIX, DigestError, SegmentDigest, decode_digest, file_name
from .files import Files
from .producer_files import offsets_of
from .segment import INDEX_SUFFIX, LOG_SUFFIX, SUFFIXES, TIME_INDEX_SUFFIX

SWAP_SUFFIX: Final = ".swap"
REPLACED_SUFFIX: Final = ".deleted"
PART_SUFFIXES: Final = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX)


def commit(files: Files, directory: str, base_offset: int) -> None:
    """Decide for a finished output; before this returns the old segments may still come back.

    Raises OSError.
    """
    for suffix in PART_SUFFIXES:
        _rename(files, directory, base_offset, suffix + CLEANED_SUFFIX, suffix + SWAP_SUFFIX)
    files.sync_directory(directory)
    suffix = DIGEST_SUFFIX
    _rename(files, directory, base_offset, suffix + CLEANED_SUFFIX, suffix + SWAP_SUFFIX)
    files.sync_directory(directory)


def complete(
    files: Files, directory: str, base_offset: int, bases: tuple[int, ...], *, keep_logs: bool
) -> None:
    """Give the new files their names and take those of the old; may be repeated.

    `bases`: of the old segments. `keep_logs`: their batches stay, as `.log.deleted`, until
    `remove_replaced`. Raises OSError.
    """
    for base in bases:
        swapped = base == base_offset
        if swapped and not _exists(files, directory, base, LOG_SUFFIX + SWAP_SUFFIX):
            continue  # of a completion that was interrupted: this is the new one already
        if keep_logs and _exists(files, directory, base, LOG_SUFFIX):
            _rename(files, directory, base, LOG_SUFFIX, LOG_SUFFIX + REPLACED_SUFFIX)
        if not swapped:
            for suffix in SUFFIXES:
                _unlink(files, directory, base, suffix)
    for suffix in PART_SUFFIXES:
        if _exists(files, directory, base_offset, suffix + SWAP_SUFFIX):
            _rename(files, directory, base_offset, suffix + SWAP_SUFFIX, suffix)
    files.sync_directory(directory)
    if _exists(files, directory, base_offset, DIGEST_SUFFIX + SWAP_SUFFIX):
        _rename(files, directory, base_offset, DIGEST_SUFFIX + SWAP_SUFFIX, DIGEST_SUFFIX)
    files.sync_directory(directory)


def remove_replaced(files: Files, directory: str, base_offset: int) -> None:
    """Free the space of an old segment. Raises OSError."""
    _unlink(files, directory, base_offset, LOG_SUFFIX + REPLACED_SUFFIX)


def remove_cleaned(files: Files, directory: str) -> None:
    """Remove what an interrupted compaction wrote, for the next one. Raises OSError.

    Also a swap whose decision was on the disk when a passing error ended it: the log went on with
    the old segments, and other ones may take their place now. The decision goes first.
    """
    names = files.list_directory(directory)
    for suffix in (DIGEST_SUFFIX + SWAP_SUFFIX, SWAP_SUFFIX, CLEANED_SUFFIX):
        found = [name for name in names if name.endswith(suffix)]
        for name in found:
            if files.exists(f"{directory}/{name}"):
                files.unlink(f"{directory}/{name}")
        if found and suffix != CLEANED_SUFFIX:
            files.sync_directory(directory)


def recover(files: Files, directory: str) -> list[int]:
    """Finish or forget what a stop has interrupted; the base offsets of the finished swaps.

    For a start, before the segments are looked at. Raises OSError.
    """
    names = files.list_directory(directory)
    left = (CLEANED_SUFFIX, SWAP_SUFFIX, REPLACED_SUFFIX)
    stray = [name for name in names if name.endswith(left)]
    if not stray:
        return []
    finished = []
    for base_offset in sorted(offsets_of(names, DIGEST_SUFFIX + SWAP_SUFFIX)):
        manifest = _read_manifest(files, directory, base_offset)
        if manifest is not None and _is_whole(files, directory, manifest, swapped=True):
            old = [
                base
                for base in offsets_of(names, LOG_SUFFIX)
                if base_offset <= base < manifest.end_offset
            ]
            complete(files, directory, base_offset, tuple(old), keep_logs=False)
            finished.append(base_offset)
            continue
        before = digest.read_digest(files, directory, base_offset)
        if before is None or not _is_whole(files, directory, before, swapped=False):
            return finished  # see the table: nothing is touched
    for name in stray:
        if files.exists(f"{directory}/{name}"):
            files.unlink(f"{directory}/{name}")
    files.sync_directory(directory)
    return finished


def _read_manifest(files: Files, directory: str, base_offset: int) -> SegmentDigest | None:
    path = f"{directory}/{file_name(base_offset, DIGEST_SUFFIX + SWAP_SUFFIX)}"
    try:
        found = decode_digest(files.read_file(path))
    except DigestError:
        return None
    return found if found.base_offset == base_offset else None


def _is_whole(files: Files, directory: str, summary: SegmentDigest, *, swapped: bool) -> bool:
    """Whether every part is what the digest says, under its name or (`swapped`) with `.swap`."""
    for part in summary.parts:
        if part.suffix not in PART_SUFFIXES:
            continue
        path = f"{directory}/{file_name(summary.base_offset, part.suffix)}"
        if swapped and files.exists(path + SWAP_SUFFIX):
            path += SWAP_SUFFIX
        if not files.exists(path) or digest.digest_file(files, path) != (
            part.size_bytes,
            part.xxh3,
        ):
            return False
    return True


def _exists(files: Files, directory: str, base_offset: int, suffix: str) -> bool:
    return files.exists(f"{directory}/{file_name(base_offset, suffix)}")


def _rename(files: Files, directory: str, base_offset: int, before: str, after: str) -> None:
    path = f"{directory}/{file_name(base_offset, '')}"
    files.rename(path + before, path + after)


def _unlink(files: Files, directory: str, base_offset: int, suffix: str) -> None:
    path = f"{directory}/{file_name(base_offset, suffix)}"
    if files.exists(path):
        files.unlink(path)
