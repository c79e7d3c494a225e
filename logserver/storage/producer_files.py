"""Where the producers' memory is kept between two runs, and how it is brought up to the log's end.

At each roll and at a clean stop `write` leaves two files named by the next offset (formats in
`producers`). At a start `load` takes the newest valid `.window` at or below where the reading
begins; the batches behind it are replayed from their headers by the caller. Without any valid
window (a directory that Apache Kafka wrote, or all of them spoilt) the replay begins at the first
segment, from Kafka's `.snapshot` taken there if it has one: slower, as exact as the log itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from .digest import file_name
from .files import Files
from .producers import (
    ProducerStates,
    SnapshotError,
    decode_snapshot,
    decode_window,
    encode_snapshot,
    encode_window,
)

SNAPSHOT_SUFFIX: Final = ".snapshot"
WINDOW_SUFFIX: Final = ".window"
OFFSET_DIGITS: Final = 20


class Encoded(NamedTuple):
    """Both files of one moment, made on the loop, written by a helper thread."""

    offset: int
    snapshot: bytes
    window: bytes

    def write(self, files: Files, directory: str) -> None:
        """Write both, durably."""
        for suffix, data in ((SNAPSHOT_SUFFIX, self.snapshot), (WINDOW_SUFFIX, self.window)):
            files.write_atomically(f"{directory}/{file_name(self.offset, suffix)}", data)


class Loaded(NamedTuple):
    """The memory as of `offset`; the headers from there on are still to be replayed."""

    states: ProducerStates
    offset: int


def encode(states: ProducerStates, offset: int) -> Encoded:
    """Take the memory down as of `offset`, the next to be written."""
    return Encoded(offset, encode_snapshot(states), encode_window(states))


def load(files: Files, directory: str, first_offset: int, at_most: int) -> Loaded:
    """The newest memory at or below `at_most`; `first_offset` is the first segment's base."""
    names = files.list_directory(directory)
    offsets = [offset for offset in offsets_of(names, WINDOW_SUFFIX) if offset <= at_most]
    for offset in sorted(offsets, reverse=True):
        try:
            data = files.read_file(f"{directory}/{file_name(offset, WINDOW_SUFFIX)}")
            return Loaded(decode_window(data), offset)
        except SnapshotError:
            continue
    try:
        data = files.read_file(f"{directory}/{file_name(first_offset, SNAPSHOT_SUFFIX)}")
        return Loaded(decode_snapshot(data), first_offset)
    except (FileNotFoundError, SnapshotError):
        return Loaded(ProducerStates(), first_offset)


def remove_stray(
    files: Files,
    directory: str,
    base_offsets: Collection[int],
    end_offset: int,
    unsure: Collection[int],
) -> None:
    """Remove what belongs to no segment and is not what a clean stop left at the end.

    Of the offsets in `unsure` also what does not decode, as a power cut may leave it.
    """
    names = files.list_directory(directory)
    for suffix, decode in ((SNAPSHOT_SUFFIX, decode_snapshot), (WINDOW_SUFFIX, decode_window)):
        for offset in offsets_of(names, suffix):
            path = f"{directory}/{file_name(offset, suffix)}"
            stray = offset != end_offset and offset not in base_offsets
            if stray or (offset in unsure and _is_spoilt(files, path, decode)):
                files.unlink(path)


def _is_spoilt(files: Files, path: str, decode: Callable[[bytes], ProducerStates]) -> bool:
    try:
        decode(files.read_file(path))
    except SnapshotError:
        return True
    return False


def offsets_of(names: Collection[str], suffix: str) -> Iterator[int]:
    """The offsets of the files among `names` that are 20 digits and `suffix`."""
    for name in names:
        digits = name[:OFFSET_DIGITS]
        if name[OFFSET_DIGITS:] == suffix and digits.isascii() and digits.isdigit():
            yield int(digits)
