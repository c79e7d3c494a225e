"""logserver.cli.serve: one line when ready, one sentence and one code when it cannot be."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from logserver import __version__
from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.cli.serve import OPTIONS, help_page, process_age_seconds, split_address
from logserver.statistics import RuntimeDirectory
from tests.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
ON_FREE_PORTS = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """`serve` takes over the logging of its process; give it back to pytest."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(False)


def refused(
    capfd: pytest.CaptureFixture[str], *words: str, code: Exit, data_dir: Path | None = None
) -> str:
    """Run `serve` in this process, expecting a refusal; its sentence."""
    where = ["--data-dir", str(data_dir)] if data_dir is not None else []
    assert main(["serve", *where, *words]) == code
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("logserver: ")
    return told.err


def run_in_process(
    *words: str, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `serve` as a process of its own that is expected to end by itself."""
    command = [sys.executable, *flags, "-m", "logserver.cli", "serve", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def test_the_ready_line_tells_what_is_served_where(server: ServerProcess) -> None:
    """Version, both addresses with their real ports, the directory, the time it took."""
    told = server.ready_line
    assert told["version"] == __version__
    assert told["data"] == str(server.data_dir)
    assert re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]*", told["kafka"])
    assert re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]*", told["http"])
    assert re.fullmatch(r"[0-9]+\.[0-9]{2}s", told["start"])


def test_the_http_port_serves_health_and_metrics(server: ServerProcess) -> None:
    """What the container's health check and Prometheus ask for."""
    host, port = server.http_address
    for path, words in (("healthz", "ok"), ("readyz", "ready"), ("metrics", "logserver_ready 1")):
        with urllib.request.urlopen(f"http://{host}:{port}/{path}") as answer:
            assert answer.status == 200
            assert words in answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_cleanly(server: ServerProcess, number: signal.Signals) -> None:
    """Exit code 0, no trace, no memory files left."""
    assert server.process is not None
    os.kill(server.pid, number)
    assert server.process.wait(15) == Exit.OK
    assert "Traceback" not in server.log_tail()
    for line in server.log_tail().splitlines():
        assert json.loads(line)["level"] in ("info", "warning")


def test_a_start_loads_neither_click_nor_rich_nor_a_web_of_modules() -> None:
    """The ready line within 200 ms rests on what is not imported."""
    words = "import sys, logserver.cli.door; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    command = [sys.executable, "-c", words]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "uvloop" in loaded
    forbidden = {"click", "rich", "typer", "argparse", "prometheus_client", "pydantic", "urllib3"}
    assert not loaded & forbidden


def test_a_second_server_on_the_directory_is_refused(
    server: ServerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first one goes on; the sentence says who holds the directory."""
    told = refused(capfd, *ON_FREE_PORTS, code=Exit.LOCKED, data_dir=server.data_dir)
    assert str(server.data_dir) in told
    assert str(server.pid) in told
    assert server.process is not None
    assert server.process.poll() is None


def test_a_directory_of_a_newer_format_is_refused(
    server: ServerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """And left as it is: what a newer server wrote is not ours to touch."""
    assert server.stop() == 0
    identity = server.data_dir / "meta.properties"
    newer = identity.read_text().replace("format.version=", "format.version=99")
    assert "99" in newer
    identity.write_text(newer)
    told = refused(capfd, *ON_FREE_PORTS, code=Exit.DATA, data_dir=server.data_dir)
    assert "99" in told
    assert identity.read_text() == newer


@pytest.mark.parametrize("option", ["--listen", "--http"])
def test_a_port_in_use_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str
) -> None:
    """With the option that would choose another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        words = [*ON_FREE_PORTS, option, address]
        told = refused(capfd, *words, code=Exit.CANNOT_LISTEN, data_dir=tmp_path / "data")
    assert address in told
    assert "in use" in told
    assert option in told


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "myhost:0"])
@pytest.mark.parametrize("option", ["--listen", "--http"])
def test_a_public_listener_needs_insecure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str, address: str
) -> None:
    """Nothing is created before the refusal."""
    words = [*ON_FREE_PORTS, option, address]
    told = refused(capfd, *words, code=Exit.CONFIG, data_dir=tmp_path / "data")
    assert "--insecure" in told
    assert not (tmp_path / "data").exists()


def test_insecure_allows_a_public_listener(start_server: StartServer) -> None:
    """And the address that was asked for is told."""
    server = start_server(arguments=["--listen", "0.0.0.0:0", "--insecure"])
    assert server.ready_line["kafka"].startswith("0.0.0.0:")


