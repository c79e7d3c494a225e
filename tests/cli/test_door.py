"""logserver.cli.door: where server, statistics and HTTP meet, and what a failed start becomes."""

import errno
import json
import os
import urllib.request
from collections.abc import Callable

import pytest

from logserver.cli.door import STORAGE_EXITS, address_text, cannot_listen, runtime_directory
from logserver.cli.exits import Exit
from logserver.client import Admin
from logserver.config import load
from logserver.statistics import PageReader, PartitionsReader, RuntimeDirectory
from logserver.storage.failure import Kind
from tests.server_process import ServerProcess


def test_every_kind_of_storage_failure_has_an_exit_code() -> None:
    """A new kind must not end as a trace."""
    assert set(STORAGE_EXITS) == set(Kind)
    assert STORAGE_EXITS[Kind.LOCKED] == Exit.LOCKED
    assert STORAGE_EXITS[Kind.FENCED] == Exit.FENCED


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "in use"),
        (errno.EACCES, "privilege"),
        (errno.EADDRNOTAVAIL, "Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_had_says_why_and_what_to_do(number: int, words: str) -> None:
    """With the option that chooses another."""
    error = cannot_listen("--http", "127.0.0.1:80", OSError(number, os.strerror(number)))
    assert error.code == Exit.CANNOT_LISTEN
    assert words in error.message
    assert error.message.endswith("--http.")


def test_addresses_are_written_so_that_they_can_be_pasted() -> None:
    """Brackets around IPv6."""
    assert address_text("127.0.0.1", 1) == "127.0.0.1:1"
    assert address_text("::1", 1) == "[::1]:1"


def test_the_runtime_directory_may_be_chosen() -> None:
    """Else it follows from the data directory."""
    assert runtime_directory(load({"logserver.runtime.dir": "/run/x"})).path == "/run/x"
    derived = RuntimeDirectory.default_for("data").path
    assert runtime_directory(load({"log.dir": "data"})).path == derived


def test_the_page_of_a_running_server_can_be_read_by_another_process(
    server: ServerProcess,
) -> None:
    """/metrics and a tool beside it see the same numbers; a stop removes the files."""
    with Admin(server.bootstrap) as admin:
        admin.create_topic("pressure", partitions=3)
    runtime = RuntimeDirectory.default_for(str(server.data_dir))
    page, regions = PageReader(runtime.page_path), PartitionsReader(runtime.partitions_path)
    host, port = server.http_address
    told = ['logserver_requests_total{api="CreateTopics"} 1\n', 'topic="pressure",partition="2"']
    text = ""
    while not all(words in text for words in told):
        with urllib.request.urlopen(f"http://{host}:{port}/metrics") as answer:
            text = answer.read().decode()
    snapshot = page.snapshot()
    assert snapshot.pid == server.pid
    assert snapshot.value("topics") == 1
    names = sorted(one[:2] for row in regions.rows() if (one := regions.read(row)) is not None)
    assert names == [("pressure", 0), ("pressure", 1), ("pressure", 2)]
    assert server.stop() == 0
    assert not os.path.exists(runtime.path)


def test_without_http_the_page_is_written_all_the_same(
    start_server: Callable[..., ServerProcess],
) -> None:
    """Other tools read it."""
    server = start_server({"logserver.http.listen": ""}, arguments=["--http", "off"])
    assert server.ready_line["http"] == "off"
    runtime = RuntimeDirectory.default_for(str(server.data_dir))
    assert PageReader(runtime.page_path).snapshot().pid == server.pid


def test_logs_are_json_lines_from_the_first_to_the_last(server: ServerProcess) -> None:
    """Even those about a stop."""
    assert server.stop() == 0
    for line in server.log_tail().splitlines():
        assert {"time", "level", "logger", "message"} <= set(json.loads(line))
