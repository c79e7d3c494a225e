"""`make demo`: a server, this host's telemetry through it, and back, every record checked.

The story in three steps, each with a bar: stream for some seconds at a fixed rate (durable: every
answer comes after the disk has the bytes), replay from the first offset, replay from a timestamp in
the middle. Two ledgers, one of what was sent and one of what came back, must agree per device:
count, order, checksum. Exit code 0 only then; 1 when a record is missing or damaged or the server
fails; 130 after Ctrl-C.

The data stays in build/demo until the next demo, so that there is something to look at afterwards.
"""

import argparse
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from logserver.client import Admin, ClientError, Consumer, ConsumerRecord, Producer, Timestamp
from tools.telemetry.devices import Fleet, Ledger, Record
from tools.telemetry.host import Host, NoProc
from tools.telemetry.own_server import ROOT, NotReady, OwnServer
from tools.telemetry.screen import Screen
from tools.telemetry.stream import Stream

TOPIC = "telemetry"
PARTITIONS = 4
LINGER_MS = 2
REPLAY_CHUNK = 5_000
INTERRUPTED = 130
LOOK_AROUND_S = 60
SWITCH_INTERVAL_S = 0.0005
"""The producer's thread wants the interpreter back within this; Python's own 5 ms would be most of
the latency shown."""


class Sent(NamedTuple):
    """What step one left behind."""

    everything: Ledger
    since: Ledger
    since_ms: int
    facts: dict[str, str]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=15, help="how long to stream (default 15)")
    add("--rate", type=float, default=20_000, help="records a second (default 20,000)")
    add("--devices", type=int, default=500, help="simulated devices (default 500)")
    add("--data-dir", type=Path, help="an empty or new directory (default build/demo)")
    add("--leave", action="store_true", help="do not wait for Enter on a terminal, just end")
    return parser.parse_args()


def stream(screen: Screen, server: OwnServer, options: argparse.Namespace) -> Sent:
    """Step one: telemetry at a fixed rate, both ledgers kept."""
    step = screen.step("1  stream", options.seconds)
    everything, since = Ledger(), Ledger()
    since_ms = time.time_ns() // 1_000_000 + int(options.seconds * 500)

    def note(record: Record) -> None:
        everything.note(record.key, record.value)
        if record.at_ms >= since_ms:
            since.note(record.key, record.value)

    with Producer(server.bootstrap, compression="zstd", linger_ms=LINGER_MS) as producer:
        run = Stream(producer, TOPIC, Fleet(options.devices), Host(), options.rate, note)
        began, cpu, last, last_cpu = time.monotonic(), server.cpu_s(), 0.0, server.cpu_s()
        for elapsed in run.run(options.seconds):
            now_cpu = server.cpu_s()
            screen.beat(run.host_percent, (now_cpu - last_cpu) / (elapsed - last) * 100)
            last, last_cpu = elapsed, now_cpu
            told = f"{run.sent_count:>9,} records  {run.sent_count / elapsed:,.0f}/s"
            screen.advance(step, elapsed, f"{told}  P99 {run.recent_ms(99):.1f} ms")
        producer.flush()
        took, busy = time.monotonic() - began, server.cpu_s() - cpu
    if run.failed:
        raise run.failed[0]
    screen.finish(step, f"{run.sent_count:,} records acknowledged")
    latency = [f"{name} {run.percentile_ms(percent):.1f}" for name, percent in
               (("P50", 50), ("P99", 99), ("P99.9", 99.9), ("max", 100))]  # fmt: skip
    with Admin(server.bootstrap) as admin:
        disk = sum(part.size_bytes for part in admin.log_sizes() if part.topic == TOPIC)
    raw = everything.value_bytes
    facts = {
        "rate": f"{run.sent_count / took:,.0f} records a second, {raw / took / 1e6:.1f} MB/s",
        "latency": "  ".join(latency) + " ms, due to durable",
        "on disk": f"{disk / 1e6:.1f} MB for {raw / 1e6:.1f} MB of JSON (zstd)",
        "server": f"{busy / took * 100:.0f} % of one CPU, "
        f"{server.anonymous_mb():.0f} MB of anonymous memory",
    }
    return Sent(everything, since, since_ms, facts)


def replay(screen: Screen, name: str, records: Iterator[ConsumerRecord], expected: Ledger) -> str:
    """Steps two and three: read, check; returns the rate. Raises Lost."""
    step = screen.step(name, expected.record_count)
    seen = Ledger()
    began = time.monotonic()
    while chunk := list(islice(records, REPLAY_CHUNK)):
        for record in chunk:
            seen.note(record.key or b"", record.value or b"")
        screen.advance(step, seen.record_count, f"{seen.record_count:>9,} records")
    rate = seen.record_count / (time.monotonic() - began)
    differences = expected.differences(seen)
    if differences:
        raise Lost(name, differences)
    screen.finish(step, f"all {seen.record_count:,}: count, order and checksum right")
    return f"{rate:,.0f} records a second"


