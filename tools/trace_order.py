"""Read an strace of the server and say whether it kept its promises, call by call.

    strace -f -yy -xx -s 200000 -o TRACE -e trace=network,desc,file logserver serve ...
    python tools/trace_order.py TRACE

Three promises that no counter can prove, because the code that counts is the code under suspicion:

- **sync before answer**: for each Produce request with acks=all, an `fdatasync` of the file that
  took its batch began after the batch was written and ended before the answer was sent;
- **fetches leave by sendfile**: almost nothing that a consumer receives was in user space;
- **segments are not read**: bytes of `.log` files read stay under 1 % of what was sent from them.

How the calls are matched. One thread runs the protocol, so the batches of Produce requests are
written in the order in which the requests were received: the n-th request belongs to the n-th
`pwrite64` into a segment. Answers are matched by connection and correlation id. strace prints a
call when it ends; a call that others overlap is printed twice, `<unfinished ...>` where it begins
and `resumed` where it ends. The number of the line is the clock.

Only traces with `-xx -s` large enough to hold whole requests, one batch each, can be read so.
"""

from __future__ import annotations

import re
import struct
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

STRACE = ("strace", "-f", "-yy", "-xx", "-s", "200000", "-e", "signal=none")
TRACED = (
    "recvfrom,sendto,sendmsg,write,writev,sendfile,pwrite64,pread64,preadv,read,fdatasync,fsync"
)
READS = ("pread64", "preadv", "read")
SENDS = ("sendto", "sendmsg", "write", "writev")
SYNCS = ("fdatasync", "fsync")
READ_SHARE_MAX = 0.01
ACKS_ALL = -1

