"""What the broker knows of whoever asks: a request's context and a place to put its answer.

Nothing of sockets.

An answer is the bytes of a whole frame, or a list that alternates bytes and file slices, or None
when nothing is to be sent now. Answers leave a connection in the order of its requests, so a
handler that must wait first reserves its place (`Peer.reserve`) and completes it later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from logserver.storage.file_slice import FileSlice
from logwire.produce_repeat import Repeat

Part = bytes | FileSlice
Answer = bytes | list[Part] | None


class Reply(Protocol):
    """A reserved place in the order of a connection's answers."""

    on_close: Callable[[], None] | None
    """Called when the peer goes away before the answer came; None once nobody wants to know."""

    def complete(self, answer: bytes | list[Part]) -> None:
        """Fill the place. Slices are released by the peer, also when it has gone away."""

    def abandon(self) -> None:
        """Nothing true can be answered: close the connection."""

    @property
    def closed(self) -> bool:
        """The peer has gone away: an answer would reach nobody."""


class Peer(Protocol):
    """A connection, as far as the broker needs to know it."""

    repeat: Repeat | None
    """The shape of the last Produce request, when it came twice in a row."""
    last_produced: tuple[str | bytes, int] | None
    """Topic and partition of the last Produce request that was decoded."""

    @property
    def listener(self) -> str:
        """The name of the listener that accepted the connection."""

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of our end: an address that this client can evidently reach."""

    def reserve(self) -> Reply:
        """Take the next place in the order of answers."""

    def close_after_refusal(self) -> None:
        """Close once everything queued has left: the one way to refuse an acks=0 request."""

    def hold(self, size_bytes: int) -> None:
        """The broker keeps so much of a request of this peer: who asks for more has to wait."""

    def release(self, size_bytes: int) -> None:
        """The broker has let go of so much of what it held."""


class Context:
    """Version, caller and time of one control-plane request.

    A handler that appended to the metadata log sets `after_sync`: its answer then leaves only
    when the group commit has covered what was appended, like an acks=all produce.
    """

    __slots__ = (
        "after_sync",
        "api_key",
        "api_version",
        "client_id",
        "listener",
        "local_address",
        "now_ms",
    )

    def __init__(
        self,
        api_key: int,
        api_version: int,
        client_id: str | None,
        listener: str,
        local_address: tuple[str, int],
        now_ms: int,
    ) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.client_id = client_id
        self.listener = listener
        self.local_address = local_address
        self.now_ms = now_ms
        self.after_sync = False
