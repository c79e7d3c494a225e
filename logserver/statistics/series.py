"""Series with labels that are not known beforehand, in a memory file beside the page.

What clients push of themselves (KIP-714) has names and labels that clients choose, so it has no
place in the page's fixed layout. It changes once a minute, not a thousand times a second: the whole
table is written anew after a change, a few hundred rows a call, and renamed into place. A reader
has one version of it, whole, or none.

    row      name | value | label | text | label | text ...  joined by 0x1F, ended by a newline

Texts hold no control characters: whoever makes the rows has cleaned them.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

SEPARATOR = "\x1f"
ROWS_PER_CALL = 500
"""About 500 us of formatting."""


class Series(NamedTuple):
    """One value; `labels` are pairs of name and text."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...]


class SeriesWriter:
    """Owns the file. It does not exist until there is something to tell."""

    __slots__ = ("_pending", "_pieces", "_version", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._version = 0
        self._pending: Iterator[Series] | None = None
        self._pieces: list[bytes] = []

    def publish_some(
        self,
        version: int,
        series: Callable[[], Iterable[Series]],
        limit: int = ROWS_PER_CALL,
    ) -> None:
        """Go on writing down `series`, which is asked once a round; nothing to do while `version`
        is that of the last round. What it gives is taken bit by bit, over several calls.

        Raises OSError when the memory file system is full.
        """
        if self._pending is None:
            if version == self._version:
                return
            self._version = version
            self._pending = iter(series())
        lines = [_line(row) for row in islice(self._pending, limit)]
        self._pieces.append("".join(lines).encode("utf-8", "replace"))
        if len(lines) < limit:
            self._end_round()

    def _end_round(self) -> None:
        pieces = self._pieces
        self._pending = None
        self._pieces = []
        fd = os.open(
            f"{self.path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        os.replace(f"{self.path}.new", self.path)


def _line(row: Series) -> str:
    words = [row.name, repr(row.value)]
    for label in row.labels:
        words.extend(label)
    return SEPARATOR.join(words) + "\n"


def read_series(path: str) -> Iterator[Series]:
    """The rows of the last version, one at a time so that a caller may pause; none: no rows."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            name, value, *words = line.rstrip("\n").split(SEPARATOR)
            labels = tuple(zip(words[::2], words[1::2], strict=True))
            yield Series(name, float(value), labels)
