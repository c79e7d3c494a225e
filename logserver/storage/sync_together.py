"""Many files made durable at once: one call hands all their syncs to the kernel, one waits.

Theory. A device that is asked to sync fifty files one after the other takes fifty times its 0.5 ms;
asked for all of them at once it writes side by side and flushes (or commits its journal) once:
50 small files, 28 ms in a row, 1 to 3 ms together (ext4, virtio disk). A group commit over the
partitions of `__consumer_offsets` is such a list. Threads of our own would do as well and cost an
interpreter lock for each file; Linux's asynchronous I/O does it in kernel threads, with two system
calls in all, and reports an error for each file as `fdatasync` would.

    struct iocb (64 bytes), one for each file      struct io_event (32 bytes), one for each answer
        0 data     our number for it                   0 data
        8 key      0                                   8 address of the iocb
       12 flags    0                                  16 result: 0 or minus the error number
       16 opcode   3: IOCB_CMD_FDSYNC                 24 second result
       18 priority 0
       20 descriptor
       24 buffer, count, offset, reserved, flags, eventfd: 0

`IOCB_CMD_FDSYNC` does its work since Linux 4.18. Where the kernel has none of this (a container's
rules, a limit of the host: fs.aio-max-nr), or another thread is using it, the files are synced one
after the other. Source: io_submit(2), io_getevents(2), linux/aio_abi.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
import threading
from collections.abc import Sequence
from struct import Struct
from typing import Protocol

# System calls by machine: setup, submit, getevents.
_NUMBERS = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4), "riscv64": (0, 2, 4)}
_REQUEST = Struct("<QIiHhiQQqQII")
_ANSWER = Struct("<QQqq")
assert (_REQUEST.size, _ANSWER.size) == (64, 32)
_FDSYNC = 3
# Files in one call; fs.aio-max-nr is 65,536 for the whole host.
FILES_MAX = 256

_libc = ctypes.CDLL(None, use_errno=True)  # a CDLL call releases the GIL


class Syncable(Protocol):
    """What is needed of a file."""

    path: str

    def fileno(self) -> int:
        """Its descriptor."""

    def datasync(self) -> None:
        """Make it durable by itself. Raises OSError."""


class Unavailable(Exception):
    """The kernel does not take such requests: sync one file after the other."""


class SideBySide:
    """A queue of the kernel's. One thread at a time: `sync` refuses a second one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context = ctypes.c_ulong(0)
        self._numbers = _NUMBERS.get(platform.machine()) if sys.byteorder == "little" else None
        if self._numbers and self._call(0, FILES_MAX, ctypes.byref(self._context)):
            self._numbers = None

    @property
    def available(self) -> bool:
        """Whether the kernel has given a queue."""
        return self._numbers is not None

    def _call(self, which: int, *arguments: object) -> int:
        assert self._numbers is not None
        words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        return int(_libc.syscall(ctypes.c_long(self._numbers[which]), *words))

    def sync(self, descriptors: Sequence[int]) -> list[int]:
        """Sync these files (at most FILES_MAX); the error number of each, 0 for success.

        Fewer results than files: the others were not begun (one was closed, the queue was full).
        Raises Unavailable: none was.
        """
        assert len(descriptors) <= FILES_MAX
        if self._numbers is None or not self._lock.acquire(blocking=False):
            raise Unavailable
        try:
            return self._wait(self._submit(descriptors))
        finally:
            self._lock.release()

    def _submit(self, descriptors: Sequence[int]) -> int:
        requests = ctypes.create_string_buffer(
            b"".join(
                _REQUEST.pack(number, 0, 0, _FDSYNC, 0, descriptor, 0, 0, 0, 0, 0, 0)
                for number, descriptor in enumerate(descriptors)
            )
        )
        first = ctypes.addressof(requests)
        count = len(descriptors)
        pointers = (ctypes.c_uint64 * count)(*range(first, first + 64 * count, 64))
        begun_count = self._call(1, self._context, count, pointers)
        if begun_count <= 0:
            raise Unavailable
        return begun_count

    def _wait(self, count: int) -> list[int]:
        answers = ctypes.create_string_buffer(_ANSWER.size * count)
        results = [0] * count
        while count:
            got = self._call(2, self._context, count, count, answers, None)
            if got < 0:
                # Interrupted by a signal, else our bug: what was begun is not known to be durable.
                assert ctypes.get_errno() == errno.EINTR, os.strerror(ctypes.get_errno())
                continue
            for position in range(0, got * _ANSWER.size, _ANSWER.size):
                number, _, result, _ = _ANSWER.unpack_from(answers, position)
                results[number] = -result
            count -= got
        return results


_queue: SideBySide | None = None


def sync_all(files: Sequence[Syncable]) -> None:
    """Make all these files durable; raises the OSError of the first that failed.

    Every file has been tried when it returns or raises.
    """
    global _queue  # noqa: PLW0603 - made by the first sync of two files, and kept
    if _queue is None:
        _queue = SideBySide()
    errors: list[OSError] = []
    for start in range(0, len(files), FILES_MAX):
        part = files[start : start + FILES_MAX]
        try:
            results = _queue.sync([file.fileno() for file in part])
        except Unavailable:
            results = []
        for file, code in zip(part, results, strict=False):
            if code:
                errors.append(OSError(code, os.strerror(code), file.path))
        for file in part[len(results) :]:
            try:
                file.datasync()
            except OSError as error:
                errors.append(error)
    if errors:
        raise errors[0]
