"""The broker's view of a connection: whoever plays one must have all of it."""

from __future__ import annotations

from logserver.broker.peer import Peer, Reply
from logserver.server import connection
from logserver.server import reply as reply_module
from tests.broker.fake_peer import FakePeer, FakeReply


def names(protocol: type) -> set[str]:
    """What a protocol asks for."""
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_the_connection_and_the_fake_have_what_the_broker_asks_for() -> None:
    """So a test that passes with the fake means something for the socket."""
    peer = FakePeer()
    assert not [name for name in names(Peer) if not hasattr(peer, name)]
    assert not [name for name in names(Peer) if not hasattr(connection.Connection, name)]
    reply = FakeReply(peer)
    assert not [name for name in names(Reply) if not hasattr(reply, name)]
    assert not [name for name in names(Reply) if not hasattr(reply_module.Reply, name)]