class Lost(Exception):
    """Something did not come back as it was sent: the step, and the differences."""

    def __init__(self, step: str, differences: list[str]) -> None:
        self.lines = [f"{step}: {len(differences)} devices differ", *differences[:5]]
        super().__init__(self.lines[0])


def run(screen: Screen, server: OwnServer, options: argparse.Namespace) -> str:
    """The three steps and their result; returns the instant of step three."""
    with Admin(server.bootstrap) as admin:
        admin.create_topic(TOPIC, partitions=PARTITIONS)
    with screen.live():
        sent = stream(screen, server, options)
        since = datetime.fromtimestamp(sent.since_ms / 1000, UTC)
        with Consumer(server.bootstrap, TOPIC, start="beginning", stop_at_end=True) as consumer:
            rate = replay(screen, "2  replay, first offset", iter(consumer), sent.everything)
        with Consumer(
            server.bootstrap, TOPIC, start=Timestamp(sent.since_ms), stop_at_end=True
        ) as consumer:
            name = f"3  replay, from {since:%H:%M:%S}"
            replay(screen, name, iter(consumer), sent.since)
    screen.console.print()
    screen.facts(sent.facts | {"replay": f"{rate}, one consumer"})
    return since.isoformat(timespec="seconds").replace("+00:00", "Z")


def next_steps(screen: Screen, server: OwnServer, since: str) -> None:
    """What to try while the server still runs."""
    consume = f"{command()} consume {TOPIC} --bootstrap {server.bootstrap}"
    screen.commands(
        "The server is still running. In another terminal:",
        {
            "read all of it": f"{consume} --from beginning",
            "read from the middle of the stream on": f"{consume} --from {since}",
            "send more": f"{sys_python()} -m tools.telemetry --bootstrap {server.bootstrap}",
            "ask how it is doing": f"curl -s {server.metrics}",
        },
    )


def later_steps(screen: Screen, server: OwnServer, since: str) -> None:
    """What to try when it has stopped."""
    place = shown(server.data_dir)
    screen.commands(
        "What to try next",
        {
            "start a server on the demo's data": f"{command()} serve --data-dir {place}",
            "read it in another terminal": f"{command()} consume {TOPIC} --from {since}",
            "see its metrics": "curl -s http://127.0.0.1:8080/metrics",
            "check every byte on disk": f"{command()} verify {place}",
        },
    )


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def command() -> str:
    """How to call the installed command from here."""
    script = Path(sys.executable).with_name("logserver")
    return shown(script) if script.exists() else f"{sys_python()} -m logserver.cli"


def sys_python() -> str:
    """How to call this interpreter from here."""
    return shown(Path(sys.executable))


def fresh_directory(wanted: Path | None) -> Path:
    """The demo's directory: what was asked for, or build/demo without the last demo's data."""
    if wanted:
        return wanted.absolute()
    default = ROOT / "build" / "demo"
    try:
        default.parent.mkdir(exist_ok=True)
        shutil.rmtree(default, ignore_errors=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="logserver-demo-")) / "data"
    return default


def main() -> int:
    """The demo."""
    options = arguments()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    screen = Screen()
    screen.title(
        "logserver demo",
        [
            f"Telemetry of this host as {options.devices} devices, {options.rate:,.0f} records/s,",
            f"batched, zstd, durable, for {options.seconds:g} s. Then all of it comes back, twice.",
        ],
    )
    try:
        with OwnServer(fresh_directory(options.data_dir)) as server:
            since = run(screen, server, options)
            if sys.stdin.isatty() and screen.console.is_terminal and not options.leave:
                next_steps(screen, server, since)
                wait_for_enter(screen)
        later_steps(screen, server, since)
    except KeyboardInterrupt:
        screen.console.print("\n  interrupted; the server has stopped cleanly")
        return INTERRUPTED
    except Lost as error:
        screen.failure(error.lines)
        return 1
    except (ClientError, NoProc, NotReady, OSError) as error:
        screen.failure(["the demo failed:", str(error)])
        return 1
    return 0


def wait_for_enter(screen: Screen) -> None:
    """Until Enter, Ctrl-C, or a minute has passed: a terminal may have nobody in front of it."""
    screen.console.print(
        f"  [bold]Enter[/bold] stops it, as do {LOOK_AROUND_S} s without one. ", end=""
    )
    try:
        select.select([sys.stdin], [], [], LOOK_AROUND_S)
    except KeyboardInterrupt:
        screen.console.print()
    screen.console.print()


if __name__ == "__main__":
    sys.exit(main())
