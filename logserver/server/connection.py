"""One accepted socket: frames in, answers out, in order.

The rule of this file: the connection owns a raw non-blocking socket and is the only code that
reads or writes it. No transport, no stream, no coroutine: `on_readable` and `on_writable` are
called by the loop, everything else happens inside them and as its turn ends.

In. One `recv_into` per readiness; every whole frame in the buffer is handed to the broker where it
lies, as a memoryview that is valid during that call only. A frame that is not whole stays, in a
buffer no larger than four times what has arrived (`buffers`).

Out. `out` holds answers in the order of the requests: bytes, file slices, and `Reply` places whose
answer is not there yet. `flush` sends from its head until something blocks: all bytes up to the
next slice in one `send`, slices by `sendfile` with the bytes before them marked MSG_MORE. A slice
is released when its last byte has left or the connection closes. Of many requests in one buffer the
1st, 2nd, 4th, 8th ... are answered at once, so that the peer works while we do.

Limits. A peer that does not read its answers (`OUT_BYTES_MAX`), waits for `queued.max.requests` of
them or asks for too much at once (`FRAMES_PER_TURN`) is `_behind`: its whole frames stay in the
buffer, nothing more is received, and it goes on when there is room. So its memory here is bounded
by one answer more than that. Nor is a peer read of whose requests the broker holds many bytes
(`HELD_BYTES_MAX`). A breach of the protocol, a stalled frame, an idle connection and a bug that a
request meets close this connection only.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from logserver.broker.dispatch import handle
from logserver.broker.peer import Activity, Part
from logserver.server.buffers import SIZE, receive_end
from logserver.server.reply import (
    HELD_BYTES_MAX,
    OUT_BYTES_MAX,
    SLICE_BYTES,
    TURN_BYTES_MAX,
    Reply,
    memory_bytes,
    release_parts,
)
from logserver.storage.file_slice import FileSlice
from logwire.errors import ProtocolError
from logwire.frame import describe_size

if TYPE_CHECKING:
    from logserver.server.listener import Listener
    from logserver.server.server import Server
    from logwire.produce_repeat import Repeat

logger = logging.getLogger(__name__)

FRAME_BYTES_MIN = 8  # api key, version, correlation id
# Requests of one connection before the others get their turn: 2 MB may hold 100,000 of them.
FRAMES_PER_TURN = 256
# To wake a thread whose core has gone to sleep takes 40 us and more in a virtual machine.
LINGER_NS = 25_000
LINGER_TURNS = 16


class Connection:
    """A peer of the broker (`logserver.broker.peer.Peer`) on a raw socket."""

    __slots__ = (
        "_behind",
        "_buffer",
        "_filled",
        "_populating",
        "_start",
        "_writing",
        "active_ms",
        "activity",
        "closed",
        "closing",
        "fd",
        "frame_since_ms",
        "held_bytes",
        "last_produced",
        "listener",
        "local_address",
        "out",
        "out_bytes",
        "peer_host",
        "peer_port",
        "reading",
        "repeat",
        "replies_waiting",
        "server",
        "sock",
        "software",
        "touched",
    )

    def __init__(self, server: Server, listener: Listener, sock: socket.socket, host: str) -> None:
        self.server = server
        self.listener = listener.name
        self.sock = sock
        self.fd = sock.fileno()
        self.peer_host, self.peer_port = host, 0
        self.local_address: tuple[str, int] = sock.getsockname()[:2]
        self.repeat: Repeat | None = None
        self.last_produced: tuple[str | bytes, int] | None = None
        self.software = ("", "")
        self.activity = Activity()
        self.out: deque[Part | Reply] = deque()
        self.out_bytes = self.replies_waiting = self.held_bytes = 0
        self.closed = self.closing = self.touched = False
        self.active_ms = server.uptime_ms()
        self._buffer: memoryview | None = None
        self._start = self._filled = self.frame_since_ms = 0
        # Whether the peer is asked for more; a pause is ours and not to be held against it.
        self.reading = True
        self._writing = self._populating = self._behind = False
        self.server.loop.add_reader(self.fd, self.on_readable)

    def on_readable(self) -> None:
        """Receive, handle, answer; first of all what a sync that has ended made durable."""
        server = self.server
        if server.commit_helper.done:
            server.commit_helper.collect()  # its eventfd may come last, and the turn may be long
            if self.closed or not self.reading:
                return
        if self._receive() and server.alone:
            self._linger()

    def _linger(self) -> None:
        """End the turn of a connection that is alone; ask a prompt peer for more a moment longer.

        A peer as fast as we are has it here before this thread could sleep and be woken. After some
        turns the loop looks at everybody else first.
        """
        server = self.server
        for _ in range(LINGER_TURNS):
            server.turn()
            server.answered_ns = answered_ns = time.monotonic_ns()
            if not server.prompt or self.out or self._buffer is not None or not self.reading:
                return
            while not self._receive():
                if self.closed or time.monotonic_ns() - answered_ns >= LINGER_NS:
                    return
        server.loop.call_soon(self._linger)

    def _receive(self) -> bool:
        """Receive once and handle every whole frame; False when nothing came."""
        server = self.server
        buffer, start, end = self._buffer or server.buffers.arena, self._start, self._filled
        room = buffer[end : receive_end(buffer, start, end)] if self._buffer else buffer
        try:
            count = self.sock.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        if count == 0:
            self.close("peer")
            return False
        server.counters.received_bytes += count
        self._take(buffer, start, end + count, server.begin_turn(self))
        return True

    def _take(self, buffer: memoryview, start: int, end: int, now_ms: int) -> None:
        """Handle buffer[start:end], keep what is left. A bug of ours costs this connection only."""
        server = self.server
        try:
            if (
                SIZE.unpack_from(buffer)[0] == end - 4
                and self._buffer is None
                and not self.out
                and FRAME_BYTES_MIN + 4 <= end <= server.frame_bytes_max
            ):
                # The usual case: one whole frame, and one answer that can leave at once.
                answer = handle(server.broker, self, buffer[4:end], now_ms)
                if type(answer) is bytes:
                    self.send_answer(answer)
                elif answer is not None:
                    assert type(answer) is list
                    self.out.extend(answer)
                    self.out_bytes += memory_bytes(answer)
                    self.flush()
                return
            start = self._handle_frames(buffer, start, end, now_ms)
            if self.closed:
                return
            if start == end:
                self._release_buffer()
                self.frame_since_ms = 0
            elif not self._keep(buffer, start, end):
                return
            self.send_ready()
        except ProtocolError as breach:
            self.flush()  # what was asked before the breach has its answer
            if not self.closed:
                server.breach(self, str(breach))
        except Exception as error:  # noqa: BLE001 - logged in full by `bug`
            server.bug(error, self)

    def _handle_frames(self, buffer: memoryview, start: int, end: int, now_ms: int) -> int:
        """Answer the whole frames in buffer[start:end]; the position after the last one handled.

        Stops early, `_behind`, when others must have their turn or the peer must read first.
        """
        broker = self.server.broker
        out = self.out
        frame_bytes_max = self.server.frame_bytes_max
        out_bytes = self.out_bytes
        replies_max = self.server.replies_max
        handled = 0
        while end - start >= 4:
            (size_bytes,) = SIZE.unpack_from(buffer, start)
            if size_bytes < FRAME_BYTES_MIN or size_bytes > frame_bytes_max:
                raise ProtocolError(describe_size(buffer[start : start + 8], size_bytes))
            stop = start + 4 + size_bytes
            if stop > end:
                break
            if (
                handled == FRAMES_PER_TURN
                or out_bytes > OUT_BYTES_MAX
                or self.replies_waiting >= replies_max
                or self.closing
            ):
                self._behind = True
                break
            handled += 1
            answer = handle(broker, self, buffer[start + 4 : stop], now_ms)
            if type(answer) is bytes:
                out.append(answer)
                out_bytes += len(answer)
            elif answer is not None:
                assert type(answer) is list
                out.extend(answer)
                out_bytes += memory_bytes(answer)
            start = stop
            if stop < end and not handled & (handled - 1) and out and type(out[0]) is not Reply:
                self.out_bytes = out_bytes
                self.send_ready()
                if self.closed:
                    return start
                out_bytes = self.out_bytes
        self.out_bytes = out_bytes
        if self._behind or out_bytes > OUT_BYTES_MAX:
            self.stop_reading()
        return start

    def _go_on(self) -> None:
        """Handle the whole frames that an earlier turn left in the buffer."""
        if self.closed or not self._behind or not self.reading:
            return
        self._behind = self.reading = False
        assert self._buffer is not None
        now_ms = self.server.look_at_clocks()
        self._take(self._buffer, self._start, self._filled, now_ms)
        self.server.turn()

    def _keep(self, buffer: memoryview, start: int, end: int) -> bool:
        """Keep the beginning of a frame that is not whole; False when the connection closed."""
        if self._behind:
            self.frame_since_ms = 0
        elif start != self._start or not self.frame_since_ms:
            self.frame_since_ms = self.active_ms
        kept = self.server.buffers.keep(buffer, start, end)
        if kept is None:
            self.server.breach(self, "no memory for a partial frame (queued.max.request.bytes)")
            return False
        self._buffer, self._start, self._filled = kept
        return True

    def _release_buffer(self) -> None:
        if self._buffer is not None:
            self.server.buffers.release(self._buffer)
            self._buffer = None
            self._start = self._filled = 0

    def reserve(self) -> Reply:
        """Take the next place in the order of answers."""
        reply = Reply(self)
        self.out.append(reply)
        self.replies_waiting += 1
        if self.replies_waiting >= self.server.replies_max:
            self.stop_reading()
        return reply

    def close_after_refusal(self) -> None:
        """Close once everything queued has left (acks=0 has no other way to hear a refusal)."""
        self.closing = True
        self.stop_reading()
        self.server.touch(self)

    def hold(self, size_bytes: int) -> None:
        """The broker holds so much of a request; past `HELD_BYTES_MAX` nothing more is read."""
        self.held_bytes += size_bytes
        if self.held_bytes > HELD_BYTES_MAX:
            self.stop_reading()

    def release(self, size_bytes: int) -> None:
        """The broker has let go of so much: the next flush may read on."""
        self.held_bytes -= size_bytes
        self.server.touch(self)

    # Out.

    def flush(self) -> None:
        """Send from the head of `out` until it is empty, waits for an answer, or blocks."""
        out = self.out
        budget = TURN_BYTES_MAX
        try:
            while out:
                head = out[0]
                if type(head) is bytes:
                    if not self._send_bytes():
                        self._wait_writable()
                        return
                elif type(head) is Reply:
                    if head.answer is None:
                        break
                    self._unfold()
                else:
                    assert type(head) is FileSlice
                    if not head.hot and not self._is_warm(head):
                        self._stop_writing()  # the socket may well be writable all the time
                        return
                    budget -= self._send_slice(head)
                    if budget <= 0 or (out and out[0] is head):
                        self._wait_writable()
                        return
        except BlockingIOError:
            self._wait_writable()
            return
        except OSError:
            self.close("peer")
            return
        self._drained()

    def send_ready(self) -> None:
        """`flush`, and shorter in the usual case: one answer."""
        out = self.out
        answer = out[0] if len(out) == 1 else None
        if type(answer) is not bytes or self._writing or not self.reading:
            self.flush()
            return
        out.clear()
        self.out_bytes -= len(answer)
        self.send_answer(answer)

    def send_answer(self, answer: bytes) -> None:
        """Send an answer when no other is before it; the socket nearly always takes it whole."""
        try:
            if not self._send(answer):
                self._wait_writable()
        except OSError:
            self.close("peer")

    def _unfold(self) -> None:
        """Put the answers that have arrived in the places at the head of `out`.

        All of them at once: a group commit completes many, and they leave in one send.
        """
        out = self.out
        arrived: list[Part] = []
        while out:
            head = out[0]
            if type(head) is not Reply or head.answer is None:
                break
            out.popleft()
            arrived += head.answer if isinstance(head.answer, list) else [head.answer]
        out.extendleft(reversed(arrived))

    def _drained(self) -> None:
        """Nothing can be sent now that is there: read on, if there is room for answers."""
        self._stop_writing()
        if self.closing:
            if not self.out:
                self.close("error")
            return
        most = self.server.replies_max - 1 if self._behind else self.server.replies_max // 2
        if (
            not self.reading
            and self.replies_waiting <= most
            and self.out_bytes <= OUT_BYTES_MAX // 2
            and self.held_bytes <= HELD_BYTES_MAX
            and not self.server.draining
        ):
            self._resume_reading()

    def _resume_reading(self) -> None:
        self.reading = True
        if self._behind:
            self.server.loop.call_soon(self._go_on)
        else:
            if self.frame_since_ms:  # the pause was ours, not the peer's
                self.frame_since_ms = self.server.uptime_ms()
            self.server.loop.add_reader(self.fd, self.on_readable)

    def _send_bytes(self) -> bool:
        """Send all bytes at the head of `out` at once; False when the socket took only a part."""
        out = self.out
        chunks: list[bytes] = []
        while out and type(out[0]) is bytes:
            chunks.append(out.popleft())  # type: ignore[arg-type]
        data = b"".join(chunks)
        self.out_bytes -= len(data)
        return self._send(data, socket.MSG_MORE if out and type(out[0]) is FileSlice else 0)

    def _send(self, data: bytes, flags: int = 0) -> bool:
        """Send bytes; False when the socket took only a part, and the rest is first in `out`."""
        try:
            sent_bytes = self.sock.send(data, flags)
        except BlockingIOError:
            sent_bytes = 0
        self.server.counters.sent_bytes += sent_bytes
        left_bytes = len(data) - sent_bytes
        if not left_bytes:
            return True
        self.out.appendleft(data[sent_bytes:])
        self.out_bytes += left_bytes
        return False

    def _send_slice(self, piece: FileSlice) -> int:
        """Send what the socket takes of a slice; the bytes sent. BlockingIOError: none."""
        sent_bytes = os.sendfile(self.fd, piece.fileno(), piece.position, piece.size_bytes)
        if sent_bytes == 0:
            # The file is shorter than the log says: nothing that follows could be true.
            logger.error("sendfile met the end of %s", piece.segment.file.path)
            raise ConnectionAbortedError
        self.server.counters.sent_bytes += sent_bytes
        self.server.counters.sent_file_bytes += sent_bytes
        if sent_bytes == piece.size_bytes:
            self.out.popleft()
            self.out_bytes -= SLICE_BYTES
            piece.release()
        else:
            piece.position += sent_bytes
            piece.size_bytes -= sent_bytes
        return sent_bytes

    def _is_warm(self, piece: FileSlice) -> bool:
        """Whether a slice is in the page cache; if not, a helper brings it there first.

        A cold page would block the loop, and everybody on it, inside `sendfile`.
        """
        if self._populating:
            return False
        if self.server.residency.holds(piece, self.server.broker.uptime_ms):
            piece.hot = True
            return True
        self._populating = True
        self.stop_reading()

        def populated() -> None:
            self._populating = False
            if not self.closed:
                piece.hot = True
                self.flush()

        self.server.residency.bring(piece, populated)
        return False

    def _wait_writable(self) -> None:
        if not self._writing:
            self._writing = True
            self.server.loop.add_writer(self.fd, self.on_writable)
        # Whoever does not read its answers is not asked for more requests.
        self.stop_reading()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self.server.loop.remove_writer(self.fd)

    def stop_reading(self) -> None:
        """Receive nothing until there is room for answers, or for good when the server stops."""
        if self.reading:
            self.reading = False
            self.server.loop.remove_reader(self.fd)

    def on_writable(self) -> None:
        """The peer has read: go on sending."""
        self.active_ms = self.server.uptime_ms()
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - logged in full by `bug`
            self.server.bug(error, self)

    def close(self, reason: str, sentence: str = "") -> None:
        """Close, give all back, once. `reason` is one of CLOSE_REASONS; a sentence is logged."""
        if self.closed:
            return
        self.closed = True
        # Before the descriptor number can be reused by the next accept.
        self.server.loop.remove_reader(self.fd)
        self.server.loop.remove_writer(self.fd)
        release_parts(self.out)
        self.out.clear()
        self._release_buffer()
        self.sock.close()
        self.server.forget(self, reason, sentence)