def test_several_named_listeners_are_all_told(start_server: StartServer) -> None:
    """In the order of `listeners`."""
    addresses = "A://127.0.0.1:0,B://127.0.0.1:0"
    command = [sys.executable, "-m", "logserver.cli", "serve", "--http", "off", "-c"]
    with subprocess.Popen(
        [*command, f"listeners={addresses}", "--data-dir", str(start_server().data_dir) + "2"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert re.search(r"kafka=127\.0\.0\.1:\d+,127\.0\.0\.1:\d+ http=off ", line)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--data-dri", "x"], Exit.USAGE, "Did you mean --data-dir?"),
        (["--listen", "9092"], Exit.USAGE, "write HOST:PORT"),
        (["--listen", "a:70000"], Exit.USAGE, "write HOST:PORT"),
        (["--set", "x"], Exit.USAGE, "write KEY=VALUE"),
        (["--set", "num.partition=3"], Exit.CONFIG, "did you mean num.partitions?"),
        (["--set", "num.partitions=0"], Exit.CONFIG, "num.partitions"),
        (["--set", "num.partitions=many"], Exit.CONFIG, "num.partitions"),
        (["--set", "listeners=nonsense"], Exit.CONFIG, "listeners"),
        (["--config", "none.properties"], Exit.NO_INPUT, "cannot read none.properties"),
        (["--config", "."], Exit.NO_INPUT, "cannot read ."),
    ],
)
def test_a_wrong_word_is_refused(
    capfd: pytest.CaptureFixture[str], words: list[str], code: Exit, sentence: str
) -> None:
    """Each with its own code and what to do instead."""
    assert sentence in refused(capfd, *words, code=code)


def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Binary, and broken TOML."""
    binary = tmp_path / "server.properties"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refused(capfd, "--config", str(binary), code=Exit.NO_INPUT)
    broken = tmp_path / "server.toml"
    broken.write_text("a = = 1")
    assert "server.toml" in refused(capfd, "--config", str(broken), code=Exit.CONFIG)


def test_options_win_over_set_and_set_over_the_file(
    tmp_path: Path, start_server: StartServer
) -> None:
    """The same key three times; keys without meaning here are told in the log."""
    file = tmp_path / "server.properties"
    file.write_text("log.dirs=/nonexistent/a\nnum.partitions=2\nnum.io.threads=8\n")
    server = start_server(arguments=["--config", str(file), "--set", "log.dir=/nonexistent/b"])
    assert server.ready_line["data"] == str(server.data_dir)
    assert "num.io.threads is a Kafka setting that means nothing here" in server.log_tail()


def test_a_place_where_nothing_can_be_created_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """/proc takes no files from anybody, not even from root."""
    place = Path("/proc/logserver")
    told = refused(capfd, *ON_FREE_PORTS, code=Exit.CANNOT_CREATE, data_dir=place)
    assert str(place) in told


def test_a_file_in_place_of_the_directory_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is named and left alone."""
    (tmp_path / "data").write_text("mine")
    told = refused(capfd, *ON_FREE_PORTS, code=Exit.CANNOT_CREATE, data_dir=tmp_path / "data")
    assert str(tmp_path / "data") in told
    assert (tmp_path / "data").read_text() == "mine"


def test_python_without_assertions_is_refused(tmp_path: Path) -> None:
    """-O would remove the server's own checks."""
    result = run_in_process("--data-dir", str(tmp_path / "data"), flags=["-O"])
    assert result.returncode == Exit.CONFIG
    assert "python -O" in result.stderr
    assert not (tmp_path / "data").exists()


def test_closed_standard_files_are_never_taken_for_segments(tmp_path: Path) -> None:
    """With descriptor 2 free the next file opened would receive the log lines."""
    data_dir = tmp_path / "data"
    command = f"{sys.executable} -m logserver.cli serve {' '.join(ON_FREE_PORTS)}"
    words = f"exec {command} --data-dir {data_dir} --set num.io.threads=8 <&- >&- 2>&-"
    process = subprocess.Popen(["bash", "-c", words])
    page = RuntimeDirectory.default_for(str(data_dir)).page_path
    while not os.path.exists(page) and process.poll() is None:
        os.sched_yield()
    targets = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)]
    process.terminate()
    assert process.wait(15) == Exit.OK
    assert targets == ["/dev/null"] * 3


def test_help_and_version_are_told_without_a_server(capfd: pytest.CaptureFixture[str]) -> None:
    """On standard output, with code 0."""
    assert main(["serve", "--help"]) == Exit.OK
    assert capfd.readouterr().out == help_page() + "\n"
    assert main(["serve", "--version"]) == Exit.OK
    assert capfd.readouterr().out == f"logserver {__version__}\n"


def test_every_option_of_the_table_is_documented() -> None:
    """The help page is the reference."""
    assert all(f"--{option.name}" in help_page() and option.help for option in OPTIONS)


def test_addresses_with_brackets_are_split() -> None:
    """IPv6."""
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address(":80") == ("", 80)


def test_the_age_of_the_process_includes_the_interpreters_start() -> None:
    """Told in the ready line; a test runner is old."""
    assert process_age_seconds() > 0.1
