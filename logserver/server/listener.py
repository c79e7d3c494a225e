"""Listeners: accepted sockets under limits, and no spinning when descriptors run out.

A connection above `max.connections` or `max.connections.per.ip` is closed at once. When the process
has no descriptor left, `accept` fails for as long as the peer waits, and a level-triggered loop
would spin: so accepting pauses for `ACCEPT_PAUSE_S`. A peer on the same host is not paced.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from logserver.server.connection import Connection

if TYPE_CHECKING:
    from logserver.server.server import Server

logger = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1
ACCEPTS_PER_TURN = 64
# Between two processes of one host there is no bottleneck to probe. BBR, the default of many hosts,
# paces what it sends there with timers: that took half of the CPU of a fetch.
SAME_HOST_CONGESTION = b"reno"
NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def _do_not_pace(sock: socket.socket) -> None:
    with suppress(OSError):  # not allowed here (net.ipv4.tcp_allowed_congestion_control)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, SAME_HOST_CONGESTION)


class Listener:
    """One listening address, named as in `listeners`; `connection_type` is what it accepts."""

    __slots__ = ("_server", "connection_type", "name", "port", "sock")

    def __init__(self, server: Server, name: str, host: str, port: int) -> None:
        """Bind and listen; OSError (address in use, no such address) goes to the caller."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            if ip_address(sock.getsockname()[0]).is_loopback:
                _do_not_pace(sock)  # what it accepts inherits that, and never begins to
            self._set_buffers(server, sock)
            sock.listen(server.config.socket_listen_backlog_size)
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        self._server = server
        self.connection_type = Connection
        self.name = name
        self.sock = sock
        self.port: int = sock.getsockname()[1]

    def _set_buffers(self, server: Server, sock: socket.socket) -> None:
        # On the listening socket: accepted ones inherit it before the handshake's window is told.
        config = server.config
        for option, size_bytes in (
            (socket.SO_SNDBUF, config.socket_send_buffer_bytes),
            (socket.SO_RCVBUF, config.socket_receive_buffer_bytes),
        ):
            if size_bytes > 0:
                sock.setsockopt(socket.SOL_SOCKET, option, size_bytes)

    def start(self) -> None:
        """Begin to accept."""
        self._server.loop.add_reader(self.sock.fileno(), self._on_acceptable)

    def _on_acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # accept(2): what is not about us is an error that the new connection already has.
                if error.errno in NO_DESCRIPTORS:
                    self._pause(error)
                return
            try:
                self._take(sock, address[0], address[1])
            except OSError as error:
                logger.warning("lost a connection of %s: %s", address[0], error)
                sock.close()

    def _take(self, sock: socket.socket, host: str, port: int) -> None:
        server = self._server
        if not server.admit(host, sock.fileno()):
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.connection_type(server, self, sock, host)
        if connection.local_address[0] == host:
            _do_not_pace(sock)
        connection.peer_port = port
        server.remember(connection)

    def _pause(self, error: OSError) -> None:
        logger.warning("cannot accept connections: %s; trying again", error.strerror)
        self._server.loop.remove_reader(self.sock.fileno())
        self._server.loop.call_later(ACCEPT_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self.sock.fileno() >= 0:
            self.start()

    def close(self) -> None:
        """Stop accepting."""
        if self.sock.fileno() >= 0:
            self._server.loop.remove_reader(self.sock.fileno())
            self.sock.close()
