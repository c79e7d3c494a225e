"""logserver.cli.diagnosis: each trouble is made, and named."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logserver.cli import diagnosis
from logserver.cli.diagnosis import OK, PROBLEM, WARNING, Check
from logserver.client import Admin
from logserver.client.connection import Address
from tests.server_process import ServerProcess

Answering = Callable[[bytes], str]
TLS_ALERT = bytes.fromhex("15030300020246")
SOUND = {
    "logserver_ready": 1.0,
    "process_open_fds": 30.0,
    "process_max_fds": 65536.0,
    "logserver_disk_free_bytes": 5e9,
    "logserver_log_directories_fenced": 0.0,
    "logserver_disk_full": 0.0,
    "logserver_partitions_quarantined": 0.0,
    "logserver_sync_duration_seconds_count": 100.0,
    "logserver_sync_duration_seconds_sum": 0.2,
    "logserver_sync_duration_seconds_bucket:0.1": 100.0,
    "logserver_sync_duration_seconds_bucket:+Inf": 100.0,
    "logserver_protocol_errors_total": 0.0,
    "logserver_internal_errors_total": 0.0,
}


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Start something that answers whatever it is sent with these bytes; its address."""
    listening: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    link.settimeout(5)
                    if answer and link.recv(100):
                        link.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return "{}:{}".format(*listener.getsockname())

    yield start
    for listener in listening:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def levels(checks: list[Check]) -> dict[str, str]:
    """Level by name; of several the last."""
    return {check.name: check.level for check in checks}


def test_a_sound_server_has_nothing_wrong(server: ServerProcess) -> None:
    """Port, advertised address, figures, directory."""
    checks, cluster = diagnosis.kafka_port(server.bootstrap)
    assert cluster is not None
    checks += diagnosis.advertised(server.bootstrap, cluster)
    checks += diagnosis.server_figures("{}:{}".format(*server.http_address))
    checks += diagnosis.data_directory(str(server.data_dir))
    assert {check.level for check in checks} <= {OK, WARNING}
    assert {"kafka port", "advertised address", "ready", "descriptors", "disk"} <= set(
        levels(checks)
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TLS_ALERT, "speaks TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "speaks SSH"),
        (b"", "closes the connection at once"),
    ],
)
def test_what_is_no_kafka_is_named(answering: Answering, answer: bytes, words: str) -> None:
    """By what it answers to a Kafka request."""
    checks, cluster = diagnosis.kafka_port(answering(answer))
    assert cluster is None
    (check,) = checks
    assert check.level == PROBLEM
    assert words in check.sentence


def test_a_port_without_a_server_and_a_name_without_a_host_are_told() -> None:
    """Each with what to look at."""
    (refused,), _ = diagnosis.kafka_port("127.0.0.1:1")
    assert "nothing listens there" in refused.sentence
    (unknown,), _ = diagnosis.kafka_port("no-such-host.invalid:9092")
    assert "not known here" in unknown.sentence
    (senseless,), _ = diagnosis.kafka_port("host:port")
    assert "write HOST:PORT" in senseless.sentence


def test_an_advertised_address_that_leads_nowhere_is_a_problem(
    start_server: Callable[..., ServerProcess],
) -> None:
    """The port answers, and every client is then sent to a place where nothing listens."""
    server = start_server({"advertised.listeners": "PLAINTEXT://127.0.0.1:1"})
    _, cluster = diagnosis.kafka_port(server.bootstrap)
    assert cluster is not None
    (check,) = diagnosis.advertised(server.bootstrap, cluster)
    assert check.level == PROBLEM
    assert "cannot be reached from here: nothing listens there" in check.sentence
    assert "advertised.listeners" in check.advice


def test_an_advertised_address_of_somebody_else_is_a_problem(
    start_server: Callable[..., ServerProcess],
) -> None:
    """Another cluster answers there, or something that is no Kafka."""
    other = start_server(name="other")
    server = start_server({"advertised.listeners": f"PLAINTEXT://{other.bootstrap}"})
    _, cluster = diagnosis.kafka_port(server.bootstrap)
    assert cluster is not None
    (check,) = diagnosis.advertised(server.bootstrap, cluster)
    assert check.level == PROBLEM
    assert "another cluster answers" in check.sentence


def test_loopback_is_no_address_for_others(server: ServerProcess) -> None:
    """Whoever asked under a real name is told to talk to itself."""
    with Admin(server.bootstrap) as admin:
        cluster = admin.describe_cluster()
    (check,) = diagnosis.advertised("logs.example.org:9092", cluster)
    assert check.level == PROBLEM
    assert "on their machine is themselves" in check.sentence
    assert diagnosis.is_own_machine("0.0.0.0")
    assert diagnosis.is_own_machine("::1")
    assert not diagnosis.is_own_machine("logs.example.org")


