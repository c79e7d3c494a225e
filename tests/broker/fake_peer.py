"""A peer without a socket, which keeps the answers in the order a connection would send them."""

from __future__ import annotations

from collections.abc import Callable

from logserver.broker.peer import Activity
from logserver.storage.file_slice import FileSlice
from logwire.produce_repeat import Repeat


class FakeReply:
    """A reserved place; `closed` can be set to play a peer that has gone away."""

    def __init__(self, peer: FakePeer) -> None:
        self.peer = peer
        self.answer: bytes | None = None
        self.on_close: Callable[[], None] | None = None
        self.abandoned = False

    @property
    def closed(self) -> bool:
        return self.peer.closed

    def complete(self, answer: bytes | list[bytes | FileSlice]) -> None:
        assert self.answer is None, "answered twice"
        self.answer = joined(answer)

    def abandon(self) -> None:
        self.abandoned = True


class FakePeer:
    """A connection without a socket."""

    listener = "PLAINTEXT"
    local_address = ("127.0.0.1", 9092)
    peer_host = "127.0.0.1"
    peer_port = 50_000

    def __init__(self) -> None:
        self.closed = False
        self.refused = False
        self.held_bytes = 0
        self.repeat: Repeat | None = None
        self.last_produced: tuple[str | bytes, int] | None = None
        self.software = ("", "")
        self.activity = Activity()
        self.answers: list[FakeReply] = []

    def reserve(self) -> FakeReply:
        reply = FakeReply(self)
        self.answers.append(reply)
        return reply

    def close_after_refusal(self) -> None:
        self.refused = True

    def hold(self, size_bytes: int) -> None:
        self.held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        self.held_bytes -= size_bytes

    def close(self) -> None:
        """Go away, as a connection does."""
        self.closed = True
        for reply in self.answers:
            if reply.on_close is not None:
                reply.on_close()


def joined(answer: bytes | list[bytes | FileSlice]) -> bytes:
    """The bytes that would leave, slices read and released."""
    if isinstance(answer, bytes):
        return answer
    parts = []
    for part in answer:
        if isinstance(part, FileSlice):
            parts.append(part.read())
            part.release()
        else:
            parts.append(part)
    return b"".join(parts)
