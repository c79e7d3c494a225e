"""Answers on their way: reserved places, what waiting costs, and who lets go of slices.

Answers leave a connection in the order of its requests. One that is not there yet has a `Reply` in
its place; whoever completes it knows nothing of the socket, and a peer that has gone away costs a
look at `closed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.peer import Part
from logserver.storage.file_slice import FileSlice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logserver.server.connection import Connection

# One flush sends at most this much by sendfile before the others get their turn.
TURN_BYTES_MAX = 4 * 1024 * 1024
# Answers of one connection that wait to be sent: past this it is not read any more. One more
# answer may come on top, so this bounds what a peer that asks and never reads costs.
OUT_BYTES_MAX = 1024 * 1024
# What the broker holds of one connection's requests to look into it before it may append. Past
# this nothing more is received, so one receive's worth may come on top.
HELD_BYTES_MAX = 4 * 1024 * 1024
# A slice that waits: the object, its segment's hold, its places in lists.
SLICE_BYTES = 1024


class Reply:
    """A reserved place in the order of answers (`logserver.broker.peer.Reply`)."""

    __slots__ = ("answer", "connection", "on_close")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.on_close: Callable[[], None] | None = None
        self.answer: bytes | list[Part] | None = None

    @property
    def closed(self) -> bool:
        """The connection has gone away."""
        return self.connection.closed

    def complete(self, answer: bytes | list[Part]) -> None:
        """Fill the place; it leaves with the next flush of its connection."""
        connection = self.connection
        if connection.closed:
            release_parts(answer)
            return
        self.answer = answer
        connection.out_bytes += memory_bytes(answer)
        connection.replies_waiting -= 1
        connection.server.touch(connection)

    def abandon(self) -> None:
        """Nothing true can be answered any more: close."""
        self.connection.close("error", "the log directory is fenced")


def memory_bytes(answer: bytes | list[Part]) -> int:
    """What an answer that waits to be sent costs in memory, about."""
    if type(answer) is bytes:
        return len(answer)
    return sum(len(part) if type(part) is bytes else SLICE_BYTES for part in answer)


def release_parts(parts: bytes | Iterable[Part | Reply]) -> None:
    """Release the slices of answers that nobody will read; who was still to answer hears of it."""
    if isinstance(parts, bytes):
        return
    for part in parts:
        if type(part) is FileSlice:
            part.release()
        elif type(part) is Reply:
            if part.answer is not None:
                release_parts(part.answer)
            elif part.on_close is not None:
                part.on_close()
