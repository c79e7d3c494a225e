"""`logserver serve`: read options and files, refuse what cannot work, run the server.

Nothing here may import rich or click (see options.py). Everything that a user can get wrong ends
in one sentence that says what happened, to what, and what to do.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Sequence

from logserver import __version__
from logserver.cli.exits import CommandError, Exit, let_go_of_stdout, printable
from logserver.cli.journal import open_journal
from logserver.cli.options import Given, Option, help_text, parse_options
from logserver.config import BrokerConfig, ConfigError, Listener, load, parse_text

OPTIONS = (
    Option(
        "data-dir",
        "Where topics live (log.dirs; default ./data). Created when missing; one server per "
        "directory.",
        "DIR",
    ),
    Option(
        "listen",
        "Address for Kafka clients (listeners; default 127.0.0.1:9092). Port 0 picks a free one. "
        "Several named listeners: --set listeners=A://HOST:PORT,B://HOST:PORT.",
        "HOST:PORT",
    ),
    Option(
        "http",
        "Address for /metrics, /healthz and /readyz (default 127.0.0.1:8080; 'off' for none).",
        "HOST:PORT",
    ),
    Option(
        "config",
        "Configuration file with Kafka's keys, as properties (server.properties) or TOML (*.toml).",
        "FILE",
    ),
    Option(
        "set",
        "Set one configuration key; may be repeated and wins over the file. All keys: "
        "docs/configuration.md.",
        "KEY=VALUE",
        short="c",
        repeats=True,
    ),
    Option(
        "insecure",
        "Allow listening beyond loopback although nobody is authenticated: whoever reaches the "
        "port can read, write and delete everything.",
    ),
    Option(
        "runtime-dir",
        "Where memory files such as the statistics page live (default under /dev/shm).",
        "DIR",
    ),
    Option("version", "Print the version and exit."),
    Option("help", "Print this page and exit.", short="h"),
)

ABOUT = """\
Run the server. When it is ready it prints one line on standard output:

  ready version=0.1.0 kafka=127.0.0.1:9092 http=127.0.0.1:8080 data=./data start=0.15s

Logs go to standard error, one JSON object per line. SIGTERM or Ctrl-C stops it cleanly: answers
under way are sent, everything is synced, the directory is marked clean, exit code 0."""

AFTER = """\
Precedence: option, then --set, then --config, then default.
Exit codes: 2 usage, 65 unusable data directory, 66 unreadable file, 71 cannot listen, 73 cannot
create or write a directory, 74 disk given up after a failed sync, 75 directory in use, 78 bad
configuration.

Examples:
  logserver serve
  logserver serve --data-dir /var/lib/logserver --config server.properties
  logserver serve --listen 127.0.0.1:0 --http off -c num.partitions=4"""


def run_serve(words: Sequence[str]) -> int:
    """The command; its exit code. Raises CommandError."""
    started = time.monotonic()
    given = parse_options("serve", OPTIONS, words)
    if "help" in given.flags:
        print(help_page())
        return Exit.OK
    if "version" in given.flags:
        print(f"logserver {__version__}")
        return Exit.OK
    return _serve(given, started)


def help_page() -> str:
    """What --help prints."""
    return help_text("logserver serve [OPTIONS]", ABOUT, OPTIONS, AFTER)


def _serve(given: Given, started: float) -> int:
    if sys.flags.optimize:
        raise CommandError(
            Exit.CONFIG,
            "python -O removes the server's own checks. Start it without -O and PYTHONOPTIMIZE.",
        )
    # It stays off while serving; until then there is no garbage worth looking for.
    gc.disable()
    config = _configuration(given)
    _refuse_public(config, insecure="insecure" in given.flags)
    open_journal()
    log = logging.getLogger("logserver")
    for warning in config.warnings:
        log.warning(warning)
    from logserver.cli.door import run_with_door

    def on_ready(kafka: str, http: str) -> None:
        words = f"version={__version__} kafka={kafka} http={http} data={config.data_dir}"
        seconds = process_age_seconds() or time.monotonic() - started
        try:
            print(f"ready {printable(words)} start={seconds:.2f}s", flush=True)
        except OSError:  # a reader that went away must not stop the server
            let_go_of_stdout()

    try:
        return run_with_door(config, on_ready)
    except CommandError:
        raise
    except Exception:
        log.critical("the server failed: this is a bug", exc_info=True)
        return Exit.INTERNAL


def _configuration(given: Given) -> BrokerConfig:
    """The file, then --set, then the options; raises CommandError."""
    file = _read_file(given.values["config"]) if "config" in given.values else {}
    overrides: dict[str, str] = {}
    for word in given.lists["set"]:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise CommandError(Exit.USAGE, f"serve: --set {word}: write KEY=VALUE")
        overrides[key.strip()] = value
    if "data-dir" in given.values:
        # log.dirs is a list and would take a comma in the path for a second directory
        file.pop("log.dirs", None)
        overrides.pop("log.dirs", None)
        overrides["log.dir"] = given.values["data-dir"]
    if "listen" in given.values:
        overrides["listeners"] = f"PLAINTEXT://{_address('--listen', given.values['listen'])}"
    if "http" in given.values:
        http = given.values["http"]
        overrides["logserver.http.listen"] = "" if http == "off" else _address("--http", http)
    if "runtime-dir" in given.values:
        overrides["logserver.runtime.dir"] = given.values["runtime-dir"]
    try:
        return load(overrides, file)
    except ConfigError as error:
        raise CommandError(Exit.CONFIG, f"bad configuration: {error}") from None


def _read_file(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(
            Exit.NO_INPUT, f"cannot read {path}: {reason}. Check --config."
        ) from None
    except UnicodeDecodeError:
        raise CommandError(
            Exit.NO_INPUT, f"cannot read {path}: it is not UTF-8 text. Check --config."
        ) from None
    try:
        return parse_text(text, path)
    except ConfigError as error:
        raise CommandError(Exit.CONFIG, f"bad configuration: {error}") from None


def _address(option: str, text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise CommandError(
            Exit.USAGE,
            f"serve: {option} {text}: write HOST:PORT with a port of 0 to 65535, "
            f"for example {option} 127.0.0.1:9092",
        )
    return f"{host}:{port}"


def split_address(text: str) -> tuple[str, int]:
    """`[::1]:8080` -> (`::1`, 8080); the port was checked before."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _refuse_public(config: BrokerConfig, *, insecure: bool) -> None:
    """Beyond loopback whoever reaches the port is everybody; that must be said on purpose."""
    if insecure:
        return
    listeners = list(config.listeners)
    if config.http_listen:
        listeners.append(Listener("HTTP", *split_address(config.http_listen)))
    for listener in listeners:
        if not listener.is_loopback:
            raise CommandError(
                Exit.CONFIG,
                f"{listener} can be reached from other machines and nobody is authenticated. "
                "Listen on 127.0.0.1, or add --insecure if the network is trusted.",
            )


def process_age_seconds() -> float:
    """How long this process exists, the interpreter's own start included; 0 where unknown."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
    return now - ticks / os.sysconf("SC_CLK_TCK")
