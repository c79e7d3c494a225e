"""What the broker knows of whoever asks: a request's context and a place to put its answer.

Nothing of sockets.

An answer is the bytes of a whole frame, or a list that alternates bytes and file slices, or None
when nothing is to be sent now. Answers leave a connection in the order of its requests, so a
handler that must wait first reserves its place (`Peer.reserve`) and completes it later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from logserver.storage.file_slice import FileSlice
from logwire.frame import response_frame
from logwire.messages import Message, encode_response
from logwire.produce_repeat import Repeat

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.sessions import FetchSession, Topics

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


class Activity:
    """What a connection last asked for, so that somebody can be told who is there.

    `client_id` and `api_key` are those of the last control-plane request, -1 before it; `group_id`
    is that of the last request that names one group. `fetches`: the session of its last full Fetch
    request, or without a session the topics that it named.
    """

    __slots__ = ("api_key", "client_id", "fetches", "group_id")

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.api_key = -1
        self.group_id = ""
        self.fetches: FetchSession | Topics | None = None


class Peer(Protocol):
    """A connection, as far as the broker needs to know it."""

    repeat: Repeat | None
    """The shape of the last Produce request, when it came twice in a row."""
    last_produced: tuple[str | bytes, int] | None
    """Topic and partition of the last Produce request that was decoded."""
    peer_port: int
    """The port of the other end."""
    software: tuple[str, str]
    """Name and version of the client library, as it told in ApiVersions; empty before."""
    activity: Activity
    """What it last asked for."""

    @property
    def listener(self) -> str:
        """The name of the listener that accepted the connection."""

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of our end: an address that this client can evidently reach."""

    @property
    def peer_host(self) -> str:
        """The address of the other end."""

    def reserve(self) -> Reply:
        """Take the next place in the order of answers."""

    def close_after_refusal(self) -> None:
        """Close once everything queued has left: the one way to refuse an acks=0 request."""

    def hold(self, size_bytes: int) -> None:
        """The broker keeps so much of a request of this peer: who asks for more has to wait."""

    def release(self, size_bytes: int) -> None:
        """The broker has let go of so much of what it held."""


class Deferred:
    """The answer to a control-plane request that its handler gives later. Made by `Context.defer`.

    It is completed exactly once.
    """

    __slots__ = ("_api_key", "_api_version", "_broker", "_correlation_id", "_reply")

    def __init__(self, context: Context) -> None:
        self._broker = context.broker
        self._reply = context.peer.reserve()
        self._api_key = context.api_key
        self._api_version = context.api_version
        self._correlation_id = context.correlation_id

    @property
    def closed(self) -> bool:
        """The peer has gone away: an answer would reach nobody."""
        return self._reply.closed

    def on_close(self, callback: Callable[[], None] | None) -> None:
        """Call this when the peer goes away before the answer came."""
        self._reply.on_close = callback

    def complete(self, response: Message, *, after_sync: bool = False) -> None:
        """Answer; with `after_sync` once the group commit has covered what was appended."""
        self._reply.on_close = None
        body = encode_response(self._api_key, self._api_version, response)
        frame = response_frame(self._api_key, self._api_version, self._correlation_id, body)
        if after_sync:
            self._broker.commit.waiting.append(ControlWaiter(self._reply, frame))
        else:
            self._reply.complete(frame)


class ControlWaiter:
    """A control-plane answer that waits until what was appended before it is synced."""

    __slots__ = ("frame", "reply")

    def __init__(self, reply: Reply, frame: bytes) -> None:
        self.reply = reply
        self.frame = frame

    def synced(self) -> None:
        """What the answer promises is durable."""
        self.reply.complete(self.frame)

    def failed(self) -> None:
        """It may or may not be: say nothing."""
        self.reply.abandon()


class Context:
    """Caller, version and time of one control-plane request.

    A handler that appended to a log sets `after_sync`: its answer then leaves only when the group
    commit has covered what was appended, like an acks=all produce. A handler that cannot answer
    yet calls `defer` and returns None.
    """

    __slots__ = (
        "after_sync",
        "api_key",
        "api_version",
        "broker",
        "client_id",
        "correlation_id",
        "now_ms",
        "peer",
    )

    def __init__(
        self,
        broker: Broker,
        peer: Peer,
        api_key: int,
        api_version: int,
        correlation_id: int,
        client_id: str | None,
        now_ms: int,
    ) -> None:
        self.broker = broker
        self.peer = peer
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.client_id = client_id
        self.now_ms = now_ms
        self.after_sync = False

    @property
    def listener(self) -> str:
        """The name of the listener that the request came by."""
        return self.peer.listener

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of our end: an address that this client can evidently reach."""
        return self.peer.local_address

    @property
    def client_host(self) -> str:
        """The address of the client."""
        return self.peer.peer_host

    def defer(self) -> Deferred:
        """Take the place of this request's answer, to be given later; the handler returns None."""
        return Deferred(self)
