"""The server with its side door: statistics page, HTTP port, and what a failed start means.

`server` and `http` do not know each other; this is where they meet. The statistics page is
published whether or not HTTP is served, because other tools read it too.
"""

import errno
from collections.abc import Callable, Collection, Iterator
from typing import Any

from logserver.broker.groups.explain import explain_groups, explain_lag
from logserver.cli.exits import CommandError, Exit
from logserver.cli.serve import split_address
from logserver.config import BrokerConfig
from logserver.http import HttpListener, operations_routes
from logserver.server.clients import describe_clients
from logserver.server.figures import FiguresPublisher
from logserver.server.runner import REAL_WORLD, Ready, World, run
from logserver.server.server import Server
from logserver.statistics import PageReader, PartitionsReader, RuntimeDirectory
from logserver.storage.failure import Kind, StorageError

STORAGE_EXITS = {
    Kind.LOCKED: Exit.LOCKED,
    Kind.IDENTITY: Exit.DATA,
    Kind.FORMAT: Exit.DATA,
    Kind.UNUSABLE: Exit.CANNOT_CREATE,
    Kind.FENCED: Exit.FENCED,
    Kind.FULL: Exit.CANNOT_CREATE,
    Kind.CORRUPT: Exit.DATA,
}


class SideDoor:
    """Statistics page and, if configured, the HTTP port, on the server's loop."""

    def __init__(self, config: BrokerConfig, server: Server) -> None:
        self.address: tuple[str, int] | None = None
        self._config = config
        self._server = server
        runtime = runtime_directory(config)
        try:
            self._publisher = FiguresPublisher(server, runtime)
        except PermissionError as error:
            raise CommandError(Exit.CANNOT_CREATE, str(error)) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(
                Exit.CANNOT_CREATE,
                f"cannot use runtime directory {runtime.path}: {reason}. "
                "Choose another --runtime-dir.",
            ) from None
        page, partitions = PageReader(runtime.page_path), PartitionsReader(runtime.partitions_path)
        self._listener = HttpListener(
            operations_routes(self, page, partitions, (runtime.series_path, runtime.groups_path))
        )
        self._publisher.more.append(self._listener.statistics)

    async def open(self) -> None:
        """Listen; raises CommandError when the address cannot be had."""
        self._publisher.start()
        if not self._config.http_listen:
            return
        host, port = split_address(self._config.http_listen)
        try:
            self.address = await self._listener.start(host, port)
        except OSError as error:
            raise cannot_listen("--http", f"{host}:{port}", error) from None

    async def close(self) -> None:
        """Stop listening, close the page, remove the memory files."""
        await self._listener.stop()
        self._publisher.close()

    def unready_reasons(self) -> list[str]:
        """For /readyz: why requests are not served, a sentence each."""
        broker = self._server.broker
        reasons = ["the server is stopping"] if self._server.draining else []
        if broker.commit.fenced:  # a full disk serves readers and mends itself: disk_full tells
            reasons.append(broker.unwritable_reason)
        return reasons

    def clients(self) -> Iterator[dict[str, Any]]:
        """For /clients: who is connected, a document each."""
        return describe_clients(self._server)

    def groups(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """For /groups: how far behind they are, and why they rebalanced."""
        return explain_groups(self._server.broker, self._server.now_ms(), only)

    def lag(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """For /lag: the same of each of their partitions."""
        return explain_lag(self._server.broker, self._server.now_ms(), only)


def runtime_directory(config: BrokerConfig) -> RuntimeDirectory:
    """Where the memory files of this configuration live."""
    if config.runtime_dir:
        return RuntimeDirectory(config.runtime_dir)
    return RuntimeDirectory.default_for(config.data_dir)


def run_with_door(
    config: BrokerConfig, on_ready: Callable[[str, str], None], world: World = REAL_WORLD
) -> int:
    """Run the server to its end; `on_ready` gets the Kafka and HTTP addresses."""

    async def open_door(server: Server) -> SideDoor:
        door = SideDoor(config, server)
        await door.open()
        return door

    def ready(told: Ready) -> None:
        kafka = ",".join(address_text(host or "0.0.0.0", port) for _, host, port in told.listeners)
        on_ready(kafka, address_text(*told.http_address) if told.http_address else "off")

    try:
        return run(config, open_http=open_door, on_ready=ready, world=world)
    except StorageError as error:
        raise CommandError(STORAGE_EXITS[error.kind], str(error)) from None
    except OSError as error:
        raise _as_command_error(config, error) from error


def address_text(host: str, port: int) -> str:
    """`host:port`, brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cannot_listen(option: str, address: str, error: OSError) -> CommandError:
    """The sentence for an address that is taken, not ours, or not allowed."""
    if error.errno == errno.EADDRINUSE:
        reason = "the port is in use. Stop what uses it, or choose another"
    elif error.errno == errno.EACCES:
        reason = "ports below 1024 need a privilege. Choose another"
    else:
        reason = f"{error.strerror or error}. Choose another"
    return CommandError(Exit.CANNOT_LISTEN, f"cannot listen on {address}: {reason} {option}.")


LISTEN_ERRORS = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


def _as_command_error(config: BrokerConfig, error: OSError) -> CommandError:
    """What nobody below turned into a sentence."""
    if error.filename is None and error.errno in LISTEN_ERRORS:
        addresses = ", ".join(str(listener) for listener in config.listeners)
        return cannot_listen("--listen", addresses, error)
    where = error.filename or config.data_dir
    return CommandError(
        Exit.CANNOT_CREATE, f"cannot use {where}: {(error.strerror or str(error)).lower()}."
    )
