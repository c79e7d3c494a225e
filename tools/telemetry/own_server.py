"""A server of one's own, for the length of a demo: started, watched from outside, stopped.

It is the command a user would type, on free ports of the loopback. What it costs is read from
/proc: CPU seconds and anonymous memory of the process.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 15
PR_SET_PDEATHSIG = 1


class NotReady(Exception):
    """The server ended before it was ready; the message holds what it said."""


class OwnServer:
    """`with OwnServer(directory) as server:` is a running server; leaving stops it cleanly."""

    def __init__(self, data_dir: Path) -> None:
        """`data_dir` is made by the server; its log goes beside it."""
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self.words: dict[str, str] = {}
        """The `key=value` words of the server's ready line."""

    def __enter__(self) -> Self:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "logserver.cli", "serve", "--data-dir", str(self.data_dir),
            "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
        ]  # fmt: skip
        with open(self.log_path, "wb") as log:
            # A session of its own: Ctrl-C belongs to the demo, which then stops the server in order
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread runs here
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready"):
            self.stop()
            raise NotReady(self.log_path.read_text(errors="replace").strip()[-1000:])
        self.words = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()

    @property
    def bootstrap(self) -> str:
        """host:port for Kafka clients."""
        return self.words["kafka"]

    @property
    def metrics(self) -> str:
        """The address of the metrics."""
        return f"http://{self.words['http']}/metrics"

    def cpu_s(self) -> float:
        """User and system seconds so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def anonymous_mb(self) -> float:
        """Memory that is the server's own: no page cache, no mapped segments."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def stop(self) -> None:
        """SIGTERM and wait; kill -9 when it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def end_with_parent() -> None:
    """In the child: be ended (SIGTERM) when the demo is killed, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
