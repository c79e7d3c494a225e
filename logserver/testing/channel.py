"""One message, one packet: how a test speaks to its brokers.

Both ends of a `SOCK_SEQPACKET` pair of Unix sockets; a packet is one JSON object in UTF-8, with the
descriptors that go along. There is nothing to frame, nothing to reassemble, and the end of either
process is an empty packet at the other: a broker whose test was killed ends by itself.

A request is an object with the name of what to do under `do`; its answer is an object, with an
`error` when it was refused.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

PACKET_BYTES_MAX = 100_000  # below the 200 KB that Linux takes for a packet; settings are a few KB
DESCRIPTORS_MAX = 4

Message = dict[str, Any]


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; neither is inherited by a process that is merely started."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError when nobody is there any more."""
    packet = json.dumps(message).encode()
    assert len(packet) <= PACKET_BYTES_MAX, f"a message of {len(packet)} bytes"
    socket.send_fds(end, [packet], list(descriptors))


def receive(end: socket.socket) -> tuple[Message, list[int]]:
    """The next message and its descriptors.

    Raises EOFError when the other process has ended or closed, TimeoutError after the socket's own
    time-out.
    """
    try:
        packet, descriptors, _, _ = socket.recv_fds(end, PACKET_BYTES_MAX, DESCRIPTORS_MAX)
    except ConnectionError:
        packet, descriptors = b"", []
    if not packet:
        raise EOFError("the other end has gone")
    message = json.loads(packet)
    assert isinstance(message, dict)
    return message, descriptors
