"""A real `logserver serve` in a process of its own, as the tests start, kill and restart it.

The server is always the installed command on free ports of the loopback: what these tests see is
what a user's client sees. Nothing here sleeps; every wait is on a pipe or on the process, with a
deadline that fails loudly and shows the server's own words.

`LOGSERVER_TEST_BOOTSTRAP=host:port` points the tests that only speak the Kafka protocol at a server
that already runs. Apache Kafka itself is the interesting one: a test that fails there is wrong.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

READY_TIMEOUT_S = 20.0  # a start on an empty directory takes 0.2 s; CI machines stall for seconds
STOP_TIMEOUT_S = 15.0  # the server promises 10 s for a drain
ROOT = Path(__file__).resolve().parent.parent


class ServerDied(Exception):
    """The process ended or stayed silent where it should have become ready or stopped."""


class ServerProcess:
    """One server on one data directory; `start`, `stop` and `kill` may alternate freely.

    `settings` are configuration keys (Kafka's names), `arguments` further words of the command line
    and `prefix` a command put before it (`strace -f -o FILE`, `taskset`, ...).
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        *,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.settings = dict(settings or {})
        self.arguments = list(arguments)
        self.prefix = list(prefix)
        self.environment = dict(environment or {})
        self.log_path = data_dir.parent / f"{data_dir.name}.server-log"
        self.ready_line: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def command(self) -> list[str]:
        """The command line, with the port of the first start kept for every later one."""
        words = [*self.prefix, sys.executable, "-m", "logserver.cli", "serve"]
        words += ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self._port}"]
        words += ["--http", "127.0.0.1:0"]
        for key, value in self.settings.items():
            words += ["--set", f"{key}={value}"]
        return words + self.arguments

    def start(self) -> Self:
        """Start and wait for the ready line; raises ServerDied with the server's last words."""
        assert self.process is None, "already running"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                # Bytecode is written as an installation has it: a start is twice as fast with it.
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **self.environment},
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = _read_line(self.process.stdout, time.monotonic() + READY_TIMEOUT_S)
        words = line.split()
        if not words or words[0] != "ready":
            self.kill()
            message = f"no ready line but {line!r} from {self.command()}\n{self.log_tail()}"
            raise ServerDied(message)
        self.ready_line = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        self._port = self.kafka_address[1]
        return self

    @property
    def pid(self) -> int:
        """Process id of the server, or of the command put before it."""
        assert self.process is not None
        return self.process.pid

    @property
    def kafka_address(self) -> tuple[str, int]:
        """Host and port of the first Kafka listener."""
        return self.kafka_addresses[0]

    @property
    def kafka_addresses(self) -> list[tuple[str, int]]:
        """Host and port of every Kafka listener, in the order of `listeners`."""
        return [_address(address) for address in self.ready_line["kafka"].split(",")]

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of /metrics, /healthz and /readyz."""
        return _address(self.ready_line["http"])

    @property
    def bootstrap(self) -> str:
        """`host:port`, as clients want it."""
        host, port = self.kafka_address
        return f"{host}:{port}"

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, wait, and return the exit code; raises ServerDied when it does not end."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL to the whole process group: the crash that the promises are about."""
        return self._end(signal.SIGKILL, STOP_TIMEOUT_S)

    def close(self) -> None:
        """End the process if it still runs, however that goes."""
        if self.process is not None:
            self.kill()

    def log_tail(self, size_bytes: int = 4000) -> str:
        """The last of what the server wrote to standard error."""
        data = self.log_path.read_bytes() if self.log_path.exists() else b""
        return data[-size_bytes:].decode(errors="replace")

    def _end(self, number: signal.Signals, timeout_s: float) -> int:
        process = self.process
        assert process is not None, "not running"
        if process.poll() is None:
            # The group, not the process: with `strace` in front the server is its child.
            os.killpg(process.pid, number)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ServerDied(f"still alive {timeout_s} s after {number.name}") from None
        finally:
            if process.stdout is not None:
                process.stdout.close()
            self.process = None
        return code


def _address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def _read_line(pipe: IO[bytes], deadline_s: float) -> str:
    """One line from a pipe, or what came until end of file or the deadline."""
    received = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while b"\n" not in received:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or not selector.select(remaining_s):
                break
            chunk = os.read(pipe.fileno(), 4096)
            if not chunk:
                break
            received += chunk
    return received.split(b"\n", 1)[0].decode(errors="replace")
