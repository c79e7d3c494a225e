"""What can go wrong at a word: the switches, and the disk and the connections that obey them.

The server is the real one. Its files are `FaultyFiles`, real files that look at the switches before
a write and a sync; its connections are `FaultyConnection`s, real connections that look at them
before an answer leaves. With every switch off both do what their parents do.

A disk is slow or sick when it syncs: that is where a server waits for it, and where it hears of
errors. A full disk refuses each write and says that it has no space.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from struct import Struct
from typing import TYPE_CHECKING, ClassVar

from logserver.server.connection import Connection
from logserver.server.reply import Reply
from logserver.storage.files import Buffer, RealFile, RealFiles

if TYPE_CHECKING:
    from logserver.server.listener import Listener
    from logserver.server.server import Server

# The size of a request and its API key, where a frame begins.
FRAME_HEAD = Struct(">ih")
ANY_API = -1


class Faults:
    """The switches. `sync_delay_s` may be changed while a sync waits: it goes on at once."""

    def __init__(self) -> None:
        self.sync_delay_s = 0.0
        self.sync_error = False
        self.disk_full = False
        self.answer_delay_s = 0.0
        self.lost_answers = 0
        self.lost_api = ANY_API
        self.unreachable = False
        self._changed = threading.Event()

    def switch(self, **switches: float) -> None:
        """Set switches by name; an unknown name is an error of the test."""
        for name, value in switches.items():
            assert hasattr(self, name), f"there is no fault {name}"
            setattr(self, name, value)
        waiting, self._changed = self._changed, threading.Event()
        waiting.set()

    def before_sync(self, path: str) -> None:
        """Wait as a slow disk makes one wait, or fail as a sick one does. Raises OSError."""
        if self.sync_delay_s:
            self._changed.wait(self.sync_delay_s)
        if self.sync_error:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def before_write(self, path: str) -> None:
        """Refuse to write when the disk is full. Raises OSError."""
        if self.disk_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class FaultyFile(RealFile):
    """A file on a disk that may be slow, sick or full."""

    __slots__ = ("_faults",)

    def __init__(self, path: str, descriptor: int, faults: Faults) -> None:
        super().__init__(path, descriptor)
        self._faults = faults

    def pwrite(self, data: Buffer, position: int) -> None:
        self._faults.before_write(self.path)
        super().pwrite(data, position)

    def allocate(self, position: int, size_bytes: int) -> None:
        self._faults.before_write(self.path)
        super().allocate(position, size_bytes)

    def datasync(self) -> None:
        self._faults.before_sync(self.path)
        super().datasync()


class FaultyFiles(RealFiles):
    """The operating system's files on that disk."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def open(self, path: str, *, create: bool = False, write: bool = True) -> FaultyFile:
        real = super().open(path, create=create, write=write)
        return FaultyFile(path, real.fileno(), self._faults)

    def sync_directory(self, path: str) -> None:
        self._faults.before_sync(path)
        super().sync_directory(path)

    def sync_file_system(self, path: str) -> None:
        self._faults.before_sync(path)
        super().sync_file_system(path)

    def free_bytes(self, path: str) -> int:
        return 0 if self._faults.disk_full else super().free_bytes(path)


class FaultyConnection(Connection):
    """A connection whose answers may leave late, or never."""

    __slots__ = ("_holding", "_losing")
    faults: ClassVar[Faults]

    def __init__(self, server: Server, listener: Listener, sock: socket.socket, host: str) -> None:
        self._holding = False
        self._losing = False
        super().__init__(server, listener, sock, host)

    def on_readable(self) -> None:
        """As ever, after a look at what is asked."""
        if self.faults.lost_answers and not self._losing and self._buffer is None:
            self._losing = self._is_asked_for(self.faults.lost_api)
        super().on_readable()

    def _is_asked_for(self, api_key: int) -> bool:
        """Whether the next request is one whose answer is to be lost."""
        try:
            head = self.sock.recv(FRAME_HEAD.size, socket.MSG_PEEK)
        except OSError:
            return False
        if len(head) < FRAME_HEAD.size:
            return False
        found = api_key in (ANY_API, FRAME_HEAD.unpack(head)[1])
        self.faults.lost_answers -= found
        return found

    def flush(self) -> None:
        """Send what is ready, unless it is to be late or lost."""
        if self._writing or not self.out or not _is_ready(self.out[0]):
            super().flush()
        elif self._losing:
            self.close("error", "its answer is lost, as the test wants it")
        elif not self.faults.answer_delay_s:
            super().flush()
        elif not self._holding:
            self._holding = True
            self.server.loop.call_later(self.faults.answer_delay_s, self.let_go)

    def send_answer(self, answer: bytes) -> None:
        """The short way for a single answer is the long one here."""
        self.out.append(answer)
        self.out_bytes += len(answer)
        self.flush()

    def let_go(self) -> None:
        """Send what was held back."""
        if self._holding and not self.closed:
            self._holding = False
            super().flush()


def _is_ready(part: object) -> bool:
    return type(part) is not Reply or part.answer is not None
