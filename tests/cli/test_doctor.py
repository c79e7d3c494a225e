"""logserver doctor: a line for each look, and a code for scripts."""

import json
import socket
import ssl

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from tests.server_process import ServerProcess


def words(server: ServerProcess) -> list[str]:
    """The command about this server."""
    http = "{}:{}".format(*server.http_address)
    return ["doctor", "--bootstrap", server.bootstrap, "--http", http]


def test_a_sound_server_is_told_line_by_line(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and every line begins with its level."""
    assert main([*words(server), "--data-dir", str(server.data_dir)]) == Exit.OK
    told = capsys.readouterr().out.splitlines()
    assert told[0].split()[:3] == ["ok", "kafka", "port"]
    assert any(line.split()[1:3] == ["data", "directory"] for line in told)
    assert not any(line.startswith("problem") for line in told)


def test_nothing_there_is_one_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; JSON has the same findings."""
    command = ["doctor", "--bootstrap", "127.0.0.1:1", "--http", "127.0.0.1:1"]
    assert main(command) == Exit.FAILED
    assert "nothing listens there" in capsys.readouterr().out
    assert main([*command, "--json"]) == Exit.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == 1
    assert [check["level"] for check in document["checks"]] == ["problem", "warning"]


def test_tls_and_http_on_the_kafka_port_are_named_by_log_and_doctor(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real ones: a TLS library's hello, a web client's request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    closed = (ssl.SSLError, ConnectionError)
    with socket.create_connection(server.kafka_address) as plain, pytest.raises(closed):
        context.wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(server.kafka_address) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert plain.recv(1) == b""
    assert main([*words(server), "--json"]) == Exit.OK
    levels = {
        check["name"]: check["level"] for check in json.loads(capsys.readouterr().out)["checks"]
    }
    assert levels["ready"] == "ok"
    assert "a TLS hello: this listener takes no encryption" in server.log_tail()
    assert "an HTTP request: this port speaks Kafka" in server.log_tail()