_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGIN = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)")
_DESCRIPTOR = re.compile(r"(\d+)<((?:[^<>]|<[^<>]*>|->)*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Call(NamedTuple):
    """One system call: its lines in the trace, its arguments as text, what it returned."""

    name: str
    began: int
    ended: int
    thread: int
    arguments: str
    result: int

    def descriptors(self) -> list[tuple[int, str]]:
        """(number, path or socket) of each descriptor among the arguments."""
        return [(int(number), plain(path)) for number, path in _DESCRIPTOR.findall(self.arguments)]

    def data(self) -> bytes:
        """The bytes of its first string argument, which `-xx` writes as hex."""
        found = _STRING.search(self.arguments)
        return bytes.fromhex(found.group(1).replace("\\x", "")) if found else b""


def plain(path: str) -> str:
    """A path as text; `-xx` writes the paths of descriptors as hex too, those of sockets not."""
    if path.startswith("\\x"):
        return bytes.fromhex(path.replace("\\x", "")).decode(errors="replace")
    return path


def parse(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace in the order in which they ended; failed calls too."""
    begun: dict[int, tuple[int, str, str]] = {}
    for number, line in enumerate(lines):
        if found := _BEGIN.match(line):
            begun[int(found[1])] = (number, found[2], found[3])
        elif found := _RESUMED.match(line):
            began, name, arguments = begun.pop(int(found[1]), (number, found[2], ""))
            yield Call(name, began, number, int(found[1]), arguments + found[3], int(found[4]))
        elif found := _WHOLE.match(line):
            yield Call(found[2], number, number, int(found[1]), found[3], int(found[4]))


def is_segment(path: str) -> bool:
    """Whether a descriptor is a segment of a user's topic; the server's own logs begin with __."""
    return path.endswith(".log") and not Path(path).parent.name.startswith("__")


def is_peer(path: str) -> bool:
    """Whether a descriptor is a TCP connection."""
    return path.startswith(("TCP:[", "TCPv6:["))


class Frames:
    """Splits one direction of a connection into whole Kafka frames."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.skip = 0  # bytes of a frame's end that left by sendfile, still to come

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Frames without their length that these bytes complete."""
        self.pending += data
        while len(self.pending) >= 4:
            (size,) = struct.unpack_from(">i", self.pending)
            if len(self.pending) < 4 + size:
                return
            yield bytes(self.pending[4 : 4 + size])
            del self.pending[: 4 + size]


class Produced(NamedTuple):
    """A Produce request and what is known of it so far."""

    connection: int
    correlation_id: int
    acks: int


def produce_request(connection: int, frame: bytes) -> Produced | None:
    """The Produce request in a frame, versions 3 to 13; None for every other API."""
    api_key, version, correlation_id, client = struct.unpack_from(">hhih", frame)
    if api_key != 0:
        return None
    position = 10 + max(0, client)
    if version >= 9:
        position += 1  # no tagged fields in the headers of the clients used here
        position += max(0, frame[position] - 1) + 1
    else:
        (size,) = struct.unpack_from(">h", frame, position)
        position += 2 + max(0, size)
    (acks,) = struct.unpack_from(">h", frame, position)
    return Produced(connection, correlation_id, acks)


class Verdict(NamedTuple):
    """What the trace shows."""

    answers_checked: int
    answered_before_sync: list[str]
    sent_by_sendfile_bytes: int
    sent_by_copy_bytes: int
    segment_read_bytes: int

    @property
    def read_share(self) -> float:
        """Segment bytes read for each byte that left by sendfile."""
        return self.segment_read_bytes / max(1, self.sent_by_sendfile_bytes)

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not self.answered_before_sync and self.read_share < READ_SHARE_MAX


class Order:
    """Follows the calls of a trace and remembers which write each answer waits for."""

    def __init__(self) -> None:
        self.received: dict[int, Frames] = {}
        self.sent: dict[int, Frames] = {}
        self.unwritten: deque[Produced] = deque()
        self.written: dict[tuple[int, int], tuple[Produced, Call, str]] = {}
        self.syncs: dict[str, list[Call]] = {}
        self.checked = 0
        self.early: list[str] = []
        self.bytes: Counter[str] = Counter()

    def follow(self, call: Call) -> None:
        """Take in the next call."""
        descriptors = call.descriptors()
        if call.result < 0 or not descriptors:
            return
        number, path = descriptors[0]
        if call.name == "recvfrom" and is_peer(path):
            self._receive(number, call)
        elif call.name == "pwrite64" and is_segment(path) and self.unwritten:
            request = self.unwritten.popleft()
            self.written[request.connection, request.correlation_id] = (request, call, path)
        elif call.name in SYNCS:
            self.syncs.setdefault(path, []).append(call)
        elif call.name == "sendfile":
            self.bytes["sendfile"] += call.result
            frames = self.sent.setdefault(number, Frames())
            self._answer(number, call, frames, bytes(call.result))
        elif call.name in SENDS and is_peer(path):
            self.bytes["copy"] += call.result
            frames = self.sent.setdefault(number, Frames())
            self._answer(number, call, frames, call.data()[: call.result])
        elif call.name in READS and is_segment(path):
            self.bytes["read"] += call.result

    def _receive(self, connection: int, call: Call) -> None:
        if call.result == 0:  # the peer has gone; the number will mean another connection
            self.received.pop(connection, None)
            self.sent.pop(connection, None)
            return
        frames = self.received.setdefault(connection, Frames())
        for frame in frames.feed(call.data()[: call.result]):
            request = produce_request(connection, frame)
            if request is not None:
                self.unwritten.append(request)

    def _answer(self, connection: int, call: Call, frames: Frames, data: bytes) -> None:
        for frame in frames.feed(data):
            (correlation_id,) = struct.unpack_from(">i", frame)
            found = self.written.pop((connection, correlation_id), None)
            if found is None or found[0].acks != ACKS_ALL:
                continue
            _, write, path = found
            self.checked += 1
            covered = any(
                sync.began > write.ended and sync.ended < call.began
                for sync in self.syncs.get(path, ())
            )
            if not covered:
                self.early.append(
                    f"line {call.began + 1}: answer {correlation_id} on connection {connection} "
                    f"was sent before a sync covered line {write.ended + 1}, a write to {path}"
                )


def judge(lines: Iterable[str]) -> Verdict:
    """Follow a whole trace."""
    order = Order()
    for call in parse(lines):
        order.follow(call)
    count = order.bytes
    return Verdict(order.checked, order.early, count["sendfile"], count["copy"], count["read"])


def main() -> int:
    """Print the verdict on the trace named on the command line; 1 when a promise was broken."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/trace_order.py TRACE")
    with Path(sys.argv[1]).open(errors="replace") as trace:
        verdict = judge(line.rstrip("\n") for line in trace)
    print(f"{verdict.answers_checked} answers to acks=all checked against the syncs before them")
    print(f"{len(verdict.answered_before_sync)} were sent before their sync ended")
    for line in verdict.answered_before_sync[:20]:
        print(f"  {line}")
    print(f"{verdict.sent_by_sendfile_bytes} bytes left by sendfile")
    print(f"{verdict.sent_by_copy_bytes} bytes left by copy")
    print(f"{verdict.segment_read_bytes} bytes of segments were read, {verdict.read_share:.3%}")
    print("every promise holds" if verdict.holds else "BROKEN")
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
