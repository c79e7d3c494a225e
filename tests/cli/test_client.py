"""logserver client list: a table for people, the documents for programs."""

import json
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.client import beside, together
from logserver.cli.exits import Exit
from logserver.client import Consumer, Producer
from tests.server_process import ServerProcess


def address(server: ServerProcess) -> str:
    """Of its HTTP port."""
    host, port = server.http_address
    return f"{host}:{port}"


def test_connected_clients_are_listed_with_what_they_do(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row a client, however many connections it has."""
    with Producer(server.bootstrap, client_id="meter") as producer:
        for _ in range(3):
            producer.send("readings", b"431").result()
        with Consumer(server.bootstrap, "readings", start=0, client_id="panel") as consumer:
            assert consumer.poll(5000)
            assert main(["client", "list", "--http", address(server)]) == Exit.OK
            rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
            assert "writes readings-0" in rows["meter"]
            assert "reads readings" in rows["panel"]
            assert "logserver" in rows["meter"]
            assert "127.0.0.1" in rows["meter"]
            assert main(["client", "list", "--http", address(server), "--json"]) == Exit.OK
            found = json.loads(capsys.readouterr().out)
            assert {one["client_id"] for one in found} == {"meter", "panel"}
            assert main(["client", "list", "--http", address(server), "--all"]) == Exit.OK
            assert len(capsys.readouterr().out.splitlines()) == 1 + len(found)


def test_an_idle_server_says_so(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON with an empty list."""
    assert main(["client", "list", "--http", address(server)]) == Exit.OK
    assert "nobody is connected" in capsys.readouterr().err
    assert main(["client", "list", "--http", address(server), "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == []


def test_a_server_that_cannot_be_asked_is_told(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Kafka port is no HTTP port, and nothing listens on port 1."""
    assert main(["client", "list", "--http", server.bootstrap]) == Exit.UNAVAILABLE
    assert "--http HOST:PORT" in capsys.readouterr().err
    assert main(["client", "list", "--http", "127.0.0.1:1"]) == Exit.UNAVAILABLE


def test_connections_of_one_client_are_one_row() -> None:
    """Same id, software and host; a second host is a second client."""

    def one(client_id: str, host: str) -> dict[str, Any]:
        return {"client_id": client_id, "host": host, "software": "s", "software_version": "1"}

    found = [one("b", "h1"), one("a", "h1"), one("b", "h1"), one("b", "h2")]
    assert [len(rows) for rows in together(found)] == [1, 2, 1]


def test_the_http_port_is_looked_for_on_the_host_of_the_kafka_port() -> None:
    """Where nothing else was said; also where only a host was named."""
    assert beside("127.0.0.1:9092") == "127.0.0.1:8080"
    assert beside("a.example.org:9092,b:9092") == "a.example.org:8080"
    assert beside("[::1]:9092") == "[::1]:8080"
    assert beside("localhost") == "localhost:8080"
