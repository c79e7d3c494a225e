"""One TCP connection to one server: requests out, answers in, matched by correlation id.

The socket never blocks; waiting is `poll` with a deadline. Two ways to use it, not both at once:

    connection.request(METADATA, {...})          ask, wait, and get the answer as a dict
    connection.send_nowait(PRODUCE, 9, body)     pipelined: queue and send what the socket takes,
    connection.receive_nowait()                  take whatever whole answers have arrived

A connection starts with ApiVersions, so every request goes out in the newest version that both
sides know. It is confined to the thread that uses it and is never reused after an error: it is
closed, and its owner opens another.

Answers are read into one buffer of 64 KB; only a larger one gets a buffer of its own, of a size
below `frame_bytes_max`. A peer that is not a Kafka server is told by its first bytes.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from typing import Final, NamedTuple

from logserver.client.failure import ClientError
from logwire.errors import UNSUPPORTED_VERSION, ProtocolError
from logwire.frame import SIZE, parse_response_header, request_header
from logwire.messages import APIS, Message, decode_response, encode_request

PRODUCE: Final = 0
FETCH: Final = 1
LIST_OFFSETS: Final = 2
METADATA: Final = 3
OFFSET_COMMIT: Final = 8
OFFSET_FETCH: Final = 9
FIND_COORDINATOR: Final = 10
DESCRIBE_GROUPS: Final = 15
LIST_GROUPS: Final = 16
API_VERSIONS: Final = 18
CREATE_TOPICS: Final = 19
DELETE_TOPICS: Final = 20
DELETE_RECORDS: Final = 21
INIT_PRODUCER_ID: Final = 22
DESCRIBE_CONFIGS: Final = 32
DESCRIBE_LOG_DIRS: Final = 35
CREATE_PARTITIONS: Final = 37
DELETE_GROUPS: Final = 42
INCREMENTAL_ALTER_CONFIGS: Final = 44
DESCRIBE_CLUSTER: Final = 60
CONSUMER_GROUP_HEARTBEAT: Final = 68
CONSUMER_GROUP_DESCRIBE: Final = 69

# The next versions name topics by id. A client that was given a name keeps to the name: it survives
# a topic's deletion and re-creation without asking for the new id.
_VERSION_CAPS: Final = {PRODUCE: 12, FETCH: 12, OFFSET_COMMIT: 9, OFFSET_FETCH: 9}

_API_VERSIONS_FIRST: Final = 3  # older servers answer it with error 35 and their list (KIP-511)
_RECEIVE_BYTES: Final = 64 << 10
_SEND_PIECES_MAX: Final = 64  # of one sendmsg; IOV_MAX is 1024
CONNECT_TIMEOUT_MS: Final = 10_000  # Kafka: socket.connection.setup.timeout.ms
REQUEST_TIMEOUT_MS: Final = 30_000  # Kafka: request.timeout.ms
FRAME_BYTES_MAX: Final = 256 << 20  # five times what a fetch asks for: a first batch comes whole

_OTHER_PROTOCOLS: Final = {b"HTTP": "HTTP", b"SSH-": "SSH", b"\x15\x03\x01\x00": "TLS"}


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bootstrap(bootstrap: str) -> list[Address]:
    """`host:port,host:port` to addresses; port 9092 when left out, IPv6 hosts in brackets."""
    addresses = []
    for word in bootstrap.split(","):
        text = word.strip()
        host, separator, port = text.rpartition(":")
        if not separator or text.endswith("]"):
            host, port = text, "9092"
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ClientError("connect", f"{text!r} is not a server address: write HOST:PORT")
        addresses.append(Address(host.removeprefix("[").removesuffix("]"), int(port)))
    return addresses


class Connection:
    """A connection to the server at `address`, open and past ApiVersions.

    Raises `ClientError` ("connect", "timeout", "protocol", "unsupported") when that fails.
    """

    def __init__(
        self,
        address: Address,
        *,
        client_id: str = "logserver",
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        self.address = address
        self.client_id = client_id
        self.request_timeout_ms = request_timeout_ms
        self.frame_bytes_max = frame_bytes_max
        self.versions: dict[int, tuple[int, int]] = {}
        self.features: dict[str, int] = {}
        self._next_correlation_id = 0
        self._sending: deque[memoryview] = deque()
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._buffered_bytes = 0
        self._large: memoryview | None = None  # a frame that does not fit the buffer
        self._large_bytes = 0
        self._socket = _open_socket(address, connect_timeout_ms)
        try:
            self._ask_versions()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; calling it again is harmless."""
        self._socket.close()

    @property
    def is_open(self) -> bool:
        return self._socket.fileno() >= 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def version(self, api_key: int) -> int:
        """The newest version of an API that the server and this client know."""
        api = APIS[api_key]
        low, high = self.versions.get(api_key, (0, -1))
        version = min(high, api.max_version, _VERSION_CAPS.get(api_key, api.max_version))
        if version < max(low, api.min_version):
            offered = f"offers versions {low} to {high}" if high >= 0 else "does not offer it"
            raise ClientError(
                "unsupported",
                f"{self.address} {offered}; this client speaks {api.name}"
                f" {api.min_version} to {_VERSION_CAPS.get(api_key, api.max_version)}",
            )
        return version

    def request(
        self, api_key: int, message: Message, version: int | None = None, *, timeout_ms: int = 0
    ) -> Message:
        """Ask and wait for the answer. `timeout_ms` is added to the connection's own.

        Raises `ClientError`: "timeout", "closed", "protocol" (the connection is then closed) or
        "unsupported". Error codes inside the answer are the caller's to read. Interrupted (Ctrl-C)
        the connection is closed as well: the answer would be taken for that of the next request.
        """
        chosen = self.version(api_key) if version is None else version
        body = encode_request(api_key, chosen, message)
        deadline_s = time.monotonic() + (self.request_timeout_ms + timeout_ms) / 1000
        try:
            wanted = self.send_nowait(api_key, chosen, body)
            while True:
                for correlation_id, frame in self.receive_nowait():
                    if correlation_id != wanted:
                        raise self.broken(f"answered request {correlation_id}, asked was {wanted}")
                    return self.decode(api_key, chosen, frame)
                self._wait(deadline_s, APIS[api_key].name)
        except BaseException:
            self.close()
            raise

    def decode(self, api_key: int, version: int, frame: memoryview) -> Message:
        """The body of an answer; a malformed one closes the connection."""
        try:
            _, position = parse_response_header(frame, api_key, version)
            return decode_response(api_key, version, frame[position:])
        except ProtocolError as error:
            raise self.broken(str(error)) from error

    def send_nowait(self, api_key: int, version: int, body: bytes | bytearray | memoryview) -> int:
        """Queue a request and send what the socket takes; returns its correlation id."""
        self._next_correlation_id = (self._next_correlation_id + 1) & 0x7FFFFFFF
        correlation_id = self._next_correlation_id
        header = request_header(api_key, version, correlation_id, self.client_id)
        self._sending.append(memoryview(SIZE.pack(len(header) + len(body)) + header))
        self._sending.append(memoryview(body))
        self.flush_nowait()
        return correlation_id

    def flush_nowait(self) -> bool:
        """Send what is queued as far as the socket takes it; True when all has left."""
        sending = self._sending
        while sending:
            pieces = list(sending)[:_SEND_PIECES_MAX] if len(sending) > 2 else sending
            try:
                sent_bytes = self._socket.sendmsg(pieces)
            except BlockingIOError:
                return False
            except OSError as error:
                raise self._lost(error) from error
            while sending and sent_bytes >= len(sending[0]):
                sent_bytes -= len(sending.popleft())
            if sent_bytes:
                sending[0] = sending[0][sent_bytes:]
        return True

    @property
    def wants_write(self) -> bool:
        """Whether queued bytes wait for the socket to become writable."""
        return bool(self._sending)

    def receive_nowait(self) -> list[tuple[int, memoryview]]:
        """Whole answers that have arrived, as (correlation id, frame): one read at most.

        Frames belong to the caller. Raises `ClientError` "closed" at the peer's end of file.
        """
        try:
            if self._large is not None:
                return self._receive_large(self._large)
            count = self._socket.recv_into(self._buffer[self._buffered_bytes :])
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._lost(error) from error
        if count == 0:
            raise self._lost(None)
        self._buffered_bytes += count
        return self._take_frames()

    def _take_frames(self) -> list[tuple[int, memoryview]]:
        """Cut whole frames out of the buffer; move the rest to its start."""
        frames = []
        position = 0
        available = self._buffered_bytes
        while available - position >= SIZE.size:
            size = SIZE.unpack_from(self._buffer, position)[0]
            self._check_size(size, position)
            start = position + SIZE.size
            if available - start < size:
                if SIZE.size + size > _RECEIVE_BYTES:
                    self._large = memoryview(bytearray(size))
                    self._large_bytes = available - start
                    self._large[: self._large_bytes] = self._buffer[start:available]
                    position = available
                break
            frame = memoryview(bytes(self._buffer[start : start + size]))
            frames.append((SIZE.unpack_from(frame)[0], frame))
            position = start + size
        if position:
            rest = bytes(self._buffer[position:available])
            self._buffer[: len(rest)] = rest
            self._buffered_bytes = len(rest)
        return frames

    def _receive_large(self, large: memoryview) -> list[tuple[int, memoryview]]:
        count = self._socket.recv_into(large[self._large_bytes :])
        if count == 0:
            raise self._lost(None)
        self._large_bytes += count
        if self._large_bytes < len(large):
            return []
        self._large = None
        return [(SIZE.unpack_from(large)[0], large.toreadonly())]

    def _check_size(self, size: int, position: int) -> None:
        if SIZE.size <= size <= self.frame_bytes_max:
            return
        first = bytes(self._buffer[position : position + SIZE.size])
        other = _OTHER_PROTOCOLS.get(first)
        if other:
            raise self.broken(f"speaks {other}. Use the address of the server's Kafka listener")
        raise self.broken(f"sent a frame of {size} bytes (limit {self.frame_bytes_max})")

    def wait(self, deadline_s: float) -> bool:
        """Wait until the socket can be read, or written if bytes are queued; False: too late."""
        events = select.POLLIN | (select.POLLOUT if self._sending else 0)
        poll = select.poll()
        poll.register(self._socket, events)
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0 or not poll.poll(remaining_s * 1000):
            return False
        self.flush_nowait()
        return True

    def _wait(self, deadline_s: float, name: str) -> None:
        if not self.wait(deadline_s):
            self.close()
            seconds = self.request_timeout_ms / 1000
            message = f"{self.address} did not answer a {name} request within {seconds:g} s"
            raise ClientError("timeout", message)

    def _ask_versions(self) -> None:
        body = {"client_software_name": "logserver", "client_software_version": _software_version()}
        answer = self._versions_answer(_API_VERSIONS_FIRST, body)
        if answer["error_code"] == UNSUPPORTED_VERSION:
            answer = self._versions_answer(0, {})
        if answer["error_code"]:
            raise self.broken(f"answered ApiVersions with error {answer['error_code']}")
        for row in answer["api_keys"]:
            self.versions[row["api_key"]] = (row["min_version"], row["max_version"])
        for row in answer.get("finalized_features") or ():
            self.features[row["name"]] = row["max_version_level"]

    def _versions_answer(self, version: int, body: Message) -> Message:
        """ApiVersions; whoever does not know the version answers in version 0 (KIP-511)."""
        deadline_s = time.monotonic() + self.request_timeout_ms / 1000
        self.send_nowait(API_VERSIONS, version, encode_request(API_VERSIONS, version, body))
        while not (frames := self.receive_nowait()):
            self._wait(deadline_s, "ApiVersions")
        frame = frames[0][1]
        refused = len(frame) >= 6 and int.from_bytes(frame[4:6], "big") == UNSUPPORTED_VERSION
        return self.decode(API_VERSIONS, 0 if refused else version, frame)

    def broken(self, what: str) -> ClientError:
        """Close, and give the error that says what the peer did against the protocol."""
        self.close()
        return ClientError("protocol", f"{self.address} {what}")

    def _lost(self, error: OSError | None) -> ClientError:
        self.close()
        reason = "" if error is None else f" ({error.strerror or error})"
        return ClientError("closed", f"{self.address} closed the connection{reason}")


def _software_version() -> str:
    from logserver import __version__

    return __version__


def _open_socket(address: Address, timeout_ms: int) -> socket.socket:
    try:
        opened = socket.create_connection(address, timeout_ms / 1000)
    except TimeoutError as error:
        message = f"cannot connect to {address}: no answer within {timeout_ms / 1000:g} s"
        raise ClientError("connect", message) from error
    except socket.gaierror as error:
        message = f"cannot connect to {address}: the host name is unknown ({error.strerror})"
        raise ClientError("connect", message) from error
    except OSError as error:
        hint = ""
        if error.errno == errno.ECONNREFUSED:
            hint = ". Nothing listens there: start `logserver serve` or check the address"
        message = f"cannot connect to {address}: {error.strerror or error}{hint}"
        raise ClientError("connect", message) from error
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setblocking(False)
    return opened