@pytest.mark.parametrize(
    ("changed", "name", "level", "words"),
    [
        ({"process_max_fds": 1024}, "descriptors", WARNING, "30 of 1,024"),
        ({"process_open_fds": 60000}, "descriptors", PROBLEM, "connections will be refused"),
        ({"logserver_disk_full": 1}, "disk", PROBLEM, "records are refused"),
        ({"logserver_log_directories_fenced": 1}, "disk", PROBLEM, "given up"),
        ({"logserver_disk_free_bytes": 5e8}, "disk", WARNING, "500.0 MB are free"),
        ({"logserver_partitions_quarantined": 2}, "disk", PROBLEM, "2 partitions"),
        ({"logserver_protocol_errors_total": 3}, "other protocols", WARNING, "3 connections"),
        ({"logserver_internal_errors_total": 1}, "bugs", PROBLEM, "1 bug"),
        ({"logserver_sync_duration_seconds_bucket:0.1": 90}, "syncs", WARNING, "10 syncs of 100"),
    ],
)
def test_each_figure_that_is_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, float], name: str, level: str, words: str
) -> None:
    """And none of the others with it."""
    monkeypatch.setattr(diagnosis, "_page", lambda _, path: "ready\n" if path == "/readyz" else "")
    monkeypatch.setattr(diagnosis, "parse_metrics", lambda _: SOUND)
    assert {check.level for check in diagnosis.server_figures("x")} == {OK}
    monkeypatch.setattr(diagnosis, "parse_metrics", lambda _: SOUND | changed)
    wrong = [check for check in diagnosis.server_figures("x") if check.level != OK]
    assert [(check.name, check.level) for check in wrong] == [(name, level)]
    assert words in wrong[0].sentence


def test_why_a_server_is_not_ready_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem for each line of its answer."""
    pages = {"/readyz": "the directory is fenced\nthe server is stopping\n", "/metrics": ""}
    monkeypatch.setattr(diagnosis, "_page", lambda _, path: pages[path])
    monkeypatch.setattr(diagnosis, "parse_metrics", lambda _: SOUND)
    wrong = [check for check in diagnosis.server_figures("x") if check.level != OK]
    assert [check.sentence for check in wrong] == pages["/readyz"].splitlines()


def test_figures_that_cannot_be_read_are_a_warning(answering: Answering) -> None:
    """HTTP may be off; a page of somebody else is none of ours."""
    (check,) = diagnosis.server_figures("127.0.0.1:1")
    assert check.level == WARNING
    assert "cannot be read from http://127.0.0.1:1: connection refused" in check.sentence
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nup 1\n"
    (check,) = diagnosis.server_figures(answering(page))
    assert "does not show the figures of a logserver" in check.sentence


def test_metrics_are_summed_over_their_labels() -> None:
    """Buckets keep their bound; what is no logserver is refused."""
    text = (
        "# HELP logserver_ready x\nlogserver_ready 1\n"
        'logserver_errors_total{error="A"} 2\nlogserver_errors_total{error="B"} 3\n'
        'h_bucket{le="0.5"} 7\nh_bucket{le="+Inf"} 9\n'
    )
    values = diagnosis.parse_metrics(text)
    assert values["logserver_errors_total"] == 5
    assert (values["h_bucket:0.5"], values["h_bucket:+Inf"]) == (7, 9)
    with pytest.raises(ValueError, match="logserver"):
        diagnosis.parse_metrics("up 1\n")


def test_a_directory_is_judged_by_its_file_system(tmp_path: Path) -> None:
    """Memory is no place for records; what cannot be written is a problem."""
    (missing,) = diagnosis.data_directory(str(tmp_path / "none"))
    assert missing.level == PROBLEM
    if diagnosis.file_system_of("/dev/shm") == "tmpfs":
        assert diagnosis.data_directory("/dev/shm")[0].level == WARNING
    assert diagnosis.file_system_of(str(tmp_path))
    checks = diagnosis.data_directory(str(tmp_path))
    assert [check.name for check in checks] == ["data directory", "disk", "syncs"]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_takes_no_file_is_a_problem() -> None:
    """/proc is one, for everybody."""
    (check,) = [one for one in diagnosis.data_directory("/proc") if one.name == "syncs"]
    assert check.level == PROBLEM
    assert "nothing can be written" in check.sentence


def test_an_address_without_a_way_is_told() -> None:
    """The broadcast address takes no connection."""
    reason = diagnosis.unreachable_reason(Address("255.255.255.255", 9092))
    assert reason is not None
    assert reason[0]
