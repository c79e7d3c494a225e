"""`Broker`: a server as a test holds it, from its start to its end.

    with Broker(directory) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})

`start`, `stop`, `kill` and `restart` may alternate freely; directory, port, settings and clock stay
the same. The server's own words go to `log_path`, and into the message of `BrokerDied`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from logserver.testing import channel

if TYPE_CHECKING:
    from types import TracebackType

    from logserver.testing.channel import Message

START_TIMEOUT_S = 30.0  # a start takes 0.02 s, the first of a session 0.2; CI machines stall
ORDER_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0  # the server gives itself 10 s for its answers
LOG_BYTES = 4000

TEST_SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",  # Kafka waits 3 s for more members
    "offsets.topic.num.partitions": "1",  # 50 are for clusters
}
"""Where the settings of a broker under test differ from the server's defaults."""


class BrokerDied(Exception):
    """The server ended, or never came up; the message has its last words."""


class Nursery:
    """The process that forks servers (`nursery`), started at the first need, one a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, order: Message, descriptors: tuple[int, ...] = ()) -> Message:
        """One order and its answer. Raises BrokerDied when the process is gone; the next is new."""
        with self._lock:
            end = self._end or self._open()
            try:
                channel.send(end, order, descriptors)
                return channel.receive(end)[0]
            except (EOFError, OSError):
                self.close()
                raise BrokerDied("the process that starts brokers has ended") from None

    def _open(self) -> socket.socket:
        ours, theirs = channel.make_pair()
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        environment.pop("PYTHONOPTIMIZE", None)  # the server refuses to run without its checks
        with theirs:
            self._process = subprocess.Popen(
                # -P: what lies beside the tests is no module of the server
                [sys.executable, "-P", "-m", "logserver.testing.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,
            )
        self._end = ours
        atexit.register(self.close)
        return ours

    def close(self) -> None:
        """End the process."""
        if self._end is not None and self._process is not None:
            self._end.close()
            self._process.wait(STOP_TIMEOUT_S)
            self._end = self._process = None


NURSERY = Nursery()


class Fault:
    """A fault that is switched on; `off`, or the end of a `with`, switches it off."""

    def __init__(self, switch_off: Callable[[], object]) -> None:
        self._switch_off: Callable[[], object] | None = switch_off

    def off(self) -> None:
        """End the fault; once is enough."""
        switch_off, self._switch_off = self._switch_off, None
        if switch_off is not None:
            switch_off()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.off()


class Broker:
    """A server on `data_dir`, with `settings` by Kafka's names beside the defaults."""

    def __init__(self, data_dir: Path | str, settings: Mapping[str, object] | None = None) -> None:
        self.data_dir = Path(data_dir)
        self.settings = {key: _text(value) for key, value in (settings or {}).items()}
        self.log_path = self.data_dir.parent / f"{self.data_dir.name}.log"
        self.host, self.port = "127.0.0.1", 0
        self.http = ""
        self.pid = 0
        self.exit_code: int | None = None
        self._jumped_ms = 0
        self._control: socket.socket | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """`host:port`, for any Kafka client."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it was started and neither stopped nor killed by this test."""
        return self._control is not None

    # Birth and death

    def start(self) -> Self:
        """Start and wait until it serves; on the port of the time before, if there was one.

        Raises BrokerDied with the server's sentence when it refuses to start.
        """
        assert not self.running, "already running"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        order = {"do": "start", "settings": self._given(), "jumped_ms": self._jumped_ms}
        self.exit_code = None
        control, theirs = channel.make_pair()
        try:
            with theirs, self.log_path.open("ab") as log:
                self.pid = NURSERY.ask(order, (theirs.fileno(), log.fileno()))["pid"]
        except BaseException:
            control.close()
            raise
        self._control = control  # running from here on: now there is a process that can be killed
        control.settimeout(START_TIMEOUT_S)
        ready = self._receive()
        control.settimeout(ORDER_TIMEOUT_S)
        self.port = int(ready["kafka"][0].rpartition(":")[2])
        self.http = ready["http"]
        return self

    def _given(self) -> dict[str, str]:
        return {
            "listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "log.dir": str(self.data_dir),
            "logserver.http.listen": f"{self.host}:0",
            "logserver.runtime.dir": f"{self.data_dir}.runtime",
            **TEST_SETTINGS,
            **self.settings,
        }

    def stop(self) -> int:
        """Stop it as an operator does (SIGTERM); the exit code, 0 when all is well."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it (SIGKILL): what it had not written to its files is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop and start it: same directory, same port, same time."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End it if it still runs, however that goes."""
        if self.running:
            self.kill()

    def wait(self) -> int:
        """Wait until it ends by itself, as after a fence; the exit code."""
        return self._end(None)

    def _end(self, number: signal.Signals | None) -> int:
        control = self._control
        assert control is not None, "not running"
        try:
            if number is not None:
                self._signal(number)
            control.settimeout(STOP_TIMEOUT_S)
            with contextlib.suppress(EOFError):
                while True:
                    channel.receive(control)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            raise BrokerDied(f"it did not end within {STOP_TIMEOUT_S} s\n{self.log()}") from None
        finally:
            self._bury()
        assert self.exit_code is not None
        return self.exit_code

    def _signal(self, number: signal.Signals) -> None:
        """To the server; a SIGKILL and a standstill also to the process that compacts for it."""
        send = os.kill if number is signal.SIGTERM else os.killpg
        with contextlib.suppress(ProcessLookupError):
            send(self.pid, number)

    def _bury(self) -> None:
        assert self._control is not None
        self._control.close()
        self._control = None
        self.exit_code = NURSERY.ask({"do": "wait", "pid": self.pid})["code"]

    def log(self) -> str:
        """The last of what it wrote to its log."""
        data = self.log_path.read_bytes() if self.log_path.exists() else b""
        return data[-LOG_BYTES:].decode(errors="replace")

    # Orders

    def _ask(self, do: str, **fields: object) -> Message:
        assert self._control is not None, "not running"
        with contextlib.suppress(OSError):  # it is gone: receiving tells how
            channel.send(self._control, {"do": do, **fields})
        return self._receive()

    def _receive(self) -> Message:
        assert self._control is not None
        try:
            answer, _ = channel.receive(self._control)
        except (EOFError, TimeoutError) as error:
            self._signal(signal.SIGKILL)
            self._bury()
            how = "stays silent" if isinstance(error, TimeoutError) else "ended"
            message = f"the broker {how}, exit code {self.exit_code}\n{self.log()}"
            raise BrokerDied(message) from None
        if "error" in answer:
            self._bury()
            raise BrokerDied(answer["error"])
        return answer

    def jump(self, seconds: float) -> None:
        """Let time pass on the server: retention, session time-outs, every timer of it.

        Returns when the server has done what that time asked for. Clients live on in real time.
        """
        jump_ms = round(seconds * 1000)
        self._jumped_ms += jump_ms
        self._ask("jump", jump_ms=jump_ms)

    def drop_connections(self) -> int:
        """Close every connection of a client, once; how many there were."""
        return int(self._ask("drop")["count"])

    # Faults

    def slow_disk(self, seconds: float) -> Fault:
        """Each sync of the disk takes so much longer."""
        return self._switch({"sync_delay_s": seconds}, {"sync_delay_s": 0.0})

    def failing_sync(self) -> Fault:
        """The next sync fails, and with it the directory: only a restart mends what that does."""
        return self._switch({"sync_error": True}, {"sync_error": False})

    def full_disk(self) -> Fault:
        """The disk has no space left."""
        return self._switch({"disk_full": True}, {"disk_full": False})

    def delayed_answers(self, seconds: float) -> Fault:
        """What the server answers leaves so much later."""
        return self._switch({"answer_delay_s": seconds}, {"answer_delay_s": 0.0})

    def lost_answers(self, api: str = "", count: int = 1) -> Fault:
        """The next `count` requests are carried out, and their connections die before the answer.

        `api` is Kafka's name of the requests that are meant, such as "Produce"; empty: any.
        """
        wanted = {"lost_api": _api_key(api), "lost_answers": count}
        return self._switch(wanted, {"lost_answers": 0})

    def unreachable(self) -> Fault:
        """Every connection dies, and no new one is taken."""
        fault = self._switch({"unreachable": True}, {"unreachable": False})
        self.drop_connections()
        return fault

    def hang(self) -> Fault:
        """The process stands still (SIGSTOP): connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)
        return Fault(lambda: self._signal(signal.SIGCONT))

    def _switch(self, on: Message, off: Message) -> Fault:
        self._ask("switch", **on)
        pid = self.pid

        def switch_off() -> None:
            if self.running and self.pid == pid:  # a server that was restarted is healthy
                self._ask("switch", **off)

        return Fault(switch_off)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _api_key(name: str) -> int:
    if not name:
        return -1
    from logwire.messages import APIS  # pytest loads this module in sessions that want no broker

    keys = {api.name: api.key for api in APIS.values()}
    assert name in keys, f"no API of Kafka's is named {name}"
    return keys[name]
